/*
 * job: records inside the frames of a delivery.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"
#include "base/wire.h"

/* A piece of a stored body. */
struct extent {
	uint64_t segment; /* number of the segment */
	uint32_t offset;  /* bytes from its start */
	uint32_t length;  /* bytes, at least 1 */
};

struct job_rcpt {
	uint32_t index;        /* in the message */
	uint8_t notify;        /* enum envelope_notify */
	struct slice address;
	struct slice orcpt;
	struct slice original;
	struct slice mailbox;  /* local, virtual: path or user */
	uint32_t uid, gid;     /* virtual */
};

enum job_status {
	JOB_SENT,
	JOB_DEFERRED,
	JOB_FAILED,
	JOB_STATUS_COUNT
};

struct job_result {
	uint32_t index;
	uint8_t status;          /* enum job_status */
	struct slice dsn;        /* "2.0.0"; at most 12 bytes */
	struct slice relay;      /* "HOST[IP]:PORT", "local", "virtual" */
	struct slice text;       /* at most 1000 bytes, unescaped */
	struct slice address;    /* only in REPORT_RCPTS */
	struct slice orcpt;      /* only in REPORT_RCPTS */
};

/* What the delivery says of its destination. */
enum job_site {
	SITE_OK,      /* the destination answered */
	SITE_FAILED,  /* no connection or handshake: brake */
	SITE_NEUTRAL, /* nothing learned */
	SITE_COUNT
};

void extent_put(struct wr *w, const struct extent *e);
bool extent_get(struct rd *r, struct extent *e);
void job_rcpt_put(struct wr *w, const struct job_rcpt *j);
bool job_rcpt_get(struct rd *r, struct job_rcpt *j);
void job_result_put(struct wr *w, const struct job_result *j);
bool job_result_get(struct rd *r, struct job_result *j);
