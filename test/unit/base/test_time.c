#include "../check.h"

#include <time.h>

#include "base/time.h"

static void
test_dates(void **state)
{
	static const struct {
		const char *why;
		int64_t ms;
		const char *rfc5322, *iso8601, *asctime;
	} rows[] = {
		{ "the epoch", 0, "Thu, 1 Jan 1970 00:00:00 +0000",
		    "1970-01-01T00:00:00.000Z", "Thu Jan  1 00:00:00 1970" },
		{ "now", 1795337757123, "Sun, 22 Nov 2026 08:55:57 +0000",
		    "2026-11-22T08:55:57.123Z", "Sun Nov 22 08:55:57 2026" },
		{ "leap day of a century", 951782400000,
		    "Tue, 29 Feb 2000 00:00:00 +0000",
		    "2000-02-29T00:00:00.000Z", "Tue Feb 29 00:00:00 2000" },
		{ "no leap day", 4107542399999,
		    "Sun, 28 Feb 2100 23:59:59 +0000",
		    "2100-02-28T23:59:59.999Z", "Sun Feb 28 23:59:59 2100" },
		{ "before the epoch", -1, "Wed, 31 Dec 1969 23:59:59 +0000",
		    "1969-12-31T23:59:59.999Z", "Wed Dec 31 23:59:59 1969" },
	};
	char buf[TIME_RFC5322_BYTES];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct wall t = { rows[i].ms };

		print_message("%s\n", rows[i].why);
		time_rfc5322(t, buf);
		assert_string_equal(buf, rows[i].rfc5322);
		time_iso8601(t, buf);
		assert_string_equal(buf, rows[i].iso8601);
		time_asctime(t, buf);
		assert_string_equal(buf, rows[i].asctime);
	}
}

/* Every day of 500 years against the C library. */
static void
test_against_libc(void **state)
{
	char buf[TIME_RFC5322_BYTES];
	char want[TIME_RFC5322_BYTES];

	(void)state;
	for (int64_t day = -36525; day < 146097; day++) {
		time_t t = (time_t)(day * 86400 + day % 86400);
		struct tm tm;

		gmtime_r(&t, &tm);
		strftime(want, sizeof(want), "%a %b %e %H:%M:%S %Y", &tm);
		time_asctime((struct wall){ (int64_t)t * 1000 }, buf);
		assert_string_equal(buf, want);
	}
}

/* Any 64-bit number prints within the buffer. */
static void
test_extremes(void **state)
{
	char buf[TIME_RFC5322_BYTES];

	(void)state;
	time_rfc5322((struct wall){ INT64_MAX }, buf);
	time_iso8601((struct wall){ INT64_MIN }, buf);
	time_asctime((struct wall){ INT64_MIN }, buf);
}

static void
test_clocks(void **state)
{
	struct mono a = clock_system.mono(&clock_system);
	int64_t ns = clock_ns();
	struct mono b = clock_system.mono(&clock_system);

	(void)state;
	assert_true(mono_sub(b, a) >= 0);
	assert_true(ns / 1000000 >= a.ms && ns / 1000000 <= b.ms);
	assert_int_equal(mono_sub(mono_add(a, 5), a), 5);
	/* After this was written, and not in nanoseconds. */
	assert_true(clock_system.wall(&clock_system).ms > 1700000000000);
	assert_true(clock_system.wall(&clock_system).ms < 32503680000000);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_dates),
		cmocka_unit_test(test_against_libc),
		cmocka_unit_test(test_extremes),
		cmocka_unit_test(test_clocks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
