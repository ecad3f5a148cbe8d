/*
 * outcome: what became of one delivery, for the queue and for people.
 *
 * A fault of this machine (disk, quota, permissions, locks) is temporary and
 * never bounces mail; only a property of the message itself (a loop) fails, or
 * what the administrator or the user decided.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "ipc/job.h"

enum { OUTCOME_TEXT_BYTES = 400 };

/* A limit that ended it, or was met on the way, for the counters of
 * weir-local. */
enum outcome_limit {
	OUTCOME_LIMIT_NONE,
	OUTCOME_LIMIT_TIME,  /* of a command */
	OUTCOME_LIMIT_LOCK,  /* attempts at the lock of a mailbox */
	OUTCOME_LIMIT_SIZE,  /* mailbox_size_limit */
	OUTCOME_LIMIT_STALE, /* stale_lock_time; delivered */
	OUTCOME_LIMIT_COUNT
};

struct outcome {
	enum job_status status;
	char dsn[12];		       /* RFC 3463: "2.0.0" */
	char text[OUTCOME_TEXT_BYTES]; /* terminated, cut to fit */
	uint8_t limit;		       /* enum outcome_limit */
};

/* Set all, without a limit; dsn is a literal "x.y.z".  Returns false when
 * status is not JOB_SENT, so that "return outcome_set(...)" ends a delivery
 * step. */
bool outcome_set(struct outcome *o, enum job_status status, const char *dsn,
    const char *fmt, ...) PRINTF(4, 5);

/*
 * outcome_errno(o, errnum, fmt, ...):
 * Deferred, with the enhanced status that the failed system call deserves
 * and its text appended: EDQUOT and EFBIG 4.2.2 (mailbox full), ENOSPC 4.3.1
 * (system full), EACCES, EPERM, ELOOP, ENOTDIR and other refusals of the
 * mailbox 4.2.0, anything else 4.3.0.  Always returns false.
 */
bool outcome_errno(struct outcome *o, int errnum, const char *fmt, ...)
    PRINTF(3, 4);

/* A limit that somebody has set closes the mailbox: deferred 4.2.2, or, with
 * bounces (mailbox_full_action), failed 5.2.2.  Always returns false. */
bool outcome_full(struct outcome *o, bool bounces, const char *fmt, ...)
    PRINTF(3, 4);
