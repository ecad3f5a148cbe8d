/* The ladder of overload: up at once, down one step at a time, no flutter. */
#include "../check.h"
#include "base/ladder.h"
#include "base/limits.h"

static void
test_ladder(void **state)
{
	static const struct {
		unsigned door, memory;
		enum ladder_step step;
		const char *why;
	} rows[] = {
		{ 0, 0, LADDER_CALM, "nothing" },
		{ 89, 79, LADDER_CALM, "just below" },
		{ 90, 0, LADDER_SHORT, "the door" },
		{ 70, 0, LADDER_SHORT, "stays" },
		{ 69, 0, LADDER_CALM, "left" },
		{ 100, 0, LADDER_CLOSED, "sessions alone: mail is taken" },
		{ 85, 0, LADDER_CLOSED, "stays" },
		{ 0, 0, LADDER_SHORT, "down by one" },
		{ 0, 0, LADDER_CALM, "and one" },
		{ 0, 80, LADDER_SHORT, "memory" },
		{ 0, 94, LADDER_CLOSED, "more" },
		{ 0, 95, LADDER_REFUSE, "452" },
		{ 0, 100, LADDER_PAUSE, "all of it" },
		{ 0, 92, LADDER_PAUSE, "stays" },
		{ 0, 91, LADDER_REFUSE, "left" },
		{ 0, 85, LADDER_REFUSE, "stays" },
		{ 100, 84, LADDER_CLOSED, "the door keeps this one" },
		{ 100, 0, LADDER_CLOSED, "still" },
		{ 0, 0, LADDER_SHORT, "down" },
		{ 0, 100, LADDER_PAUSE, "up at once" },
	};
	struct ladder l;
	struct mono now = { 1000 };

	(void)state;
	ladder_init(&l);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		enum ladder_step was = l.step;
		bool changed =
		    ladder_look(&l, rows[i].door, rows[i].memory, now);

		if (l.step != rows[i].step)
			fail_msg("%s: step %d", rows[i].why, l.step);
		assert_int_equal(changed, l.step != was);
		assert_int_equal(l.row->in_use, l.step);
	}
	assert_int_equal(l.row->high_water, LADDER_PAUSE);
	assert_string_equal(ladder_text(0), "calm");
	assert_string_equal(ladder_text(99), "calm");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ladder),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
