/*
 * header: search for our own Delivered-To, and the fields that we add.
 *
 * States of the search: at the start of a line; in a name that still matches
 * "delivered-to"; in a line of no interest; in the value of a Delivered-To,
 * and at the start of a line after it, which may continue it (RFC 5322 2.2.3).
 * CR is skipped everywhere, so that CRLF and LF read alike.
 */
#include "local/header.h"

#include <string.h>

#include "base/assert.h"
#include "base/time.h"

enum scan_state { LINE_START, NAME, AFTER_NAME, OTHER, VALUE, VALUE_LINE };

static const char wanted[] = "delivered-to";

void
loop_scan_init(struct loop_scan *s, struct slice address)
{
	memset(s, 0, offsetof(struct loop_scan, value));
	s->address = address;
	s->state = LINE_START;
	s->found = s->done = false;
}

static char
lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* The value is complete: is it our address? */
static void
value_end(struct loop_scan *s)
{
	struct slice v;

	if (s->value_len > sizeof(s->value))
		return;
	v = slice_trim(slice_of(s->value, s->value_len));
	if (v.len >= 2 && v.data[0] == '<' && v.data[v.len - 1] == '>')
		v = slice_sub(v, 1, v.len - 1);
	if (v.len > 0 && slice_eq_nocase(v, s->address))
		s->found = true;
}

static void
on_line_start(struct loop_scan *s, char c)
{
	if (c == '\n') {
		s->done = true;
		return;
	}
	s->name_len = 0;
	if (lower(c) == wanted[0]) {
		s->name_len = 1;
		s->state = NAME;
	} else {
		s->state = OTHER;
	}
}

static void
on_name(struct loop_scan *s, char c)
{
	if (s->name_len < sizeof(wanted) - 1) {
		if (lower(c) == wanted[s->name_len])
			s->name_len++;
		else
			s->state = c == '\n' ? LINE_START : OTHER;
		return;
	}
	/* RFC 5322 4.5: old mail may have blanks before the colon. */
	if (c == ':') {
		s->value_len = 0;
		s->state = VALUE;
	} else if (c != ' ' && c != '\t') {
		s->state = c == '\n' ? LINE_START : OTHER;
	}
}

static void
on_value(struct loop_scan *s, char c)
{
	if (c == '\n') {
		s->state = VALUE_LINE;
		return;
	}
	if (s->value_len == 0 && (c == ' ' || c == '\t'))
		return;
	if (s->value_len < sizeof(s->value))
		s->value[s->value_len] = c;
	if (s->value_len <= sizeof(s->value))
		s->value_len++;
}

static void
scan_byte(struct loop_scan *s, char c)
{
	switch (s->state) {
	case VALUE_LINE:
		if (c == ' ' || c == '\t') {
			s->state = VALUE;
			on_value(s, ' ');
			return;
		}
		value_end(s);
		on_line_start(s, c);
		return;
	case LINE_START: on_line_start(s, c); return;
	case NAME: on_name(s, c); return;
	case VALUE: on_value(s, c); return;
	case OTHER:
		if (c == '\n')
			s->state = LINE_START;
		return;
	default: ASSERT(s->state <= VALUE_LINE);
	}
}

bool
loop_scan_feed(struct loop_scan *s, struct slice data)
{
	const char *at = data.data, *end, *eol;

	if (data.len == 0)
		return s->found;
	end = at + data.len;
	while (at < end && !s->done && !s->found) {
		if (s->state == OTHER) {
			eol = memchr(at, '\n', (size_t)(end - at));
			if (eol == NULL)
				break;
			at = eol;
		}
		if (*at != '\r')
			scan_byte(s, *at);
		at++;
	}
	if (!s->done) {
		s->scanned_bytes += data.len;
		if (s->scanned_bytes > LOOP_SCAN_BYTES_MAX)
			s->done = true;
	}
	return s->found;
}

bool
loop_scan_end(struct loop_scan *s)
{
	if (!s->done && (s->state == VALUE || s->state == VALUE_LINE))
		value_end(s);
	s->done = true;
	return s->found;
}

static size_t
put(char *out, size_t at, const char *s)
{
	size_t len = strlen(s);

	memcpy(out + at, s, len);
	return at + len;
}

static size_t
put_address(char *out, size_t at, struct slice a)
{
	size_t i;
	unsigned char c;

	ASSERT(a.len <= ADDRESS_BYTES_MAX);
	for (i = 0; i < a.len; i++) {
		c = (unsigned char)a.data[i];
		out[at++] = c < ' ' || c == 127 ? '?' : (char)c;
	}
	return at;
}

/* "Name: <address>" or without the brackets. */
static size_t
put_field(char *out, size_t at, const char *front, struct slice a,
    const char *back)
{
	at = put(out, at, front);
	at = put_address(out, at, a);
	return put(out, at, back);
}

size_t
header_chosen(unsigned which, struct slice sender, struct slice address,
    struct slice original, char out[static HEADER_ADDED_BYTES_MAX])
{
	size_t at = 0;

	if (original.len == 0)
		original = address;
	if (which & HEADER_RETURN_PATH)
		at = put_field(out, at, "Return-Path: <", sender, ">\n");
	if (which & HEADER_ORIGINAL_TO)
		at = put_field(out, at, "X-Original-To: ", original, "\n");
	if (which & HEADER_DELIVERED_TO)
		at = put_field(out, at, "Delivered-To: ", address, "\n");
	return at;
}

size_t
header_added(struct slice sender, struct slice address, struct slice original,
    char out[static HEADER_ADDED_BYTES_MAX])
{
	unsigned which = HEADER_RETURN_PATH | HEADER_DELIVERED_TO;

	if (original.len > 0 && !slice_eq_nocase(original, address))
		which |= HEADER_ORIGINAL_TO;
	return header_chosen(which, sender, address, original, out);
}

size_t
header_from_line(struct slice sender, char out[static FROM_LINE_BYTES_MAX])
{
	char date[TIME_RFC5322_BYTES];
	size_t at = put(out, 0, "From "), i;
	unsigned char c;

	if (sender.len == 0)
		sender = SLICE_LIT("MAILER-DAEMON");
	ASSERT(sender.len <= ADDRESS_BYTES_MAX);
	for (i = 0; i < sender.len; i++) {
		c = (unsigned char)sender.data[i];
		out[at++] = c <= ' ' || c == 127 ? '-' : (char)c;
	}
	time_asctime(clock_system.wall(&clock_system), date);
	at = put(out, at, " ");
	at = put(out, at, date);
	return put(out, at, "\n");
}
