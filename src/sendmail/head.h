/*
 * head: the header of a message that a user submits: where it ends, whom it
 * names, what must go and what is missing.
 *
 * The whole header is in memory, at most header_total_size_limit bytes of it;
 * the body never is.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"
#include "proto/header_addresses.h"

enum {
	/* Longer names are taken for the text of a message without header. */
	HEAD_NAME_BYTES_MAX = 255,
	HEAD_ADDED_BYTES_MAX = 4096,
};

/* Looks for the end of the header in bytes that come in pieces. */
struct head_scan {
	size_t line_start; /* of the line that is looked at */
	size_t end;	   /* of the header, once found */
	bool found;
	bool fields; /* a field was seen: a blank may continue it */
};

/* Before the first byte of a message. */
void head_scan_init(struct head_scan *s);
/*
 * head_scan_more(s, all, over):
 * all is the message so far, from its beginning, ended by CRLF lines; over:
 * nothing more comes.  True when the end of the header is known: s->end is
 * where the first line begins that does not belong to it (an empty line, or
 * the text of a message that has none).
 */
bool head_scan_more(struct head_scan *s, struct slice all, bool over);

/* One field of a header. */
struct head_field {
	struct slice name; /* without the colon */
	struct slice body; /* behind it, with its line ends */
	struct slice all;
};

/* Take the next field from *rest; lines that are none ("From " of an mbox)
 * are passed over.  False at the end. */
bool head_next(struct slice *rest, struct head_field *out);

/* What is in a header. */
struct head_facts {
	bool has_from, has_date, has_message_id;
	bool resent; /* some Resent- field */
	bool has_resent_from, has_resent_date, has_resent_message_id;
};

/* Which fields the whole header has; names in any case. */
void head_look(struct slice header, struct head_facts *out);

/*
 * head_recipients(header, facts, token_max, fn, arg, et):
 * Every address of To, Cc and Bcc, or, in a header with Resent- fields, of
 * Resent-To, Resent-Cc and Resent-Bcc (RFC 5322 3.6.6).  ERR_SYNTAX or
 * ERR_TOOBIG with et naming the field, or what fn returned.  token_max bounds
 * the words and signs of one field (header_address_token_limit); 0: nothing.
 */
MUST_CHECK enum err head_recipients(struct slice header,
    const struct head_facts *facts, int64_t token_max, header_address_fn *fn,
    void *arg, struct errtext *et);

/*
 * head_rewrite(header, out):
 * Append the fields that may leave to out: without Bcc, Resent-Bcc,
 * Return-Path and Content-Length.  Errors of out.
 */
MUST_CHECK enum err head_rewrite(struct slice header, struct buf *out);

struct head_added {
	struct slice from;	 /* address, canonical */
	struct slice full_name;	 /* may be empty */
	struct slice date;	 /* as in a Date field */
	struct slice message_id; /* with its angle brackets */
};

/*
 * head_add(facts, added, out):
 * Append what is missing: From, Date, Message-ID, and their Resent- forms in
 * a header that has any.  ERR_SYNTAX for a full name with control
 * characters; errors of out.
 */
MUST_CHECK enum err head_add(const struct head_facts *facts,
    const struct head_added *added, struct buf *out);
