/*
 * workers: starting, feeding, watching and ending them.
 *
 * Happy path: submit finds the worker of the owner, or starts one; the
 * delivery is queued with it; its request is sent, its body spliced into the
 * pipe as that takes it, then the next; results come in packets, each ends a
 * delivery; an idle worker is let go by closing its channel, and exits.
 *
 * Failure modes: a worker that cannot be started, dies, answers nonsense or
 * makes no progress until its deadline is killed, and each of its deliveries
 * is deferred.  A body that cannot be read leaves the pipe out of step, so
 * its worker is killed too.  A killed process that does not go away (a dead
 * network disk) keeps its place until it does.
 */
#include "local/workers.h"

#include <errno.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/gate.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "ev/loop.h"
#include "local/launch.h"

struct worker {
	struct list_node node; /* in workers.live or workers.dying */
	struct workers *all;
	struct owner owner;
	pid_t pid;
	int chan_fd, pipe_fd; /* -1 when dying */
	struct ev_io chan_io, pipe_io;
	struct ev_timer timer; /* idle, or deadline */
	struct gate_slot slot;
	struct list waiting;	  /* deliveries not yet sent */
	struct list sent;	  /* that lack their result */
	struct delivery *current; /* whose body is being sent */
	unsigned sent_count;	  /* in sent, and current */
	uint32_t next_tag;
	int64_t locks_ms; /* longest wait for the locks of an mbox */
};

struct workers {
	struct ev_loop *loop;
	struct acct *acct;
	const char *program;
	const struct workers_events *events;
	struct gate gate;
	struct list live, dying;
	struct list waiting; /* deliveries without a worker */
	struct list done;    /* on_done is to be called */
	struct ev_task task;
	unsigned busy_count;
	int64_t idle_ms, timeout_ms;
	char host[256]; /* for unique names */
};

static void on_channel(void *arg, struct ev_io *io, unsigned ready);
static void start_waiting(struct workers *all);

static void
finish(struct workers *all, struct delivery *d)
{
	list_remove(&d->node);
	list_push_back(&all->done, &d->node);
	ev_defer(all->loop, &all->task);
}

static void
finish_list(struct workers *all, struct list *l, const char *why)
{
	struct list_node *n;
	struct delivery *d;

	while ((n = list_first(l)) != NULL) {
		d = CONTAINER(n, struct delivery, node);
		outcome_set(&d->outcome, JOB_DEFERRED, "4.3.0", "%s", why);
		finish(all, d);
	}
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

/* ---- the end of a worker ---- */

static void
detach(struct worker *w)
{
	ev_io_fini(&w->chan_io);
	ev_io_fini(&w->pipe_io);
	ev_timer_clear(&w->timer);
	close(w->chan_fd);
	close(w->pipe_fd);
	w->chan_fd = w->pipe_fd = -1;
	list_remove(&w->node);
	list_push_back(&w->all->dying, &w->node);
}

/* Its deliveries are deferred; it is killed unless it has none. */
static void
end_worker(struct worker *w, const char *why)
{
	struct workers *all = w->all;

	detach(w);
	if (why == NULL)
		return;
	log_warning("worker of user id %lu: %s; its deliveries are deferred",
	    (unsigned long)w->owner.uid, why);
	if (w->pid > 0)
		(void)kill(w->pid, SIGKILL);
	if (w->current != NULL)
		list_push_front(&w->sent, &w->current->node);
	w->current = NULL;
	finish_list(all, &w->sent, why);
	finish_list(all, &w->waiting, why);
	/* Others may wait for its place, which reaping frees. */
}

static void
free_worker(struct worker *w)
{
	list_remove(&w->node);
	gate_leave(&w->all->gate, &w->slot);
	mem_free(w->all->acct, w);
}

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
			on_channel(w, &w->chan_io, EV_RD);
			if (w->chan_fd >= 0)
				end_worker(w, "delivery process died");
			free_worker(w);
			continue;
		}
		w = worker_of(&all->dying, pid);
		if (w != NULL)
			free_worker(w);
	}
	start_waiting(all);
}

static void
on_timer(void *arg, struct ev_timer *t)
{
	struct worker *w = arg;

	(void)t;
	if (w->sent_count > 0 || !list_empty(&w->waiting))
		end_worker(w, "delivery process hangs");
	else
		end_worker(w, NULL);
}

/* Progress was made: the deadline begins anew. */
static void
set_timer(struct worker *w)
{
	if (w->sent_count > 0)
		ev_timer_set(&w->timer, w->all->timeout_ms + w->locks_ms);
	else
		ev_timer_set(&w->timer, w->all->idle_ms);
}

/* ---- feeding ---- */

/* One request; false when the channel is full or broken. */
static bool
send_request(struct worker *w, struct delivery *d)
{
	static unsigned char packet[REQUEST_BYTES_MAX];
	struct wr out = wr_of(packet, sizeof(packet));
	ssize_t n;

	d->request.tag = w->next_tag++;
	request_put(&out, &d->request);
	ASSERT(!out.full);
	n = send(w->chan_fd, packet, out.len, MSG_NOSIGNAL | MSG_DONTWAIT);
	return n == (ssize_t)out.len;
}

