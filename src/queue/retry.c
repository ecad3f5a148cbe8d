#include "queue/retry.h"

#include "base/assert.h"

enum { SKIP_LOCAL_S = 10, SKIP_REMOTE_S = 20, DELAY_MIN_MS = 1000 };

static int64_t
clamp(int64_t v, int64_t low, int64_t high)
{
	if (v > high)
		v = high;
	return v < low ? low : v;
}

int64_t
retry_clock_look(struct retry_clock *rc, struct mono mono, struct wall wall)
{
	int64_t jump_ms = 0;

	if (rc->started) {
		jump_ms = (wall.ms - rc->wall.ms) - mono_sub(mono, rc->mono);
		if (jump_ms <= RETRY_JUMP_MS && jump_ms >= -RETRY_JUMP_MS)
			jump_ms = 0;
	}
	if (jump_ms > 0) {
		/* What it would show now: up to then it has set marks. */
		rc->before.ms = rc->wall.ms + mono_sub(mono, rc->mono);
		rc->jump_ms += jump_ms;
	} else if (jump_ms < 0) {
		/* Most often the correction of an earlier jump. */
		rc->jump_ms = clamp(rc->jump_ms + jump_ms, 0, INT64_MAX);
	}
	rc->started = true;
	rc->mono = mono;
	rc->wall = wall;
	return jump_ms;
}

int64_t
retry_age_ms(const struct retry_clock *rc, uint64_t arrival_ms, struct wall now)
{
	int64_t arrival, age_ms;

	if (arrival_ms > (uint64_t)INT64_MAX || now.ms < 0)
		return 0;
	arrival = (int64_t)arrival_ms;
	if (arrival > now.ms)
		return 0;
	age_ms = now.ms - arrival;
	if (rc->jump_ms > 0 && arrival <= rc->before.ms)
		age_ms -= rc->jump_ms;
	return age_ms < 0 ? 0 : age_ms;
}

/* Greatest r with r * r <= v; v below 2^62. */
static int64_t
square_root(int64_t v)
{
	int64_t r = 0;

	for (int64_t bit = (int64_t)1 << 30; bit > 0; bit >>= 1)
		if ((r + bit) * (r + bit) <= v)
			r += bit;
	return r;
}

/* qmail-send.c works in whole seconds, and so do we. */
static int64_t
quadratic_ms(int64_t age_ms, bool local)
{
	int64_t age_s = age_ms / 1000;
	int64_t root;

	root = square_root(age_s) + (local ? SKIP_LOCAL_S : SKIP_REMOTE_S);
	return root * root * 1000 - age_ms;
}

int64_t
retry_delay_ms(const struct retry_conf *conf, int64_t age_ms, bool local,
    uint64_t random)
{
	int64_t delay_ms;

	/* A thousand years: keeps the arithmetic far from its edges. */
	age_ms = clamp(age_ms, 0, (int64_t)1000 * 366 * 86400 * 1000);
	if (conf->schedule == RETRY_QUADRATIC)
		delay_ms = quadratic_ms(age_ms, local);
	else
		delay_ms = clamp(age_ms, conf->min_ms, conf->max_ms);
	delay_ms = clamp(delay_ms, DELAY_MIN_MS, INT64_MAX / 2);
	return delay_ms + (int64_t)(random % (uint64_t)(delay_ms / 10 + 1));
}

bool
retry_expired(const struct retry_conf *conf, int64_t age_ms, unsigned attempts,
    bool null_sender)
{
	int64_t lifetime_ms =
	    null_sender ? conf->bounce_lifetime_ms : conf->lifetime_ms;
	int64_t least = RETRY_ATTEMPTS_MIN;

	if (age_ms < lifetime_ms)
		return false;
	if (conf->min_ms > 0 && lifetime_ms / conf->min_ms < least)
		least = lifetime_ms / conf->min_ms;
	return attempts >= least;
}
