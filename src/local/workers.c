/*
 * workers: which worker gets a delivery.
 *
 * Happy path: submit finds the worker of the owner, or starts one; the
 * delivery waits with it until it is sent (worker.c); an idle worker is let go
 * by closing its channel, and exits.
 *
 * Failure modes: a worker that cannot be started defers what it was to
 * deliver; while all places are taken, deliveries for further owners wait.
 */
#include "local/workers.h"

#include <sys/wait.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/limits.h"
#include "base/mem.h"
#include "local/syncer.h"
#include "local/workers_internal.h"

static void start_waiting(struct workers *all);

void
workers_finish(struct workers *all, struct delivery *d)
{
	list_remove(&d->node);
	list_push_back(&all->done, &d->node);
	ev_defer(all->loop, &all->task);
}

static void
on_task(void *arg, struct ev_task *t)
{
	struct workers *all = arg;
	struct list_node *n;

	(void)t;
	while ((n = list_pop_front(&all->done)) != NULL) {
		all->busy_count--;
		all->events->on_done(all->events->arg,
		    CONTAINER(n, struct delivery, node));
	}
	start_waiting(all);
}

/* ---- those that exited ---- */

static struct worker *
worker_of(struct list *l, pid_t pid)
{
	struct list_node *n;
	struct worker *w;

	for (n = list_first(l); n != NULL; n = list_next(l, n)) {
		w = CONTAINER(n, struct worker, node);
		if (w->pid == pid)
			return w;
	}
	return NULL;
}

void
workers_reap(struct workers *all)
{
	struct worker *w;
	pid_t pid;
	int status;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		w = worker_of(&all->live, pid);
		if (w != NULL) {
			w->pid = 0;
			/* What it reported before it died counts. */
			worker_receive(w);
			if (w->chan_fd >= 0)
				worker_end(w, "delivery process died");
			worker_free(w);
			continue;
		}
		w = worker_of(&all->dying, pid);
		if (w != NULL)
			worker_free(w);
	}
	start_waiting(all);
}

/* ---- which worker ---- */

static bool
same_owner(const struct owner *a, const struct owner *b)
{
	return a->uid == b->uid && a->gid == b->gid &&
	       a->spool_gid == b->spool_gid;
}

static struct worker *
find_worker(struct workers *all, const struct owner *id)
{
	struct list_node *n;
	struct worker *w;

	for (n = list_first(&all->live); n != NULL;
	     n = list_next(&all->live, n)) {
		w = CONTAINER(n, struct worker, node);
		if (same_owner(&w->owner, id))
			return w;
	}
	return NULL;
}

/* Let one idle worker go, to make place when it has exited. */
static void
retire_one(struct workers *all)
{
	struct list_node *n;
	struct worker *w, *idle = NULL;

	for (n = list_first(&all->live); n != NULL;
	     n = list_next(&all->live, n)) {
		w = CONTAINER(n, struct worker, node);
		if (w->sent_count == 0 && list_empty(&w->waiting))
			idle = w;
	}
	if (idle != NULL)
		worker_end(idle, NULL);
}

enum place { PLACE_OK, PLACE_WAIT, PLACE_FAILED };

static enum place
get_worker(struct workers *all, const struct owner *id, struct worker **out)
{
	struct worker *w = find_worker(all, id);
	struct mono never = { INT64_MAX };

	*out = w;
	if (w != NULL)
		return PLACE_OK;
	if (!gate_open(&all->gate, false)) {
		if (list_empty(&all->dying))
			retire_one(all);
		return PLACE_WAIT;
	}
	w = mem_alloc(all->acct, sizeof(*w));
	if (w == NULL)
		return PLACE_FAILED;
	if (!gate_enter(&all->gate, &w->slot, false, never, true))
		ASSERT(!"the gate was open");
	if (!worker_start(all, w, id)) {
		gate_leave(&all->gate, &w->slot);
		mem_free(all->acct, w);
		return PLACE_FAILED;
	}
	*out = w;
	return PLACE_OK;
}

