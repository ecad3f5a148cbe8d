/*
 * turn: what a loop does between two waits, without descriptors and without a
 * clock of its own: timers that are due, deferred tasks, tasks for the end of
 * the turn, the hooks of every turn.
 *
 * Every loop begins with a struct ev_turn, so that the functions of loop.h
 * for time, timers and tasks are the same for the one on libevent and for the
 * one of a test on a virtual clock.
 */
#pragma once

#include "ev/loop.h"

struct ev_turn {
	struct ev_timer *timers; /* heap; see timer.h */
	struct list tasks;
	struct list end_tasks;
	struct ev_task *hooks[EV_TURN_HOOKS_MAX];
	unsigned hook_count;
	struct clock clock; /* gives now */
	struct mono now;    /* of this turn; set by the loop */
};

/* wall: the time of day of ev_clock. */
void turn_init(struct ev_turn *t, struct wall (*wall)(struct clock *c));
/* Does something wait to run, so that the loop must not? */
bool turn_has_tasks(const struct ev_turn *t);
/* Run all that belongs to the turn at t->now. */
void turn_run(struct ev_turn *t);
