/*
 * body_scan: a machine of nine states whose common case, text within a line,
 * is done by the block.
 *
 * The happy path is TEXT -> CR -> START -> TEXT.  A dot in START is not put
 * out until the byte after it shows what it is.  In manner refuse a CR is put
 * out when it is read; in manner normalise when the byte after it is known.
 */
#include "proto/body_scan.h"

#include <string.h>

#include "base/assert.h"

enum state {
	START,	   /* of a line, after CRLF or at the beginning */
	TEXT,	   /* within a line */
	CR,	   /* a CR within a line */
	DOT,	   /* a dot after CRLF */
	DOT_CR,	   /* and a CR */
	SOFT,	   /* start of a line, after a lone CR or LF (normalise) */
	SOFT_DOT,  /* a dot there */
	UNSTUFFED, /* a dot was dropped: the first byte of the line's text */
};

enum { LOOK_AHEAD_BYTES = 512 };

/* The piece being read. */
struct piece {
	const char *at, *end;
	char *out;
	size_t len;
};

void
body_scan_init(struct body_scan *b, bool stuffed, enum body_manner m)
{
	*b = (struct body_scan){
		.state = START,
		.stuffed = stuffed,
		.normalise = m == BODY_NORMALISE,
	};
}

static void
emit(struct piece *p, const char *bytes, size_t n)
{
	if (p->out + p->len != bytes)
		memmove(p->out + p->len, bytes, n);
	p->len += n;
}

static void
end_line(struct body_scan *b)
{
	if (b->line_bytes > b->longest_line_bytes)
		b->longest_line_bytes = b->line_bytes;
	b->line_bytes = 0;
}

/* A CR or LF that stands alone: noted, and a line end if so wished. */
static void
lone(struct body_scan *b, struct piece *p, enum body_flag which)
{
	b->flags |= (uint8_t)which;
	if (b->normalise) {
		emit(p, "\r\n", 2);
		end_line(b);
		b->state = SOFT;
	} else {
		b->state = TEXT;
	}
}

static bool
holds_8bit(const char *at, size_t n)
{
	const uint64_t high = 0x8080808080808080u;
	uint64_t any = 0, word;

	for (; n >= sizeof(word); n -= sizeof(word), at += sizeof(word)) {
		memcpy(&word, at, sizeof(word));
		any |= word;
	}
	for (; n > 0; n--, at++)
		any |= (uint64_t)(unsigned char)*at;
	return (any & high) != 0;
}

/* Text up to the next CR or LF.  Looks ahead a bounded stretch for the LF, so
 * that a body full of lone CRs does not make it look for one again and again
 * to the end of the piece. */
static void
text(struct body_scan *b, struct piece *p)
{
	size_t left = (size_t)(p->end - p->at), n;
	const char *lf, *cr;

	if (left > LOOK_AHEAD_BYTES)
		left = LOOK_AHEAD_BYTES;
	lf = memchr(p->at, '\n', left);
	n = lf != NULL ? (size_t)(lf - p->at) : left;
	cr = memchr(p->at, '\r', n);
	if (cr != NULL)
		n = (size_t)(cr - p->at);
	emit(p, p->at, n);
	p->at += n;
	b->line_bytes += n;
}

static void
on_text(struct body_scan *b, struct piece *p)
{
	b->state = TEXT;
	if (*p->at == '\n') {
		if (!b->normalise)
			emit(p, p->at, 1);
		p->at++;
		lone(b, p, BODY_BARE_LF);
	} else if (*p->at == '\r') {
		if (!b->normalise)
			emit(p, p->at, 1);
		p->at++;
		b->state = CR;
	} else {
		text(b, p);
	}
}

/* Start of a line's text, after unstuffing. */
static void
on_first(struct body_scan *b, struct piece *p)
{
	if (*p->at == '.')
		b->flags |= BODY_DOT_LINE;
	on_text(b, p);
}

static void
on_start(struct body_scan *b, struct piece *p)
{
	if (*p->at == '.' && b->stuffed) {
		b->state = b->state == SOFT ? SOFT_DOT : DOT;
		p->at++;
	} else {
		on_first(b, p);
	}
}

static void
on_cr(struct body_scan *b, struct piece *p)
{
	if (*p->at != '\n') {
		lone(b, p, BODY_BARE_CR); /* the byte is looked at again */
		return;
	}
	if (b->normalise)
		emit(p, "\r\n", 2);
	else
		emit(p, p->at, 1);
	p->at++;
	end_line(b);
	b->state = START;
}

/* A line that is one dot, but does not end DATA: it is text. */
static void
keep_dot(struct body_scan *b, struct piece *p)
{
	if (b->normalise)
		emit(p, ".", 1);
	b->line_bytes++;
	b->flags |= BODY_DOT_LINE;
}

static void
on_dot(struct body_scan *b, struct piece *p)
{
	if (*p->at == '\r') {
		b->state = DOT_CR;
		p->at++;
	} else if (*p->at == '\n') {
		keep_dot(b, p);
		on_text(b, p);
	} else {
		b->state = UNSTUFFED;
	}
}

static void
on_dot_cr(struct body_scan *b, struct piece *p)
{
	if (*p->at == '\n') {
		p->at++;
		b->ended = true;
		return;
	}
	keep_dot(b, p);
	lone(b, p, BODY_BARE_CR);
}

static void
on_soft_dot(struct body_scan *b, struct piece *p)
{
	if (*p->at == '\r' || *p->at == '\n') {
		keep_dot(b, p);
		on_text(b, p);
	} else {
		b->state = UNSTUFFED;
	}
}

size_t
body_scan(struct body_scan *b, const char *in, size_t in_len, char *out,
    size_t *out_len_out)
{
	struct piece p = { .at = in, .end = in + in_len, .out = out };

	ASSERT(!b->ended);
	ASSERT(!b->normalise || out != in);

	while (p.at < p.end && !b->ended) {
		switch ((enum state)b->state) {
		case TEXT: on_text(b, &p); break;
		case CR: on_cr(b, &p); break;
		case START:
		case SOFT: on_start(b, &p); break;
		case UNSTUFFED: on_first(b, &p); break;
		case DOT: on_dot(b, &p); break;
		case DOT_CR: on_dot_cr(b, &p); break;
		case SOFT_DOT: on_soft_dot(b, &p); break;
		}
	}
	if (b->line_bytes > b->longest_line_bytes)
		b->longest_line_bytes = b->line_bytes;
	if (!(b->flags & BODY_8BIT) && holds_8bit(out, p.len))
		b->flags |= BODY_8BIT;
	b->bytes += p.len;
	ASSERT(b->normalise ? p.len <= 2 * in_len + BODY_SCAN_SLACK_BYTES
			    : p.len <= in_len);
	*out_len_out = p.len;
	return (size_t)(p.at - in);
}

size_t
body_scan_finish(struct body_scan *b, char out[static 2])
{
	struct piece p = { .out = out };

	ASSERT(!b->stuffed);
	if (b->state == CR)
		lone(b, &p, BODY_BARE_CR);
	b->bytes += p.len;
	return p.len;
}

bool
body_scan_lacks_eol(const struct body_scan *b)
{
	return b->bytes > 0 && b->state != START && b->state != SOFT &&
	       !b->ended;
}
