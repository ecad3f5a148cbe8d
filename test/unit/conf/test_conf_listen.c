/*
 * Places to listen that cannot be bound together, and those that can.
 */
#include "conf_test.h"

static const struct {
	const char *why, *text;
	const char *message; /* NULL: it loads */
} rows[] = {
	{ "twice in one list", "smtp_listen = 127.0.0.1:25, 127.0.0.1:25\n",
	    "f:1: smtp_listen: value \"127.0.0.1:25\": taken by 127.0.0.1:25 "
	    "in smtp_listen (f:1); write another address or port, or leave "
	    "one of them out" },
	{ "in two lists",
	    "smtp_listen = [::1]:2525\n\nlmtp_listen = 127.0.0.1:24 "
	    "[0:0::1]:2525\n",
	    "f:3: lmtp_listen: value \"[0:0::1]:2525\": taken by [::1]:2525 "
	    "in smtp_listen (f:1); write another address or port, or leave "
	    "one of them out" },
	{ "beside a default", "lmtp_listen = *:25\n",
	    "f:1: lmtp_listen: value \"*:25\": taken by *:25 in smtp_listen "
	    "(the default); write another address or port, or leave one of "
	    "them out" },
	{ "an address beside all of them", "smtp_listen = *:25, 127.0.0.1:25\n",
	    "f:1: smtp_listen: value \"127.0.0.1:25\": taken by *:25 in "
	    "smtp_listen (f:1); write another address or port, or leave one "
	    "of them out" },
	{ "all of a family, by their number",
	    "smtp_listen = 192.0.2.1:25, 0.0.0.0:25\n",
	    "f:1: smtp_listen: value \"0.0.0.0:25\": taken by 192.0.2.1:25 in "
	    "smtp_listen (f:1); write another address or port, or leave one "
	    "of them out" },
	{ "a path",
	    "smtp_listen = unix:/run/x\nlmtp_listen =\n  unix:/run/y,\n"
	    "  unix:/run/x\n",
	    "f:2: lmtp_listen: value \"unix:/run/x\": taken by unix:/run/x in "
	    "smtp_listen (f:1); write another path, or leave one of them "
	    "out" },
	{ "another port", "smtp_listen = *:25, *:26\nlmtp_listen = *:24\n",
	    NULL },
	{ "another address", "smtp_listen = 127.0.0.1:25, 127.0.0.2:25\n",
	    NULL },
	{ "one of each family", "smtp_listen = 127.0.0.1:25, [::1]:25\n",
	    NULL },
	{ "all of each family", "smtp_listen = 0.0.0.0:25, [::]:25\n", NULL },
	{ "* is of the protocols in use",
	    "inet_protocols = ipv4\nsmtp_listen = *:25, [::1]:25\n", NULL },
	{ "other paths", "smtp_listen = unix:/run/x, unix:/run/x2\n", NULL },
};

static void
test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct conf *c = test_load(rows[i].text);

		print_message("%s\n", rows[i].why);
		if (rows[i].message == NULL) {
			assert_int_equal(test_report.error_count, 0);
			assert_non_null(c);
		} else {
			assert_null(c);
			assert_int_equal(test_report.error_count, 1);
			assert_string_equal(test_report.messages[0].text,
			    rows[i].message);
		}
		test_end(c);
	}
}

static void
test_count(void **state)
{
	(void)state;
	for (int count = CONF_LISTEN_COUNT_MAX - 1;
	     count <= CONF_LISTEN_COUNT_MAX + 1; count++) {
		char text[4096];
		size_t len = (size_t)snprintf(text, sizeof(text),
		    "lmtp_listen = *:24\nsmtp_listen =");
		const struct conf *c;

		for (int i = 0; i < count; i++)
			len += (size_t)snprintf(text + len, sizeof(text) - len,
			    " *:%d", 1000 + i);
		c = test_load(text);
		assert_int_equal(c != NULL, count <= CONF_LISTEN_COUNT_MAX);
		if (c == NULL)
			assert_non_null(strstr(test_report.messages[0].text,
			    "more than 64 places; write fewer"));
		test_end(c);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_count),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
