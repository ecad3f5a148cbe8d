/*
 * Lists of targets: what each form means, that pieces make no difference, and
 * that a mistake hurts no other target.
 */
#include "../check.h"

#include <stdio.h>
#include <string.h>

#include "alias/target.h"

static const char kinds[] = {
	[ALIAS_ADDRESS] = 'A',
	[ALIAS_USER] = 'U',
	[ALIAS_COMMAND] = 'C',
	[ALIAS_MBOX] = 'F',
	[ALIAS_MAILDIR] = 'D',
	[ALIAS_INCLUDE] = 'I',
};

/* "A1=joe;!2: a mistake;", fed in pieces of at most step bytes, the first of
 * them of first bytes. */
static void
render(const char *text, size_t len, enum alias_source source, size_t first,
    size_t step, char *out, size_t size)
{
	static struct alias_scan s;
	struct alias_target t;
	struct errtext et;
	size_t at = 0, n = first, used = 0;
	bool last;
	enum err e;

	alias_scan_init(&s, source);
	out[0] = '\0';
	do {
		struct slice in;

		n = n > len - at ? len - at : n;
		in = slice_of(text + at, n);
		at += n;
		n = step;
		last = at == len;
		while ((e = alias_scan_next(&s, &in, last, &t, &et)) == OK ||
		       e == ERR_CONFIG) {
			if (e == OK)
				used += (size_t)snprintf(out + used,
				    size - used, "%c%u=%.*s;", kinds[t.kind],
				    t.line, SLICE_ARGS(t.text));
			else
				used += (size_t)snprintf(out + used,
				    size - used, "!%s;", et.text);
		}
		assert_int_equal(in.len, 0);
		assert_int_equal(e, last ? ERR_NOTFOUND : ERR_AGAIN);
	} while (!last);
	assert_true(used < size);
}

#define V ALIAS_SOURCE_VALUE
#define F ALIAS_SOURCE_FILE

static const struct {
	const char *why, *text, *want;
	enum alias_source source;
} rows[] = {
	{ "one user", "joe", "A1=joe;", V },
	{ "an address", "joe@x.example", "A1=joe@x.example;", V },
	{ "a list", "joe, jane@x ,\tjim", "A1=joe;A1=jane@x;A1=jim;", V },
	{ "nothing", "", "", V },
	{ "nothing between commas", ",, joe ,,", "A1=joe;", V },
	{ "a name and a comment", "Joe Doe <joe@x> (his (own) mail)",
	    "A1=joe@x;", V },
	{ "a quoted name with a comma", "\"Doe, Joe\" <joe@x>, jane",
	    "A1=joe@x;A1=jane;", V },
	{ "a comma in angle brackets", "<@a,@b:joe@x>", "A1=@a,@b:joe@x;", V },
	{ "a comma in a comment", "joe (a, b), jane", "A1=joe;A1=jane;", V },
	{ "only a comment", "(nobody)", "", V },
	{ "a quoted local part keeps its quotes", "\"joe doe\"@x",
	    "A1=\"joe doe\"@x;", V },
	{ "a quoted user keeps them too", "\"joe doe\"", "A1=\"joe doe\";", V },
	{ "a quoted address does not", "\"joe@x\"", "A1=joe@x;", V },
	{ "two words", "joe jane",
	    "!line 1: two words; separate addresses by "
	    "commas;",
	    V },
	{ "an empty address", "<>", "!line 1: an empty address;", V },
	{ "an empty quoted one", "\"\"", "!line 1: an empty address;", V },
	{ "behind the brackets", "<joe> x",
	    "!line 1: something behind the angle brackets;", V },

	{ "a backslash", "\\joe, \"|/bin/vacation joe\"",
	    "U1=joe;C1=/bin/vacation joe;", V },
	{ "a backslash in quotes is meant so", "\"\\joe\"", "U1=joe;", V },
	{ "a backslash alone", "\\", "!line 1: a backslash without a user;",
	    V },

	{ "a command", "|/bin/cmd", "C1=/bin/cmd;", V },
	{ "with words", "| /bin/cmd a b , joe", "C1=/bin/cmd a b;A1=joe;", V },
	{ "quoted as a whole", "\"|/bin/cmd a, b\"", "C1=/bin/cmd a, b;", V },
	{ "quoted behind the bar", "|\"/bin/cmd a, b\"", "C1=/bin/cmd a, b;",
	    V },
	{ "quotes within quotes", "\"|/bin/cmd \\\"a b\\\" c\"",
	    "C1=/bin/cmd \"a b\" c;", V },
	{ "a part in quotes is the shell's", "|/bin/cmd \"a, b\" c",
	    "C1=/bin/cmd \"a, b\" c;", V },
	{ "parentheses are the shell's", "|(cd /tmp; cat) > x",
	    "C1=(cd /tmp; cat) > x;", V },
	{ "an angle bracket is the shell's", "|cat < /x", "C1=cat < /x;", V },
	{ "a double backslash", "\"|printf 'a\\\\n'\"", "C1=printf 'a\\n';",
	    V },
	{ "no command", "|", "!line 1: an empty command;", V },
	{ "no command in quotes", "\"| \"", "!line 1: an empty command;", V },

	{ "a file", "/var/mail/x", "F1=/var/mail/x;", V },
	{ "a Maildir", "/home/joe/Maildir/", "D1=/home/joe/Maildir/;", V },
	{ "a quoted file", "\"/a b,c\"", "F1=/a b,c;", V },
	{ "a file with a parenthesis", "/a(b)", "F1=/a(b);", V },

	{ "a list of a file", ":include:/etc/list", "I1=/etc/list;", V },
	{ "capitals", ":INCLUDE:/etc/list", "I1=/etc/list;", V },
	{ "quoted", "\":include:/a b\"", "I1=/a b;", V },
	{ "quoted behind the colon", ":include:\"/a b\"", "I1=/a b;", V },
	{ "blanks behind the colon", ":include: /a", "I1=/a;", V },
	{ "a relative path", ":include:x",
	    "!line 1: :include: without an absolute path;", V },
	{ "another word of that kind",
	    ":fail:", "!line 1: neither an address nor :include:;", V },

	{ "a missing quote", "\"|cmd, joe", "!line 1: a quote is missing;", V },
	{ "a missing parenthesis", "joe (x, jane",
	    "!line 1: a parenthesis is missing;", V },
	{ "a missing bracket", "<joe, jane",
	    "!line 1: an angle bracket is missing;", V },
	{ "a hash is no comment in a value", "#joe", "A1=#joe;", V },

	{ "lines", "joe\njane\n", "A1=joe;A2=jane;", F },
	{ "CRLF", "joe\r\njane\r\n", "A1=joe;A2=jane;", F },
	{ "no newline at the end", "joe\njane", "A1=joe;A2=jane;", F },
	{ "comments", "# a, b\njoe\n  # c\njane # d\n",
	    "A2=joe;!line 4: two words; separate addresses by commas;", F },
	{ "a hash within a line", "joe, #jane", "A1=joe;A1=#jane;", F },
	{ "a comment behind a comma at the end of a line", "joe,\n# x\njane\n",
	    "A1=joe;A3=jane;", F },
	{ "an indented line", "joe,\n  jane\n", "A1=joe;A2=jane;", F },
	{ "a command over two lines", "\"|cmd a\n b\"\njoe\n",
	    "C1=cmd a b;A3=joe;", F },
	{ "a quote that ends with the line", "\"|cmd a\njoe\n",
	    "!line 1: a quote is missing;A2=joe;", F },
	{ "a parenthesis that ends with the line", "joe (x\njane\n",
	    "!line 1: a parenthesis is missing;A2=jane;", F },
	{ "a bracket that ends with the line", "<joe\njane\n",
	    "!line 1: an angle bracket is missing;A2=jane;", F },
	{ "a mistake hurts no other", "a b, joe\nc d\njane\n",
	    "!line 1: two words; separate addresses by commas;A1=joe;!line 2: "
	    "two words; separate addresses by commas;A3=jane;",
	    F },
	{ "the usual .forward",
	    "\\joe, \"|/usr/bin/vacation -a \\\"j d\\\" "
	    "joe\"\n",
	    "U1=joe;C1=/usr/bin/vacation -a \"j d\" joe;", F },
	{ "procmail's",
	    "\"|IFS=' ' && exec /usr/bin/procmail -f- || exit 75 "
	    "#joe\"\n",
	    "C1=IFS=' ' && exec /usr/bin/procmail -f- || exit 75 #joe;", F },
};

