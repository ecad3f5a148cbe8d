/*
 * recv: the receiving half of a channel.
 *
 * One recvmmsg takes several frames.  Each is checked against the table
 * (length, direction, descriptors) before the owner sees it.  The buffer is
 * one per process: frames are valid during the callback only.  The first
 * frame that fails a check ends the channel; descriptors that came with it or
 * after it are closed.
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
	size_t most = 0, count;

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

/* NULL when the frame may pass, else what is wrong with it. */
static const char *
check(const struct chan *c, const struct arrival *a, struct frame *f,
    const struct frame_info **info_out)
{
	struct rd r = rd_of(a->bytes);
	const struct frame_info *info;
	uint16_t zero;

	*info_out = NULL;
	if (a->bytes.len < CHAN_HEADER_BYTES)
		return "shorter than a header";
	f->type = rd_u16(&r);
	zero = rd_u16(&r);
	f->tag = rd_u32(&r);
	f->fields = slice_sub(a->bytes, CHAN_HEADER_BYTES, a->bytes.len);
	*info_out = info = frame_info(f->type);
	if (info == NULL)
		return "unknown type";
	if (zero != 0)
		return "header is not zero where it must be";
	if (!(info->from & (1u << c->peer)) || !(info->to & (1u << c->self)))
		return "not from this role";
	if (a->cut)
		return "cut short: too long, or too many descriptors";
	if (f->fields.len < info->bytes_min || f->fields.len > info->bytes_max)
		return "wrong length";
	if (a->fd_count > info->fd_max)
		return "too many descriptors";
	f->fd = a->fd_count > 0 ? a->fds[0] : -1;
	return NULL;
}

/* Give one frame to the owner; false when the channel ended. */
static bool
deliver(struct chan *c, struct arrival *a)
{
	const struct frame_info *info;
	struct frame f = { .fd = -1 };
	const char *wrong = check(c, a, &f, &info);

	if (wrong != NULL) {
		char why[CHAN_WHY_BYTES];

		snprintf(why, sizeof(why), "frame %s: %s",
		    info != NULL ? info->name : "?", wrong);
		chan_end(c, true, why);
		return false;
	}
	a->fd_count = 0;
	c->events->on_frame(c->arg, c, &f);
	if (f.fd >= 0)
		close(f.fd);
	if (c->bad && !c->ended)
		chan_end(c, true, c->why);
	return !c->ended;
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
