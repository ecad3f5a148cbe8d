/*
 * compose: the text of a delivery report, RFC 3464 in RFC 6522, or qmail's
 * plain one (QSBMF).
 *
 * Pure.  The report is made in pieces, in this order; each goes into a buffer
 * of COMPOSE_PIECE_BYTES_MAX and always fits:
 *
 *   compose_head          header fields, beginning of the text for people
 *   compose_rcpt_text     for each recipient
 *   compose_status_head   end of the text, fields of the message
 *   compose_rcpt_status   for each recipient
 *   compose_original      what stands before the original message
 *   (the original, or its header, as it is stored)
 *   compose_tail
 *
 * What came from outside (addresses, replies of other servers) is made
 * printable ASCII and folded, so that it can neither end a field nor a part;
 * the boundary is random, so that no message can hold it on purpose.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/time.h"
#include "base/wire.h"
#include "ipc/frames.h"
#include "ipc/job.h"
#include "proto/envelope.h"

enum { COMPOSE_PIECE_BYTES_MAX = 32768 };

enum compose_format { COMPOSE_RFC3464, COMPOSE_QMAIL };

struct compose {
	enum compose_format format;
	enum report_kind kind;
	uint64_t id;	      /* of the message that it is about */
	uint64_t report_id;   /* of the report */
	uint64_t boundary[2]; /* random */
	struct wall now;
	uint64_t arrival_ms, expires_ms; /* of the message */
	struct slice hostname;
	struct slice from_local, from_host; /* bouncefrom@bouncehost */
	struct slice to; /* who gets the report; canonical address */
	const struct envelope *envelope; /* of the message */
	bool original;	  /* it will follow, whole or its header */
	bool header_only; /* text/rfc822-headers */
};

/*
 * The parts of a report, to be written in the order of these declarations;
 * compose_rcpt_text and compose_rcpt_status once for each recipient.  All
 * are pure: they append to w, whose full says at the end whether everything
 * fitted, and keep nothing.  Foreign text (replies, addresses, hosts) is
 * escaped to printable ASCII and folded.  With COMPOSE_QMAIL the two parts
 * of the machine-readable status write nothing.
 */
/* The header of the report and the beginning of the text for people. */
void compose_head(const struct compose *c, struct wr *w);
/* What happened to r, for people: address and reason. */
void compose_rcpt_text(const struct compose *c, const struct job_result *r,
    struct wr *w);
/* The message/delivery-status part and its fields about the message, RFC
 * 3464 2.2. */
void compose_status_head(const struct compose *c, struct wr *w);
/* Its fields about r, RFC 3464 2.3. */
void compose_rcpt_status(const struct compose *c, const struct job_result *r,
    struct wr *w);
/* What stands before the original, whose octets the caller puts after it;
 * nothing unless c->original. */
void compose_original(const struct compose *c, struct wr *w);
/* cut: the original did not end with CRLF. */
void compose_tail(const struct compose *c, bool cut, struct wr *w);

/*
 * compose_header_only(kind, ret, body_bytes, limit_bytes):
 * Does the report carry only the header?  RFC 3461 4.3: the sender's RET
 * decides for failures, others never return the body.
 */
bool compose_header_only(enum report_kind kind, uint8_t ret,
    uint64_t body_bytes, int64_t limit_bytes);

/* enum envelope_flag of the report as a message of its own. */
uint32_t compose_flags(const struct compose *c);
