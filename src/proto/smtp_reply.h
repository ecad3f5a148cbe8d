/*
 * smtp_reply: incremental parser of a server's replies (RFC 5321 4.2.1).
 *
 * A reply is one or more lines "CODE-text", the last "CODE text".  Bytes come
 * in pieces of any size; the result does not depend on how they were split.
 * Everything is bounded: lines per reply, bytes per line, bytes per reply,
 * and how much of the text is kept.  A server that goes beyond them, or that
 * sends something which is no reply, is in error (SMTP_REPLY_BAD); one that
 * merely talks too much in a line is cut.
 *
 * Lenient where servers are known to be sloppy: LF alone ends a line, text
 * may hold any octet (whoever prints it escapes it), a code may stand alone.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

enum {
	SMTP_REPLY_TEXT_BYTES = 4096,  /* kept of a reply, codes included */
	SMTP_REPLY_LINES_MAX = 100,    /* RFC 5321 sets no limit */
	SMTP_REPLY_LINE_BYTES = 2048,  /* kept of a line; RFC: 512 */
	SMTP_REPLY_BYTES_MAX = 204800, /* of a whole reply */
	SMTP_STATUS_BYTES = 12,	       /* "5.123.456" */
};

enum smtp_reply_state {
	SMTP_REPLY_MORE, /* everything was consumed, the reply goes on */
	SMTP_REPLY_DONE, /* code, text and status are set */
	SMTP_REPLY_BAD,	 /* not a reply, or beyond a limit; stays so */
};

struct smtp_reply {
	int code; /* 200..599; 0 before the first line */
	enum smtp_reply_state state;
	unsigned line_count;	/* lines that are complete */
	uint32_t line_bytes;	/* of this line so far, its end excluded */
	uint32_t reply_bytes;	/* of all lines, their ends included */
	uint32_t dropped_bytes; /* received, but not kept in text */
	int line_code;		/* digits of this line so far */
	bool last;		/* this line is the last one */
	bool cr_held;		/* a CR that may belong to the line's end */
	size_t text_len;
	char text[SMTP_REPLY_TEXT_BYTES]; /* lines joined by LF */
};

/* Before each reply.  What smtp_reply_text gave is void. */
void smtp_reply_init(struct smtp_reply *r);

/*
 * smtp_reply_feed(r, in):
 * Consume bytes up to the end of one reply and return how many; the state is
 * in r->state.  After DONE call smtp_reply_init before the next reply.
 */
size_t smtp_reply_feed(struct smtp_reply *r, struct slice in);

/* The text as received, codes included; lines are separated by LF. */
struct slice smtp_reply_text(const struct smtp_reply *r);

/*
 * smtp_reply_line(rest, line_out):
 * Take the next line from *rest (at first smtp_reply_text), without its code
 * and separator.  False at the end.
 */
bool smtp_reply_line(struct slice *rest, struct slice *line_out);

/*
 * smtp_reply_status(r, buf):
 * The enhanced status (RFC 3463, RFC 2034) of the first line that has one of
 * the class of the code, else "2.0.0", "4.0.0" or "5.0.0"; 3xx counts as 2.
 */
void smtp_reply_status(const struct smtp_reply *r,
    char buf[static SMTP_STATUS_BYTES]);

/*
 * smtp_status_parse(text, buf):
 * An enhanced status at the start of text, followed by a space or the end.
 * Its length; 0, with buf empty, when there is none.
 */
size_t smtp_status_parse(struct slice text, char buf[static SMTP_STATUS_BYTES]);
