/*
 * handover: what qmail-smtpd says of a connection that it hands over.
 *
 * One packet on queue_directory/run/session, with the descriptor of the
 * connection: HANDOVER_MAGIC, then those of HANDOVER_NAMES that are set, each
 * "NAME=value" and a NUL.  The answer is one octet when the session is over:
 * the exit status of qmail-smtpd.  No answer: it was not taken, or the server
 * died.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"
#include "proto/envelope.h"

#define HANDOVER_MAGIC "weir session 1"

/* Variables of the environment (X(NAME)), as tcpserver and its rules set
 * them. */
#define HANDOVER_NAMES(X) \
	X(TCPREMOTEIP)    \
	X(TCPREMOTEHOST)  \
	X(TCPREMOTEINFO)  \
	X(RELAYCLIENT)    \
	X(DATABYTES)

enum {
	HANDOVER_VALUE_BYTES_MAX = 255,
	HANDOVER_BYTES_MAX = 2048, /* more than all of it */
	HANDOVER_GOOD = 0,	   /* the client said QUIT */
	HANDOVER_BROKEN = 1,	   /* anything else, as in qmail */
};

/* Slices are borrowed from the packet; empty: not set. */
struct handover {
	struct slice ip, host, info;
	bool relays;	    /* RELAYCLIENT is set */
	struct slice relay; /* its value, put behind each recipient */
	bool has_size;	    /* DATABYTES is set */
	uint64_t size;	    /* octets; 0: no limit */
};

/*
 * handover_get(packet, out, why_out):
 * False when it is malformed or a value is not usable: *why_out says which
 * (static storage), and the session may not begin, for who could relay or
 * how much would not be known.
 */
bool handover_get(struct slice packet, struct handover *out,
    const char **why_out);

/*
 * handover_rcpt(address, relay, buf, len_out):
 * A canonical address with RELAYCLIENT's value behind it, canonical again: with
 * "@fixme" a@b.example becomes "a@b.example"@fixme.  False if that is no
 * address.
 */
bool handover_rcpt(struct slice address, struct slice relay,
    char buf[static ADDRESS_BYTES_MAX], size_t *len_out);