/* d is in no list. */
static bool
assign(struct workers *all, struct delivery *d)
{
	struct worker *w;

	switch (get_worker(all, &d->owner, &w)) {
	case PLACE_WAIT: return false;
	case PLACE_FAILED:
		outcome_set(&d->outcome, JOB_DEFERRED, "4.3.0",
		    "cannot start delivery process");
		workers_finish(all, d);
		return true;
	case PLACE_OK: break;
	}
	list_push_back(&w->waiting, &d->node);
	if (w->sent_count == 0)
		ev_timer_set(&w->timer, all->timeout_ms);
	worker_feed(w);
	return true;
}

/* The deliveries without a worker: as many as find a place, in order. */
static void
start_waiting(struct workers *all)
{
	struct list_node *n, *next;

	for (n = list_first(&all->waiting); n != NULL; n = next) {
		next = list_next(&all->waiting, n);
		list_remove(n);
		if (assign(all, CONTAINER(n, struct delivery, node)))
			continue;
		list_insert_before(next != NULL ? next : &all->waiting.head, n);
	}
}

void
workers_submit(struct workers *all, struct delivery *d)
{
	all->busy_count++;
	if (!assign(all, d))
		list_push_back(&all->waiting, &d->node);
}

/* ---- all of them ---- */

enum err
workers_new(struct ev_loop *loop, struct acct *a, const char *program,
    unsigned limit, const struct workers_events *events, struct workers **out)
{
	struct workers *all = mem_alloc(a, sizeof(*all));

	if (all == NULL)
		return ERR_FULL;
	all->loop = loop;
	all->acct = a;
	all->program = program;
	all->events = events;
	list_init(&all->live);
	list_init(&all->dying);
	list_init(&all->waiting);
	list_init(&all->done);
	all->idle_ms = WORKER_IDLE_MS;
	all->timeout_ms = WORKER_TIMEOUT_MS;
	limits_row(LIMIT_DEADLINE, "delivery without progress", "", 0,
	    WORKER_TIMEOUT_MS);
	limits_row(LIMIT_DEADLINE, "idle worker", "", 0, WORKER_IDLE_MS);
	limits_row(LIMIT_COUNT, "deliveries in a batch", "", 0,
	    WORKER_GROUP_MAX);
	limits_row(LIMIT_COUNT, "syncs at once of a worker", "", 0,
	    SYNCER_THREADS_MAX);
	gate_init(&all->gate, "workers", "concurrency_local", limit, 0);
	ev_task_init(&all->task, on_task, all);
	if (gethostname(all->host, sizeof(all->host) - 1) < 0)
		all->host[0] = '\0';
	*out = all;
	return OK;
}

void
workers_set_times(struct workers *all, int64_t idle_ms, int64_t timeout_ms)
{
	all->idle_ms = idle_ms;
	all->timeout_ms = timeout_ms;
}

void
workers_set_limit(struct workers *all, unsigned limit)
{
	gate_set_limit(&all->gate, limit, 0);
	start_waiting(all);
}

static void
drop_list(struct list *l)
{
	while (list_pop_front(l) != NULL)
		continue;
}

void
workers_abandon(struct workers *all)
{
	struct list_node *n;
	struct worker *w;

	while ((n = list_first(&all->live)) != NULL) {
		w = CONTAINER(n, struct worker, node);
		drop_list(&w->waiting);
		drop_list(&w->sent);
		w->current = NULL;
		w->sent_count = 0;
		/* The worker sees its channel closed, takes back what it has
		 * not published, and exits. */
		worker_detach(w);
	}
	drop_list(&all->waiting);
	drop_list(&all->done);
	ev_task_cancel(&all->task);
	all->busy_count = 0;
}

unsigned
workers_busy(const struct workers *all)
{
	return all->busy_count;
}

void
workers_free(struct workers *all)
{
	struct list_node *n;

	if (all == NULL)
		return;
	workers_abandon(all);
	while ((n = list_first(&all->dying)) != NULL)
		worker_free(CONTAINER(n, struct worker, node));
	mem_free(all->acct, all);
}
