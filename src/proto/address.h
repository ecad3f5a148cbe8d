/*
 * address: mail addresses and paths, RFC 5321 4.1.2 and RFC 6531 3.3.
 *
 * What comes in is a path as a client wrote it; what comes out is one
 * canonical form, on which every other part of Weir relies:
 *
 *   local@domain     local part quoted only where it must be, minimal escapes
 *   local@[literal]  address literals in brackets
 *   local            when a domain is missing and ADDRESS_BARE was given
 *   (nothing)        the null sender
 *
 * Source routes are stripped (RFC 5321 appendix C), one dot at the end of the
 * domain too.  Case is kept.  Control characters never pass, bytes above 127
 * only as strict UTF-8 and only where SMTPUTF8 was asked for.  Percent signs
 * and exclamation marks in a local part mean nothing: nothing is relayed by
 * them.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"
#include "proto/envelope.h"

enum {
	DOMAIN_BYTES_MAX = 255, /* RFC 5321 4.5.3.1.2 */
	/* RFC 5321 4.5.3.1.1 asks for 64 at least; VERP senders need more. */
	LOCAL_PART_BYTES_MAX = 256,
};

/* What the caller allows beyond local@domain. */
enum address_allow {
	ADDRESS_UTF8 = 1, /* SMTPUTF8 was given */
	ADDRESS_NULL = 2, /* <> */
	ADDRESS_BARE = 4, /* no domain: <postmaster> */
};

/* Parts of a canonical address, borrowed from its text. */
struct address {
	struct slice text;   /* all of it, without angle brackets */
	struct slice local;  /* as in text, with its quotes */
	struct slice domain; /* without the @; a literal keeps its brackets */
	bool literal;	     /* the domain is an address literal */
	bool utf8;	     /* holds bytes above 127 */
};

/*
 * address_parse(in, allow, buf, out):
 * One mailbox without angle brackets, all of in.
 *
 * buf   receives the canonical text; out points into it.
 *
 * OK; ERR_SYNTAX; ERR_TOOBIG past the bounds above; ERR_UNSUPPORTED when
 * it holds UTF-8 and ADDRESS_UTF8 was not given (5.6.7).
 */
MUST_CHECK enum err address_parse(struct slice in, unsigned allow,
    char buf[static ADDRESS_BYTES_MAX], struct address *out);

/*
 * address_parse_path(in, allow, buf, out, rest_out):
 * The path at the beginning of in, after "FROM:" or "TO:": blanks are
 * skipped, angle brackets are expected but may be missing (then the path ends
 * at a blank), a source route is dropped.  rest_out is what follows it.
 * Errors as address_parse; also ERR_SYNTAX when something other than a blank
 * follows the path.
 */
MUST_CHECK enum err address_parse_path(struct slice in, unsigned allow,
    char buf[static ADDRESS_BYTES_MAX], struct address *out,
    struct slice *rest_out);

/*
 * address_split(text, out):
 * Take a canonical address apart, borrowed.  Never fails: without an @
 * outside quotes everything is the local part.
 */
void address_split(struct slice text, struct address *out);

/*
 * address_local_unquote(local, buf, len_out):
 * The meaning of a local part: quotes and backslashes removed (mailbox
 * names, table keys).  False if local is not a local part in canonical form.
 */
bool address_local_unquote(struct slice local,
    char buf[static LOCAL_PART_BYTES_MAX], size_t *len_out);

/*
 * address_local_quote(raw, buf, len_out):
 * The reverse: canonical form of the local part that means raw.  False if
 * raw is empty, holds control characters or its form is too long.
 */
bool address_local_quote(struct slice raw,
    char buf[static LOCAL_PART_BYTES_MAX], size_t *len_out);

/* A domain name in the syntax of RFC 5321 4.1.2 (underscores are let pass, as
 * they are in use); no dot at the end, no literal. */
bool domain_valid(struct slice domain, bool allow_utf8);

/* "[192.0.2.1]", "[IPv6:2001:db8::1]": RFC 5321 4.1.3. */
bool address_literal_valid(struct slice literal);

/* Strict UTF-8, RFC 3629: no overlong form, no surrogate, at most U+10FFFF.
 * Length in bytes of the character at the front of s; 0: it is not one. */
size_t utf8_char(struct slice s);
bool utf8_valid(struct slice s);
