/*
 * worker: feeding, watching and ending one of them.
 *
 * Happy path: a delivery's request is sent, its body spliced into the pipe as
 * that takes it, then the next; a packet says which ones are written, later
 * ones bring the results, each of which ends a delivery.
 *
 * Failure modes: a worker that dies, answers nonsense or makes no progress
 * until its deadline is killed, and each of its deliveries is deferred.  A
 * body that cannot be read leaves the pipe out of step, so its worker is
 * killed too.  A killed process that does not go away (a dead network disk)
 * keeps its place until it does.
 */
#include <errno.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/log.h"
#include "base/mem.h"
#include "local/launch.h"
#include "local/workers_internal.h"

/* ---- the end ---- */

static void
finish_list(struct workers *all, struct list *l, const char *why)
{
	struct list_node *n;
	struct delivery *d;

	while ((n = list_first(l)) != NULL) {
		d = CONTAINER(n, struct delivery, node);
		outcome_set(&d->outcome, JOB_DEFERRED, "4.3.0", "%s", why);
		workers_finish(all, d);
	}
}

void
worker_detach(struct worker *w)
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
void
worker_end(struct worker *w, const char *why)
{
	struct workers *all = w->all;

	worker_detach(w);
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

void
worker_free(struct worker *w)
{
	list_remove(&w->node);
	gate_leave(&w->all->gate, &w->slot);
	mem_free(w->all->acct, w);
}

static void
on_timer(void *arg, struct ev_timer *t)
{
	struct worker *w = arg;

	(void)t;
	if (w->sent_count > 0 || !list_empty(&w->waiting))
		worker_end(w, "delivery process hangs");
	else
		worker_end(w, NULL);
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

void
worker_feed(struct worker *w)
{
	enum err e;

	while (w->current != NULL || send_next(w)) {
		e = body_source_send(&w->current->body, w->pipe_fd);
		if (e == ERR_AGAIN) {
			ev_io_want(&w->pipe_io, EV_WR);
			return;
		}
		if (e == ERR_CLOSED) {
			worker_end(w, "delivery process died");
			return;
		}
		if (e != OK) {
			worker_end(w, "message cannot be read from the queue");
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
	worker_feed(w);
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
		workers_finish(w->all, d);
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

void
worker_receive(struct worker *w)
{
	static char packet[RESULTS_BYTES_MAX];
	ssize_t n;

	while (
	    (n = recv(w->chan_fd, packet, sizeof(packet), MSG_DONTWAIT)) > 0) {
		if (!take_results(w, slice_of(packet, (size_t)n))) {
			worker_end(w, "delivery process answers nonsense");
			return;
		}
	}
	if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
		worker_end(w, "delivery process died");
		return;
	}
	set_timer(w);
	worker_feed(w);
}

static void
on_channel(void *arg, struct ev_io *io, unsigned ready)
{
	struct worker *w = arg;

	(void)io;
	if (ready & EV_WR)
		ev_io_want(&w->chan_io, EV_RD);
	worker_receive(w);
}

/* ---- the beginning ---- */

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
bool
worker_start(struct workers *all, struct worker *w, const struct owner *id)
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
