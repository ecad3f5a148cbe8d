/*
 * envelope: a message's envelope (RFC 5321 2.3.1, RFC 3461), in memory and
 * in the encoding that frames carry and the log stores.
 *
 * Encoded with base/wire: the fields in the order of the struct, then, in a
 * separate run of bytes, one record for each recipient.  Layout:
 * doc/format/envelope.md.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"
#include "base/wire.h"

enum {
	ADDRESS_BYTES_MAX = 512,   /* an address, without its angle brackets */
	ENVID_BYTES_MAX = 100,	   /* RFC 3461 4.4, as xtext */
	ORCPT_BYTES_MAX = 500,	   /* RFC 3461 4.2, as xtext with its type */
	ENVELOPE_BYTES_MAX = 8192, /* encoded, without recipients */
	ENVELOPE_RCPT_BYTES_MAX = 1600, /* one encoded recipient */
	HOST_BYTES_MAX = 255,
	ENVELOPE_RCPTS_MAX = 50000, /* of one message, whatever its way in */
};

enum envelope_flag {
	ENVELOPE_8BIT = 1,	    /* the body holds octets above 127 */
	ENVELOPE_UTF8 = 2,	    /* SMTPUTF8 was asked for (RFC 6531) */
	ENVELOPE_DOT_LINE = 4,	    /* a line begins with a dot */
	ENVELOPE_BODY_8BITMIME = 8, /* BODY=8BITMIME was declared */
	ENVELOPE_HEADER_CUT = 16,   /* a header was cut at its limit */
	ENVELOPE_NO_FINAL_EOL = 32, /* the body does not end with CRLF */
};

/* By which way the message came in. */
enum envelope_origin {
	ORIGIN_SMTP,
	ORIGIN_SUBMISSION,
	ORIGIN_LMTP,
	ORIGIN_LOCAL,  /* the sendmail command */
	ORIGIN_REPORT, /* composed here */
	ORIGIN_COUNT
};

/* RET= (RFC 3461 4.3) */
enum envelope_ret { RET_NONE, RET_FULL, RET_HDRS };

/* NOTIFY= (RFC 3461 4.1); 0: not given. */
enum envelope_notify {
	NOTIFY_NEVER = 1,
	NOTIFY_SUCCESS = 2,
	NOTIFY_FAILURE = 4,
	NOTIFY_DELAY = 8,
};

struct envelope {
	uint32_t flags;		     /* enum envelope_flag */
	uint8_t origin;		     /* enum envelope_origin */
	uint8_t ret;		     /* enum envelope_ret */
	uint64_t arrival_ms;	     /* wall clock */
	uint64_t body_bytes;	     /* as stored */
	uint32_t longest_line_bytes; /* without CRLF */
	uint32_t uid;		     /* of a local submitter */
	struct slice sender;	     /* without brackets; empty: null */
	struct slice envid;	     /* xtext; empty: none */
	struct slice client_name;    /* verified name or "unknown" */
	struct slice client_address; /* "192.0.2.1", "2001:db8::1" */
	struct slice helo;
	struct slice protocol; /* "ESMTP", "LMTP", "local", ... */
};

struct envelope_rcpt {
	uint8_t notify;	      /* enum envelope_notify */
	struct slice address; /* to deliver to */
	struct slice orcpt;   /* xtext with type; empty: none */
	/* The alias of which address came; empty: none.  With one, address is
	 * final: its own aliases are not followed. */
	struct slice original;
};

/* Encode; w->full when it does not fit. */
void envelope_put(struct wr *w, const struct envelope *e);
void envelope_rcpt_put(struct wr *w, const struct envelope_rcpt *r);

/* Decode; slices are borrowed from the reader's bytes.  False, with r->bad,
 * on anything out of bounds (also: control characters in addresses). */
bool envelope_get(struct rd *r, struct envelope *e);
bool envelope_rcpt_get(struct rd *r, struct envelope_rcpt *rcpt);
