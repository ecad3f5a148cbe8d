/*
 * simloop: the event loop (ev/loop.h) on a virtual clock, in the place of
 * libevent's.  Nothing waits: whoever runs it says what time it is.
 */
#pragma once

#include "ev/loop.h"

/* Monotonic time goes on to this; wall time is that and what jumps added. */
void simloop_at(struct ev_loop *l, int64_t now_ms);
void simloop_jump(struct ev_loop *l, int64_t ms);
/* The instant of the next timer, now if tasks wait; INT64_MAX: nothing is
 * to be done. */
int64_t simloop_next(const struct ev_loop *l);
/* A descriptor has become readable. */
void simloop_readable(struct ev_loop *l, int fd);
