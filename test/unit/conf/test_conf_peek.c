/*
 * conf_peek beside conf_load_text: what it finds is what that finds.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "conf/conf.h"
#include "conf/peek.h"

static const struct {
	const char *why, *text;
	enum conf_peek result;
} rows[] = {
	{ "nothing", "", CONF_PEEK_ABSENT },
	{ "only others", "myhostname = a.example\n# queue_directory = /x\n",
	    CONF_PEEK_ABSENT },
	{ "plain", "queue_directory = /a/b\n", CONF_PEEK_FOUND },
	{ "narrow, and without a line end", "queue_directory=/a",
	    CONF_PEEK_FOUND },
	{ "blanks and others around",
	    "mydomain = x.example\nqueue_directory \t=  /a/b \n\n# c\n"
	    "myhostname = h.example\n",
	    CONF_PEEK_FOUND },
	{ "continued", "queue_directory = /a\n\n# c\n  /b\n",
	    CONF_PEEK_UNCLEAR },
	{ "a comment behind it that is indented",
	    "queue_directory = /a\n # c\n", CONF_PEEK_UNCLEAR },
	{ "twice", "queue_directory = /a\nqueue_directory = /b\n",
	    CONF_PEEK_UNCLEAR },
	{ "with names", "queue_directory = $data_directory/q\n",
	    CONF_PEEK_UNCLEAR },
	{ "named by another",
	    "queue_directory = /a\ndata_directory = $queue_directory/d\n",
	    CONF_PEEK_UNCLEAR },
	{ "inside a continued line", "myorigin =\n queue_directory = /a\n",
	    CONF_PEEK_UNCLEAR },
	{ "a longer name", "queue_directory_x = /a\n", CONF_PEEK_UNCLEAR },
	{ "empty", "queue_directory =\n", CONF_PEEK_UNCLEAR },
	{ "no equals sign", "queue_directory\n", CONF_PEEK_UNCLEAR },
	{ "two words", "queue_directory = /a /b\n", CONF_PEEK_UNCLEAR },
};

static void
compare(struct slice text, enum conf_peek result, struct slice value,
    const char *why)
{
	struct acct a;
	struct conf_report *report;
	const struct conf *conf = NULL;

	acct_init(&a, NULL, "test", 0, false, "");
	report = conf_report_new(&a);
	if (conf_load_text(&a, text, "f", report, &conf) == OK) {
		if (result == CONF_PEEK_ABSENT)
			value = SLICE_LIT(CONF_DEFAULT_QUEUE_DIRECTORY);
		if (result != CONF_PEEK_UNCLEAR &&
		    !slice_eq(value, slice_str(conf->queue_directory)))
			fail_msg("%s: %.*s", why, (int)value.len, value.data);
	} else {
		/* It says nothing of what is no configuration. */
		assert_true(result != CONF_PEEK_ABSENT ||
			    memchr(text.data, '$', text.len) == NULL);
	}
	conf_free(conf);
	conf_report_free(&a, report);
	acct_fini(&a);
}

/* Whole, and with every octet behind some place missing. */
static void
test_rows(void **state)
{
	struct slice value;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct slice text = slice_str(rows[i].text);

		assert_int_equal(
		    conf_peek(text, SLICE_LIT("queue_directory"), &value),
		    rows[i].result);
		for (size_t n = 0; n <= text.len; n++) {
			struct slice part = slice_sub(text, 0, n);
			enum conf_peek r = conf_peek(part,
			    SLICE_LIT("queue_directory"), &value);

			compare(part, r, value, rows[i].why);
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_rows) };

	return cmocka_run_group_tests_name("conf_peek", tests, NULL, NULL);
}
