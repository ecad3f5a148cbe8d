/*
 * chan: life of a channel, and its sending half.
 *
 * Happy path: chan_send puts a small frame into the queue and asks for a
 * flush at the end of the turn, where one sendmmsg takes all; a large frame,
 * or one with a descriptor, is the last message of such a call at once and is
 * not copied.
 *
 * Failure modes: the socket is full: what is left waits in the queue until
 * the socket is writable (EV_WR); the queue is full: ERR_FULL, and on_room
 * when half of it is free; the peer is gone: sends answer ERR_CLOSED, frames
 * that it sent before are still delivered, then on_closed comes.
 */
#include "ipc/chan.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/wire.h"
#include "ipc/chan_internal.h"
#include "ipc/frames.h"

enum {
	GATHER_BYTES = 4096, /* a larger frame is not worth copying */
	OUT_FIRST_BYTES = 1024,
	SEND_BATCH = 32,
	SNDBUF_BYTES_MIN = 32 * 1024,
};

/* ---- sending ---- */

/* One row for the channels of the process: the longest queue it had, and what
 * was refused. */
static struct limit_row *queue_row;

/* A message of a batch, with the room for its descriptor. */
struct parcel {
	struct iovec iov[3];
	union {
		char room[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control;
};

static void
fill(struct mmsghdr *m, struct parcel *p, unsigned iov_count, int fd)
{
	struct cmsghdr *c;

	*m = (struct mmsghdr){ .msg_hdr = { .msg_iov = p->iov,
				   .msg_iovlen = iov_count } };
	if (fd < 0)
		return;
	memset(&p->control, 0, sizeof(p->control));
	m->msg_hdr.msg_control = p->control.room;
	m->msg_hdr.msg_controllen = sizeof(p->control.room);
	c = CMSG_FIRSTHDR(&m->msg_hdr);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(fd));
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
}

static struct record
record_at(struct slice s)
{
	struct record r;

	memcpy(&r, s.data, sizeof(r));
	return r;
}

/* Up to SEND_BATCH queued frames as messages. */
static unsigned
gather(struct chan *c, struct mmsghdr *msgs, struct parcel *parcels)
{
	struct slice s = buf_data(&c->out);
	unsigned n = 0;

	while (s.len > 0 && n < SEND_BATCH) {
		struct record r = record_at(s);
		char *at = c->out.data + c->out.first + (c->out.len - s.len);

		parcels[n].iov[0] = (struct iovec){ at + sizeof(r), r.bytes };
		fill(&msgs[n], &parcels[n], 1, r.fd);
		s = slice_sub(s, sizeof(r) + r.bytes, s.len);
		n++;
	}
	return n;
}

/* The oldest frame left, or never will. */
static void
drop_first(struct chan *c)
{
	struct record r = record_at(buf_data(&c->out));

	if (r.fd >= 0)
		close(r.fd);
	buf_take(&c->out, sizeof(r) + r.bytes);
}

static void
send_failed(struct chan *c)
{
	c->send_dead = true;
	c->blocked = false;
	while (c->out.len > 0)
		drop_first(c);
	buf_release(&c->out);
}

/*
 * Send what is queued and then, if it is given, last.  True when last left.
 */
static bool
push(struct chan *c, struct parcel *last, unsigned last_iovs, int last_fd)
{
	struct mmsghdr msgs[SEND_BATCH + 1];
	struct parcel parcels[SEND_BATCH];
	bool sent_last = false;

	while (!c->send_dead && !c->blocked) {
		unsigned queued = gather(c, msgs, parcels), count = queued;
		int n;

		if (last != NULL && !sent_last && queued < SEND_BATCH)
			fill(&msgs[count++], last, last_iovs, last_fd);
		if (count == 0)
			break;
		n = sendmmsg(c->fd, msgs, count, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN && errno != ENOBUFS) {
			send_failed(c);
			break;
		}
		c->blocked = n < (int)count;
		for (int i = 0; i < n && i < (int)queued; i++)
			drop_first(c);
		if (n > (int)queued)
			sent_last = true;
	}
	if (c->out.len == 0)
		buf_release(&c->out);
	limit_set_in_use(queue_row, (int64_t)c->out.len);
	if (c->refused && c->out.len <= c->out_max_bytes / 2)
		ev_defer(c->loop, &c->tell);
	chan_watch(c);
	return sent_last;
}

void
chan_drain(struct chan *c)
{
	push(c, NULL, 0, -1);
}

void
chan_flush(struct chan *c)
{
	if (!c->ended)
		chan_drain(c);
}

static void
on_flush(void *arg, struct ev_task *t)
{
	(void)t;
	chan_drain(arg);
}

/* Copy a frame into the queue; fd is duplicated. */
static enum err
enqueue(struct chan *c, const struct iovec *iov, size_t bytes, int fd)
{
	struct record r = { .bytes = (uint32_t)bytes, .fd = -1 };
	size_t room;
	char *at;
	enum err e;

	if (c->out.len + sizeof(r) + bytes > c->out_max_bytes)
		return ERR_FULL;
	e = buf_room(&c->out, sizeof(r) + bytes, &at, &room);
	if (e != OK)
		return ERR_FULL;
	if (fd >= 0) {
		r.fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
		if (r.fd < 0)
			return ERR_FULL;
	}
	memcpy(at, &r, sizeof(r));
	at += sizeof(r);
	for (unsigned i = 0; i < 3; i++) {
		if (iov[i].iov_len > 0)
			memcpy(at, iov[i].iov_base, iov[i].iov_len);
		at += iov[i].iov_len;
	}
	buf_grew(&c->out, sizeof(r) + bytes);
	limit_set_in_use(queue_row, (int64_t)c->out.len);
	return OK;
}

static enum err
refuse(struct chan *c)
{
	c->refused = true;
	limit_refused(queue_row);
	return ERR_FULL;
}

enum err
chan_send(struct chan *c, uint16_t type, uint32_t tag, struct slice fields,
    struct slice blob, int fd)
{
	const struct frame_info *info = frame_info(type);
	size_t bytes = CHAN_HEADER_BYTES + fields.len + blob.len;
	unsigned char header[CHAN_HEADER_BYTES];
	struct wr w = wr_of(header, sizeof(header));
	struct parcel p;

