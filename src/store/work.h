/*
 * work: what blocks, done elsewhere.
 *
 * A job is run by the thread of its lane, in the order of posting, and then
 * its done is called from work_poll, in the order of completion.  Without
 * threads (simulator, tools) work_poll runs one job itself, of a lane chosen
 * by random_u64(), so that a seed decides the interleaving.
 */
#pragma once

#include <stdbool.h>

#include "base/err.h"
#include "base/list.h"

struct acct;
struct work;

enum lane {
	LANE_LOG,   /* write of batches, and sync of small ones */
	LANE_SYNC,  /* sync of large ones */
	LANE_INDEX, /* SQLite */
	LANE_FILES, /* making, renaming, reading of segments */
	LANE_COUNT
};

/* Embedded by its owner; reusable after done. */
struct job {
	struct list_node node;
	void (*run)(struct job *j);  /* in the lane: no accounts, no log */
	void (*done)(struct job *j); /* in the caller's thread */
	bool busy;		     /* posted, done not yet called */
};

/* threads: one for each lane; without them work_poll runs the jobs.  ERR_NOMEM,
 * ERR_SYS, with et. */
MUST_CHECK enum err work_open(struct acct *a, bool threads, struct work **out,
    struct errtext *et);
/* Jobs not yet run are dropped; one that runs is waited for. */
void work_close(struct work *w);
int work_fd(const struct work *w); /* -1 without threads */
void work_post(struct work *w, enum lane lane, struct job *j);
/* False: nothing to do. */
bool work_poll(struct work *w);
/* Wait for one completion at least; something must be under way. */
void work_wait_next(struct work *w);
/* Poll until the job is done; others' done are called too. */
void work_wait(struct work *w, const struct job *j);
