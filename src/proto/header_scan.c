/*
 * header_scan: one byte at a time until the header section is over.
 *
 * The section ends at the empty line (END), or where a line turns out not to
 * be a field: no colon, a control character or an 8-bit octet in the name, or
 * a name longer than any line may be (RFC 5322 2.1.1).
 *
 * Cutting works byte for byte, so that it can be done in place: from two bytes
 * before the limit on, the first byte becomes CR, the second LF, and what
 * follows up to the next field is dropped.  Where the last byte kept was the
 * CR of a folded line only the LF is needed, where it was the LF nothing is.
 */
#include "proto/header_scan.h"

#include "base/assert.h"

enum state {
	LINE,  /* at the start of a line */
	NAME,  /* in a field's name */
	BLANK, /* blanks between name and colon */
	VALUE, /* in a field's value */
	FOLD,  /* after the LF of a field: the next byte decides */
	EMPTY, /* after CR at the start of a line */
	END,
};

enum tail {
	TAIL_NONE,    /* not cut */
	TAIL_NEED_LF, /* CR is out */
	TAIL_DONE,    /* CRLF is out: drop */
};

enum { NAME_BYTES_MAX = 998 };

void
header_scan_init(struct header_scan *h)
{
	*h = (struct header_scan){ .state = LINE };
}

bool
header_scan_done(const struct header_scan *h)
{
	return h->state == END;
}

static void
fail(struct header_scan *h, enum header_fault fault)
{
	h->fault = (uint8_t)fault;
	h->state = END;
}

static bool
name_is(const struct header_scan *h, const char *name)
{
	return h->name_bytes == h->name_len &&
	       slice_eq(slice_of(h->name, h->name_len), slice_str(name));
}

/* The colon of a field: now it is one. */
static void
on_field(struct header_scan *h, const struct header_limits *limits)
{
	h->state = VALUE;
	h->in_id = h->id_len == 0 && name_is(h, "message-id");
	if (++h->field_count > limits->count_max)
		fail(h, HEADER_TOO_MANY);
	else if (name_is(h, "received") &&
		 ++h->hop_count > limits->hop_count_max)
		fail(h, HEADER_LOOP);
}

static void
on_name(struct header_scan *h, const struct header_limits *limits, char c)
{
	if (c == ':' && h->name_bytes > 0) {
		on_field(h, limits);
	} else if ((c == ' ' || c == '\t') && h->name_bytes > 0) {
		h->state = BLANK;
	} else if (c <= ' ' || c > '~' || c == ':' ||
		   h->name_bytes == NAME_BYTES_MAX) {
		h->state = END;
	} else {
		if (h->name_len < HEADER_NAME_KEPT_BYTES)
			h->name[h->name_len++] =
			    c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
		h->name_bytes++;
		h->state = NAME;
	}
}

/* Start of a field, or of what is not one. */
static void
on_line(struct header_scan *h, const struct header_limits *limits, char c)
{
	h->in_id = false;
	h->name_len = 0;
	h->name_bytes = 0;
	h->field_bytes = 0;
	h->tail = TAIL_NONE;
	if (c == '\r')
		h->state = EMPTY;
	else
		on_name(h, limits, c);
}

static void
on_value(struct header_scan *h, char c)
{
	if (c == '\n')
		h->state = FOLD;
	if (h->in_id && c != '\r' && c != '\n' &&
	    h->id_len < MESSAGE_ID_BYTES_MAX && (h->id_len > 0 || c != ' '))
		h->id[h->id_len++] = c;
}

static void
on_byte(struct header_scan *h, const struct header_limits *limits, char c)
{
	switch ((enum state)h->state) {
	case LINE: on_line(h, limits, c); break;
	case NAME: on_name(h, limits, c); break;
	case BLANK:
		if (c == ':')
			on_field(h, limits);
		else if (c != ' ' && c != '\t')
			h->state = END;
		break;
	case VALUE: on_value(h, c); break;
	case FOLD:
		if (c == ' ' || c == '\t')
			h->state = VALUE;
		else
			on_line(h, limits, c);
		break;
	case EMPTY: h->state = END; break;
	case END: break;
	}
}

/*
 * Whether byte c of the open field is kept, and as what; last is the byte put
 * out before it.
 */
static bool
keep(struct header_scan *h, const struct header_limits *limits, char *c,
    char last)
{
	if (h->field_bytes + 2 < limits->field_bytes_max)
		return true;
	switch ((enum tail)h->tail) {
	case TAIL_NONE:
		if (last == '\n') {
			h->tail = TAIL_DONE;
			break;
		}
		h->tail = last == '\r' ? TAIL_DONE : TAIL_NEED_LF;
		h->cut |= *c != (last == '\r' ? '\n' : '\r');
		*c = last == '\r' ? '\n' : '\r';
		return true;
	case TAIL_NEED_LF:
		h->cut |= *c != '\n';
		h->tail = TAIL_DONE;
		*c = '\n';
		return true;
	case TAIL_DONE: break;
	}
	h->cut = true;
	return false;
}

size_t
header_scan(struct header_scan *h, const struct header_limits *limits,
    char *data, size_t len)
{
	size_t kept = 0, i;

	ASSERT(limits->field_bytes_max >= 16);

	for (i = 0; i < len && h->state != END; i++) {
		char c = data[i];

		on_byte(h, limits, c);
		if (h->state == END || h->state == EMPTY) {
			data[kept++] = c;
			continue;
		}
		if (!keep(h, limits, &c, h->last))
			continue;
		h->last = c;
		data[kept++] = c;
		h->field_bytes++;
		if (++h->total_bytes > limits->total_bytes_max)
			fail(h, HEADER_TOO_BIG);
	}
	if (kept != i && i < len)
		memmove(data + kept, data + i, len - i);
	return kept + (len - i);
}

size_t
header_scan_finish(struct header_scan *h, char out[static 1])
{
	bool need = h->state != END && h->tail == TAIL_NEED_LF;

	h->state = END;
	if (need)
		out[0] = '\n';
	return need;
}

struct slice
header_scan_message_id(const struct header_scan *h)
{
	return slice_trim(slice_of(h->id, h->id_len));
}
