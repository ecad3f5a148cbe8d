/*
 * Patterns and TAI64N labels.
 */
#include "../check.h"

#include "base/err.h"
#include "multilog/pattern.h"
#include "multilog/tai.h"

static const struct {
	const char *why, *pattern, *text;
	bool match;
} patterns[] = {
	{ "a text is itself", "hello", "hello", true },
	{ "and no more", "hello", "hello world", false },
	{ "and no less", "hello", "hell", false },
	{ "nothing is nothing", "", "", true },
	{ "nothing is not something", "", "a", false },
	{ "a last star takes all", "a*", "a*b c", true },
	{ "also nothing", "a*", "a", true },
	{ "a star ends at the next character", "*:x", "ab:x", true },
	{ "at the first of them", "*:x", "a:b:x", false },
	{ "which must be there", "*b", "aaa", false },
	{ "two stars", "n[*]: C *", "n[135]: C of 3", true },
	{ "a star before a star wants one in the text", "**b", "a*xb", true },
	{ "or does not match", "**b", "ab", false },
};

static void
test_patterns(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(patterns); i++) {
		print_message("%s\n", patterns[i].why);
		assert_int_equal(pattern_match(slice_str(patterns[i].pattern),
				     slice_str(patterns[i].text)),
		    patterns[i].match);
	}
}

static const struct {
	const char *why, *stamp;
	int64_t ns;
} stamps[] = {
	{ "the beginning of the clock", "@400000000000000a00000000 ", 0 },
	{ "a nanosecond before it", "@40000000000000093b9ac9ff ", -1 },
	{ "a day of 2026", "@400000006b02ad8b0732e734 ",
	    INT64_C(1795337601120776500) },
	{ "beyond 32 bits", "@400000010000000a00000001 ",
	    (INT64_C(1) << 32) * 1000000000 + 1 },
};

static void
test_stamps(void **state)
{
	char text[TAI_STAMP_BYTES];
	int64_t seconds;
	uint32_t ns;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(stamps); i++) {
		print_message("%s\n", stamps[i].why);
		tai_stamp(stamps[i].ns, text);
		assert_memory_equal(text, stamps[i].stamp, sizeof(text));
		assert_true(tai_parse(text + 1, &seconds, &ns));
		assert_true(seconds * 1000000000 + ns == stamps[i].ns);
	}
}

static void
test_no_labels(void **state)
{
	static const char *const bad[] = {
		"400000006B02AD8B0732E734", /* upper case */
		"400000006b02ad8b3b9aca00", /* a whole second */
		"800000000000000000000000", /* reserved */
		"40000000 b02ad8b0732e734",
		"40000000\0b02ad8b0732e734",
	};
	int64_t seconds;
	uint32_t ns;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(tai_parse(bad[i], &seconds, &ns));
	assert_true(tai_parse("400000006b02ad8b3b9ac9ff", &seconds, &ns));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_patterns),
		cmocka_unit_test(test_stamps),
		cmocka_unit_test(test_no_labels),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
