/*
 * time: monotonic and wall time as types that do not mix, and one clock.
 *
 * Timeouts and intervals are monotonic.  Wall time is for dates, the age of
 * a message and its next attempt.  Nothing outside this file asks the system.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mono {
	int64_t
	    ms; /* since some fixed instant; only differences mean anything */
};

struct wall {
	int64_t ms; /* since 1970-01-01 00:00:00 UTC */
};

/* A clock as a table, so that a simulator can stand in. */
struct clock {
	struct mono (*mono)(struct clock *);
	struct wall (*wall)(struct clock *);
};

/* The system's clock. */
extern struct clock clock_system;

static inline struct mono
mono_add(struct mono t, int64_t ms)
{
	return (struct mono){ t.ms + ms };
}

static inline int64_t
mono_sub(struct mono a, struct mono b)
{
	return a.ms - b.ms;
}

/* Nanoseconds of monotonic time, for measuring durations only. */
int64_t clock_ns(void);

/* Nanoseconds since 1970-01-01 00:00:00 UTC, for TAI64N labels only. */
int64_t clock_wall_ns(void);

enum { TIME_RFC5322_BYTES = 40 };

/* "Sun, 22 Nov 2026 08:55:57 +0000" in UTC. */
void time_rfc5322(struct wall t, char buf[static TIME_RFC5322_BYTES]);
/* "2026-11-22T08:55:57.123Z" */
void time_iso8601(struct wall t, char buf[static TIME_RFC5322_BYTES]);
/* asctime without newline, UTC: "Sun Nov 22 08:55:57 2026" (mbox). */
void time_asctime(struct wall t, char buf[static TIME_RFC5322_BYTES]);
