/*
 * workers_internal: a worker, for workers.c, which chooses one for a delivery,
 * and worker.c, which feeds it.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "base/gate.h"
#include "base/list.h"
#include "base/log.h"
#include "ev/loop.h"
#include "local/workers.h"

struct worker {
	struct list_node node; /* in workers.live or workers.dying */
	struct workers *all;
	struct owner owner;
	bool for_commands; /* one at a time, and nothing else */
	pid_t pid;
	int chan_fd, pipe_fd; /* -1 when dying */
	struct ev_io chan_io, pipe_io;
	struct ev_timer timer; /* idle, or deadline */
	struct gate_slot slot;
	struct list waiting;	  /* deliveries not yet sent */
	struct list sent;	  /* that lack their result */
	struct delivery *current; /* whose body is being sent */
	unsigned sent_count;	  /* in sent, and current */
	unsigned turn_count; /* requests since somebody waits for a place */
	uint32_t next_tag;
	int64_t patience_ms; /* locks or commands may take so much longer */
};

struct workers {
	struct ev_loop *loop;
	struct acct *acct;
	const char *program;
	const struct copies *copies;
	const struct workers_events *events;
	struct gate gate;
	struct list live, dying;
	unsigned dying_count;
	struct list waiting; /* requests without a worker, the oldest first */
	unsigned waiting_count;
	struct list done; /* on_done is to be called */
	struct ev_task task;
	struct ev_timer recount;
	unsigned busy_count;
	int64_t idle_ms, timeout_ms;
	unsigned fork_attempts, failed_count; /* starts that failed in a row */
	int64_t fork_delay_ms;
	bool fork_waits; /* fork_timer is set: no start before it fires */
	struct ev_timer fork_timer;
	struct limit_row *fork_row;
	struct log_limit_site fork_site;
	char host[256]; /* for unique names */
};

/* Who is told about d. */
const struct workers_events *workers_events_of(const struct workers *all,
    const struct delivery *d);
/* A place of the gate may have come free. */
void workers_place_free(struct workers *all);
/* d is over, its outcome set: on_done will be called. */
void workers_finish(struct workers *all, struct delivery *d);

/*
 * worker_start(all, w, id, for_commands):
 * Run the process of a new worker for id.  w holds its slot of the gate.
 * False after a line in the log.
 */
bool worker_start(struct workers *all, struct worker *w, const struct owner *id,
    bool for_commands);
/* It has nothing to do. */
bool worker_idle(const struct worker *w);
/* Send what waits with it, as far as it takes it.  The worker may end. */
void worker_feed(struct worker *w);
/* Results that it sent are taken, a broken channel ends it. */
void worker_receive(struct worker *w);
/* It exits when it sees that its channels are closed; why, unless it is NULL:
 * it is killed, and its deliveries are deferred with that. */
void worker_end(struct worker *w, const char *why);
/* Close its channels; it is in all->dying from now on. */
void worker_detach(struct worker *w);
/* The process is gone, the gate's slot free. */
void worker_free(struct worker *w);

/* ---- workers_recount.c ---- */

/* Before the others. */
void workers_recount_init(struct workers *all);
/* A place was taken: count within a minute. */
void workers_recount_later(struct workers *all);
/* Now. */
void workers_recount(struct workers *all);
