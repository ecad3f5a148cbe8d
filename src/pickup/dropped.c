/*
 * dropped: opening and reading what sendmail left.
 */
#include "pickup/dropped.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "proto/envelope.h"
#include "proto/xtext.h"

enum { WINDOW_BYTES = 16 * 1024 };

_Static_assert((int)WINDOW_BYTES > (int)DROP_FILE_HEAD_BYTES_MAX &&
		   (int)WINDOW_BYTES > (int)DROP_FILE_RCPT_BYTES_MAX,
    "a record fits into the window");

static enum err
bad(struct errtext *et, const char *why)
{
	return err_set(et, ERR_CORRUPT, "%s", why);
}

/* Bytes from a place, at most up to the end of the message. */
static enum err
window(const struct dropped *d, uint64_t at, char *buf, size_t size,
    struct slice *out, struct errtext *et)
{
	ssize_t n;

	if (at > d->message_end)
		return bad(et, "it is cut off");
	if (size > d->message_end - at)
		size = (size_t)(d->message_end - at);
	n = pread(d->fd, buf, size, (off_t)at);
	if (n < 0)
		return err_sys(et, errno, "reading");
	if ((size_t)n != size)
		return bad(et, "it was cut while it was read");
	*out = slice_of(buf, (size_t)n);
	return OK;
}

static enum err
canonical(struct slice in, unsigned allow, char buf[static ADDRESS_BYTES_MAX],
    struct address *out, struct errtext *et)
{
	if (address_parse(in, allow | ADDRESS_UTF8, buf, out) != OK)
		return bad(et, "an address in it is none");
	return OK;
}

static enum err
read_head(struct dropped *d, struct errtext *et)
{
	char buf[DROP_FILE_HEAD_BYTES_MAX];
	struct address sender;
	struct slice s;
	struct rd r;
	enum err e = window(d, 0, buf, sizeof(buf), &s, et);

	if (e != OK)
		return e;
	r = rd_of(s);
	if (!drop_file_get(&r, &d->head))
		return bad(et, "it does not begin as a dropped message");
	d->rcpts_at = s.len - r.left;
	d->rcpts_left = d->head.rcpt_count;
	e = canonical(d->head.sender, ADDRESS_NULL, d->sender, &sender, et);
	if (e != OK)
		return e;
	d->head.sender = sender.text;
	d->utf8 = sender.utf8;
	if (!xtext_valid(d->head.envid))
		return bad(et, "its envelope id is not valid");
	if (d->head.envid.len > 0)
		memcpy(d->envid, d->head.envid.data, d->head.envid.len);
	d->head.envid.data = d->envid;
	return OK;
}

static enum err
read_trailer(struct dropped *d, uint64_t size, struct errtext *et)
{
	char buf[DROP_FILE_TRAILER_BYTES];
	struct slice s;
	struct rd r;
	enum err e;

	if (size < DROP_FILE_TRAILER_BYTES)
		return bad(et, "it is too short");
	d->message_end = size;
	e = window(d, size - sizeof(buf), buf, sizeof(buf), &s, et);
	if (e != OK)
		return e;
	r = rd_of(s);
	d->message_end = size - sizeof(buf);
	if (!drop_file_trailer_get(&r, &d->message_bytes) ||
	    d->message_bytes > d->message_end)
		return bad(et, "it is cut off");
	d->message_at = d->message_end - d->message_bytes;
	return OK;
}

enum err
dropped_open(struct dropped *d, int dir_fd, const char *name,
    struct errtext *et)
{
	struct stat st;
	enum err e;

	memset(d, 0, sizeof(*d));
	d->fd = openat(dir_fd, name,
	    O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (d->fd < 0 && (errno == ELOOP || errno == ENXIO || errno == EACCES))
		return bad(et, "it cannot be opened");
	if (d->fd < 0)
		return err_sys(et, errno, "opening");
	if (fstat(d->fd, &st) < 0) {
		e = err_sys(et, errno, "looking at it");
	} else if (!S_ISREG(st.st_mode) || st.st_nlink != 1) {
		e = bad(et, "it is not a regular file with one name");
	} else {
		d->uid = st.st_uid;
		d->dropped_ms = (int64_t)st.st_mtim.tv_sec * 1000;
		e = read_trailer(d, (uint64_t)st.st_size, et);
		if (e == OK)
			e = read_head(d, et);
	}
	if (e != OK)
		dropped_close(d);
	return e;
}

void
dropped_close(struct dropped *d)
{
	if (d->fd >= 0)
		close(d->fd);
	d->fd = -1;
}

static enum err
put_rcpt(struct dropped *d, uint8_t notify, struct slice text, struct wr *out,
    struct errtext *et)
{
	char buf[ADDRESS_BYTES_MAX];
	struct address a;
	enum err e = canonical(text, 0, buf, &a, et);
	struct envelope_rcpt rcpt = { .notify = notify, .address = a.text };

	if (e != OK)
		return e;
	d->utf8 |= a.utf8;
	if (d->head.rcpt_count == 1) {
		memcpy(d->only_rcpt, a.text.data, a.text.len);
		d->only_rcpt_len = a.text.len;
	}
	envelope_rcpt_put(out, &rcpt);
	ASSERT(!out->full);
	return OK;
}

enum err
dropped_rcpts(struct dropped *d, struct wr *out, struct errtext *et)
{
	char buf[WINDOW_BYTES];
	struct slice s = SLICE_NONE, address;
	struct rd r = rd_of(SLICE_NONE);
	uint8_t notify;
	enum err e;

	while (d->rcpts_left > 0 &&
	       out->size - out->len >= ENVELOPE_RCPT_BYTES_MAX) {
		if (r.left < DROP_FILE_RCPT_BYTES_MAX) {
			e = window(d, d->rcpts_at, buf, sizeof(buf), &s, et);
			if (e != OK)
				return e;
			r = rd_of(s);
		}
		s.len = r.left;
		if (!drop_file_rcpt_get(&r, &notify, &address))
			return bad(et, "a recipient in it is malformed");
		d->rcpts_at += s.len - r.left;
		e = put_rcpt(d, notify, address, out, et);
		if (e != OK)
			return e;
		d->rcpts_left--;
	}
	if (d->rcpts_left == 0 && d->rcpts_at != d->message_at)
		return bad(et, "its parts do not fit together");
	return OK;
}

enum err
dropped_read(struct dropped *d, char *buf, size_t size, size_t *len_out,
    struct errtext *et)
{
	struct slice s;
	enum err e = window(d, d->message_at, buf, size, &s, et);

	*len_out = 0;
	if (e != OK)
		return e;
	d->message_at += s.len;
	*len_out = s.len;
	return OK;
}