/* The next delivery's request, if the worker takes one more. */
static bool
send_next(struct worker *w)
{
	struct list_node *n = list_first(&w->waiting);
	struct delivery *d;
	int64_t locks_ms;

	if (n == NULL || w->sent_count == WORKER_REQUESTS_MAX)
		return false;
	d = CONTAINER(n, struct delivery, node);
	if (!send_request(w, d)) {
		/* A dead worker is seen when its channel is read. */
		if (errno == EAGAIN)
			ev_io_want(&w->chan_io, EV_RD | EV_WR);
		return false;
	}
	list_remove(n);
	locks_ms =
	    (int64_t)d->request.locks.attempts * d->request.locks.delay_ms;
	if (locks_ms > w->locks_ms)
		w->locks_ms = locks_ms;
	w->current = d;
	w->sent_count++;
	return true;
}

static void
feed(struct worker *w)
{
	enum err e;

	while (w->current != NULL || send_next(w)) {
		e = body_source_send(&w->current->body, w->pipe_fd);
		if (e == ERR_AGAIN) {
			ev_io_want(&w->pipe_io, EV_WR);
			return;
		}
		if (e == ERR_CLOSED) {
			end_worker(w, "delivery process died");
			return;
		}
		if (e != OK) {
			end_worker(w, "message cannot be read from the queue");
			return;
		}
		list_push_back(&w->sent, &w->current->node);
		w->current = NULL;
	}
	ev_io_want(&w->pipe_io, 0);
}

static void
on_pipe(void *arg, struct ev_io *io, unsigned ready)
{
	struct worker *w = arg;

	(void)io;
	(void)ready;
	set_timer(w);
	feed(w);
}

/* ---- results ---- */

/* d has no result yet, but uses nothing of the machine but the disk. */
static bool
take_written(struct worker *w, struct delivery *d)
{
	const struct workers_events *ev = w->all->events;

	if (d->written)
		return false;
	d->written = true;
	if (ev->on_written != NULL)
		ev->on_written(ev->arg, d);
	return true;
}

static bool
take_result(struct worker *w, const struct result *r)
{
	struct list_node *n;
	struct delivery *d;

	for (n = list_first(&w->sent); n != NULL; n = list_next(&w->sent, n)) {
		d = CONTAINER(n, struct delivery, node);
		if (d->request.tag != r->tag)
			continue;
		if (r->status == RESULT_WRITTEN)
			return take_written(w, d);
		d->outcome.status = (enum job_status)r->status;
		if (!slice_copy(r->dsn, d->outcome.dsn,
			sizeof(d->outcome.dsn)) ||
		    !slice_copy(r->text, d->outcome.text,
			sizeof(d->outcome.text)))
			return false;
		w->sent_count--;
		finish(w->all, d);
		return true;
	}
	return false;
}

static bool
take_results(struct worker *w, struct slice packet)
{
	struct rd r = rd_of(packet);
	struct result result;

	while (r.left > 0)
		if (!result_get(&r, &result) || !take_result(w, &result))
			return false;
	return true;
}

static void
on_channel(void *arg, struct ev_io *io, unsigned ready)
{
	static char packet[RESULTS_BYTES_MAX];
	struct worker *w = arg;
	ssize_t n;

	(void)io;
	if (ready & EV_WR)
		ev_io_want(&w->chan_io, EV_RD);
	while (
	    (n = recv(w->chan_fd, packet, sizeof(packet), MSG_DONTWAIT)) > 0) {
		if (!take_results(w, slice_of(packet, (size_t)n))) {
			end_worker(w, "delivery process answers nonsense");
			return;
		}
	}
	if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
		end_worker(w, "delivery process died");
		return;
	}
	set_timer(w);
	feed(w);
}

/* ---- the beginning of a worker ---- */

static void
init_worker(struct worker *w, struct workers *all, const struct owner *id)
{
	w->all = all;
	w->owner = *id;
	list_init(&w->waiting);
	list_init(&w->sent);
	ev_io_init(&w->chan_io, all->loop, w->chan_fd, on_channel, w);
	ev_io_init(&w->pipe_io, all->loop, w->pipe_fd, on_pipe, w);
	ev_timer_init(&w->timer, all->loop, on_timer, w);
	ev_io_want(&w->chan_io, EV_RD);
	list_push_front(&all->live, &w->node);
}

/* A new worker in the place w->slot, which is held. */
static bool
start(struct workers *all, struct worker *w, const struct owner *id)
{
	struct launched sp;

	if (!launch_worker(all->program, all->host, id, &sp))
		return false;
	w->pid = sp.pid;
	w->chan_fd = sp.chan_fd;
	w->pipe_fd = sp.pipe_fd;
	init_worker(w, all, id);
	return true;
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
		end_worker(idle, NULL);
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
	if (!start(all, w, id)) {
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
		finish(all, d);
		return true;
	case PLACE_OK: break;
	}
	list_push_back(&w->waiting, &d->node);
	if (w->sent_count == 0)
		ev_timer_set(&w->timer, all->timeout_ms);
	feed(w);
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
		detach(w);
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
		free_worker(CONTAINER(n, struct worker, node));
	mem_free(all->acct, all);
}
