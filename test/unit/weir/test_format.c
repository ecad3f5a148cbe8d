#include "../check.h"

#include "base/mem.h"
#include "weir/format.h"
#include "weir/json.h"
#include "weir/table.h"

#include "capture.h"

static void
test_bytes(void **state)
{
	static const struct {
		int64_t bytes;
		const char *text;
	} rows[] = {
		{ 0, "0 B" },
		{ -1, "0 B" },
		{ 1023, "1023 B" },
		{ 1024, "1 KiB" },
		{ 1025, "1.0 KiB" },
		{ 1536, "1.5 KiB" },
		{ 102400, "100 KiB" },
		{ 102911, "100 KiB" },
		{ 1048575, "1023 KiB" },
		{ 1048576, "1 MiB" },
		{ 134217728, "128 MiB" },
		{ INT64_MAX, "8388607 TiB" },
	};
	char buf[FORMAT_BYTES];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		format_bytes(rows[i].bytes, buf);
		assert_string_equal(buf, rows[i].text);
	}
}

static void
test_span(void **state)
{
	static const struct {
		int64_t ms;
		const char *text;
	} rows[] = {
		{ -5, "0ms" },
		{ 999, "999ms" },
		{ 1000, "1s" },
		{ 59999, "59s" },
		{ 60000, "1m" },
		{ 61000, "1m1s" },
		{ 599000, "9m59s" },
		{ 601000, "10m" },
		{ 3600000, "1h" },
		{ 4800000, "1h20m" },
		{ 86400000, "1d" },
		{ 90000000, "1d1h" },
		{ 1000000000, "11d" },
	};
	char buf[FORMAT_BYTES];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		format_span(rows[i].ms, buf);
		assert_string_equal(buf, rows[i].text);
	}
}

static void
test_parse_span(void **state)
{
	static const struct {
		const char *text;
		bool ok;
		int64_t ms;
	} rows[] = {
		{ "90", true, 90000 },
		{ "90s", true, 90000 },
		{ "15m", true, 900000 },
		{ "2h", true, 7200000 },
		{ "5d", true, 432000000 },
		{ "1w", true, 604800000 },
		{ "0", true, 0 },
		{ "9223372036854775s", true, 9223372036854775000 },
		{ "9223372036854776s", false, 0 },
		{ "", false, 0 },
		{ "s", false, 0 },
		{ "1x", false, 0 },
		{ "1h30m", false, 0 },
		{ "-1s", false, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int64_t ms = 0;

		print_message("%s\n", rows[i].text);
		assert_int_equal(parse_span(slice_str(rows[i].text), &ms),
		    rows[i].ok);
		assert_true(ms == rows[i].ms);
	}
}

static void
test_date(void **state)
{
	char buf[FORMAT_BYTES];

	(void)state;
	setenv("TZ", "UTC", 1);
	format_date((struct wall){ 1795337757123 }, buf);
	assert_string_equal(buf, "Sun Nov 22 08:55:57");
	format_date((struct wall){ 0 }, buf);
	assert_string_equal(buf, "Thu Jan  1 00:00:00");
	format_date((struct wall){ INT64_MAX }, buf); /* any text, no crash */
}

static void
test_table(void **state)
{
	const char *cells[3] = { "a", NULL, "12" };
	struct acct a;
	struct table t;

	(void)state;
	acct_init(&a, NULL, "a", 0, false, "");
	table_init(&t, &a, "lrl");
	table_rowf(&t, "NAME\tN\tTEXT");
	table_row(&t, cells);
	table_rowf(&t, "longer\t123");
	table_rowf(&t, "x");
	capture_begin();
	table_print(&t, stdout);
	capture_expect("NAME      N  TEXT\n"
		       "a            12\n"
		       "longer  123\n"
		       "x\n");
	table_fini(&t);
	acct_fini(&a);
}

/* Whatever allocation fails: rows are missing, and that is said. */
static void
test_table_fail_nth(void **state)
{
	(void)state;
	for (unsigned n = 1; n < 4; n++) {
		char big[2000];
		struct acct a;
		struct table t;
		char *got;

		memset(big, 'x', sizeof(big) - 1);
		big[sizeof(big) - 1] = '\0';
		acct_init(&a, NULL, "a", 0, false, "");
		table_init(&t, &a, "l");
		mem_fail_after(n);
		for (int i = 0; i < 20; i++)
			table_rowf(&t, "%s", big);
		mem_fail_after(0);
		capture_begin();
		table_print(&t, stdout);
		got = capture_end();
		assert_int_equal(strstr(got, "more rows") != NULL,
		    t.lost_count > 0);
		assert_int_equal(t.lost_count > 0, n <= 3);
		free(got);
		table_fini(&t);
		acct_fini(&a);
	}
}

static void
test_json(void **state)
{
	char longer[1000];
	struct json j;

	(void)state;
	capture_begin();
	j = json_to(stdout);
	json_open(&j, NULL, '{');
	json_string(&j, "a", SLICE_LIT("x\"\n\xff"));
	json_number(&j, "n", -5);
	json_open(&j, "list", '[');
	json_close(&j, ']');
	json_open(&j, "more", '[');
	json_number(&j, NULL, 1);
	json_open(&j, NULL, '{');
	json_bool(&j, "b", true);
	json_close(&j, '}');
	json_close(&j, ']');
	json_close(&j, '}');
	json_open(&j, NULL, '{');
	json_close(&j, '}');
	capture_expect("{\"a\":\"x\\\"\\u000a\\\\xff\",\"n\":-5,\"list\":[],"
		       "\"more\":[1,{\"b\":true}]}\n{}\n");

	/* Longer than the piece in which it is escaped. */
	memset(longer, '"', sizeof(longer));
	capture_begin();
	j = json_to(stdout);
	json_string(&j, NULL, slice_of(longer, sizeof(longer)));
	{
		char *got = capture_end();

		assert_int_equal(strlen(got), 2 * sizeof(longer) + 2);
		free(got);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bytes),
		cmocka_unit_test(test_span),
		cmocka_unit_test(test_parse_span),
		cmocka_unit_test(test_date),
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_table_fail_nth),
		cmocka_unit_test(test_json),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
