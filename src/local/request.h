/*
 * request: what weir-local and its workers say to each other.
 *
 * One SOCK_SEQPACKET pair and one pipe for each worker.  weir-local sends
 * requests, one in a packet, and after (never before) each request its body
 * through the pipe, in the same order, exactly body_bytes of it.  The worker
 * answers with packets that hold one or more results; before it, it may say
 * of a request that it is written and waits only for the disk.  When
 * weir-local closes its ends the worker exits.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "base/wire.h"
#include "local/lock.h"
#include "local/outcome.h"
#include "local/path.h"
#include "proto/envelope.h"

enum {
	/* Descriptors of a worker. */
	WORKER_CHANNEL_FD = 0,
	WORKER_BODY_FD = 1,
	/* Deliveries that a worker syncs together. */
	WORKER_GROUP_MAX = 32,
	/* Requests that a worker may have at once: while one group is synced
	 * the next one is written. */
	WORKER_REQUESTS_MAX = 2 * WORKER_GROUP_MAX,
	REQUEST_BYTES_MAX = 8192,
	RESULTS_BYTES_MAX = WORKER_GROUP_MAX * (OUTCOME_TEXT_BYTES + 32),
	/* In place of an enum job_status: no result yet, but written. */
	RESULT_WRITTEN = JOB_STATUS_COUNT,
};

enum mailbox_kind { MAILBOX_MAILDIR, MAILBOX_MBOX, MAILBOX_KINDS };

enum request_flag {
	REQUEST_CREATE = 1, /* make directories that are missing below base */
	/* base is the home of the worker's user: it must be his and not
	 * writable for all, and he may have symbolic links in it. */
	REQUEST_HOME = 2,
};

struct request {
	uint32_t tag;		   /* comes back in the result */
	uint8_t kind;		   /* enum mailbox_kind */
	uint8_t flags;		   /* enum request_flag */
	uint64_t body_bytes;	   /* that follow through the pipe */
	uint64_t size_limit_bytes; /* of an mbox; 0: none */
	struct lock_policy locks;  /* of an mbox */
	struct slice base;	   /* absolute path of a directory */
	struct slice path;	   /* of the mailbox below it */
	struct slice sender;	   /* empty: null sender */
	struct slice address;	   /* the recipient */
	struct slice original;	   /* before aliasing; empty: the same */
};

struct result {
	uint32_t tag;
	uint8_t status; /* enum job_status, or RESULT_WRITTEN */
	struct slice dsn;
	struct slice text;
};

/* w->full when it does not fit. */
void request_put(struct wr *w, const struct request *q);
/* False when malformed or out of bounds; slices are borrowed. */
bool request_get(struct rd *r, struct request *q);
void result_put(struct wr *w, uint32_t tag, const struct outcome *o);
/* Not the result, but that only the disk is waited for. */
void result_put_written(struct wr *w, uint32_t tag);
bool result_get(struct rd *r, struct result *result);
