/*
 * Happy path: a line in the stored form needs no change, so that consecutive
 * lines grow into one slice; a body without lines that begin with a dot is one
 * slice per call.
 * A CR at the very end of the input is held back: the next call decides
 * whether it is half of a CRLF or alone.
 */
#include "proto/smtp_body.h"

#include <string.h>

#include "base/assert.h"

static const char crlf[] = "\r\n";

void
smtp_body_init(struct smtp_body *b)
{
	*b = (struct smtp_body){ 0 };
}

/* Slices under construction; adjacent pieces become one. */
struct out {
	struct slice *list;
	unsigned max;
	unsigned count;
};

static void
put(struct out *o, const char *data, size_t len)
{
	struct slice *last = o->count > 0 ? &o->list[o->count - 1] : NULL;

	if (len == 0)
		return;
	if (last != NULL && last->data + last->len == data) {
		last->len += len;
		return;
	}
	ASSERT(o->count < o->max);
	o->list[o->count++] = slice_of(data, len);
}

/* The end of a line: the octets before at are CR LF when whole is true. */
static void
put_line_end(struct smtp_body *b, struct out *o, const char *at, bool whole)
{
	if (whole)
		put(o, at - 2, 2);
	else
		put(o, crlf, 2);
	b->in_line = b->cr_held = false;
}

/* The next c at or after at; found again only once it was passed, so that
 * no input makes the search quadratic. */
static const char *
next(const char *known, char c, const char *at, const char *end)
{
	if (known != NULL && known >= at)
		return known;
	known = memchr(at, c, (size_t)(end - at));
	return known != NULL ? known : end;
}

/* The rest of a line, up to its end or the end of the input. */
static const char *
put_line(struct smtp_body *b, struct out *o, const char *at, const char *cr,
    const char *lf, const char *end)
{
	const char *stop = cr < lf ? cr : lf;

	put(o, at, (size_t)(stop - at));
	b->in_line = true;
	if (stop == end)
		return end;
	if (stop == lf) {
		put_line_end(b, o, lf + 1, false);
		return lf + 1;
	}
	if (cr + 1 == end) {
		b->cr_held = true;
		return end;
	}
	if (cr + 1 == lf) {
		put_line_end(b, o, lf + 1, true);
		return lf + 1;
	}
	put_line_end(b, o, cr + 1, false);
	return cr + 1;
}

size_t
smtp_body_encode(struct smtp_body *b, struct slice in, struct slice *out,
    unsigned out_max, unsigned *count_out)
{
	struct out o = { out, out_max, 0 };
	const char *at = in.data, *end = in.data + in.len;
	const char *cr = NULL, *lf = NULL;

	ASSERT(out_max >= SMTP_BODY_OUT_MIN);
	/* A turn adds at most three slices: dot, text, line end. */
	while (at < end && o.count + 3 <= o.max) {
		if (b->cr_held) {
			at += *at == '\n';
			put_line_end(b, &o, at, false);
			continue;
		}
		if (!b->in_line && *at == '.')
			put(&o, ".", 1);
		cr = next(cr, '\r', at, end);
		lf = next(lf, '\n', at, end);
		at = put_line(b, &o, at, cr, lf, end);
	}
	*count_out = o.count;
	return (size_t)(at - in.data);
}

struct slice
smtp_body_end(const struct smtp_body *b)
{
	return b->in_line ? SLICE_LIT("\r\n.\r\n") : SLICE_LIT(".\r\n");
}
