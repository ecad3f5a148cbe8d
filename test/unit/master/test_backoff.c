/*
 * When a role that died is started again.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "master/backoff.h"

enum { DELAY = 100, THROTTLE = 60000 };

static const struct backoff_rules rules = { 3, DELAY, THROTTLE };

static const struct {
	const char *why;
	struct {
		bool ready;
		int64_t lived_ms;
		int64_t wait_ms;
	} death[8];
} rows[] = {
	{ "one that had served comes back at once",
	    { { true, 1000, 0 }, { true, 5000000, 0 } } },
	{ "fork_attempts with fork_delay, then service_throttle_time",
	    { { false, 10, DELAY }, { false, 10, DELAY }, { false, 10, DELAY },
		{ false, 10, THROTTLE }, { false, 10, THROTTLE } } },
	{ "ready, but dead within a second, is a failure",
	    { { true, 999, DELAY }, { true, 0, DELAY }, { true, 999, DELAY },
		{ true, 999, THROTTLE } } },
	{ "long, but never ready, is a failure",
	    { { false, 100000, DELAY }, { false, 100000, DELAY },
		{ false, 100000, DELAY }, { false, 100000, THROTTLE } } },
	{ "a success in between forgives",
	    { { false, 0, DELAY }, { false, 0, DELAY }, { true, 1000, 0 },
		{ false, 0, DELAY }, { false, 0, DELAY }, { false, 0, DELAY },
		{ false, 0, THROTTLE }, { true, 2000, 0 } } },
};

static void
test_rows(void **state)
{
	(void)state;
	for (size_t r = 0; r < sizeof(rows) / sizeof(rows[0]); r++) {
		struct backoff b = { 0 };

		for (unsigned k = 0; k < 8; k++) {
			int64_t wait;

			if (rows[r].death[k].wait_ms == 0 &&
			    !rows[r].death[k].ready)
				break;
			wait = backoff_after(&b, &rules, rows[r].death[k].ready,
			    rows[r].death[k].lived_ms);
			if (wait != rows[r].death[k].wait_ms)
				fail_msg("%s: death %u", rows[r].why, k);
			assert_int_equal(backoff_throttled(&b, &rules),
			    wait == THROTTLE);
		}
	}
}

static void
test_never_wraps(void **state)
{
	struct backoff b = { UINT32_MAX };

	(void)state;
	assert_int_equal(backoff_after(&b, &rules, false, 0), THROTTLE);
	assert_int_equal(backoff_after(&b, &rules, false, 0), THROTTLE);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_never_wraps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
