/*
 * retry: when a message is tried again, and when it has been tried enough.
 *
 * Pure: the caller gives ages, random bits and the clocks' values.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/time.h"

enum retry_schedule {
	RETRY_EXPONENTIAL, /* Postfix: the delay is the age, in bounds */
	RETRY_QUADRATIC,   /* qmail: arrival + (sqrt(age) + 10 or 20)^2 */
	RETRY_SCHEDULE_COUNT
};

struct retry_conf {
	enum retry_schedule schedule;
	int64_t min_ms;		    /* minimal_backoff_time */
	int64_t max_ms;		    /* maximal_backoff_time */
	int64_t lifetime_ms;	    /* maximal_queue_lifetime */
	int64_t bounce_lifetime_ms; /* bounce_queue_lifetime */
	int64_t delay_warning_ms;   /* delay_warning_time; 0: no warning */
};

/* How many different errors of the wall clock are remembered. */
enum { RETRY_ERAS_MAX = 8 };

/* A time in which the wall clock ran on without a jump. */
struct retry_era {
	int64_t from_ms;  /* the first mark it can have set */
	int64_t to_ms;	  /* the last one; of the era that runs: not used */
	int64_t ahead_ms; /* of the clock as it was when it was first seen */
};

/*
 * Watches the wall clock against the monotonic one.  A jump does not age the
 * messages that came before it, so that a wrong date never bounces a whole
 * queue: the age of a message is counted by the clock that set its arrival,
 * which is known from the eras that its mark can be of.  Of several the
 * youngest age counts.  A clock that goes to and fro between two dates has two
 * eras, however often it does; when there are too many, the oldest but the
 * first is forgotten, and its marks are taken as they are.
 */
struct retry_clock {
	struct mono mono;   /* at the last look */
	struct wall wall;   /* likewise */
	int64_t ahead_ms;   /* the sum of all jumps */
	unsigned era;	    /* the one that runs */
	unsigned era_count; /* 0: not yet looked */
	struct retry_era eras[RETRY_ERAS_MAX];
};

/* Differences of the clocks up to this are drift, not a jump. */
enum { RETRY_JUMP_MS = 10 * 60 * 1000 };

/*
 * retry_clock_look(rc, mono, wall):
 * Note what the clocks say now; call it at least once a minute.  Returns how
 * far the wall clock jumped since the last look, in ms; negative: backwards;
 * 0: it did not.  After a jump backwards due times lie too far ahead: the
 * caller makes everything due.
 */
int64_t retry_clock_look(struct retry_clock *rc, struct mono mono,
    struct wall wall);

/* Age of a message in ms, at least 0, jumps taken off. */
int64_t retry_age_ms(const struct retry_clock *rc, uint64_t arrival_ms,
    struct wall now);

/*
 * retry_delay_ms(conf, age_ms, local, random):
 * How long from now until the next attempt; at least 1 s.  local: only local
 * recipients are left (the quadratic schedule is then denser).  random gives
 * the jitter, up to a tenth more, so that messages that failed together do
 * not come back together; on the quadratic schedule less, so that the next
 * attempt is not put off by it.
 */
int64_t retry_delay_ms(const struct retry_conf *conf, int64_t age_ms,
    bool local, uint64_t random);

/*
 * retry_expired(conf, age_ms, attempts, null_sender):
 * Whether a message that was deferred once more is given up.  attempts counts
 * the passes made, this one included: a lifetime is over only after some
 * attempts (RETRY_ATTEMPTS_MIN, fewer if the lifetime is short), whatever the
 * clock says.
 */
bool retry_expired(const struct retry_conf *conf, int64_t age_ms,
    unsigned attempts, bool null_sender);

enum { RETRY_ATTEMPTS_MIN = 3 };
