/*
 * recv: the receiving half of a channel.
 *
 * One recvmmsg takes several packets of one or more frames.  Each frame is
 * checked against the table (length, direction, descriptors) before the owner
 * sees it.  The buffer is one per process: frames are valid during the
 * callback only.  The first frame that fails a check ends the channel;
 * descriptors that came with it or after it are closed.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/wire.h"
#include "ipc/chan_internal.h"
#include "ipc/frames.h"

enum {
	RECEIVER_BYTES =
	    256 * 1024, /* about so much for a batch of large ones */
	FDS_ROOM = 4,	/* descriptors a hostile peer may send before the
			   kernel cuts them off; all but one are an error */
};

struct receiver {
	unsigned holders;
	struct acct *acct;
	unsigned char *room;
	size_t slot_bytes;
	unsigned slot_count;
	bool in_use;
};

static struct receiver receivers[ROLE_COUNT];

enum err
chan_receiver_hold(enum role self, struct acct *a)
{
	struct receiver *r = &receivers[self];
	size_t most = CHAN_PACKET_BYTES, count;

	if (r->holders++ > 0)
		return OK;
	for (unsigned from = 0; from < ROLE_COUNT; from++) {
		size_t bytes = chan_frame_bytes_max((enum role)from, self);

		if (bytes > most)
			most = bytes;
	}
	most += -most & 15;
	count = RECEIVER_BYTES / most;
	r->slot_count =
	    count > CHAN_BATCH_MAX ? CHAN_BATCH_MAX : (unsigned)count;
	r->slot_bytes = most;
	r->acct = a;
	r->room = mem_alloc(a, most * r->slot_count);
	if (r->room == NULL) {
		r->holders = 0;
		return ERR_FULL;
	}
	return OK;
}

void
chan_receiver_drop(enum role self)
{
	struct receiver *r = &receivers[self];

	if (--r->holders == 0) {
		mem_free(r->acct, r->room);
		*r = (struct receiver){ 0 };
	}
}

/* One message as recvmmsg left it. */
struct arrival {
	struct slice bytes;
	int fds[FDS_ROOM + 1];
	unsigned fd_count;
	bool cut;
};

static void
take_fds(struct msghdr *m, struct arrival *a)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c != NULL;
	     c = CMSG_NXTHDR(m, c)) {
		size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(fd), sizeof(fd));
			if (a->fd_count < FDS_ROOM + 1)
				a->fds[a->fd_count++] = fd;
			else
				close(fd);
		}
	}
}

/* The first frame of a packet; rest: what follows it.  NULL when its bounds are
 * right, else what is wrong. */
static const char *
cut_frame(struct slice packet, struct frame *f, struct slice *rest)
{
	struct rd r = rd_of(packet);
	size_t len;

	if (packet.len < CHAN_HEADER_BYTES)
		return "shorter than a header";
	f->type = rd_u16(&r);
	len = rd_u16(&r);
	f->tag = rd_u32(&r);
	*rest = SLICE_NONE;
	if (len > 0) {
		if (CHAN_HEADER_BYTES + len >= packet.len)
			return "longer than its packet";
		*rest = slice_sub(packet, CHAN_HEADER_BYTES + len, packet.len);
	}
	f->fields =
	    slice_sub(packet, CHAN_HEADER_BYTES, packet.len - rest->len);
	return NULL;
}

/* NULL when the frame may pass, else what is wrong with it. */
static const char *
check(const struct chan *c, const struct arrival *a, struct frame *f,
    struct slice *rest, const struct frame_info **info_out)
{
	const struct frame_info *info;
	const char *wrong = cut_frame(a->bytes, f, rest);

	*info_out = NULL;
	if (wrong != NULL)
		return wrong;
	*info_out = info = frame_info(f->type);
	if (info == NULL)
		return "unknown type";
	if (!(info->from & (1u << c->peer)) || !(info->to & (1u << c->self)))
		return "not from this role";
	if (a->cut)
		return "cut short: too long, or too many descriptors";
	if (f->fields.len < info->bytes_min || f->fields.len > info->bytes_max)
		return "wrong length";
	/* One that brings a descriptor travels alone. */
	if (a->fd_count > (rest->len == 0 ? info->fd_max : 0))
		return "too many descriptors";
	f->fd = a->fd_count > 0 ? a->fds[0] : -1;
	return NULL;
}

/* Give the first frame to the owner; false when the channel ended. */
static bool
deliver_one(struct chan *c, struct arrival *a)
{
	const struct frame_info *info;
	struct frame f = { .fd = -1 };
	struct slice rest;
	const char *wrong = check(c, a, &f, &rest, &info);

	if (wrong != NULL) {
		char why[CHAN_WHY_BYTES];

		snprintf(why, sizeof(why), "frame %s: %s",
		    info != NULL ? info->name : "?", wrong);
		chan_end(c, true, why);
		return false;
	}
	a->bytes = rest;
	a->fd_count = 0;
	c->events->on_frame(c->arg, c, &f);
	if (f.fd >= 0)
		close(f.fd);
	if (c->bad && !c->ended)
		chan_end(c, true, c->why);
	return !c->ended;
}

/* All frames of a packet; false when the channel ended. */
static bool
deliver(struct chan *c, struct arrival *a)
{
	for (unsigned n = 0; n < CHAN_PACKET_FRAMES_MAX; n++) {
		if (!deliver_one(c, a))
			return false;
		if (a->bytes.len == 0)
			return true;
	}
	chan_end(c, true, "more frames than a packet may hold");
	return false;
}

void
chan_receive(struct chan *c)
{
	struct receiver *r = &receivers[c->self];
	struct mmsghdr msgs[CHAN_BATCH_MAX];
	struct iovec iovs[CHAN_BATCH_MAX];
	union {
		char room[CMSG_SPACE(FDS_ROOM * sizeof(int))];
		struct cmsghdr align;
	} controls[CHAN_BATCH_MAX];
	bool open = true;
	int n;

	/* Owners are called from the loop only, so this never nests. */
	ASSERT(!r->in_use);
	for (unsigned i = 0; i < r->slot_count; i++) {
		iovs[i] = (struct iovec){ r->room + i * r->slot_bytes,
			r->slot_bytes };
		msgs[i].msg_hdr = (struct msghdr){ .msg_iov = &iovs[i],
			.msg_iovlen = 1,
			.msg_control = controls[i].room,
			.msg_controllen = sizeof(controls[i].room) };
	}
	n = recvmmsg(c->fd, msgs, r->slot_count,
	    MSG_DONTWAIT | MSG_CMSG_CLOEXEC, NULL);
	if (n < 0) {
		if (errno != EAGAIN && errno != EINTR && errno != ENOBUFS)
			chan_end(c, false, strerror(errno));
		return;
	}

	r->in_use = true;
	c->busy++;
	for (int i = 0; i < n; i++) {
		struct msghdr *m = &msgs[i].msg_hdr;
		struct arrival a = {
			.bytes = slice_of(iovs[i].iov_base, msgs[i].msg_len),
			.cut = (m->msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0,
		};

		take_fds(m, &a);
		if (open && a.bytes.len == 0) {
			chan_end(c, false, "the other side closed");
			open = false;
		}
		if (open)
			open = deliver(c, &a);
		for (unsigned k = 0; k < a.fd_count; k++)
			close(a.fds[k]);
	}
	r->in_use = false;
	c->busy--;
	if (c->closing)
		chan_release(c);
}
