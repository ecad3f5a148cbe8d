/*
 * Values of log_destination.
 */
#include "conf_test.h"

#include "conf/log_dest.h"

static const struct {
	const char *why, *value;
	enum err err;
	enum log_dest_kind kind;
	const char *dir;
	uint32_t size, num;
} rows[] = {
	{ "a word", "stderr", OK, LOG_DEST_STDERR, "", 0, 0 },
	{ "case is ignored", "SysLog", OK, LOG_DEST_SYSLOG, "", 0, 0 },
	{ "multilog's defaults", "multilog:/l", OK, LOG_DEST_MULTILOG, "/l",
	    99999, 10 },
	{ "in any order", "multilog:/a/b  n2 s4096", OK, LOG_DEST_MULTILOG,
	    "/a/b", 4096, 2 },
	{ "the most", "multilog:/l s16777215 n1000000", OK, LOG_DEST_MULTILOG,
	    "/l", 16777215, 1000000 },
	{ "the last counts", "multilog:/l n5 n6", OK, LOG_DEST_MULTILOG, "/l",
	    99999, 6 },
	{ "below the least size", "multilog:/l s4095", ERR_CONFIG, 0, "", 0,
	    0 },
	{ "above the most", "multilog:/l s16777216", ERR_CONFIG, 0, "", 0, 0 },
	{ "one file is none", "multilog:/l n1", ERR_CONFIG, 0, "", 0, 0 },
	{ "too many", "multilog:/l n1000001", ERR_CONFIG, 0, "", 0, 0 },
	{ "no number", "multilog:/l s", ERR_CONFIG, 0, "", 0, 0 },
	{ "another word", "multilog:/l t", ERR_CONFIG, 0, "", 0, 0 },
	{ "relative", "multilog:l", ERR_CONFIG, 0, "", 0, 0 },
	{ "none", "multilog:", ERR_CONFIG, 0, "", 0, 0 },
	{ "nothing", "", ERR_CONFIG, 0, "", 0, 0 },
	{ "a longer word", "stderrx", ERR_CONFIG, 0, "", 0, 0 },
};

static void
test_values(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct errtext et = { "" };
		struct log_dest d;

		print_message("%s\n", rows[i].why);
		assert_int_equal(
		    log_dest_parse(slice_str(rows[i].value), &d, &et),
		    rows[i].err);
		if (rows[i].err != OK) {
			assert_non_null(strstr(et.text, "write"));
			continue;
		}
		assert_int_equal(d.kind, rows[i].kind);
		assert_true(slice_eq(d.dir, slice_str(rows[i].dir)));
		assert_int_equal(d.size_bytes, rows[i].size);
		assert_int_equal(d.num, rows[i].num);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_values) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
