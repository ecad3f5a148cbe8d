#include "smtp/body.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/assert.h"
#include "smtp/segment.h"

enum { IOV_MAX_USED = 64 };

void
body_init(struct body *b, const struct extent *extents, unsigned count)
{
	*b = (struct body){ .extents = extents, .extent_count = count };
	smtp_body_init(&b->wire);
}

/* Move the place forward by len stored bytes. */
static void
advance(struct body *b, size_t len)
{
	while (len > 0) {
		uint32_t left;

		ASSERT(b->extent < b->extent_count);
		left = b->extents[b->extent].length - b->offset;
		if (len < left) {
			b->offset += (uint32_t)len;
			return;
		}
		len -= left;
		b->extent++;
		b->offset = 0;
	}
}

static enum err
read_at(int fd, char *to, size_t len, uint64_t at, struct errtext *et)
{
	while (len > 0) {
		ssize_t n = pread(fd, to, len, (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(et, errno, "queue file read error");
		if (n == 0)
			return err_set(et, ERR_IO,
			    "queue file read error: it ends too early");
		to += n;
		at += (uint64_t)n;
		len -= (size_t)n;
	}
	return OK;
}

/* Read the next stored bytes, of as many extents as fit. */
static enum err
read_piece(const struct body *b, const struct segments *s, char *buf,
    size_t *len_out, bool *last_out, struct errtext *et)
{
	unsigned i = b->extent;
	uint32_t offset = b->offset;
	size_t len = 0;

	while (i < b->extent_count && len < BODY_PIECE_BYTES) {
		const struct extent *x = &b->extents[i];
		size_t want = x->length - offset;
		int fd = segments_fd(s, x->segment);
		enum err e;

		if (fd < 0)
			return err_set(et, ERR_IO,
			    "queue file read error: segment %llu is not here",
			    (unsigned long long)x->segment);
		if (want > BODY_PIECE_BYTES - len)
			want = BODY_PIECE_BYTES - len;
		e = read_at(fd, buf + len, want, (uint64_t)x->offset + offset,
		    et);
		if (e != OK)
			return e;
		len += want;
		offset += (uint32_t)want;
		if (offset == x->length) {
			i++;
			offset = 0;
		}
	}
	*len_out = len;
	*last_out = i == b->extent_count;
	return OK;
}

/* Part of a piece in its wire form. */
struct parcel {
	struct iovec iov[IOV_MAX_USED];
	unsigned count;
	size_t bytes;
	size_t used; /* stored bytes that it stands for */
	bool ends;   /* with the final dot */
	struct smtp_body after;
};

static void
pack(struct parcel *p, const struct smtp_body *wire, struct slice in, bool last)
{
	struct slice out[IOV_MAX_USED];
	unsigned count = 0;

	p->after = *wire;
	p->used = 0;
	if (in.len > 0)
		p->used = smtp_body_encode(&p->after, in, out, IOV_MAX_USED - 1,
		    &count);
	p->ends = last && p->used == in.len;
	if (p->ends)
		out[count++] = smtp_body_end(&p->after);
	p->count = count;
	p->bytes = 0;
	for (unsigned i = 0; i < count; i++) {
		/* sendmsg does not write through iov_base. */
		p->iov[i].iov_base = (void *)(uintptr_t)out[i].data;
		p->iov[i].iov_len = out[i].len;
		p->bytes += out[i].len;
	}
}

/* Write the parcel without its first sent bytes; -1 with errno. */
static ssize_t
send_parcel(struct parcel *p, size_t sent, int fd)
{
	struct msghdr m = { .msg_iov = p->iov, .msg_iovlen = p->count };
	ssize_t n;

	while (sent > 0 && sent >= m.msg_iov->iov_len) {
		sent -= m.msg_iov->iov_len;
		m.msg_iov++;
		m.msg_iovlen--;
	}
	m.msg_iov->iov_base = (char *)m.msg_iov->iov_base + sent;
	m.msg_iov->iov_len -= sent;
	do
		n = sendmsg(fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	return n;
}

/* Send one piece that was read; MORE also when all of it is gone. */
static enum body_step
send_piece(struct body *b, struct slice in, bool last, int fd, bool *full_out,
    struct errtext *et)
{
	struct parcel p;

	*full_out = false;
	do {
		ssize_t n;

		pack(&p, &b->wire, in, last);
		ASSERT(p.bytes > b->sent || p.bytes == 0);
		n = p.bytes > 0 ? send_parcel(&p, b->sent, fd) : 0;
		if (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK) {
			(void)err_sys(et, errno, "write");
			return BODY_LOST;
		}
		if (n > 0) {
			b->sent += (size_t)n;
			b->sent_bytes += (uint64_t)n;
		}
		if (b->sent < p.bytes) {
			*full_out = true;
			return BODY_MORE;
		}
		b->sent = 0;
		b->wire = p.after;
		advance(b, p.used);
		in = slice_sub(in, p.used, in.len);
		if (p.ends)
			return BODY_DONE;
	} while (in.len > 0);
	return BODY_MORE;
}

enum body_step
body_send(struct body *b, const struct segments *s, int fd, char *buf,
    struct errtext *et)
{
	for (int i = 0; i < BODY_PIECES_PER_TURN; i++) {
		enum body_step step;
		bool last, full;
		size_t len;

		if (read_piece(b, s, buf, &len, &last, et) != OK)
			return BODY_LOCAL;
		step = send_piece(b, slice_of(buf, len), last, fd, &full, et);
		if (step != BODY_MORE || full)
			return step;
	}
	return BODY_MORE;
}
