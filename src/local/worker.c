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
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/log.h"
#include "base/mem.h"
#include "local/copies.h"
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
	w->all->dying_count++;
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
	w->all->dying_count--;
	gate_leave(&w->all->gate, &w->slot);
	mem_free(w->all->acct, w);
}

bool
worker_idle(const struct worker *w)
{
	return w->sent_count == 0 && list_empty(&w->waiting);
}

static void
on_timer(void *arg, struct ev_timer *t)
{
	struct worker *w = arg;

	(void)t;
	worker_end(w, worker_idle(w) ? NULL : "delivery process hangs");
}

/* Progress was made: the deadline begins anew. */
static void
set_timer(struct worker *w)
{
	if (w->sent_count > 0)
		ev_timer_set(&w->timer, w->all->timeout_ms + w->patience_ms);
	else
		ev_timer_set(&w->timer, w->all->idle_ms);
}

/* ---- feeding ---- */

/* A packet, with the descriptors fds if count is not 0. */
static ssize_t
send_packet(int chan_fd, struct slice packet, const int *fds, size_t count)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int) * REQUEST_COPY_FDS)];
	} control;
	struct iovec iov = { (void *)(uintptr_t)packet.data, packet.len };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *c;

	if (count > 0) {
		memset(&control, 0, sizeof(control));
		m.msg_control = control.bytes;
		m.msg_controllen = CMSG_SPACE(sizeof(int) * count);
		c = CMSG_FIRSTHDR(&m);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * count);
		memcpy(CMSG_DATA(c), fds, sizeof(int) * count);
	}
	return sendmsg(chan_fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
}

enum sent {
	SENT_OK,
	SENT_NOT,    /* the channel is full or broken */
	SENT_REFUSED /* d has its outcome */
};

static enum sent
send_request(struct worker *w, struct delivery *d)
{
	static unsigned char packet[REQUEST_BYTES_MAX];
	struct wr out = wr_of(packet, sizeof(packet));
	bool command = request_is_command(&d->request);
	int copy[REQUEST_COPY_FDS];
	ssize_t n;
	int errnum;

	d->request.tag = w->next_tag++;
	request_put(&out, &d->request);
	ASSERT(!out.full);
	if (command && !copies_open(w->all->copies, copy, &d->outcome))
		return SENT_REFUSED;
	n = send_packet(w->chan_fd, wr_done(&out), copy,
	    command ? REQUEST_COPY_FDS : 0);
	errnum = errno;
	if (command)
		copies_close(copy);
	errno = errnum;
	return n == (ssize_t)out.len ? SENT_OK : SENT_NOT;
}

/* How much longer than a delivery it may take without any sign of life. */
static int64_t
patience_ms(const struct request *q)
{
	if (request_is_command(q))
		return (int64_t)q->time_limit_ms + 2 * COMMAND_GRACE_MS;
	return (int64_t)q->locks.attempts * q->locks.delay_ms;
}

/* The next request, if the worker takes one more. */
static bool
send_next(struct worker *w)
{
	struct list_node *n = list_first(&w->waiting);
	struct delivery *d;
	enum sent sent;

	if (n == NULL || w->sent_count == WORKER_REQUESTS_MAX)
		return false;
	d = CONTAINER(n, struct delivery, node);
	sent = send_request(w, d);
	if (sent == SENT_REFUSED) {
		/* Nothing else waits with a worker for commands. */
		workers_finish(w->all, d);
		set_timer(w);
		return false;
	}
	if (sent == SENT_NOT) {
		/* A dead worker is seen when its channel is read. */
		if (errno == EAGAIN)
			ev_io_want(&w->chan_io, EV_RD | EV_WR);
		return false;
	}
	list_remove(n);
	if (patience_ms(&d->request) > w->patience_ms)
		w->patience_ms = patience_ms(&d->request);
	w->current = d;
	if (w->sent_count++ == 0)
		set_timer(w);
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
	const struct workers_events *ev = workers_events_of(w->all, d);

	if (d->written)
		return false;
	d->written = true;
	if (ev->on_written != NULL)
		ev->on_written(ev->arg, d);
	return true;
}

static bool
take_action(struct worker *w, struct delivery *d, const struct result *r)
{
	const struct workers_events *ev = workers_events_of(w->all, d);

	if (d->request.verb != REQUEST_PLAN || ev->on_action == NULL)
		return false;
	ev->on_action(ev->arg, d, r);
	return true;
}

static bool
take_end(struct worker *w, struct delivery *d, const struct result *r)
{
	d->stop = r->status == RESULT_STOP;
	d->outcome.status = d->stop ? JOB_SENT : (enum job_status)r->status;
	d->outcome.limit = r->limit;
	if (!slice_copy(r->dsn, d->outcome.dsn, sizeof(d->outcome.dsn)) ||
	    !slice_copy(r->text, d->outcome.text, sizeof(d->outcome.text)))
		return false;
	w->sent_count--;
	workers_finish(w->all, d);
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
		if (r->status == RESULT_ACTION)
			return take_action(w, d, r);
		return take_end(w, d, r);
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
init_worker(struct worker *w, struct workers *all, const struct owner *id,
    bool for_commands)
{
	w->all = all;
	w->owner = *id;
	w->for_commands = for_commands;
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
worker_start(struct workers *all, struct worker *w, const struct owner *id,
    bool for_commands)
{
	struct launched sp;

	if (!launch_worker(all->program, all->host, id, for_commands, &sp))
		return false;
	w->pid = sp.pid;
	w->chan_fd = sp.chan_fd;
	w->pipe_fd = sp.pipe_fd;
	init_worker(w, all, id, for_commands);
	return true;
}