	ASSERT(info != NULL);
	ASSERT(info->from & (1u << c->self) && info->to & (1u << c->peer));
	ASSERT(fields.len + blob.len >= info->bytes_min &&
	       fields.len + blob.len <= info->bytes_max);
	ASSERT(fd < 0 || info->fd_max > 0);
	if (c->ended || c->bad || c->send_dead)
		return ERR_CLOSED;

	wr_u16(&w, type);
	wr_u16(&w, 0);
	wr_u32(&w, tag);
	p.iov[0] = (struct iovec){ header, sizeof(header) };
	p.iov[1] = (struct iovec){ (void *)(uintptr_t)fields.data, fields.len };
	p.iov[2] = (struct iovec){ (void *)(uintptr_t)blob.data, blob.len };

	if (fd < 0 && bytes <= GATHER_BYTES &&
	    enqueue(c, p.iov, bytes, -1) == OK) {
		if (!c->blocked)
			ev_defer_end(c->loop, &c->flush);
		return OK;
	}
	if (push(c, &p, 3, fd))
		return OK;
	if (c->send_dead)
		return ERR_CLOSED;
	return enqueue(c, p.iov, bytes, fd) == OK ? OK : refuse(c);
}

size_t
chan_room(const struct chan *c)
{
	size_t overhead = sizeof(struct record) + CHAN_HEADER_BYTES;

	if (c->out.len + overhead >= c->out_max_bytes)
		return 0;
	return c->out_max_bytes - c->out.len - overhead;
}

void
chan_tell_room(struct chan *c)
{
	c->refused = true;
	if (c->out.len <= c->out_max_bytes / 2)
		ev_defer(c->loop, &c->tell);
}

/* ---- life ---- */

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
	send_failed(c);
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
	if (queue_row == NULL)
		queue_row = limits_row(LIMIT_SIZE, "channel queue", "", 1, 0);
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
	c->out_max_bytes = queue_max_bytes;
	c->sndbuf_bytes = sndbuf;
	buf_init(&c->out, a, OUT_FIRST_BYTES, queue_max_bytes);
	ev_task_init(&c->flush, on_flush, c);
	ev_task_init(&c->tell, on_tell, c);
	if ((int64_t)queue_max_bytes > atomic_load(&queue_row->limit))
		limit_set_limit(queue_row, (int64_t)queue_max_bytes);
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
	send_failed(c);
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
