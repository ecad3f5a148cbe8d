/*
 * batch: the deliveries that a worker does together.
 *
 * batch_deliver takes one message to the point where only syncing is left (a
 * Maildir) or all the way (an mbox); batch_commit has everything synced and
 * published, which batch_step goes on with while the next messages are
 * written.  A message counts as delivered only in the report.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"
#include "local/body.h"
#include "local/request.h"

struct batch;

/* The worker's only batch, empty; static storage.  io is borrowed. */
struct batch *batch_init(const struct worker_io *io);
/* Deliveries that wait for a commit. */
unsigned batch_count(const struct batch *b);
/* Of the deliveries that wait; each commit begins another, from 1. */
uint64_t batch_serial(const struct batch *b);
/* No room for another before a commit. */
bool batch_full(const struct batch *b);
/* A commit is under way: batch_step when syncer_fd is readable. */
bool batch_syncing(const struct batch *b);

/*
 * batch_deliver(b, q):
 * Read the body of q, which has the fields of a REQUEST_DELIVER, and deliver
 * it. The batch must not be full.  May commit what is in the batch first, so
 * that it does not wait for a locked mbox. False when the body ended too early:
 * weir-local is gone, abandon all.
 */
bool batch_deliver(struct batch *b, const struct request *q);
/* Tell weir-local what was written since the last time, and waits only for
 * the disk. */
void batch_tell(struct batch *b);
/* Begin to sync what was delivered; no-op when empty, and while the commit
 * before is under way. */
void batch_commit(struct batch *b);
/* Go on with the commit as far as that is possible without waiting: publish,
 * report. */
void batch_step(struct batch *b);
/* Commit everything; blocks until all of it is reported. */
void batch_finish(struct batch *b);
/* Nobody will hear of them: take back everything that is not reported. */
void batch_abandon(struct batch *b);
