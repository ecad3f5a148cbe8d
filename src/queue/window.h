/*
 * window: how many deliveries a destination gets at once; it learns.
 *
 * Slow gas, fast brake: a window grows by one after a window's worth of
 * successes, shrinks by one at the first failure of a series, and a window's
 * worth of failures without a success in between (a failed cohort) declares
 * the destination dead.  Only failures to connect or to shake hands count;
 * what the destination says of a message says nothing of its capacity.
 */
#pragma once

#include <stdbool.h>

struct window {
	unsigned size; /* deliveries at once; at least 1 */
	unsigned max;  /* 0: no limit */
	float success; /* part of the way to the next step up */
	float failure; /* part of the way to the next step down */
	float cohorts; /* windows' worth of failures since a success */
};

/* initial deliveries at once, but at least 1 and at most max (0: no limit);
 * nothing is known of the destination. */
void window_init(struct window *w, unsigned initial, unsigned max);
/* The limit changed (reload). */
void window_set_max(struct window *w, unsigned max);
/*
 * window_good(w, in_use, initial):
 * A delivery reached the destination.  in_use deliveries were running,
 * this one included; a window that nobody fills does not grow beyond in_use
 * plus initial.
 */
void window_good(struct window *w, unsigned in_use, unsigned initial);
/* A delivery could not reach it.  True: the destination is dead now. */
bool window_bad(struct window *w);
