/*
 * workers: the processes that act as a recipient.
 *
 * For each owner there is one for his mailbox and his dot files.  It is
 * started when a request for its owner comes, gets up to WORKER_REQUESTS_MAX
 * at once (which it syncs together), and is kept for WORKER_IDLE_MS after its
 * last one.  A command has a worker alone, so that mail into the mailbox never
 * waits behind it.
 *
 * There are never more than concurrency_local of all of them.  What needs one
 * more waits in the order in which it came; while somebody waits an owner's
 * worker gets WORKER_TURN_COUNT requests and then has to give up its place.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/list.h"
#include "local/request.h"
#include "local/segments.h"
#include "local/target.h"

struct acct;
struct copies;
struct ev_loop;
struct workers;

enum {
	WORKER_IDLE_MS = 5000,
	/* Without any progress for so long a worker is killed; the time that
	 * mbox locks may take is added. */
	WORKER_TIMEOUT_MS = 300 * 1000,
	WORKER_TURN_COUNT = 4 * WORKER_GROUP_MAX,
};

/* A request on its way through a worker.  Embedded by who made it and not
 * touched by him between workers_submit and on_done. */
struct workers_events;
struct delivery {
	struct list_node node;
	/* NULL: those that the workers were made with. */
	const struct workers_events *events;
	struct owner owner;
	struct request request; /* slices live until on_done */
	struct body_source body;
	struct outcome outcome; /* set when on_done is called */
	bool written;		/* the worker waits only for the disk */
	bool stop;		/* of a command: nothing is to follow it */
};

struct workers_events {
	/* d is over, d->outcome says how.  Called from a task of the loop. */
	void (*on_done)(void *arg, struct delivery *d);
	/* d is written, on_done follows when it is durable; not for every
	 * delivery.  May be NULL. */
	void (*on_written)(void *arg, struct delivery *d);
	/* One action of the plan that d asks for; r is borrowed.  Called from
	 * within the worker's events: note it. */
	void (
	    *on_action)(void *arg, struct delivery *d, const struct result *r);
	void *arg;
};

/*
 * workers_new(loop, a, program, copies, limit, events, out):
 * program is the path of weir-deliver; copies gives commands their messages;
 * borrowed, as events is.
 */
MUST_CHECK enum err workers_new(struct ev_loop *loop, struct acct *a,
    const char *program, const struct copies *copies, unsigned limit,
    const struct workers_events *events, struct workers **out);
/* concurrency_local after a reload; takes effect as workers leave. */
void workers_set_limit(struct workers *w, unsigned limit);
/* Starts are tried attempts times in a row, at least 1, delay_ms apart: then
 * all that waits for a worker is deferred.  Until set: once, 1 ms. */
void workers_set_forks(struct workers *w, unsigned attempts, int64_t delay_ms);
/* In place of WORKER_IDLE_MS and WORKER_TIMEOUT_MS: for tests. */
void workers_set_times(struct workers *w, int64_t idle_ms, int64_t timeout_ms);
void workers_submit(struct workers *w, struct delivery *d);
/* Let go of every worker and every delivery: what no worker has published is
 * not delivered, on_done is not called any more for any of them. */
void workers_abandon(struct workers *w);
/* Deliveries that are not over. */
unsigned workers_busy(const struct workers *w);
/* SIGCHLD came: take in the workers that have exited.  No other child of
 * this process is known. */
void workers_reap(struct workers *w);
/* Also the processes: they exit when their channels close. */
void workers_free(struct workers *w);
