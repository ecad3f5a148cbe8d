/*
 * send: the sending half of a channel.
 *
 * Happy path: chan_send puts a small frame into the queue and asks for a
 * flush at the end of the turn, where one sendmmsg takes all, packed into as
 * few packets as they fit into: each packet costs the kernel as much as
 * copying a kilobyte does, on either side.  A large frame, or one with a
 * descriptor, is the last packet of such a call at once and is not copied.
 *
 * Failure modes: the socket is full: what is left waits in the queue until
 * the socket is writable (EV_WR); the queue is full: ERR_FULL, and on_room
 * when half of it is free; the peer is gone: sends answer ERR_CLOSED, frames
 * that it sent before are still delivered, then on_closed comes.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/limits.h"
#include "base/wire.h"
#include "ipc/chan_internal.h"
#include "ipc/frames.h"

enum {
	GATHER_BYTES = 8192, /* a larger frame is not worth copying */
	OUT_FIRST_BYTES = 4096,
	SEND_BATCH = 8,	 /* packets in one call */
	NEXT_OFFSET = 2, /* in a header: see doc/format/frames.md */
};

_Static_assert(CHAN_HEADER_BYTES + GATHER_BYTES <= CHAN_PACKET_BYTES,
    "what is copied fits into a packet");
_Static_assert(CHAN_PACKET_BYTES <= UINT16_MAX,
    "the length of a frame that another follows fits into its header");

/* One row for the channels of the process: the longest queue it had, and what
 * was refused. */
static struct limit_row *queue_row;

/* A packet of a batch, with the room for its descriptor. */
struct parcel {
	struct iovec iov[CHAN_PACKET_FRAMES_MAX];
	unsigned frame_count;
	union {
		char room[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control;
};

/* Of the one thread that sends; too large to be cleared for every call. */
static struct parcel parcels[SEND_BATCH];
static struct mmsghdr packets[SEND_BATCH + 1];

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

/* In the header of a queued frame: how long it is, since another follows it in
 * its packet; 0: it ends the packet. */
static void
set_next(char *frame, size_t bytes)
{
	struct wr w = wr_of(frame + NEXT_OFFSET, sizeof(uint16_t));

	wr_u16(&w, (uint16_t)bytes);
}

/* The oldest queued frames as one packet: all that fit into it.  One with a
 * descriptor, or too large, goes alone.  Gives what is left of s. */
static struct slice
pack(struct chan *c, struct slice s, struct mmsghdr *m, struct parcel *p)
{
	size_t bytes = 0;
	int fd = -1;

	p->frame_count = 0;
	while (s.len > 0 && p->frame_count < CHAN_PACKET_FRAMES_MAX && fd < 0) {
		struct record r = record_at(s);
		char *at = c->out.data + c->out.first + (c->out.len - s.len) +
			   sizeof(r);

		if (p->frame_count > 0 &&
		    (r.fd >= 0 || bytes + r.bytes > CHAN_PACKET_BYTES))
			break;
		if (p->frame_count > 0) {
			struct iovec *before = &p->iov[p->frame_count - 1];

			set_next(before->iov_base,
			    before->iov_len - CHAN_HEADER_BYTES);
		}
		set_next(at, 0);
		p->iov[p->frame_count++] = (struct iovec){ at, r.bytes };
		bytes += r.bytes;
		fd = r.fd;
		s = slice_sub(s, sizeof(r) + r.bytes, s.len);
	}
	fill(m, p, p->frame_count, fd);
	return s;
}

/* Up to SEND_BATCH packets of queued frames. */
static unsigned
gather(struct chan *c)
{
	struct slice s = buf_data(&c->out);
	unsigned n = 0;

	while (s.len > 0 && n < SEND_BATCH) {
		s = pack(c, s, &packets[n], &parcels[n]);
		n++;
	}
	return n;
}

/* The oldest frames left, or never will. */
static void
drop_first(struct chan *c, unsigned frame_count)
{
	while (frame_count-- > 0) {
		struct record r = record_at(buf_data(&c->out));

		if (r.fd >= 0)
			close(r.fd);
		buf_take(&c->out, sizeof(r) + r.bytes);
	}
}

void
chan_send_stop(struct chan *c)
{
	c->send_dead = true;
	c->blocked = false;
	while (c->out.len > 0)
		drop_first(c, 1);
	buf_release(&c->out);
}

/*
 * Send what is queued and then, if it is given, last.  True when last left.
 */
static bool
push(struct chan *c, struct parcel *last, unsigned last_iovs, int last_fd)
{
	bool sent_last = false;

	while (!c->send_dead && !c->blocked) {
		unsigned queued = gather(c), count = queued;
		int n;

		if (last != NULL && !sent_last && queued < SEND_BATCH)
			fill(&packets[count++], last, last_iovs, last_fd);
		if (count == 0)
			break;
		n = sendmmsg(c->fd, packets, count,
		    MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN && errno != ENOBUFS) {
			chan_send_stop(c);
			break;
		}
		c->blocked = n < (int)count;
		for (int i = 0; i < n && i < (int)queued; i++)
			drop_first(c, parcels[i].frame_count);
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

void
chan_send_init(struct chan *c, size_t queue_max_bytes)
{
	if (queue_row == NULL)
		queue_row = limits_row(LIMIT_SIZE, "channel queue", "", 1, 0);
	if ((int64_t)queue_max_bytes > atomic_load(&queue_row->limit))
		limit_set_limit(queue_row, (int64_t)queue_max_bytes);
	c->out_max_bytes = queue_max_bytes;
	buf_init(&c->out, c->acct, OUT_FIRST_BYTES, queue_max_bytes);
	ev_task_init(&c->flush, on_flush, c);
}
