/*
 * message: envelope, header and body of whole messages.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "conf/conf.h"
#include "sendmail/message.h"

static struct acct account;
static const struct conf *conf;

enum { WORDS_MAX = 4 };

static const struct {
	const char *why;
	const char *words[WORDS_MAX];
	const char *in;
	int status;
	const char *sender, *rcpts; /* each followed by a blank */
	const char *holds;	    /* a piece of what leaves */
	const char *not_holds;
} rows[] = {
	{ "a message", { "-fme@y.test", "joe" }, "Subject: s\n\nbody\n", EX_OK,
	    "me@y.test", "joe@here.test ", "Subject: s\r\nFrom: ", "Bcc" },
	{ "the body stays", { "-fme", "joe" }, "A: b\n\nx\n.y\n", EX_OK,
	    "me@here.test", "joe@here.test ", "\r\n\r\nx\r\n.y\r\n", NULL },
	{ "text without header", { "-fme", "joe" }, "Hello,\nyou\n", EX_OK,
	    "me@here.test", "joe@here.test ", "\r\n\r\nHello,\r\nyou\r\n",
	    NULL },
	{ "nothing at all", { "-fme", "joe" }, "", EX_OK, "me@here.test",
	    "joe@here.test ", "From: ", NULL },
	{ "-t", { "-fme", "-t" }, "To: a@x.test\nBcc: b@x.test\n\nx\n", EX_OK,
	    "me@here.test", "a@x.test b@x.test ", "To: a@x.test\r\n", "b@x" },
	{ "-t and words", { "-fme", "-t", "c@x.test" }, "To: a@x.test\n\nx\n",
	    EX_OK, "me@here.test", "c@x.test a@x.test ", NULL, NULL },
	{ "a word that is a list", { "-fme", "a@x.test, b@x.test" }, "x\n",
	    EX_OK, "me@here.test", "a@x.test b@x.test ", NULL, NULL },
	{ "the null sender is no address for a From field",
	    { "-f", "<>", "-FJ", "a@x.test" }, "x\n", EX_OK, "", "a@x.test ",
	    "From: \"J\" <MAILER-DAEMON@here.test>\r\n", "<>" },
	{ "no recipients", { "-fme" }, "x\n", EX_USAGE, NULL, NULL, NULL,
	    NULL },
	{ "-t without recipients", { "-fme", "-t" }, "Subject: x\n\nx\n",
	    EX_USAGE, NULL, NULL, NULL, NULL },
	{ "-t with a bad list", { "-fme", "-t" }, "To: a b@x.test\n\n",
	    EX_DATAERR, NULL, NULL, NULL, NULL },
	{ "more recipients than the limit", { "-fme", "a,b,c,d" }, "x\n",
	    EX_DATAERR, NULL, NULL, NULL, NULL },
	{ "as many as the limit", { "-fme", "a,b,c" }, "x\n", EX_OK,
	    "me@here.test", "a@here.test b@here.test c@here.test ", NULL,
	    NULL },
	{ "more in the header", { "-fme", "-t" }, "To: a,b,\n c,d\n\n",
	    EX_DATAERR, NULL, NULL, NULL, NULL },
	{ "a sender with a line break", { "-f", "me@x\nRCPT TO:<z@x>", "a" },
	    "x\n", EX_USAGE, NULL, NULL, NULL, NULL },
	{ "a recipient with a line break", { "-fme", "a@x\r\nDATA" }, "x\n",
	    EX_DATAERR, NULL, NULL, NULL, NULL },
	{ "a recipient that would be a list on two lines",
	    { "-fme", "a@x.test,\n b@x.test" }, "x\n", EX_DATAERR, NULL, NULL,
	    NULL, NULL },
	{ "a name with a line break", { "-fme", "-FJoe\nBcc: z@x", "a" }, "x\n",
	    EX_USAGE, NULL, NULL, NULL, NULL },
	{ "a header of the limit's size is too long with more", { "-fme", "a" },
	    NULL, EX_DATAERR, NULL, NULL, NULL, NULL },
};

