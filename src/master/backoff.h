/*
 * backoff: when a role that died is started again.
 *
 * At once, if it had served for a while.  One that dies before it is ready, or
 * within a second, is tried fork_attempts times with fork_delay between, and
 * then every service_throttle_time, until one try succeeds.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum { BACKOFF_LIVED_MS = 1000 }; /* shorter is a failure */

struct backoff_rules {
	unsigned attempts;
	int64_t delay_ms;
	int64_t throttle_ms;
};

struct backoff {
	unsigned failures; /* in a row */
};

/* A process died, or could not be started (lived_ms 0): milliseconds to wait
 * before the next. */
int64_t backoff_after(struct backoff *b, const struct backoff_rules *rules,
    bool was_ready, int64_t lived_ms);
/* The last answer was service_throttle_time. */
bool backoff_throttled(const struct backoff *b,
    const struct backoff_rules *rules);
