/*
 * header_addresses: an automaton over the bytes of an address list.
 *
 * Places: in a phrase, which may turn out to be a display name, the name of
 * a group, or an address by itself; within angle brackets; after them, until
 * the comma.  Text is gathered in either of the first two.  A display name is
 * forgotten when '<' comes, a group's name when ':' comes.
 *
 * A phrase of several words that no angle bracket follows is an error, not a
 * guess: mail is not sent to addresses that nobody wrote.
 */
#include "proto/header_addresses.h"

#include <string.h>

#include "base/assert.h"

enum place { PHRASE, ANGLE, AFTER };
enum mode { PLAIN, QUOTED, COMMENT, LITERAL };

void
header_addresses_init(struct header_addresses *h, header_address_fn *fn,
    void *arg)
{
	memset(h, 0, offsetof(struct header_addresses, text));
	h->fn = fn;
	h->arg = arg;
}

static void
fail(struct header_addresses *h, enum err e)
{
	if (h->error == OK)
		h->error = e;
}

static void
forget(struct header_addresses *h)
{
	h->len = 0;
	h->gap = h->words = h->at = h->too_long = false;
}

static bool
joins(char c)
{
	return c == '.' || c == '@';
}

/* A character of an address, or of a phrase. */
static void
put(struct header_addresses *h, char c)
{
	if (h->place == AFTER) {
		fail(h, ERR_SYNTAX);
		return;
	}
	/* RFC 5322 4.4: blanks may stand around dots and the at sign. */
	if (h->gap && h->len > 0 && !joins(c) && !joins(h->text[h->len - 1]))
		h->words = true;
	h->gap = false;
	h->end = h->offset + 1;
	if (c == '@' && h->mode == PLAIN)
		h->at = true;
	if (h->len < sizeof(h->text))
		h->text[h->len++] = c;
	else
		h->too_long = true;
}

static void
emit(struct header_addresses *h)
{
	enum err e;

	if (h->len > 0) {
		if (h->words || h->text[0] == '@')
			fail(h, ERR_SYNTAX);
		else if (h->too_long)
			fail(h, ERR_TOOBIG);
		if (h->error == OK) {
			e = h->fn(h->arg, slice_of(h->text, h->len));
			if (e != OK)
				fail(h, e);
		}
	}
	forget(h);
}

static void
on_separator(struct header_addresses *h, char c)
{
	if (h->place == ANGLE) {
		/* Only between the hosts of a route. */
		if (c == ',' && h->len > 0 && h->text[0] == '@')
			put(h, c);
		else
			fail(h, ERR_SYNTAX);
		return;
	}
	if (h->place == PHRASE)
		emit(h);
	h->place = PHRASE;
}

static void
on_colon(struct header_addresses *h)
{
	/* The end of a group's name, or of a route: both are dropped.  What
	 * holds an address is no name of a group. */
	if ((h->place == PHRASE && !h->at) ||
	    (h->place == ANGLE && h->len > 0 && h->text[0] == '@'))
		forget(h);
	else
		fail(h, ERR_SYNTAX);
}

static void
on_angle(struct header_addresses *h, char c)
{
	if (c == '<' && h->place == PHRASE) {
		forget(h);
		h->place = ANGLE;
	} else if (c == '>' && h->place == ANGLE) {
		emit(h);
		h->place = AFTER;
	} else {
		fail(h, ERR_SYNTAX);
	}
}

/* Atoms, and each special character (RFC 5322 3.2.3), are tokens; what is
 * quoted or in brackets is one, its opening character. */
static void
count_token(struct header_addresses *h, char c)
{
	bool is_blank = c == ' ' || c == '\t' || c == '\r' || c == '\n';
	bool is_special = memchr("\"()[]<>,;:.@", c, 12) != NULL;

	if (is_special || (!is_blank && !h->in_atom))
		h->token_count++;
	h->in_atom = !is_special && !is_blank;
	if (h->token_max > 0 && h->token_count > h->token_max)
		fail(h, ERR_TOOBIG);
}

static void
on_plain(struct header_addresses *h, char c)
{
	count_token(h, c);
	if (h->error != OK)
		return;
	switch (c) {
	case ' ':
	case '\t':
	case '\r':
	case '\n': h->gap = true; break;
	case '"':
		put(h, c);
		h->mode = QUOTED;
		break;
	case '(':
		h->gap = true;
		h->depth = 1;
		h->mode = COMMENT;
		break;
	case '[':
		put(h, c);
		h->mode = LITERAL;
		break;
	case '<':
	case '>': on_angle(h, c); break;
	case ',':
	case ';': on_separator(h, c); break;
	case ':': on_colon(h); break;
	case ')':
	case ']':
	case '\\': fail(h, ERR_SYNTAX); break;
	default: put(h, c);
	}
}

static void
on_comment(struct header_addresses *h, char c)
{
	if (h->escaped)
		h->escaped = false;
	else if (c == '\\')
		h->escaped = true;
	else if (c == '(' && h->depth == HEADER_COMMENT_DEPTH_MAX)
		fail(h, ERR_SYNTAX);
	else if (c == '(')
		h->depth++;
	else if (c == ')' && --h->depth == 0)
		h->mode = PLAIN;
}

static void
on_quoted(struct header_addresses *h, char c)
{
	if (c == '\r' || c == '\n')
		return; /* folding; the blank after it counts */
	put(h, c);
	if (h->escaped)
		h->escaped = false;
	else if (c == '\\')
		h->escaped = true;
	else if (c == '"')
		h->mode = PLAIN;
}

static void
on_literal(struct header_addresses *h, char c)
{
	if (c == ' ' || c == '\t' || c == '\r' || c == '\n')
		return;
	put(h, c);
	if (c == ']')
		h->mode = PLAIN;
}

/* Control characters never reach an address (RFC 5322 4.1 would let them). */
static bool
is_control(char c)
{
	unsigned char u = (unsigned char)c;

	return (u < ' ' && c != '\t' && c != '\r' && c != '\n') || u == 127;
}

enum err
header_addresses_feed(struct header_addresses *h, struct slice piece)
{
	size_t i;
	char c;

	for (i = 0; i < piece.len && h->error == OK; i++, h->offset++) {
		c = piece.data[i];
		if (is_control(c)) {
			fail(h, ERR_SYNTAX);
			break;
		}
		switch ((enum mode)h->mode) {
		case PLAIN: on_plain(h, c); break;
		case QUOTED: on_quoted(h, c); break;
		case COMMENT: on_comment(h, c); break;
		case LITERAL: on_literal(h, c); break;
		}
	}
	return h->error;
}

enum err
header_addresses_end(struct header_addresses *h)
{
	if (h->mode != PLAIN || h->place == ANGLE)
		fail(h, ERR_SYNTAX);
	if (h->place == PHRASE)
		emit(h);
	h->place = PHRASE;
	return h->error;
}