/* The message on a pipe; NULL: a header that never ends. */
static int
feed(const char *in)
{
	static char field[4000];
	FILE *f = tmpfile();
	int i;

	assert_non_null(f);
	memset(field, 'x', sizeof(field));
	if (in != NULL)
		fputs(in, f);
	for (i = 0; in == NULL && i < 20; i++)
		fprintf(f, "X: %.*s\n", (int)sizeof(field), field);
	rewind(f);
	return dup(fileno(f));
}

static struct slice
drain(struct message *m)
{
	static char all[1 << 20];
	struct slice piece;
	size_t n = 0;
	bool last = false;

	while (!last) {
		assert_int_equal(message_next(m, &piece, &last), OK);
		memcpy(all + n, piece.data, piece.len);
		n += piece.len;
	}
	all[n] = '\0';
	return slice_of(all, n);
}

static void
check(size_t i)
{
	static struct message m;
	struct sendmail_options o;
	struct errtext et = { .text = "" };
	char *argv[WORDS_MAX], rcpts[256] = "";
	struct slice all;
	size_t n, k;
	int fd = feed(rows[i].in), status;

	for (n = 0; n < WORDS_MAX && rows[i].words[n] != NULL; n++)
		argv[n] = (char *)(uintptr_t)rows[i].words[n];
	assert_int_equal(sendmail_options_parse((int)n, argv, &o, &et), OK);
	message_init(&m, conf, &account, &o, fd);
	status = message_begin(&m, &et);
	if (status != rows[i].status)
		fail_msg("%s: %d %s", rows[i].why, status, et.text);
	if (status != EX_OK) {
		assert_true(et.text[0] != '\0');
		goto out;
	}
	for (k = 0; k < m.rcpt_count; k++) {
		strncat(rcpts, m.rcpts[k].data, m.rcpts[k].len);
		strcat(rcpts, " ");
	}
	all = drain(&m);
	if (!slice_eq(m.sender, slice_str(rows[i].sender)) ||
	    strcmp(rcpts, rows[i].rcpts) != 0 ||
	    (rows[i].holds != NULL &&
		strstr(all.data, rows[i].holds) == NULL) ||
	    (rows[i].not_holds != NULL &&
		strstr(all.data, rows[i].not_holds) != NULL))
		fail_msg("%s: %s %s\n%s", rows[i].why, m.sender.data, rcpts,
		    all.data);
out:
	buf_fini(&m.raw);
	buf_fini(&m.head);
	arena_fini(&m.arena);
	close(fd);
}

static void
table(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++)
		check(i);
}

/* A large body passes unchanged in pieces; memory stays what it was. */
static void
large_body(void **state)
{
	enum { LINES = 8000 };
	static struct message m;
	char me[] = "-fme", joe[] = "joe";
	char *argv[] = { me, joe };
	struct sendmail_options o;
	FILE *f = tmpfile();
	struct slice all;
	int i;

	(void)state;
	assert_non_null(f);
	fputs("A: b\n\n", f);
	for (i = 0; i < LINES; i++)
		fprintf(f, "%098d\n", i);
	rewind(f);
	assert_int_equal(sendmail_options_parse(2, argv, &o, NULL), OK);
	message_init(&m, conf, &account, &o, fileno(f));
	assert_int_equal(message_begin(&m, NULL), EX_OK);
	assert_true(account.peak_bytes < 512 * 1024);
	all = drain(&m);
	assert_true(all.len > 100 * LINES);
	for (i = LINES - 1; i >= 0; i -= 777)
		assert_int_equal(
		    atoi(all.data + all.len - 100 * (size_t)(LINES - i)), i);
	assert_true(account.peak_bytes < 512 * 1024);
	buf_fini(&m.raw);
	buf_fini(&m.head);
	arena_fini(&m.arena);
	fclose(f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(table),
		cmocka_unit_test(large_body),
	};
	struct conf_report *report;

	acct_init(&account, NULL, "test", 0, false, "");
	report = conf_report_new(&account);
	if (conf_load_text(&account,
		SLICE_LIT("myhostname = here.test\nmyorigin = here.test\n"
			  "extract_recipient_limit = 3\n"
			  "header_total_size_limit = 50000\n"),
		"test", report, &conf) != OK)
		return 1;
	conf_report_free(&account, report);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
