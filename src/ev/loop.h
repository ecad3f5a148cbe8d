/*
 * loop: the event loop of a role, a thin face on libevent.
 *
 * One thread, one loop.  A turn: wait, run the callbacks that are ready, run
 * the deferred tasks, run the end-of-turn hooks (log, channels, commit).
 * Callbacks note what happened and defer a task; machines run from the task,
 * never from inside another machine.
 */
#pragma once

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/list.h"
#include "base/time.h"

struct acct;
struct ev_loop;

enum { EV_RD = 1, EV_WR = 2 };

struct ev_io;
struct ev_timer;
struct ev_task;
typedef void ev_io_fn(void *arg, struct ev_io *io, unsigned ready);
typedef void ev_timer_fn(void *arg, struct ev_timer *t);
typedef void ev_task_fn(void *arg, struct ev_task *t);

/* A descriptor that is watched.  Embedded by its owner; never moved. */
struct ev_io {
	struct event event;
	struct ev_loop *loop;
	ev_io_fn *fn;
	void *arg;
	int fd;        /* not owned */
	unsigned want; /* EV_RD | EV_WR */
};

struct ev_timer {
	struct event event;
	struct ev_loop *loop;
	ev_timer_fn *fn;
	void *arg;
};

/* Runs once, in this turn after the callbacks, or in the next. */
struct ev_task {
	struct list_node node;
	ev_task_fn *fn;
	void *arg;
};

/* libevent's own memory is charged to a.  One loop per process. */
MUST_CHECK enum err ev_loop_new(struct acct *a, struct ev_loop **out);
void ev_loop_free(struct ev_loop *l);
/* Until ev_loop_stop.  ERR_SYS when the kernel's poll fails. */
enum err ev_loop_run(struct ev_loop *l);
void ev_loop_stop(struct ev_loop *l);
/* Time of this turn; no system call. */
struct mono ev_now(const struct ev_loop *l);
struct clock *ev_clock(struct ev_loop *l);

void ev_io_init(struct ev_io *io, struct ev_loop *l, int fd, ev_io_fn *fn,
    void *arg);
/* What to wait for from now on; 0: nothing.  Persistent. */
void ev_io_want(struct ev_io *io, unsigned want);
/* Stop watching.  The descriptor may be closed after it, not before. */
void ev_io_fini(struct ev_io *io);

void ev_timer_init(struct ev_timer *t, struct ev_loop *l, ev_timer_fn *fn,
    void *arg);
void ev_timer_set(struct ev_timer *t, int64_t delay_ms); /* replaces */
void ev_timer_clear(struct ev_timer *t);                 /* and fini */
bool ev_timer_pending(const struct ev_timer *t);

void ev_task_init(struct ev_task *t, ev_task_fn *fn, void *arg);
void ev_defer(struct ev_loop *l, struct ev_task *t); /* no-op if deferred */
void ev_task_cancel(struct ev_task *t);
/* A task that runs at the end of every turn; at most 8. */
void ev_each_turn(struct ev_loop *l, struct ev_task *t);

typedef void ev_signal_fn(void *arg, int signum);
MUST_CHECK enum err ev_signal(struct ev_loop *l, int signum, ev_signal_fn *fn,
    void *arg); /* at most 8 */
