/*
 * pipe: the arguments of a pipe's command, from a request.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "alias/pipe_args.h"
#include "local/command.h"
#include "local/pipe.h"

/* A list as requests have it; the literal ends in a NUL of its own. */
#define LIST(text)                      \
	{                               \
		text "\0", sizeof(text) \
	}

static struct pipe_command made;

static struct request
request(void)
{
	return (struct request){
		.verb = REQUEST_PIPE,
		.sender = SLICE_LIT("Joe@B.test"),
		.user = SLICE_LIT("vmail"),
		.transport = SLICE_LIT("t"),
		.message_id = 77,
		.body_bytes = 123,
		.argv = LIST("/bin/x\0$recipient"),
		.recipients = LIST("a+X@y.test\0\0b@y.test\0old@z.test"),
		.null_sender = SLICE_LIT("MAILER-DAEMON"),
		.nexthop = SLICE_LIT("hop"),
		.client_address = SLICE_LIT("192.0.2.1"),
		.delimiters = "+",
		.time_limit_ms = 1000,
	};
}

/* The arguments, each in brackets. */
static const char *
joined(void)
{
	static char text[4096];
	size_t len = 0;

	text[0] = '\0';
	for (size_t i = 0; i < made.count; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, "[%s]",
		    made.argv[i]);
	assert_null(made.argv[made.count]);
	return text;
}

static void
arguments(void **state)
{
	static const struct {
		const char *why;
		struct slice argv;
		unsigned flags;
		const char *want;
	} rows[] = {
		{ "once for each recipient", LIST("/x\0-r\0<$recipient>\0e"), 0,
		    "[/x][-r][<a+X@y.test>][<b@y.test>][e]" },
		{ "original ones", LIST("/x\0${original_recipient}"), 0,
		    "[/x][a+X@y.test][old@z.test]" },
		{ "parts", LIST("/x\0$user:$extension:$domain:$mailbox"), 0,
		    "[/x][a:X:y.test:a+X][b::y.test:b]" },
		{ "lower case", LIST("/x\0$mailbox\0$sender"), PIPE_LOWER_LOCAL,
		    "[/x][a+x][b][joe@B.test]" },
		{ "lower case of domains", LIST("/x\0$sender"),
		    PIPE_LOWER_DOMAIN, "[/x][Joe@b.test]" },
		{ "facts of the message",
		    LIST("/x\0$queue_id $size $nexthop $client_address"), 0,
		    "[/x][77 123 hop 192.0.2.1]" },
		{ "an empty argument", LIST("/x\0\0$client_helo\0y"), 0,
		    "[/x][][][y]" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct request q = request();
		struct outcome o;

		print_message("%s\n", rows[i].why);
		q.argv = rows[i].argv;
		q.pipe_flags = rows[i].flags;
		assert_true(pipe_command_make(&q, &made, &o));
		assert_string_equal(joined(), rows[i].want);
	}
}

static void
null_sender(void **state)
{
	struct request q = request();
	struct outcome o;

	(void)state;
	q.argv = (struct slice)LIST("/x\0<$sender>");
	q.sender = SLICE_NONE;
	assert_true(pipe_command_make(&q, &made, &o));
	assert_string_equal(joined(), "[/x][<MAILER-DAEMON>]");
	q.null_sender = SLICE_NONE;
	assert_true(pipe_command_make(&q, &made, &o));
	assert_string_equal(joined(), "[/x][<>]");
}

static void
refusals(void **state)
{
	struct request q = request();
	struct outcome o;

	(void)state;
	q.recipients = (struct slice)LIST("-rf@y.test\0");
	assert_false(pipe_command_make(&q, &made, &o));
	assert_int_equal(o.status, JOB_FAILED);
	assert_string_equal(o.dsn, "5.1.3");
	q = request();
	q.argv = (struct slice)LIST("/x\0$nothing");
	assert_false(pipe_command_make(&q, &made, &o));
	assert_int_equal(o.status, JOB_DEFERRED);
	assert_string_equal(o.dsn, "4.3.5");
}

/* So many bytes of arguments fit, and no more. */
static void
bounds(void **state)
{
	static char recipients[REQUEST_RECIPIENTS_BYTES_MAX];
	static char argv[REQUEST_ARGV_BYTES_MAX];
	struct request q = request();
	size_t len = 3, at = 0;
	struct outcome o;

	(void)state;
	/* 60 templates for 400 recipients: far too many words. */
	memcpy(argv, "/x", 3);
	for (int i = 0; i < 60; i++)
		len += (size_t)snprintf(argv + len, sizeof(argv) - len,
			   "$recipient") +
		       1;
	for (int i = 0; i < 400; i++)
		at += (size_t)snprintf(recipients + at, sizeof(recipients) - at,
			  "u%03d@y.test", i) +
		      2;
	q.argv = slice_of(argv, len);
	q.recipients = slice_of(recipients, at);
	assert_false(pipe_command_make(&q, &made, &o));
	assert_int_equal(o.status, JOB_DEFERRED);
	assert_string_equal(o.text,
	    "the arguments of the command are too long");
	/* Few of them. */
	q.argv = slice_of(argv, 3 + 5 * sizeof("$recipient"));
	assert_true(pipe_command_make(&q, &made, &o));
	assert_int_equal(made.count, 1 + 5 * 400);
}

static void
verdicts(void **state)
{
	static const struct {
		int status;
		const char *output;
		enum job_status want;
		const char *dsn, *text;
	} rows[] = {
		{ 0, "", JOB_SENT, "2.0.0", "delivered via t service" },
		{ 0, "kept\n", JOB_SENT, "2.0.0",
		    "delivered via t service (kept)" },
		{ 99 << 8, "", JOB_FAILED, "5.3.0",
		    "Command died with status 99: \"/bin/x\"" },
		{ 75 << 8, "x", JOB_DEFERRED, "4.3.0",
		    "temporary failure. Command output: x" },
		{ 67 << 8, "4.2.1 later", JOB_DEFERRED, "4.2.1",
		    "user unknown. Command output: later" },
		{ 9, "", JOB_DEFERRED, "4.3.0",
		    "Command died with signal 9: \"/bin/x\"" },
	};
	struct request q = request();

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct command_end end = { .status = rows[i].status,
			.output = slice_str(rows[i].output) };
		struct outcome o;

		assert_false(command_verdict(&q, &end, &o));
		assert_int_equal(o.status, rows[i].want);
		assert_string_equal(o.dsn, rows[i].dsn);
		assert_string_equal(o.text, rows[i].text);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(arguments),
		cmocka_unit_test(null_sender),
		cmocka_unit_test(refusals),
		cmocka_unit_test(bounds),
		cmocka_unit_test(verdicts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
