/*
 * chan: life of a channel: opened, watched, ended, closed.
 *
 * A channel ends once: the peer is gone, or a frame was malformed; on_closed
 * says so.  The owner closes it from there or later, also from within its own
 * callbacks: then the memory stays until the last of them has returned.
 */
#include "ipc/chan.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "ipc/chan_internal.h"

enum { SNDBUF_BYTES_MIN = 32 * 1024 };

void
chan_watch(struct chan *c)
{
	unsigned want = 0;

	if (c->ended)
		return;
	if (!c->paused && !c->bad)
		want |= EV_RD;
	if (c->blocked)
		want |= EV_WR;
	ev_io_want(&c->io, want);
}

static void
on_ready(void *arg, struct ev_io *io, unsigned ready)
{
	struct chan *c = arg;

	(void)io;
	if (ready & EV_WR) {
		c->blocked = false;
		chan_drain(c);
	}
	if ((ready & EV_RD) && !c->paused && !c->bad)
		chan_receive(c);
}

void
chan_end(struct chan *c, bool bad, const char *why)
{
	if (c->ended)
		return;
	chan_send_stop(c);
	ev_io_fini(&c->io);
	c->ended = true;
	c->busy++;
	c->events->on_closed(c->arg, c, bad, why);
	c->busy--;
	if (c->closing)
		chan_release(c);
}

/* What could not be said from inside a call of the owner. */
static void
on_tell(void *arg, struct ev_task *t)
{
	struct chan *c = arg;

	(void)t;
	if (c->bad) {
		chan_end(c, true, c->why);
		return;
	}
	if (!c->refused || c->ended)
		return;
	c->refused = false;
	if (c->events->on_room == NULL)
		return;
	c->busy++;
	c->events->on_room(c->arg, c);
	c->busy--;
	if (c->closing)
		chan_release(c);
}

void
chan_bad(struct chan *c, const char *why)
{
	if (c->ended || c->bad)
		return;
	c->bad = true;
	snprintf(c->why, sizeof(c->why), "%s", why);
	chan_watch(c);
	/* The receiver ends the channel if it is at work; else this does. */
	ev_defer(c->loop, &c->tell);
}

void
chan_pause(struct chan *c, bool paused)
{
	c->paused = paused;
	chan_watch(c);
}

unsigned
chan_peer_index(const struct chan *c)
{
	return c->peer_index;
}

enum role
chan_peer(const struct chan *c)
{
	return c->peer;
}

enum err
chan_open(struct ev_loop *loop, struct acct *a, int fd, enum role self,
    enum role peer, unsigned peer_index, const struct chan_events *events,
    void *arg, size_t queue_max_bytes, struct chan **out)
{
	/* Two of the largest frames, so that one can be on its way while the
	 * next is made. */
	size_t sndbuf = 2 * chan_frame_bytes_max(self, peer);
	int value;
	struct chan *c;

	if (sndbuf < SNDBUF_BYTES_MIN)
		sndbuf = SNDBUF_BYTES_MIN;
	value = (int)sndbuf;
	if (chan_receiver_hold(self, a) != OK)
		return ERR_FULL;
	if (acct_charge(a, (int64_t)sndbuf) != OK)
		goto drop_receiver;
	c = mem_alloc(a, sizeof(*c));
	if (c == NULL)
		goto release;
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &value, sizeof(value));

	c->loop = loop;
	c->acct = a;
	c->fd = fd;
	c->self = self;
	c->peer = peer;
	c->peer_index = peer_index;
	c->events = events;
	c->arg = arg;
	c->sndbuf_bytes = sndbuf;
	chan_send_init(c, queue_max_bytes);
	ev_task_init(&c->tell, on_tell, c);
	ev_io_init(&c->io, loop, fd, on_ready, c);
	chan_watch(c);
	*out = c;
	return OK;

release:
	acct_release(a, (int64_t)sndbuf);
drop_receiver:
	chan_receiver_drop(self);
	return ERR_FULL;
}

void
chan_release(struct chan *c)
{
	if (c->busy > 0)
		return;
	acct_release(c->acct, (int64_t)c->sndbuf_bytes);
	chan_receiver_drop(c->self);
	mem_free(c->acct, c);
}

void
chan_close(struct chan *c)
{
	if (c == NULL || c->closing)
		return;
	if (!c->ended && c->out.len > 0)
		chan_drain(c);
	chan_send_stop(c);
	buf_fini(&c->out);
	ev_task_cancel(&c->flush);
	ev_task_cancel(&c->tell);
	ev_io_fini(&c->io);
	close(c->fd);
	c->ended = true;
	c->closing = true;
	chan_release(c);
}

enum err
chan_pair(int fd_out[2])
{
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK,
		0, fd_out) != 0)
		return err_from_errno(errno);
	return OK;
}
