#include "queue/retry.h"

#include <string.h>

#include "base/assert.h"

enum {
	SKIP_LOCAL_S = 10,
	SKIP_REMOTE_S = 20,
	DELAY_MIN_MS = 1000,
	LATE_S = 10, /* of an attempt that is due */
};

static int64_t
clamp(int64_t v, int64_t low, int64_t high)
{
	if (v > high)
		v = high;
	return v < low ? low : v;
}

/* The era of a clock that is so far ahead: one that was, or a new one. */
static struct retry_era *
era_enter(struct retry_clock *rc, int64_t from_ms)
{
	struct retry_era *e;

	for (unsigned i = 0; i < rc->era_count; i++) {
		int64_t differs = rc->eras[i].ahead_ms - rc->ahead_ms;

		if (differs > RETRY_JUMP_MS || differs < -RETRY_JUMP_MS)
			continue;
		rc->era = i;
		e = &rc->eras[i];
		if (from_ms < e->from_ms)
			e->from_ms = from_ms;
		return e;
	}
	if (rc->era_count == RETRY_ERAS_MAX) {
		/* The first has what came before we looked. */
		memmove(&rc->eras[1], &rc->eras[2],
		    (RETRY_ERAS_MAX - 2) * sizeof(rc->eras[0]));
		rc->era_count--;
	}
	rc->era = rc->era_count++;
	e = &rc->eras[rc->era];
	*e = (struct retry_era){ from_ms, from_ms, rc->ahead_ms };
	return e;
}

int64_t
retry_clock_look(struct retry_clock *rc, struct mono mono, struct wall wall)
{
	int64_t jump_ms = 0, passed_ms = mono_sub(mono, rc->mono);

	if (rc->era_count == 0) {
		(void)era_enter(rc, INT64_MIN);
	} else {
		jump_ms = (wall.ms - rc->wall.ms) - passed_ms;
		if (jump_ms <= RETRY_JUMP_MS && jump_ms >= -RETRY_JUMP_MS)
			jump_ms = 0;
	}
	if (jump_ms != 0) {
		/* When since the last look it jumped is not known: either may
		 * have set marks all the time. */
		int64_t end_ms = rc->wall.ms + passed_ms;

		if (end_ms > rc->eras[rc->era].to_ms)
			rc->eras[rc->era].to_ms = end_ms;
		rc->ahead_ms += jump_ms;
		(void)era_enter(rc, wall.ms - passed_ms);
	}
	rc->mono = mono;
	rc->wall = wall;
	return jump_ms;
}

int64_t
retry_age_ms(const struct retry_clock *rc, uint64_t arrival_ms, struct wall now)
{
	int64_t arrival, age_ms, least_ms = INT64_MAX;

	if (arrival_ms > (uint64_t)INT64_MAX || now.ms < 0)
		return 0;
	arrival = (int64_t)arrival_ms;
	age_ms = now.ms - arrival;
	for (unsigned i = 0; i < rc->era_count; i++) {
		const struct retry_era *e = &rc->eras[i];
		int64_t to_ms = e->to_ms, by_it_ms;

		if (i == rc->era && now.ms > to_ms)
			to_ms = now.ms;
		if (arrival < e->from_ms || arrival > to_ms)
			continue;
		by_it_ms = age_ms - (rc->ahead_ms - e->ahead_ms);
		if (by_it_ms < least_ms)
			least_ms = by_it_ms;
	}
	if (least_ms != INT64_MAX)
		age_ms = least_ms;
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

/* qmail-send works in whole seconds, and so do we.  The jitter ends well before
 * the next square, so that the attempt after this one is qmail's again. */
static int64_t
quadratic_ms(int64_t age_ms, bool local, int64_t *jitter_max_out)
{
	int64_t age_s = age_ms / 1000;
	int64_t root;

	root = square_root(age_s) + (local ? SKIP_LOCAL_S : SKIP_REMOTE_S);
	*jitter_max_out = (2 * root - LATE_S) * 1000;
	return root * root * 1000 - age_ms;
}

int64_t
retry_delay_ms(const struct retry_conf *conf, int64_t age_ms, bool local,
    uint64_t random)
{
	int64_t delay_ms, jitter_ms, jitter_max_ms = INT64_MAX;

	/* A thousand years: keeps the arithmetic far from its edges. */
	age_ms = clamp(age_ms, 0, (int64_t)1000 * 366 * 86400 * 1000);
	if (conf->schedule == RETRY_QUADRATIC)
		delay_ms = quadratic_ms(age_ms, local, &jitter_max_ms);
	else
		delay_ms = clamp(age_ms, conf->min_ms, conf->max_ms);
	delay_ms = clamp(delay_ms, DELAY_MIN_MS, INT64_MAX / 2);
	jitter_ms = delay_ms / 10 + 1;
	if (jitter_ms > jitter_max_ms)
		jitter_ms = jitter_max_ms;
	return delay_ms + (int64_t)(random % (uint64_t)jitter_ms);
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
