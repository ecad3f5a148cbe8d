/*
 * smtp_body: a stored body in the form that DATA wants: CRLF line ends and
 * dot-stuffing (RFC 5321 2.3.8, 4.5.2).
 *
 * The stored form is CRLF already, but a stored byte is not trusted with
 * ending a message: a lone CR or LF goes out as CRLF, and a dot after any line
 * end is doubled, in whatever pieces the body comes.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/slice.h"

enum { SMTP_BODY_OUT_MIN = 4 };

struct smtp_body {
	bool in_line; /* the last octet was not a line end */
	bool cr_held; /* a CR was read, what follows it is not known */
};

/* Before the first octet of a body: at the beginning of a line. */
void smtp_body_init(struct smtp_body *b);

/*
 * smtp_body_encode(b, in, out, out_max, count_out):
 * Describe the wire form of a prefix of in by at most out_max (at least
 * SMTP_BODY_OUT_MIN) slices, of in and of constants; returns how much of in
 * they stand for (at least one octet).  No bytes are copied.
 */
size_t smtp_body_encode(struct smtp_body *b, struct slice in, struct slice *out,
    unsigned out_max, unsigned *count_out);

/* What ends the message: the last line's end if it is missing, and the dot. */
struct slice smtp_body_end(const struct smtp_body *b);
