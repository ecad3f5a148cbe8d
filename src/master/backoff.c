/*
 * backoff: restart policy, without a clock of its own.
 */
#include "master/backoff.h"

#include <limits.h>

bool
backoff_throttled(const struct backoff *b, const struct backoff_rules *rules)
{
	return b->failures > rules->attempts;
}

int64_t
backoff_after(struct backoff *b, const struct backoff_rules *rules,
    bool was_ready, int64_t lived_ms)
{
	if (was_ready && lived_ms >= BACKOFF_LIVED_MS) {
		b->failures = 0;
		return 0;
	}
	if (b->failures < UINT_MAX)
		b->failures++;
	return backoff_throttled(b, rules) ? rules->throttle_ms
					   : rules->delay_ms;
}
