/*
 * log_commit: between log_write.c and log_commit.c only.
 */
#pragma once

#include "base/err.h"

struct store;

/* Finish the records of the batch being filled; checkpoint, table. */
void log_seal(struct store *s);
/* Hand the batch to LANE_LOG and begin the other.  The disk must be free
 * (log.flight NULL) and, with want_close, the next segment ready. */
MUST_CHECK enum err log_submit(struct store *s);
/* No further append, no further ticket. */
void log_poison(struct store *s, enum err e, const char *why);
