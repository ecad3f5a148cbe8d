/*
 * job: records inside the frames of a delivery.
 *
 * Encoded with base/wire: the fields in the order of the struct, strings with
 * a u16 length.  A frame holds whole records one after the other.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"
#include "base/wire.h"

enum {
	JOB_ADDRESS_BYTES_MAX = 512,
	JOB_ORCPT_BYTES_MAX = 500,
	JOB_MAILBOX_BYTES_MAX = 1024,
	JOB_DSN_BYTES_MAX = 12,
	JOB_RELAY_BYTES_MAX = 320, /* HOST[IP]:PORT */
	JOB_TEXT_BYTES_MAX = 1000,
	EXTENT_BYTES = 16, /* one encoded extent */
	/* The largest encoded record of each kind. */
	JOB_RCPT_BYTES_MAX = 4 + 1 + 4 * 2 + 2 * JOB_ADDRESS_BYTES_MAX +
			     JOB_ORCPT_BYTES_MAX + JOB_MAILBOX_BYTES_MAX + 8,
	JOB_RESULT_BYTES_MAX = 4 + 1 + 5 * 2 + JOB_DSN_BYTES_MAX +
			       JOB_RELAY_BYTES_MAX + JOB_TEXT_BYTES_MAX +
			       JOB_ADDRESS_BYTES_MAX + JOB_ORCPT_BYTES_MAX,
};

/* A piece of a stored body. */
struct extent {
	uint64_t segment; /* number of the segment */
	uint32_t offset;  /* bytes from its start */
	uint32_t length;  /* bytes, at least 1 */
};

struct job_rcpt {
	uint32_t index; /* in the message */
	uint8_t notify; /* enum envelope_notify */
	struct slice address;
	struct slice orcpt;
	struct slice original;
	struct slice mailbox; /* local, virtual: path or user */
	uint32_t uid, gid;    /* virtual */
};

enum job_status {
	JOB_SENT, /* delivered, or taken by a host that knows no DSN */
	JOB_DEFERRED,
	JOB_FAILED,
	/* Taken by a host that was given NOTIFY and ORCPT: it reports success
	 * to the sender, not we (RFC 3461 5.2.2). */
	JOB_SENT_DSN,
	JOB_STATUS_COUNT
};

struct job_result {
	uint32_t index;
	uint8_t status;	      /* enum job_status */
	struct slice dsn;     /* "2.0.0"; at most 12 bytes */
	struct slice relay;   /* "HOST[IP]:PORT", "local", "virtual" */
	struct slice text;    /* at most 1000 bytes, unescaped */
	struct slice address; /* only in REPORT_RCPTS */
	struct slice orcpt;   /* only in REPORT_RCPTS */
};

/* What the delivery says of its destination. */
enum job_site {
	SITE_OK,      /* the destination answered */
	SITE_FAILED,  /* no connection or handshake: brake */
	SITE_NEUTRAL, /* nothing learned */
	SITE_COUNT
};

/* Encode one record; w->full when it does not fit or a field is longer than
 * its bound.  Decode one; slices are borrowed from the reader's bytes; false,
 * with r->bad, on anything out of bounds. */
void extent_put(struct wr *w, const struct extent *e);
bool extent_get(struct rd *r, struct extent *e);
void job_rcpt_put(struct wr *w, const struct job_rcpt *j);
bool job_rcpt_get(struct rd *r, struct job_rcpt *j);
void job_result_put(struct wr *w, const struct job_result *j);
bool job_result_get(struct rd *r, struct job_result *j);
