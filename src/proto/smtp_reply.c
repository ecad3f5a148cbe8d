/*
 * Happy path: for each line the first four octets are its code and its
 * separator, the rest is text; the line with a space (or nothing) after the
 * code ends the reply.
 * Failure modes: an octet that fits no code, a code that differs from the
 * first line's, too many lines or bytes: BAD, and the caller gives up on the
 * connection, because it cannot know any more which reply is whose.
 */
#include "proto/smtp_reply.h"

#include <string.h>

#include "base/assert.h"

enum { CODE_DIGITS = 3, CODE_BYTES = 4 }; /* with the separator */

void
smtp_reply_init(struct smtp_reply *r)
{
	/* Not the text: 4 KiB that nobody reads beyond text_len. */
	memset(r, 0, offsetof(struct smtp_reply, text));
}

/* Keep bytes of this line, as far as the limits allow. */
static void
keep(struct smtp_reply *r, const char *data, size_t len)
{
	size_t line_room, room, n = len;

	line_room = r->line_bytes < SMTP_REPLY_LINE_BYTES
			? SMTP_REPLY_LINE_BYTES - r->line_bytes
			: 0;
	room = sizeof(r->text) - r->text_len;
	if (n > line_room)
		n = line_room;
	if (n > room)
		n = room;
	if (n > 0)
		memcpy(r->text + r->text_len, data, n);
	r->text_len += n;
	r->line_bytes += (uint32_t)len;
	r->dropped_bytes += (uint32_t)(len - n);
}

/* One octet of the code or the separator after it. */
static bool
take_code(struct smtp_reply *r, char c)
{
	if (r->line_bytes == CODE_DIGITS) {
		if (c != ' ' && c != '-')
			return false;
		r->last = c == ' ';
		return true;
	}
	if (c < '0' || c > '9')
		return false;
	/* RFC 5321 4.2: no code of 1yz, and nothing above 5yz. */
	if (r->line_bytes == 0 && (c < '2' || c > '5'))
		return false;
	r->line_code = r->line_code * 10 + (c - '0');
	return true;
}

/* Bytes inside a line.  False: not a reply. */
static bool
take_bytes(struct smtp_reply *r, const char *data, size_t len)
{
	while (len > 0 && r->line_bytes < CODE_BYTES) {
		if (!take_code(r, *data))
			return false;
		if (r->line_bytes == 0 && r->line_count > 0)
			if (r->text_len < sizeof(r->text))
				r->text[r->text_len++] = '\n';
		keep(r, data, 1);
		data++;
		len--;
	}
	if (len > 0)
		keep(r, data, len);
	return true;
}

static bool
end_line(struct smtp_reply *r)
{
	if (r->line_bytes < CODE_DIGITS)
		return false;
	if (r->line_bytes == CODE_DIGITS)
		r->last = true;
	if (r->line_count == 0)
		r->code = r->line_code;
	else if (r->line_code != r->code)
		return false; /* RFC 5321 4.2.1: the same on each line */
	r->line_count++;
	r->line_code = 0;
	r->line_bytes = 0;
	r->cr_held = false;
	return true;
}

/* A piece without LF, and whether LF follows it. */
static bool
take_piece(struct smtp_reply *r, const char *data, size_t len, bool at_end)
{
	if (len > 0 && r->cr_held) {
		r->cr_held = false;
		if (!take_bytes(r, "\r", 1))
			return false;
	}
	if (len > 0 && data[len - 1] == '\r') {
		r->cr_held = true;
		len--;
	}
	return take_bytes(r, data, len) && (!at_end || end_line(r));
}

size_t
smtp_reply_feed(struct smtp_reply *r, struct slice in)
{
	size_t used = 0;

	ASSERT(r->state == SMTP_REPLY_MORE);
	while (used < in.len) {
		const char *at = in.data + used;
		size_t left = in.len - used, room, n;
		const char *lf;

		/* Bytes are judged one line at a time and never past the
		 * limit, so that no split of the input changes the answer. */
		room = SMTP_REPLY_BYTES_MAX - r->reply_bytes;
		if (left > room)
			left = room;
		lf = memchr(at, '\n', left);
		n = lf != NULL ? (size_t)(lf - at) : left;
		r->reply_bytes += (uint32_t)(n + (lf != NULL));
		used += n + (lf != NULL);
		if (!take_piece(r, at, n, lf != NULL) || left == 0) {
			r->state = SMTP_REPLY_BAD;
			return used;
		}
		if (lf == NULL)
			continue;
		if (r->last) {
			r->state = SMTP_REPLY_DONE;
			return used;
		}
		if (r->line_count == SMTP_REPLY_LINES_MAX) {
			r->state = SMTP_REPLY_BAD;
			return used;
		}
	}
	return used;
}

struct slice
smtp_reply_text(const struct smtp_reply *r)
{
	return slice_of(r->text, r->text_len);
}

bool
smtp_reply_line(struct slice *rest, struct slice *line_out)
{
	size_t n;

	if (rest->len == 0)
		return false;
	n = slice_find(*rest, '\n');
	*line_out = slice_sub(*rest, CODE_BYTES, n);
	*rest = slice_sub(*rest, n + 1, rest->len);
	return true;
}

/* A run of 1 to 3 digits at *at (RFC 3463 2). */
static bool
skip_number(struct slice s, size_t *at)
{
	size_t from = *at;

	while (*at < s.len && *at < from + 3 && s.data[*at] >= '0' &&
	       s.data[*at] <= '9')
		(*at)++;
	return *at > from;
}

size_t
smtp_status_parse(struct slice s, char buf[static SMTP_STATUS_BYTES])
{
	size_t at = 1;

	buf[0] = '\0';
	if (s.len < 5 ||
	    (s.data[0] != '2' && s.data[0] != '4' && s.data[0] != '5'))
		return 0;
	for (int part = 0; part < 2; part++) {
		if (at >= s.len || s.data[at] != '.')
			return 0;
		at++;
		if (!skip_number(s, &at))
			return 0;
	}
	if (at < s.len && s.data[at] != ' ' && s.data[at] != '\t')
		return 0;
	memcpy(buf, s.data, at);
	buf[at] = '\0';
	return at;
}

void
smtp_reply_status(const struct smtp_reply *r,
    char buf[static SMTP_STATUS_BYTES])
{
	struct slice rest = smtp_reply_text(r), line;
	char class = (char)('0' + r->code / 100);

	if (class != '4' && class != '5')
		class = '2';
	while (smtp_reply_line(&rest, &line))
		if (smtp_status_parse(line, buf) > 0 && buf[0] == class)
			return;
	memcpy(buf, "x.0.0", 6);
	buf[0] = class;
}
