#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/err.h"
#include "queue/retry.h"

enum { S = 1000, H = 3600 * S, D = 24 * H };

static const struct retry_conf postfix = {
	.schedule = RETRY_EXPONENTIAL,
	.min_ms = 300 * S,
	.max_ms = 4000 * S,
	.lifetime_ms = (int64_t)5 * D,
	.bounce_lifetime_ms = (int64_t)2 * D,
};

static const struct {
	const char *why;
	enum retry_schedule schedule;
	int64_t age_s;
	bool local;
	int64_t delay_s;
} delays[] = {
	{ "a new message waits for the least", RETRY_EXPONENTIAL, 0, false,
	    300 },
	{ "just below the least", RETRY_EXPONENTIAL, 299, false, 300 },
	{ "the age doubles it", RETRY_EXPONENTIAL, 301, false, 301 },
	{ "at the most", RETRY_EXPONENTIAL, 4000, true, 4000 },
	{ "beyond the most", RETRY_EXPONENTIAL, 400000, true, 4000 },
	{ "an absurd age", RETRY_EXPONENTIAL, INT64_MAX / 1000, false, 4000 },
	{ "qmail, remote: 400 s", RETRY_QUADRATIC, 0, false, 400 },
	{ "then at 1600 s", RETRY_QUADRATIC, 400, false, 1200 },
	{ "then at 3600 s", RETRY_QUADRATIC, 1600, false, 2000 },
	{ "qmail, local: 100 s", RETRY_QUADRATIC, 0, true, 100 },
	{ "then at 400 s", RETRY_QUADRATIC, 100, true, 300 },
	{ "a little late", RETRY_QUADRATIC, 105, true, 295 },
};

static void
test_delay(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(delays) / sizeof(delays[0]); i++) {
		struct retry_conf c = postfix;
		int64_t low, high;

		c.schedule = delays[i].schedule;
		low =
		    retry_delay_ms(&c, delays[i].age_s * S, delays[i].local, 0);
		high = low;
		for (uint64_t r = 1; r < 5000000; r += 77777) {
			int64_t d = retry_delay_ms(&c, delays[i].age_s * S,
			    delays[i].local, r * 0x9e3779b97f4a7c15u);

			high = d > high ? d : high;
			if (d < low)
				fail_msg("%s: early", delays[i].why);
		}
		if (low != delays[i].delay_s * S)
			fail_msg("%s: %lld", delays[i].why, (long long)low);
		if (high == low || high > low + low / 10)
			fail_msg("%s: jitter %lld", delays[i].why,
			    (long long)(high - low));
	}
}

/* The whole life of a message, each attempt as late as it can be: at qmail's
 * times, 78 and 39 of them. */
static void
test_qmails_times(void **state)
{
	static const struct {
		bool local;
		unsigned step, count;
	} rows[] = { { true, 10, 78 }, { false, 20, 39 } };
	struct retry_conf c = postfix;

	(void)state;
	c.schedule = RETRY_QUADRATIC;
	for (size_t i = 0; i < 2; i++)
		for (uint64_t seed = 0; seed < 1000; seed++) {
			uint64_t r = seed * 0x9e3779b97f4a7c15u;
			int64_t age_ms = 0;
			unsigned count = 1;

			for (; age_ms <= 604800 * S; count++) {
				int64_t root = rows[i].step * (int64_t)count;
				int64_t at_ms = root * root * S;

				age_ms += retry_delay_ms(&c, age_ms,
				    rows[i].local, r);
				assert_in_range(age_ms, at_ms,
				    at_ms + (2 * root - 10) * S);
				age_ms += 5 * S; /* and its own time */
				r = r * 6364136223846793005u + 1;
			}
			assert_int_equal(count - 1, rows[i].count);
		}
}

static void
test_delay_is_never_nothing(void **state)
{
	struct retry_conf c = postfix;

	(void)state;
	c.min_ms = c.max_ms = 0;
	assert_true(retry_delay_ms(&c, 0, false, 0) >= 1000);
}

static const struct {
	const char *why;
	int64_t lifetime_ms, age_ms;
	unsigned attempts;
	bool null_sender, expired;
} expiries[] = {
	{ "one ms below", 5 * (int64_t)D, 5 * (int64_t)D - 1, 100, false,
	    false },
	{ "at the lifetime", 5 * (int64_t)D, 5 * (int64_t)D, 100, false, true },
	{ "a bounce lives shorter", 5 * (int64_t)D, 2 * (int64_t)D, 9, true,
	    true },
	{ "old, but hardly tried: the clock may be wrong", 5 * (int64_t)D,
	    50 * (int64_t)D, 2, false, false },
	{ "old and tried", 5 * (int64_t)D, 50 * (int64_t)D, 3, false, true },
	{ "no lifetime: one attempt", 0, 0, 1, false, true },
	{ "lifetime of one backoff: one attempt", 300 * S, 301 * S, 1, false,
	    true },
};

static void
test_expired(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(expiries) / sizeof(expiries[0]); i++) {
		struct retry_conf c = postfix;

		c.lifetime_ms = expiries[i].lifetime_ms;
		if (retry_expired(&c, expiries[i].age_ms, expiries[i].attempts,
			expiries[i].null_sender) != expiries[i].expired)
			fail_msg("%s", expiries[i].why);
	}
}

