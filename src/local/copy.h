/*
 * copy: a stored message (CRLF) as a mailbox wants it (LF), with mboxrd
 * quoting on request.  Fed in pieces of any size.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

struct copy {
	bool quote;	      /* mboxrd: one more '>' before ">*From " */
	bool cr_held;	      /* a CR came; what follows decides */
	bool line_begins;     /* only '>' so far on this line */
	uint8_t from_len;     /* bytes of "From " held back */
	bool ends_in_newline; /* of what was put out; true while empty */
};

/* Room that copy_feed needs for in_len bytes: a quoted line is at least six
 * bytes long, and at most COPY_HELD_BYTES were held back before. */
enum { COPY_HELD_BYTES = 8 };
#define COPY_ROOM(in_len) ((in_len) + (in_len) / 6 + 2 * COPY_HELD_BYTES)

/* At the beginning of a message.  quote: mboxrd. */
void copy_init(struct copy *c, bool quote);
/* Convert in to out, which has COPY_ROOM(in.len) bytes; returns how many
 * were written. */
size_t copy_feed(struct copy *c, struct slice in, char *out);
/* What is still held back; at most COPY_HELD_BYTES. */
size_t copy_end(struct copy *c, char *out);
