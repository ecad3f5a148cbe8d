/*
 * header_addresses: the addresses of a To, Cc, Bcc or From field.
 *
 * Reads an address list (RFC 5322 3.4, with the obsolete forms of 4.4) in
 * pieces of any size: groups, display names, comments, quoted strings, routes
 * and folding.  Each mailbox comes out as its addr-spec, without blanks and
 * comments but otherwise as written ("joe smith"@x.test keeps its quotes);
 * proto/address.h judges it.  A word without a domain comes out too: what it
 * means is the caller's business.
 *
 * Constant memory, linear time, comments nest without recursion.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"
#include "proto/envelope.h"

enum { HEADER_COMMENT_DEPTH_MAX = 64 };

/* One address; borrowed during the call; end in the struct says where it stood.
 * Not OK ends the parsing with that
 * error. */
typedef enum err header_address_fn(void *arg, struct slice address);

struct header_addresses {
	header_address_fn *fn;
	void *arg;
	enum err error;	   /* of the first fault; sticky */
	uint8_t place;	   /* enum place, in the .c */
	uint8_t mode;	   /* enum mode: plain, quoted, comment, literal */
	bool escaped;	   /* a backslash came */
	bool gap;	   /* blanks since the last character */
	bool words;	   /* text is more than one word: no address */
	bool at;	   /* text holds an at sign outside quotes */
	bool too_long;	   /* text was longer than an address may be */
	bool in_atom;	   /* the last character was part of one */
	uint16_t depth;	   /* of comments */
	int64_t token_max; /* set after init; 0: no limit */
	int64_t token_count;
	size_t offset; /* of the byte that is looked at, in all that was fed */
	size_t end;    /* the offset behind the last byte of text */
	size_t len;
	char text[ADDRESS_BYTES_MAX];
};

/* Before the first byte of a field.  fn is called with arg for each address,
 * in the order of the field, from within feed and end. */
void header_addresses_init(struct header_addresses *h, header_address_fn *fn,
    void *arg);
/*
 * The next bytes of the field's body, line ends included.  ERR_SYNTAX when it
 * is no address list, ERR_TOOBIG for an address longer than
 * ADDRESS_BYTES_MAX and past token_max (then token_count is above it), or
 * what fn returned.
 */
MUST_CHECK enum err header_addresses_feed(struct header_addresses *h,
    struct slice piece);
/* The field is over. */
MUST_CHECK enum err header_addresses_end(struct header_addresses *h);
