/*
 * input: reading, the lone dot, line ends.
 */
#include "sendmail/input.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* Where in a line; a dot at its start, and a CR behind it, are held back. */
enum dot_state { LINE_START, IN_LINE, DOT, DOT_CR };

void
dot_scan_init(struct dot_scan *d, bool wanted)
{
	*d = (struct dot_scan){ .wanted = wanted, .state = LINE_START };
}

/* What was held back turned out to be text. */
static size_t
release(struct dot_scan *d, char *out)
{
	size_t n = 0;

	if (d->state == DOT || d->state == DOT_CR)
		out[n++] = '.';
	if (d->state == DOT_CR)
		out[n++] = '\r';
	return n;
}

static size_t
dot_byte(struct dot_scan *d, char c, char *out)
{
	size_t n;

	if (d->state == LINE_START && c == '.') {
		d->state = DOT;
		return 0;
	}
	if (d->state == DOT && c == '\r') {
		d->state = DOT_CR;
		return 0;
	}
	if ((d->state == DOT || d->state == DOT_CR) && c == '\n') {
		d->ended = true;
		return 0;
	}
	n = release(d, out);
	out[n++] = c;
	d->state = c == '\n' ? LINE_START : IN_LINE;
	return n;
}

size_t
dot_scan_feed(struct dot_scan *d, const char *in, size_t len, char *out)
{
	size_t at = 0, n = 0, run;
	const char *eol;

	while (at < len && !d->ended) {
		if (d->wanted && d->state != IN_LINE) {
			n += dot_byte(d, in[at++], out + n);
			continue;
		}
		eol = d->wanted ? memchr(in + at, '\n', len - at) : NULL;
		run = eol != NULL ? (size_t)(eol - (in + at)) + 1 : len - at;
		memcpy(out + n, in + at, run);
		n += run;
		at += run;
		if (eol != NULL)
			d->state = LINE_START;
	}
	return n;
}

void
input_init(struct input *in, int fd, bool dot_ends)
{
	in->fd = fd;
	in->over = false;
	dot_scan_init(&in->dot, dot_ends);
	body_scan_init(&in->scan, false, BODY_NORMALISE);
}

static ssize_t
read_raw(int fd, char *buf, size_t size)
{
	ssize_t n;

	do
		n = read(fd, buf, size);
	while (n < 0 && errno == EINTR);
	return n;
}

/* Nothing more comes.  A lone dot without a line end ends the message too. */
static size_t
finish(struct input *in, char *out)
{
	size_t len = body_scan_finish(&in->scan, out);

	in->over = true;
	if (body_scan_lacks_eol(&in->scan)) {
		memcpy(out + len, "\r\n", 2);
		len += 2;
	}
	return len;
}

enum err
input_read(struct input *in, char *out, size_t *len_out)
{
	static char raw[INPUT_RAW_BYTES], undotted[INPUT_RAW_BYTES + 4];
	ssize_t got;
	size_t len;

	*len_out = 0;
	while (!in->over && *len_out == 0) {
		got = read_raw(in->fd, raw, sizeof(raw));
		if (got < 0)
			return ERR_IO;
		if (got > 0) {
			len =
			    dot_scan_feed(&in->dot, raw, (size_t)got, undotted);
			(void)body_scan(&in->scan, undotted, len, out, len_out);
		}
		if (got == 0 || in->dot.ended)
			*len_out += finish(in, out + *len_out);
	}
	return OK;
}