static void
test_rows_at_every_split(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		size_t len = strlen(rows[i].text);
		char got[512];

		print_message("%s\n", rows[i].why);
		for (size_t first = 0; first <= len; first++) {
			render(rows[i].text, len, rows[i].source, first, len,
			    got, sizeof(got));
			assert_string_equal(got, rows[i].want);
		}
		render(rows[i].text, len, rows[i].source, 1, 1, got,
		    sizeof(got));
		assert_string_equal(got, rows[i].want);
	}
}

static void
test_null_byte(void **state)
{
	char got[128];

	(void)state;
	render("a\0b, c", 6, V, 6, 6, got, sizeof(got));
	assert_string_equal(got, "!line 1: a null byte;A1=c;");
}

/* limit - 1, limit, limit + 1, and the target behind. */
static void
test_bound(void **state)
{
	static char text[ALIAS_TARGET_BYTES_MAX + 16];
	static char got[ALIAS_TARGET_BYTES_MAX + 64];

	(void)state;
	for (int d = -1; d <= 1; d++) {
		size_t n = (size_t)(ALIAS_TARGET_BYTES_MAX + d);

		memset(text, 'x', n);
		memcpy(text + n, ",joe", 4);
		render(text, n + 4, V, n, 1, got, sizeof(got));
		assert_int_equal(got[0], d > 0 ? '!' : 'A');
		assert_string_equal(got + strlen(got) - 7, "A1=joe;");
		if (d > 0)
			assert_string_equal(got, "!line 1: too long;A1=joe;");
	}
	/* Parentheses within one another: 16 and 17. */
	for (size_t n = 16; n <= 17; n++) {
		memset(text, '(', n);
		memset(text + n, ')', n);
		memcpy(text + 2 * n, " a, b", 5);
		render(text, 2 * n + 5, V, 1, 1, got, sizeof(got));
		assert_string_equal(got, n == 16 ? "A1=a;A1=b;"
						 : "!line 1: too many "
						   "parentheses;A1=b;");
	}
}

/* Five thousand, as a mailing list has them. */
static void
test_a_long_list(void **state)
{
	static struct alias_scan s;
	static char text[200000];
	struct alias_target t;
	struct slice in;
	size_t len = 0;
	unsigned count = 0;

	(void)state;
	for (unsigned i = 0; i < 5000; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len,
		    "user%u@example.test\n", i);
	alias_scan_init(&s, F);
	in = slice_of(text, len);
	while (alias_scan_next(&s, &in, true, &t, NULL) == OK) {
		assert_int_equal(t.kind, ALIAS_ADDRESS);
		assert_int_equal(t.line, ++count);
	}
	assert_int_equal(count, 5000);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows_at_every_split),
		cmocka_unit_test(test_null_byte),
		cmocka_unit_test(test_bound),
		cmocka_unit_test(test_a_long_list),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
