/*
 * options: what administrators and programs give to sendmail.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "proto/envelope.h"
#include "sendmail/options.h"

enum { WORDS_MAX = 8 };

static const struct {
	const char *why;
	const char *words[WORDS_MAX];
	enum err err;
	enum sendmail_mode mode;
	bool from_header, dot_is_data;
	const char *sender, *full_name;
	size_t recipient_count;
	const char *last; /* recipient */
} rows[] = {
	{ "one recipient", { "joe@x" }, OK, .recipient_count = 1,
	    .last = "joe@x" },
	{ "cron",
	    { "-FCronDaemon", "-i", "-odi", "-oem", "-oi", "-t", "-f", "root" },
	    OK, .from_header = true, .dot_is_data = true, .sender = "root",
	    .full_name = "CronDaemon" },
	{ "mutt", { "-oem", "-oi", "-f", "me@x", "--", "a@x", "b@x" }, OK,
	    .dot_is_data = true, .sender = "me@x", .recipient_count = 2,
	    .last = "b@x" },
	{ "PHP", { "-t", "-i" }, OK, .from_header = true, .dot_is_data = true },
	{ "letters in one word", { "-tif", "me@x" }, OK, .from_header = true,
	    .dot_is_data = true, .sender = "me@x" },
	{ "an attached value ends the word", { "-fti", "a@x" }, OK,
	    .sender = "ti", .recipient_count = 1, .last = "a@x" },
	{ "-r is -f", { "-rme@x", "a@x" }, OK, .sender = "me@x",
	    .recipient_count = 1, .last = "a@x" },
	{ "the null sender", { "-f", "", "a@x" }, OK, .sender = "",
	    .recipient_count = 1, .last = "a@x" },
	{ "a sender that looks like an option", { "-f", "-t", "a@x" }, OK,
	    .sender = "-t", .recipient_count = 1, .last = "a@x" },
	{ "nothing is an option behind --", { "--", "-t", "-oi" }, OK,
	    .recipient_count = 2, .last = "-oi" },
	{ "a lone dash is a word", { "-" }, OK, .recipient_count = 1,
	    .last = "-" },
	{ "words before options", { "a@x", "-i", "b@x" }, OK,
	    .dot_is_data = true, .recipient_count = 2, .last = "b@x" },
	{ "old ones that mean nothing",
	    { "-m", "-n", "-v", "-U", "-B8BITMIME", "-h", "3", "a@x" }, OK,
	    .recipient_count = 1, .last = "a@x" },
	{ "more of them",
	    { "-G", "-Am", "-L", "tag", "-X", "/log", "-O", "x=y" }, OK },
	{ "-bm", { "-bm", "a@x" }, OK, .recipient_count = 1, .last = "a@x" },
	{ "-bs", { "-bs" }, OK, .mode = SENDMAIL_SMTP },
	{ "-b s", { "-b", "s" }, OK, .mode = SENDMAIL_SMTP },
	{ "-bp", { "-bp" }, OK, .mode = SENDMAIL_MAILQ },
	{ "-bi", { "-bi" }, OK, .mode = SENDMAIL_ALIASES },
	{ "-I", { "-I" }, OK, .mode = SENDMAIL_ALIASES },
	{ "-q", { "-q" }, OK, .mode = SENDMAIL_FLUSH },
	{ "-bd needs a server program", { "-bd" }, ERR_SYNTAX },
	{ "-bd -q30m", { "-bd", "-q30m" }, ERR_SYNTAX },
	{ "-q30m", { "-q30m" }, ERR_SYNTAX },
	{ "-bv", { "-bv", "a@x" }, ERR_SYNTAX },
	{ "-bz", { "-bz" }, ERR_SYNTAX },
	{ "-f without value", { "-f" }, ERR_SYNTAX },
	{ "unknown", { "-Z" }, ERR_SYNTAX },
	{ "-N never", { "-N", "never", "a@x" }, OK, .recipient_count = 1,
	    .last = "a@x" },
	{ "-N never,delay", { "-N", "never,delay" }, ERR_SYNTAX },
	{ "-N sometimes", { "-Nsometimes" }, ERR_SYNTAX },
	{ "-N nothing", { "-N", "" }, ERR_SYNTAX },
	{ "-R half", { "-Rhalf" }, ERR_SYNTAX },
};

static bool
same(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static void
table(void **state)
{
	struct sendmail_options o;
	struct errtext et;
	char *argv[WORDS_MAX];
	size_t i, n;
	bool good;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		for (n = 0; n < WORDS_MAX && rows[i].words[n] != NULL; n++)
			argv[n] = (char *)(uintptr_t)rows[i].words[n];
		et.text[0] = '\0';
		good = sendmail_options_parse((int)n, argv, &o, &et) ==
		       rows[i].err;
		if (rows[i].err != OK)
			good = good && et.text[0] != '\0';
		else
			good = good && o.mode == rows[i].mode &&
			       o.from_header == rows[i].from_header &&
			       o.dot_is_data == rows[i].dot_is_data &&
			       same(o.sender, rows[i].sender) &&
			       same(o.full_name, rows[i].full_name) &&
			       o.recipient_count == rows[i].recipient_count &&
			       (rows[i].last == NULL ||
				   same(o.recipients[o.recipient_count - 1],
				       rows[i].last));
		if (!good)
			fail_msg("%s", rows[i].why);
	}
}

static void
delivery_reports(void **state)
{
	static char *argv[] = { (char *)(uintptr_t) "-Nsuccess,Delay",
		(char *)(uintptr_t) "-R", (char *)(uintptr_t) "HDRS",
		(char *)(uintptr_t) "-Vid 1" };
	struct sendmail_options o;

	(void)state;
	assert_int_equal(sendmail_options_parse(4, argv, &o, NULL), OK);
	assert_int_equal(o.notify, NOTIFY_SUCCESS | NOTIFY_DELAY);
	assert_int_equal(o.ret, RET_HDRS);
	assert_string_equal(o.envid, "id 1");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(table),
		cmocka_unit_test(delivery_reports),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
