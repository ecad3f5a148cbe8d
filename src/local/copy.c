/*
 * copy: CRLF to LF and mboxrd quoting, line by line with memchr.
 *
 * A run of '>' is put out as it comes: since all its bytes are alike, the
 * extra '>' may as well stand at its end, just before "From ".  So at most
 * the four bytes "From" and one CR are held back between two pieces.
 */
#include "local/copy.h"

#include <string.h>

#include "base/assert.h"

static const char from_line[] = "From ";

void
copy_init(struct copy *c, bool quote)
{
	*c = (struct copy){
		.quote = quote,
		.line_begins = true,
		.ends_in_newline = true,
	};
}

/* Put out what was held of "From ", when the line turned out not to be one. */
static size_t
release_from(struct copy *c, char *out)
{
	size_t len = c->from_len;

	memcpy(out, from_line, len);
	c->from_len = 0;
	c->line_begins = false;
	return len;
}

/* One byte at the beginning of a line, or after a held CR. */
static size_t
copy_byte(struct copy *c, char b, char *out)
{
	size_t n = 0;

	if (c->cr_held && b != '\n') {
		/* A CR that ends no line is kept as it is. */
		n += release_from(c, out);
		out[n++] = '\r';
		c->cr_held = false;
	}
	if (b == '\r') {
		c->cr_held = true;
		return n;
	}
	if (b == '\n') {
		n += release_from(c, out + n);
		out[n++] = '\n';
		c->cr_held = false;
		c->line_begins = true;
		return n;
	}
	if (!c->quote || !c->line_begins) {
		c->line_begins = false;
		out[n++] = b;
		return n;
	}
	if (b == '>' && c->from_len == 0) {
		out[n++] = b;
		return n;
	}
	if (b != from_line[c->from_len]) {
		n += release_from(c, out + n);
		out[n++] = b;
		return n;
	}
	if (++c->from_len == sizeof(from_line) - 1) {
		out[n++] = '>';
		n += release_from(c, out + n);
	}
	return n;
}

/* The rest of a line that needs no more looking at. */
static size_t
copy_run(struct copy *c, const char *at, size_t len, char *out,
    size_t *used_out)
{
	const char *eol = memchr(at, '\n', len);
	size_t run = eol != NULL ? (size_t)(eol - at) : len;

	*used_out = run;
	/* A CR at the end may belong to the line's end. */
	if (run > 0 && at[run - 1] == '\r') {
		run--;
		c->cr_held = true;
	}
	memcpy(out, at, run);
	return run;
}

size_t
copy_feed(struct copy *c, struct slice in, char *out)
{
	size_t at = 0, n = 0, used;

	while (at < in.len) {
		if (c->line_begins || c->cr_held || in.data[at] == '\n') {
			n += copy_byte(c, in.data[at++], out + n);
			continue;
		}
		n += copy_run(c, in.data + at, in.len - at, out + n, &used);
		at += used;
	}
	ASSERT(n <= COPY_ROOM(in.len));
	if (n > 0)
		c->ends_in_newline = out[n - 1] == '\n';
	return n;
}

size_t
copy_end(struct copy *c, char *out)
{
	size_t n = release_from(c, out);

	if (c->cr_held)
		out[n++] = '\r';
	c->cr_held = false;
	if (n > 0)
		c->ends_in_newline = false;
	return n;
}
