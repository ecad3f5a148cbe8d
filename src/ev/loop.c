/*
 * loop: the wait, descriptors and signals, on libevent.
 *
 * libevent waits and says which descriptors are ready; one libevent timer
 * stands for the earliest of ours.
 */
#include "ev/loop.h"

#include <stddef.h>
#include <sys/time.h>

#include "base/assert.h"
#include "base/log.h"
#include "base/mem.h"
#include "ev/alloc.h"
#include "ev/timer.h"
#include "ev/turn.h"

struct signal_watch {
	struct event event;
	struct ev_loop *loop;
	ev_signal_fn *fn;
	void *arg;
};

struct ev_loop {
	struct ev_turn turn; /* first */
	struct acct *acct;
	struct event_base *base;
	struct event wake; /* stands for the earliest timer */
	int64_t wake_ms;   /* when it is set to; INT64_MAX: not set */
	struct signal_watch signals[EV_SIGNALS_MAX];
	unsigned signal_count;
	bool now_valid; /* turn.now was read since the loop last waited */
	bool stop;
};

static void
on_libevent_log(int severity, const char *msg)
{
	if (severity >= EVENT_LOG_WARN)
		log_warning("libevent: %s", msg);
}

/* ---- time ---- */

static void
read_clock(struct ev_loop *l)
{
	if (l->now_valid)
		return;
	l->turn.now = clock_system.mono(&clock_system);
	l->now_valid = true;
}

static struct wall
system_wall(struct clock *c)
{
	(void)c;
	return clock_system.wall(&clock_system);
}

/* ---- the loop ---- */

/* The wait ends at the earliest timer.  One turn too early is harmless, so
 * a wake that is already set earlier stays. */
static void
set_wake(struct ev_loop *l)
{
	int64_t next = timer_heap_next(l->turn.timers);
	int64_t wait = next - l->turn.now.ms;
	struct timeval tv;

	if (next >= l->wake_ms)
		return;
	if (wait < 0)
		wait = 0;
	tv.tv_sec = wait / 1000;
	tv.tv_usec = wait % 1000 * 1000;
	ASSERT(event_add(&l->wake, &tv) == 0);
	l->wake_ms = next;
}

static void
on_wake(evutil_socket_t fd, short what, void *arg)
{
	struct ev_loop *l = arg;

	(void)fd;
	(void)what;
	l->wake_ms = INT64_MAX;
}

static enum err
turn(struct ev_loop *l, bool wait)
{
	int flags = EVLOOP_ONCE | EVLOOP_NO_EXIT_ON_EMPTY;

	if (!wait || turn_has_tasks(&l->turn))
		flags |= EVLOOP_NONBLOCK;
	set_wake(l);
	l->now_valid = false;
	if (event_base_loop(l->base, flags) < 0)
		return ERR_SYS;
	read_clock(l);
	turn_run(&l->turn);
	return OK;
}

struct event_base *
ev_loop_base(struct ev_loop *l)
{
	return l->base;
}

enum err
ev_loop_run(struct ev_loop *l)
{
	enum err e = OK;

	l->stop = false;
	while (e == OK && !l->stop)
		e = turn(l, true);
	return e;
}

enum err
ev_loop_turn(struct ev_loop *l)
{
	return turn(l, false);
}

void
ev_loop_stop(struct ev_loop *l)
{
	l->stop = true;
}

enum err
ev_loop_new(struct acct *a, struct ev_loop **out)
{
	struct event_config *conf;
	struct ev_loop *l;

	l = mem_alloc(a, sizeof(*l));
	if (l == NULL)
		return ERR_FULL;
	alloc_begin(a);
	event_set_log_callback(on_libevent_log);

	conf = event_config_new();
	if (conf == NULL)
		goto free_loop;
	/* Changes of one turn reach the kernel together. */
	if (event_config_set_flag(conf, EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST |
					    EVENT_BASE_FLAG_NOLOCK |
					    EVENT_BASE_FLAG_IGNORE_ENV) == 0)
		l->base = event_base_new_with_config(conf);
	event_config_free(conf);
	if (l->base == NULL)
		goto free_loop;

	l->acct = a;
	turn_init(&l->turn, system_wall);
	l->wake_ms = INT64_MAX;
	event_assign(&l->wake, l->base, -1, 0, on_wake, l);
	read_clock(l);
	*out = l;
	return OK;

free_loop:
	alloc_end();
	mem_free(a, l);
	return ERR_FULL;
}

void
ev_loop_free(struct ev_loop *l)
{
	if (l == NULL)
		return;
	for (unsigned i = 0; i < l->signal_count; i++)
		event_del(&l->signals[i].event);
	event_del(&l->wake);
	event_base_free(l->base);
	alloc_end();
	mem_free(l->acct, l);
}

/* ---- descriptors ---- */

static void
on_io(evutil_socket_t fd, short what, void *arg)
{
	struct ev_io *io = arg;
	unsigned ready = 0;

	(void)fd;
	read_clock(io->loop);
	if (what & EV_READ)
		ready |= EV_RD;
	if (what & EV_WRITE)
		ready |= EV_WR;
	io->fn(io->arg, io, ready);
}

void
ev_io_init(struct ev_io *io, struct ev_loop *l, int fd, ev_io_fn *fn, void *arg)
{
	*io = (struct ev_io){ .loop = l, .fn = fn, .arg = arg, .fd = fd };
}

void
ev_io_want(struct ev_io *io, unsigned want)
{
	short what = EV_PERSIST;

	if (want == io->want)
		return;
	if (io->want != 0)
		event_del(&io->event);
	io->want = want;
	if (want == 0)
		return;
	if (want & EV_RD)
		what |= EV_READ;
	if (want & EV_WR)
		what |= EV_WRITE;
	event_assign(&io->event, io->loop->base, io->fd, what, on_io, io);
	/* Fails only when account and reserve are both exhausted. */
	ASSERT(event_add(&io->event, NULL) == 0);
}

void
ev_io_fini(struct ev_io *io)
{
	if (io->loop != NULL)
		ev_io_want(io, 0);
	io->loop = NULL;
}

/* ---- signals ---- */

static void
on_signal(evutil_socket_t signum, short what, void *arg)
{
	struct signal_watch *w = arg;

	(void)what;
	read_clock(w->loop);
	w->fn(w->arg, signum);
}

enum err
ev_signal(struct ev_loop *l, int signum, ev_signal_fn *fn, void *arg)
{
	struct signal_watch *w;

	if (l->signal_count == EV_SIGNALS_MAX)
		return ERR_FULL;
	w = &l->signals[l->signal_count];
	*w = (struct signal_watch){ .loop = l, .fn = fn, .arg = arg };
	event_assign(&w->event, l->base, signum, EV_SIGNAL | EV_PERSIST,
	    on_signal, w);
	if (event_add(&w->event, NULL) != 0)
		return ERR_SYS;
	l->signal_count++;
	return OK;
}
