/*
 * received: the trace field that a server puts in front of a message,
 * RFC 5321 4.4, with the protocol names of RFC 3848 and RFC 6531 4.3.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"
#include "base/time.h"
#include "proto/envelope.h"

enum { RECEIVED_BYTES_MAX = 2048 };

struct received {
	/* enum envelope_origin; REPORT: made here, by nobody outside; the
	 * next three are not used then. */
	uint8_t origin;
	struct slice helo;	     /* as the client said */
	struct slice client_name;    /* verified, or "unknown" */
	struct slice client_address; /* empty for ORIGIN_LOCAL */
	struct slice client_info;    /* RFC 1413; empty: not asked */
	uint32_t uid;		     /* ORIGIN_LOCAL */
	struct slice hostname;	     /* ours */
	struct slice protocol;	     /* received_protocol() */
	uint64_t id;
	struct slice rcpt; /* if there is just one, else empty */
	struct wall when;
};

/* "SMTP", "ESMTP", "UTF8SMTP", "LMTP", "UTF8LMTP", or "local". */
struct slice received_protocol(uint8_t origin, bool esmtp, bool utf8);

/*
 * received_put(r, buf):
 * The field with its CRLF, folded, 7-bit unless the envelope needs SMTPUTF8.
 * What came from outside is made harmless: anything that could break the
 * field's syntax becomes a question mark.  Returns its length.
 */
size_t received_put(const struct received *r,
    char buf[static RECEIVED_BYTES_MAX]);
