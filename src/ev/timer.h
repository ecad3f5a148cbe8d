/*
 * timer: the loop's heap of timers.
 *
 * A pairing heap threaded through the timers themselves: setting one needs no
 * memory and cannot fail.  A timer that moves to a later instant keeps its
 * place and is looked at again when that comes up: session timeouts, which
 * move at every line, cost nothing.
 */
#pragma once

#include <stdint.h>

struct ev_timer;

/* Pending from now on, to fire at due_ms; replaces an earlier time. */
void timer_heap_set(struct ev_timer **root, struct ev_timer *t, int64_t due_ms);
/* t must be pending. */
void timer_heap_remove(struct ev_timer **root, struct ev_timer *t);
/* One timer that is due at now_ms, no longer pending; NULL: none. */
struct ev_timer *timer_heap_pop(struct ev_timer **root, int64_t now_ms);
/* No timer fires before it; INT64_MAX when there is none. */
int64_t timer_heap_next(const struct ev_timer *root);
