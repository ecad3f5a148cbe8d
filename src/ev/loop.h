/*
 * loop: the event loop of a role, a thin face on libevent.
 *
 * One thread, one loop.  A turn: wait, run the callbacks of descriptors and
 * signals, run the timers that are due, run the deferred tasks, run the tasks
 * for the end of the turn (channels send what they gathered), run the hooks of
 * every turn (log).  Callbacks note what happened and defer a task; machines
 * run from the task, never from inside another machine.
 *
 * Nothing here allocates per watcher: a timer costs its own bytes, and what
 * libevent keeps per descriptor is charged to the loop's account, with a small
 * reserve behind it, so that watching what was accepted never fails.
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
enum {
	EV_TURN_HOOKS_MAX = 8,
	EV_SIGNALS_MAX = 8,
	/* What libevent may take when the account refuses: its tables for
	 * about 5000 descriptors. */
	EV_RESERVE_BYTES = 1 << 20,
	/* libevent's memory for each descriptor watched, for the plan. */
	EV_IO_COST_BYTES = 128,
};

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
	int fd;	       /* not owned */
	unsigned want; /* EV_RD | EV_WR */
};

/* A node of the loop's pairing heap.  Embedded by its owner; never moved. */
struct ev_timer {
	struct ev_timer *child;	  /* first of those below */
	struct ev_timer *sibling; /* next under the same parent */
	struct ev_timer *prev;	  /* sibling before, or the parent */
	struct ev_loop *loop;
	ev_timer_fn *fn;
	void *arg;
	int64_t due_ms; /* when it fires */
	int64_t key_ms; /* place in the heap, not after due_ms */
	bool pending;
};

/* Runs once, in this turn after the callbacks, or in the next. */
struct ev_task {
	struct list_node node;
	ev_task_fn *fn;
	void *arg;
};

/* libevent's own memory is charged to a.  One loop per process at a time. */
MUST_CHECK enum err ev_loop_new(struct acct *a, struct ev_loop **out);
/* Every watcher must be gone; NULL is allowed. */
void ev_loop_free(struct ev_loop *l);
/* For a library that watches descriptors itself (libunbound). */
struct event_base *ev_loop_base(struct ev_loop *l);
/* Until ev_loop_stop.  ERR_SYS when the kernel's poll fails. */
enum err ev_loop_run(struct ev_loop *l);
/* One turn that does not wait; for tests and benchmarks. */
enum err ev_loop_turn(struct ev_loop *l);
void ev_loop_stop(struct ev_loop *l); /* after this turn */
/* Time of this turn; no system call. */
struct mono ev_now(const struct ev_loop *l);
/* A clock that gives the time of this turn. */
struct clock *ev_clock(struct ev_loop *l);

/* Watches nothing yet. */
void ev_io_init(struct ev_io *io, struct ev_loop *l, int fd, ev_io_fn *fn,
    void *arg);
/* What to wait for from now on; 0: nothing.  Persistent. */
void ev_io_want(struct ev_io *io, unsigned want);
/* Stop watching.  The descriptor may be closed after it, not before.
 * No-op on a zeroed or finished watcher. */
void ev_io_fini(struct ev_io *io);

/* Not pending yet. */
void ev_timer_init(struct ev_timer *t, struct ev_loop *l, ev_timer_fn *fn,
    void *arg);
/* Fires once, delay_ms (at least 1, so never in this turn) from the time of
 * this turn; replaces.  Moving a timer to a later instant is free. */
void ev_timer_set(struct ev_timer *t, int64_t delay_ms);
/* And fini.  No-op when it is not pending. */
void ev_timer_clear(struct ev_timer *t);
bool ev_timer_pending(const struct ev_timer *t);

/* Not deferred yet. */
void ev_task_init(struct ev_task *t, ev_task_fn *fn, void *arg);
void ev_defer(struct ev_loop *l, struct ev_task *t); /* no-op if deferred */
/* Once, at the end of this turn, after the deferred tasks. */
void ev_defer_end(struct ev_loop *l, struct ev_task *t);
void ev_task_cancel(struct ev_task *t); /* no-op if not deferred */
/* A task that runs at the end of every turn; at most EV_TURN_HOOKS_MAX. */
void ev_each_turn(struct ev_loop *l, struct ev_task *t);
/* No longer; not from a hook.  No-op if it is none. */
void ev_each_turn_stop(struct ev_loop *l, struct ev_task *t);

typedef void ev_signal_fn(void *arg, int signum);
/* At most EV_SIGNALS_MAX: ERR_FULL.  ERR_SYS: the signal cannot be caught. */
MUST_CHECK enum err ev_signal(struct ev_loop *l, int signum, ev_signal_fn *fn,
    void *arg);
