/*
 * body_scan: a message body as it comes from the wire, made into what is
 * stored: dots unstuffed, lines ended by CRLF and nothing else.
 *
 * Works on pieces cut anywhere; the result does not depend on where.  Only
 * CRLF "." CRLF ends DATA (RFC 5321 4.1.1.4); a CR or an LF alone never ends
 * a line, so what follows it is never taken for a command.  Two manners:
 *
 *   refuse     a CR or an LF alone is noted in flags; the scan goes on to the
 *              real end, what it yields from there on is worthless.  Never
 *              yields more than it reads: out may be in.
 *   normalise  a CR or an LF alone becomes CRLF.  A dot at the start of such
 *              a line is unstuffed too (a client that ends lines with LF
 *              stuffs them as well), unless it stands there alone.
 *
 * Constant memory, linear time.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum body_flag {
	BODY_8BIT = 1,	   /* an octet above 127 */
	BODY_DOT_LINE = 2, /* a line of the result begins with a dot */
	BODY_BARE_CR = 4,
	BODY_BARE_LF = 8,
};

enum body_manner { BODY_REFUSE, BODY_NORMALISE };

struct body_scan {
	uint8_t state;
	uint8_t flags; /* enum body_flag */
	bool stuffed;  /* DATA; false: the octets of BDAT */
	bool normalise;
	bool ended;		     /* CRLF "." CRLF was read */
	uint64_t bytes;		     /* yielded so far */
	uint64_t line_bytes;	     /* of the line that is open */
	uint64_t longest_line_bytes; /* without CRLF */
};

/* Room that out needs beyond twice the input when it is normalised. */
enum { BODY_SCAN_SLACK_BYTES = 4 };

/* Before the first octet of a body.  stuffed: it comes by DATA, so that dots
 * are taken away and a lone dot ends it; false: by BDAT. */
void body_scan_init(struct body_scan *b, bool stuffed, enum body_manner m);

/*
 * body_scan(b, in, in_len, out, out_len_out):
 * Read a piece.  Returns how many bytes of it belong to the body or its end:
 * in_len, or less when b->ended was reached.
 *
 * out  receives what is stored: at most as much as is read in manner refuse,
 *      where it may be in itself; else room for
 *      2 * in_len + BODY_SCAN_SLACK_BYTES.
 */
size_t body_scan(struct body_scan *b, const char *in, size_t in_len, char *out,
    size_t *out_len_out);

/*
 * body_scan_finish(b, out):
 * The octets of BDAT are over.  Returns the bytes put into out (at most 2:
 * a CR at the very end, normalised).
 */
size_t body_scan_finish(struct body_scan *b, char out[static 2]);

/* The body, whole, does not end with CRLF (and is not empty). */
bool body_scan_lacks_eol(const struct body_scan *b);