static void
test_clock_jump(void **state)
{
	struct retry_clock rc = { 0 };
	struct mono m = { 5 };
	struct wall w = { (int64_t)1000 * D };
	uint64_t arrival = (uint64_t)w.ms;
	int64_t year = (int64_t)366 * D;

	(void)state;
	assert_int_equal(retry_clock_look(&rc, m, w), 0);
	m.ms += H, w.ms += H + 59 * S;
	assert_int_equal(retry_clock_look(&rc, m, w), 0); /* drift */
	assert_int_equal(retry_age_ms(&rc, arrival, w), H + 59 * S);

	m.ms += S, w.ms += year + S;
	assert_true(retry_clock_look(&rc, m, w) == year);
	assert_true(retry_age_ms(&rc, arrival, w) == H + 60 * S);
	/* What came between the last look and the jump, too. */
	assert_true(
	    retry_age_ms(&rc, (uint64_t)(w.ms - year - S / 2), w) == S / 2);
	/* What comes after the jump ages as usual. */
	m.ms += H, w.ms += H;
	assert_int_equal(retry_clock_look(&rc, m, w), 0);
	assert_true(retry_age_ms(&rc, (uint64_t)(w.ms - H / 2), w) == H / 2);

	m.ms += S, w.ms += S - year;
	assert_true(retry_clock_look(&rc, m, w) == -year);
	assert_true(retry_age_ms(&rc, arrival, w) == 2 * H + 61 * S);
	/* Arrived in the future: new. */
	assert_true(retry_age_ms(&rc, (uint64_t)(w.ms + year), w) == 0);
	assert_true(retry_age_ms(&rc, UINT64_MAX, w) == 0);
}

/* The clock goes through these errors, an hour each; after each of them nothing
 * that came at any time is older than it is. */
static void
test_clock_jumps(void **state)
{
	static const int jumps_y[][12] = {
		{ 0, 1, -1, 12, 0, 0, 0, 0, 0, 0, 0, 0 },
		{ 0, -1, 12, -1, 1, 0, 12, 0, 3, 0, 0, 0 },
		{ 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1 },
		{ 0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 0, 7 },
	};
	const int64_t year = (int64_t)366 * D, start = 40 * year;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(jumps_y); i++) {
		struct retry_clock rc = { 0 };
		struct mono m = { 5 };
		struct wall w = { start };
		int64_t marks[ARRAY_LEN(jumps_y[0])], before;

		(void)retry_clock_look(&rc, m, w);
		before = w.ms - H; /* by an earlier process */
		for (size_t k = 0; k < ARRAY_LEN(jumps_y[0]); k++) {
			int64_t age;

			w.ms = start + (int64_t)k * H + jumps_y[i][k] * year;
			m.ms = 5 + (int64_t)k * H;
			/* A second passes before somebody looks. */
			marks[k] = w.ms;
			w.ms += S, m.ms += S;
			(void)retry_clock_look(&rc, m, w);
			age = (int64_t)k * H + S;
			for (size_t n = 0; n <= k; n++)
				assert_true(
				    retry_age_ms(&rc, (uint64_t)marks[n], w) ==
				    age - (int64_t)n * H);
			assert_true(
			    retry_age_ms(&rc, (uint64_t)before, w) == age + H);
		}
	}
}

/* More errors than are remembered: the first clock's marks keep their age. */
static void
test_clock_jumps_on_and_on(void **state)
{
	const int64_t year = (int64_t)366 * D, start = 40 * year;
	struct retry_clock rc = { 0 };
	struct mono m = { 5 };
	struct wall w = { start };

	(void)state;
	(void)retry_clock_look(&rc, m, w);
	for (int k = 1; k < 3 * RETRY_ERAS_MAX; k++) {
		w.ms = start + k * year + k * S;
		m.ms += S;
		assert_true(retry_clock_look(&rc, m, w) == year);
		assert_true(rc.era_count <= RETRY_ERAS_MAX);
		assert_true(retry_age_ms(&rc, (uint64_t)start, w) == k * S);
		assert_true(retry_age_ms(&rc, (uint64_t)w.ms, w) == 0);
	}
}

/* A machine that starts in 1970 and is then told the date: what lay in its
 * queue is as old as it is. */
static void
test_clock_is_set_after_the_start(void **state)
{
	const int64_t date = (int64_t)56 * 366 * D;
	struct retry_clock rc = { 0 };
	struct mono m = { 5 };
	struct wall w = { 1000 * S };

	(void)state;
	(void)retry_clock_look(&rc, m, w);
	assert_int_equal(retry_age_ms(&rc, (uint64_t)(date - D), w), 0);
	m.ms += S, w.ms = date;
	(void)retry_clock_look(&rc, m, w);
	assert_int_equal(retry_age_ms(&rc, (uint64_t)(date - D), w), D);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_delay),
		cmocka_unit_test(test_qmails_times),
		cmocka_unit_test(test_delay_is_never_nothing),
		cmocka_unit_test(test_expired),
		cmocka_unit_test(test_clock_jump),
		cmocka_unit_test(test_clock_jumps),
		cmocka_unit_test(test_clock_jumps_on_and_on),
		cmocka_unit_test(test_clock_is_set_after_the_start),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
