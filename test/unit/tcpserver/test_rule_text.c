/*
 * Lines of rules for tcpserver.
 */
#include "../check.h"

#include "tcpserver/rule_text.h"

#define DATA(lit) (lit), sizeof(lit) - 1

static const struct {
	const char *why, *line;
	enum err err;
	unsigned count;
	const char *first, *last; /* keys */
	const char *data;
	size_t len;
} rows[] = {
	{ "an address", "1.2.3.4:allow", OK, 1, "1.2.3.4", "1.2.3.4",
	    DATA("") },
	{ "everybody", ":deny", OK, 1, "", "", DATA("D\0") },
	{ "variables keep their order", ":allow,A=\"1\",B=/x y/", OK, 1, "", "",
	    DATA("+A=1\0+B=x y\0") },
	{ "denied with a variable", ":deny,A=\"\"", OK, 1, "", "",
	    DATA("D\0+A=\0") },
	{ "blanks at the end", "1.:allow \t", OK, 1, "1.", "1.", DATA("") },
	{ "a range", "10.0.7-9:allow", OK, 3, "10.0.7", "10.0.9", DATA("") },
	{ "a range within", "1-2.3.:allow", OK, 2, "1.3.", "2.3.", DATA("") },
	{ "the first range only", "1-2.3-4:allow", OK, 2, "1.3-4", "2.3-4",
	    DATA("") },
	{ "the widest", "0-255:deny", OK, 256, "0", "255", DATA("D\0") },
	{ "too wide", "0-256:deny", ERR_SYNTAX, 0, "", "", DATA("") },
	{ "backwards", "5-4:deny", ERR_SYNTAX, 0, "", "", DATA("") },
	{ "no end", "5-:deny", ERR_SYNTAX, 0, "", "", DATA("") },
	{ "names have dashes", "=a-b.c:allow", OK, 1, "=a-b.c", "=a-b.c",
	    DATA("") },
	{ "IPv6", "::1:allow", OK, 1, "::1", "::1", DATA("") },
	{ "made canonical", "2001:DB8:0:0::1:allow", OK, 1, "2001:db8::1",
	    "2001:db8::1", DATA("") },
	{ "a prefix", "2001:db8:ffff::/36:deny", OK, 1, "2001:db8:f000::/36",
	    "2001:db8:f000::/36", DATA("D\0") },
	{ "the whole address", "::5/128:allow", OK, 1, "::5", "::5", DATA("") },
	{ "beyond it", "::5/129:allow", ERR_SYNTAX, 0, "", "", DATA("") },
	{ "in brackets", "[::1]:allow", OK, 1, "::1", "::1", DATA("") },
	{ "with info", "joe@::1:allow", OK, 1, "joe@::1", "joe@::1", DATA("") },
	{ "a comment", "#:allow", ERR_NOTFOUND, 0, "", "", DATA("") },
	{ "empty", "  ", ERR_NOTFOUND, 0, "", "", DATA("") },
	{ "no instruction", "1.2.3.4:", ERR_SYNTAX, 0, "", "", DATA("") },
	{ "another", "1.2.3.4:foo", ERR_SYNTAX, 0, "", "", DATA("") },
	{ "no quote", ":allow,A=", ERR_SYNTAX, 0, "", "", DATA("") },
	{ "an open quote", ":allow,A=\"x", ERR_SYNTAX, 0, "", "", DATA("") },
	{ "a lone comma", ":allow,", ERR_SYNTAX, 0, "", "", DATA("") },
};

static struct rule rule;

static void
test_lines(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		bool colon;

		print_message("%s\n", rows[i].why);
		assert_int_equal(rule_parse(rule_trim(slice_str(rows[i].line)),
				     &rule, &colon),
		    rows[i].err);
		if (rows[i].err != OK)
			continue;
		assert_int_equal(rule_key_count(&rule), rows[i].count);
		assert_true(
		    slice_eq(rule_key(&rule, 0), slice_str(rows[i].first)));
		assert_true(slice_eq(rule_key(&rule, rows[i].count - 1),
		    slice_str(rows[i].last)));
		assert_int_equal(rule.data_len, rows[i].len);
		assert_memory_equal(rule.data, rows[i].data, rows[i].len);
	}
}

/* Every line, cut anywhere: an error or a rule, and nothing is read that was
 * not given. */
static void
test_cut_lines(void **state)
{
	char copy[128];
	bool colon;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		for (size_t len = 0; len <= strlen(rows[i].line); len++) {
			memset(copy, ':', sizeof(copy));
			memcpy(copy, rows[i].line, len);
			if (rule_parse(rule_trim(slice_of(copy, len)), &rule,
				&colon) == OK)
				(void)rule_key(&rule,
				    rule_key_count(&rule) - 1);
		}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_cut_lines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
