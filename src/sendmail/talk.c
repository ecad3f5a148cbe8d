/*
 * talk: commands out, replies in.
 */
#include "sendmail/talk.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>

#include "base/assert.h"
#include "base/slice.h"

bool
talk_write(struct talk *t, const char *data, size_t len)
{
	ssize_t n;

	while (len > 0) {
		n = send(t->fd, data, len, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			err_sys(t->et, errno, "writing to the server");
			return false;
		}
		data += n;
		len -= (size_t)n;
	}
	return true;
}

bool
talk_flush(struct talk *t)
{
	size_t len = t->out_len;

	t->out_len = 0;
	return talk_write(t, t->out, len);
}

static bool
read_byte(struct talk *t, char *out)
{
	ssize_t n;

	if (t->at == t->len) {
		do
			n = recv(t->fd, t->in, sizeof(t->in), 0);
		while (n < 0 && errno == EINTR);
		if (n <= 0) {
			if (n == 0)
				err_set(t->et, ERR_CLOSED,
				    "the server closed the connection");
			else
				err_sys(t->et, errno,
				    "reading from the server");
			return false;
		}
		t->at = 0;
		t->len = (size_t)n;
	}
	*out = t->in[t->at++];
	return true;
}

/* One line of a reply into t->text; more_out: others follow. */
static bool
read_line(struct talk *t, bool *more_out, size_t *bytes)
{
	size_t n = 0;
	uint64_t code;
	char c = 0;

	while (c != '\n') {
		if (!read_byte(t, &c))
			return false;
		if (++*bytes > REPLY_BYTES_MAX) {
			err_set(t->et, ERR_PROTOCOL, "reply too long");
			return false;
		}
		if (n + 1 < sizeof(t->text) && c != '\r' && c != '\n')
			t->text[n++] = c >= ' ' && c < 127 ? c : '?';
	}
	t->text[n] = '\0';
	if (n < 3 || !slice_to_u64(slice_of(t->text, 3), 599, &code) ||
	    code < 200) {
		err_set(t->et, ERR_PROTOCOL, "bad reply \"%s\"", t->text);
		return false;
	}
	t->code = (int)code;
	*more_out = t->text[3] == '-';
	return true;
}

bool
talk_read_reply(struct talk *t)
{
	size_t bytes = 0;
	bool more = true;

	while (more)
		if (!read_line(t, &more, &bytes))
			return false;
	return true;
}

void
talk_put(struct talk *t, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(t->out + t->out_len, sizeof(t->out) - t->out_len, fmt,
	    ap);
	va_end(ap);
	ASSERT(n > 0 && (size_t)n < sizeof(t->out) - t->out_len);
	t->out_len += (size_t)n;
}
