#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "queue/window.h"

/* A script: '+' a success with a full window, '.' one with a single delivery
 * running, '-' a failure. */
static const struct {
	const char *why;
	unsigned initial, max;
	const char *script;
	unsigned size;
	bool dead;
} rows[] = {
	{ "starts as told", 5, 20, "", 5, false },
	{ "the limit bounds the start", 5, 2, "", 2, false },
	{ "slow gas: not yet", 5, 20, "++++", 5, false },
	{ "slow gas: a window's worth is one step", 5, 20, "+++++", 6, false },
	{ "the next step takes six", 5, 20, "++++++++++", 6, false },
	{ "and here it is", 5, 20, "+++++++++++", 7, false },
	{ "never above the limit", 2, 3, "++++++++++++++++++", 3, false },
	{ "no limit", 1, 0, "+++", 3, false },
	{ "does not grow while nobody fills it", 1, 20, "....", 2, false },
	{ "fast brake: the first failure", 5, 20, "-", 4, false },
	{ "once per series", 5, 20, "--", 4, false },
	{ "four failures of five", 5, 20, "----", 4, false },
	{ "a cohort of failures is death", 5, 20, "-----", 4, true },
	{ "a success saves", 5, 20, "----+---", 3, false },
	{ "window of one dies at once", 1, 20, "-", 1, true },
};

static void
test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct window w;
		bool dead = false;

		window_init(&w, rows[i].initial, rows[i].max);
		for (const char *s = rows[i].script; *s != '\0'; s++) {
			if (*s == '-')
				dead = window_bad(&w);
			else
				window_good(&w, *s == '+' ? w.size : 1,
				    rows[i].initial);
		}
		if (w.size != rows[i].size || dead != rows[i].dead)
			fail_msg("%s: size %u dead %d", rows[i].why, w.size,
			    dead);
	}
}

static void
test_lower_limit(void **state)
{
	struct window w;

	(void)state;
	window_init(&w, 5, 20);
	window_set_max(&w, 6);
	assert_int_equal(w.size, 5);
	window_set_max(&w, 3);
	assert_int_equal(w.size, 3);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_lower_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
