/*
 * workers: which worker gets a request.
 *
 * Happy path: submit finds the worker of the owner, or starts one; the
 * request waits with it until it is sent (worker.c); an idle worker is let go
 * by closing its channel, and exits.
 *
 * Failure modes: a worker that cannot be started is tried fork_attempts times,
 * fork_delay apart, whoever it is for; then what waits for one is deferred, and
 * the next start is tried as long after.  While all places are taken, what
 * needs a further worker waits.  A worker
 * that is never idle would keep its place for ever: when others wait it gets
 * WORKER_TURN_COUNT requests more, and then what is for its owner waits
 * behind them.
 */
#include "local/workers.h"

#include <sys/wait.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/limits.h"
#include "base/mem.h"
#include "local/command.h"
#include "local/dotfile.h"
#include "local/syncer.h"
#include "local/workers_internal.h"

const struct workers_events *
workers_events_of(const struct workers *all, const struct delivery *d)
{
	return d->events != NULL ? d->events : all->events;
}

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
	const struct workers_events *ev;
	struct workers *all = arg;
	struct list_node *n;
	struct delivery *d;

	(void)t;
	while ((n = list_pop_front(&all->done)) != NULL) {
		d = CONTAINER(n, struct delivery, node);
		ev = workers_events_of(all, d);
		all->busy_count--;
		ev->on_done(ev->arg, d);
	}
	workers_place_free(all);
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
	workers_place_free(all);
}

/* ---- which worker ---- */

static bool
same_owner(const struct owner *a, const struct owner *b)
{
	return a->uid == b->uid && a->gid == b->gid &&
	       a->spool_gid == b->spool_gid;
}

/* One that takes d, perhaps behind others. */
static struct worker *
find_worker(struct workers *all, const struct delivery *d)
{
	bool command = request_is_command(&d->request);
	struct list_node *n;
	struct worker *w;

	for (n = list_first(&all->live); n != NULL;
	     n = list_next(&all->live, n)) {
		w = CONTAINER(n, struct worker, node);
		if (w->for_commands == command &&
		    same_owner(&w->owner, &d->owner) &&
		    (!command || worker_idle(w)))
			return w;
	}
	return NULL;
}

/* Let idle workers go, to make places when they have exited: not more than
 * there are requests that wait. */
static void
retire_some(struct workers *all)
{
	struct list_node *n = list_first(&all->live), *next;
	struct worker *w;

	for (; n != NULL && all->dying_count < all->waiting_count; n = next) {
		next = list_next(&all->live, n);
		w = CONTAINER(n, struct worker, node);
		if (worker_idle(w))
			worker_end(w, NULL);
	}
}

/* ---- starts that fail ---- */

static void
on_fork_timer(void *arg, struct ev_timer *t)
{
	struct workers *all = arg;

	(void)t;
	all->fork_waits = false;
	workers_place_free(all);
}

static void
cannot_start(struct workers *all, struct delivery *d)
{
	outcome_set(&d->outcome, JOB_DEFERRED, "4.3.0",
	    "cannot start delivery process");
	workers_finish(all, d);
}

static void
none_can_start(struct workers *all)
{
	struct list_node *n;

	while ((n = list_pop_front(&all->waiting)) != NULL) {
		cannot_start(all, CONTAINER(n, struct delivery, node));
		all->waiting_count--;
	}
}

/* Too often in a row: all who wait for a worker are told.  True if so. */
static bool
start_failed(struct workers *all, const struct owner *owner)
{
	bool over = ++all->failed_count >= all->fork_attempts;
	char who[32];
	int len;

	all->fork_waits = true;
	ev_timer_set(&all->fork_timer, all->fork_delay_ms);
	if (!over)
		return false;
	all->failed_count = 0;
	len = snprintf(who, sizeof(who), "uid %lu", (unsigned long)owner->uid);
	limit_refused(all->fork_row);
	log_limit_row(&all->fork_site, ev_now(all->loop), all->fork_row,
	    slice_of(who, (size_t)len), "what waits for a worker is deferred");
	none_can_start(all);
	return true;
}

/* ---- a place for each ---- */

enum place { PLACE_OK, PLACE_WAIT, PLACE_FAILED };

static enum place
new_worker(struct workers *all, const struct delivery *d, struct worker **out)
{
	bool command = request_is_command(&d->request);
	struct mono never = { INT64_MAX };
	struct worker *w;

	if (!gate_open(&all->gate, false) || all->fork_waits)
		return PLACE_WAIT;
	w = mem_alloc(all->acct, sizeof(*w));
	if (w == NULL)
		return PLACE_FAILED;
	if (!gate_enter(&all->gate, &w->slot, false, never, true))
		ASSERT(!"the gate was open");
	if (!worker_start(all, w, &d->owner, command)) {
		gate_leave(&all->gate, &w->slot);
		mem_free(all->acct, w);
		return start_failed(all, &d->owner) ? PLACE_FAILED : PLACE_WAIT;
	}
	all->failed_count = 0;
	workers_recount_later(all);
	*out = w;
	return PLACE_OK;
}

