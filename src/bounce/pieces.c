/* A report piece by piece: which comes next, and the original among them. */
#include <errno.h>

#include "base/assert.h"
#include "bounce/reporter_int.h"

/* Length of what belongs to the header in data; *end: it ends there. */
static size_t
header_part(struct report *r, const char *data, size_t len, bool *end)
{
	/* newlines counts the bytes of CRLF CRLF seen so far; at the start of
	 * the message an empty line ends it at once. */
	for (size_t i = 0; i < len; i++) {
		char want = r->newlines % 2 == 0 ? '\r' : '\n';

		if (data[i] == want)
			r->newlines++;
		else
			r->newlines = data[i] == '\r' ? 1 : 0;
		if (r->newlines == 4 || ++r->header_bytes == HEADER_BYTES_MAX) {
			*end = true;
			return i + 1;
		}
	}
	return len;
}

/* Some of the original into out; false: it cannot be read. */
static bool
compose_body(struct reporter *p, struct report *r)
{
	char *to;
	size_t room;
	ssize_t got;
	size_t len;
	bool end = false;

	if (buf_room(&r->out, READ_BYTES, &to, &room) != OK) {
		errno = ENOMEM;
		return false;
	}
	got = original_read(p, r, to, READ_BYTES);
	if (got < 0)
		return false;
	len = (size_t)got;
	if (r->c.header_only)
		len = header_part(r, to, len, &end);
	if (len > 0) {
		r->ends_crlf = to[len - 1] == '\n';
		buf_grew(&r->out, len);
	}
	if (got == 0 || end)
		r->stage = STAGE_TAIL;
	return true;
}

/* One recipient's piece; false: that was the last one before. */
static bool
compose_rcpt(struct report *r, struct wr *w)
{
	struct slice all = buf_data(&r->rcpts);
	struct rd rd = rd_of(slice_sub(all, r->rcpt_at, all.len));
	struct job_result j;

	if (rd.left == 0) {
		r->rcpt_at = 0;
		return false;
	}
	if (!job_result_get(&rd, &j))
		ASSERT(!"it decoded when it came");
	r->rcpt_at = all.len - rd.left;
	if (r->stage == STAGE_TEXT)
		compose_rcpt_text(&r->c, &j, w);
	else
		compose_rcpt_status(&r->c, &j, w);
	return true;
}

bool
report_compose(struct reporter *p, struct report *r)
{
	struct wr w = wr_of(p->piece, COMPOSE_PIECE_BYTES_MAX);

	switch (r->stage) {
	case STAGE_HEAD:
		compose_head(&r->c, &w);
		r->stage++;
		break;
	case STAGE_TEXT:
	case STAGE_STATUS:
		if (!compose_rcpt(r, &w))
			r->stage++;
		break;
	case STAGE_STATUS_HEAD:
		compose_status_head(&r->c, &w);
		r->stage++;
		break;
	case STAGE_ORIGINAL_HEAD:
		compose_original(&r->c, &w);
		r->stage = r->c.original ? STAGE_ORIGINAL : STAGE_TAIL;
		r->newlines = 2; /* at the beginning of a line */
		r->ends_crlf = true;
		break;
	case STAGE_ORIGINAL: return compose_body(p, r);
	default:
		compose_tail(&r->c, !r->ends_crlf, &w);
		r->stage = STAGE_COMMIT;
		break;
	}
	ASSERT(!w.full);
	errno = ENOMEM;
	return buf_put(&r->out, wr_done(&w)) == OK;
}