/* first: nobody waits before d. */
static enum place
get_worker(struct workers *all, const struct delivery *d, bool first,
    struct worker **out)
{
	struct worker *w = find_worker(all, d);

	*out = w;
	if (w == NULL)
		return first ? new_worker(all, d, out) : PLACE_WAIT;
	if (first)
		w->turn_count = 0;
	else if (w->turn_count++ >= WORKER_TURN_COUNT)
		return PLACE_WAIT;
	return PLACE_OK;
}

/* d is in no list. */
static bool
assign(struct workers *all, struct delivery *d, bool first)
{
	struct worker *w;

	switch (get_worker(all, d, first, &w)) {
	case PLACE_WAIT: return false;
	case PLACE_FAILED: cannot_start(all, d); return true;
	case PLACE_OK: break;
	}
	list_push_back(&w->waiting, &d->node);
	if (w->sent_count == 0)
		ev_timer_set(&w->timer, all->timeout_ms);
	worker_feed(w);
	return true;
}

/* Those without a worker: as many as find a place, in order. */
void
workers_place_free(struct workers *all)
{
	struct list_node *n;

	while ((n = list_pop_front(&all->waiting)) != NULL) {
		if (!assign(all, CONTAINER(n, struct delivery, node), true)) {
			list_push_front(&all->waiting, n);
			break;
		}
		all->waiting_count--;
	}
	retire_some(all);
}

void
workers_submit(struct workers *all, struct delivery *d)
{
	d->written = d->stop = false;
	all->busy_count++;
	if (assign(all, d, all->waiting_count == 0))
		return;
	list_push_back(&all->waiting, &d->node);
	all->waiting_count++;
	retire_some(all);
}

/* ---- all of them ---- */

enum err
workers_new(struct ev_loop *loop, struct acct *a, const char *program,
    const struct copies *copies, unsigned limit,
    const struct workers_events *events, struct workers **out)
{
	struct workers *all = mem_alloc(a, sizeof(*all));

	if (all == NULL)
		return ERR_FULL;
	all->loop = loop;
	all->acct = a;
	all->program = program;
	all->copies = copies;
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
	limits_row(LIMIT_SIZE, "recipients of a pipe's command", "", 0,
	    REQUEST_RECIPIENTS_BYTES_MAX);
	limits_row(LIMIT_COUNT, "requests in an owner's turn", "", 0,
	    WORKER_TURN_COUNT);
	limits_row(LIMIT_COUNT, "syncs at once of a worker", "", 0,
	    SYNCER_THREADS_MAX);
	limits_row(LIMIT_SIZE, "a user's .qmail or .forward", "", 0,
	    DOT_FILE_BYTES_MAX);
	limits_row(LIMIT_COUNT, "included files of a .forward", "", 0,
	    DOT_INCLUDES_MAX);
	limits_row(LIMIT_SIZE, "output kept of a command", "", 0,
	    COMMAND_OUTPUT_BYTES_MAX);
	limits_row(LIMIT_DEADLINE, "a command that is told to end", "", 0,
	    COMMAND_GRACE_MS);
	all->fork_row = limits_row(LIMIT_COUNT, "failed starts of a worker",
	    "fork_attempts", 0, 0);
	ev_timer_init(&all->fork_timer, loop, on_fork_timer, all);
	workers_set_forks(all, 1, 1);
	gate_init(&all->gate, "workers", "concurrency_local", limit, 0);
	ev_task_init(&all->task, on_task, all);
	workers_recount_init(all);
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
workers_set_forks(struct workers *all, unsigned attempts, int64_t delay_ms)
{
	all->fork_attempts = attempts;
	all->fork_delay_ms = delay_ms;
	limit_set_limit(all->fork_row, attempts);
}

void
workers_set_limit(struct workers *all, unsigned limit)
{
	gate_set_limit(&all->gate, limit, 0);
	workers_place_free(all);
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
	all->waiting_count = 0;
	drop_list(&all->done);
	ev_task_cancel(&all->task);
	ev_timer_clear(&all->fork_timer);
	all->fork_waits = false;
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
	ev_timer_clear(&all->recount);
	while ((n = list_first(&all->dying)) != NULL)
		worker_free(CONTAINER(n, struct worker, node));
	mem_free(all->acct, all);
}
