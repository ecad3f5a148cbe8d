/*
 * .qmail files: the lines, their names, owners; qmail's users/assign.
 */
#include "../check.h"

#include <stdio.h>
#include <string.h>

#include "alias/assign.h"
#include "alias/qmail_file.h"
#include "alias/qmail_name.h"

/* ---- lines ---- */

static const char actions[] = {
	[QMAIL_COMMAND] = 'C',
	[QMAIL_MBOX] = 'F',
	[QMAIL_MAILDIR] = 'D',
	[QMAIL_FORWARD] = '&',
};

static void
render(const char *text, size_t len, bool executable, size_t first, size_t step,
    char *out, size_t size)
{
	static struct qmail_scan s;
	struct qmail_line l;
	struct errtext et;
	size_t at = 0, n = first, used = 0;
	bool last;
	enum err e;

	qmail_scan_init(&s, executable);
	out[0] = '\0';
	do {
		struct slice in;

		n = n > len - at ? len - at : n;
		in = slice_of(text + at, n);
		at += n;
		n = step;
		last = at == len;
		while ((e = qmail_scan_next(&s, &in, last, &l, &et)) == OK ||
		       e == ERR_CONFIG)
			used +=
			    (size_t)(e == OK
					 ? snprintf(out + used, size - used,
					       "%c%u=%.*s;", actions[l.action],
					       l.line, SLICE_ARGS(l.text))
					 : snprintf(out + used, size - used,
					       "!%s;", et.text));
	} while (!last && e != ERR_NOTFOUND);
	assert_int_equal(e, ERR_NOTFOUND);
	assert_int_equal(s.empty, len == 0);
	assert_true(used < size);
}

static const struct {
	const char *why, *text, *want;
	bool executable;
} rows[] = {
	{ "no byte: the default delivery", "", "", false },
	{ "only a comment: delivered to nobody", "#\n", "", false },
	{ "a comment", "# |x\n&joe\n", "&2=joe;", false },
	{ "forward with &", "&joe@x\n", "&1=joe@x;", false },
	{ "forward without", "joe@x\n", "&1=joe@x;", false },
	{ "no newline at the end", "&joe", "&1=joe;", false },
	{ "a command", "|cmd a \"b\"\n", "C1=cmd a \"b\";", false },
	{ "a command with blanks in front", "| cmd\n", "C1= cmd;", false },
	{ "the empty command runs too", "|\n", "C1=;", false },
	{ "an mbox", "./Mailbox\n/var/mail/x\n", "F1=./Mailbox;F2=/var/mail/x;",
	    false },
	{ "a Maildir", "./Maildir/\n/m/\n", "D1=./Maildir/;D2=/m/;", false },
	{ "any line with a dot is a file", ".x\n", "F1=.x;", false },
	{ "blanks at the end", "./Maildir/ \t\n&joe \n",
	    "D1=./Maildir/;&2=joe;", false },
	{ "blanks in front belong to an address", " joe\n", "&1= joe;", false },
	{ "a CR is not a blank", "&joe\r\n", "&1=joe\r;", false },
	{ "blank lines", "&a\n\n \t\n&b\n", "&1=a;&4=b;", false },
	{ "the first line is blank", "\n&a\n",
	    "!Uh-oh: first line of .qmail file is blank. (#4.2.1);", false },
	{ "the first line is of blanks", " \t\n&a\n",
	    "!Uh-oh: first line of .qmail file is blank. (#4.2.1);", false },
	{ "a comment first, then blank", "#\n\n&a\n", "&3=a;", false },
	{ "forwards before +list", "|a\n+list\n&b\n", "C1=a;&3=b;", false },
	{ "a command behind it", "+list\n&a\n|b\n&c\n",
	    "&2=a;!Uh-oh: .qmail has prog delivery but has x bit set. "
	    "(#4.7.0);",
	    false },
	{ "a file behind it", "+list\n./x\n",
	    "!Uh-oh: .qmail has file delivery but has x bit set. (#4.7.0);",
	    false },
	{ "another plus", "+lists\n+\n|a\n", "C3=a;", false },
	{ "+list with blanks behind", "+list \n|a\n",
	    "!Uh-oh: .qmail has prog delivery but has x bit set. (#4.7.0);",
	    false },
	{ "an execute bit: forwards", "&a\nb\n", "&1=a;&2=b;", true },
	{ "an execute bit: a command", "&a\n|b\n",
	    "&1=a;!Uh-oh: .qmail has prog delivery but has x bit set. "
	    "(#4.7.0);",
	    true },
	{ "an execute bit: a Maildir", "./Maildir/\n",
	    "!Uh-oh: .qmail has file delivery but has x bit set. (#4.7.0);",
	    true },
	{ "& alone", "&\n",
	    "!Uh-oh: .qmail forwards to nobody: & alone. (#4.2.1);", false },
};

static void
test_lines(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		size_t len = strlen(rows[i].text);
		char got[512];

		print_message("%s\n", rows[i].why);
		for (size_t first = 0; first <= len; first++) {
			render(rows[i].text, len, rows[i].executable, first,
			    len, got, sizeof(got));
			assert_string_equal(got, rows[i].want);
		}
		render(rows[i].text, len, rows[i].executable, 1, 1, got,
		    sizeof(got));
		assert_string_equal(got, rows[i].want);
	}
}

static void
test_line_bounds(void **state)
{
	static char text[QMAIL_LINE_BYTES_MAX + 16];
	static char got[QMAIL_LINE_BYTES_MAX + 64];

	(void)state;
	for (int d = -1; d <= 1; d++) {
		size_t n = (size_t)(QMAIL_LINE_BYTES_MAX + d);

		for (int end = 0; end < 2; end++) {
			memset(text, 'x', n);
			text[n] = '\n';
			render(text, n + (size_t)end, false, 100, 100, got,
			    sizeof(got));
			if (d > 0)
				assert_string_equal(got,
				    "!Uh-oh: a line of .qmail is too long. "
				    "(#4.2.1);");
			else
				assert_int_equal(strlen(got), n + 4);
		}
	}
	render("a\0b\n&c\n", 7, false, 7, 7, got, sizeof(got));
	assert_string_equal(got,
	    "!Uh-oh: a line of .qmail holds a null byte. (#4.2.1);");
}

/* ---- names ---- */

static void
test_names(void **state)
{
	static const struct {
		const char *why, *dash, *ext, *want;
	} names[] = {
		{ "the user", "", "", ".qmail;" },
		{ "an extension", "-", "list",
		    ".qmail-list;.qmail-default[list];" },
		{ "two parts", "-", "list-request",
		    ".qmail-list-request;.qmail-list-default[request];.qmail-"
		    "default[list-request];" },
		{ "capitals and dots", "-", "A.B-c",
		    ".qmail-a:b-c;.qmail-a:b-default[c];.qmail-default[A.B-c]"
		    ";" },
		{ "nothing behind the dash", "-", "",
		    ".qmail-;.qmail-default[];" },
		{ "a dash at the end", "-", "a-",
		    ".qmail-a-;.qmail-a-default[];.qmail-default[a-];" },
		{ "dashes alone", "-", "--",
		    ".qmail---;.qmail---default[];.qmail--default[-];.qmail-"
		    "default[--];" },
		{ "a name that ends in default", "-", "a-Default",
		    ".qmail-a-default[Default];.qmail-a-default[Default];."
		    "qmail-default[a-Default];" },
		{ "up and out", "-", "../../x", "" },
		{ "dots alone", "-", "..", ".qmail-::;.qmail-default[..];" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		static struct qmail_names n;
		struct slice deflt;
		const char *name;
		char got[256] = "";
		size_t used = 0;
		enum err e;

		print_message("%s\n", names[i].why);
		e = qmail_names_begin(&n, slice_str(names[i].dash),
		    slice_str(names[i].ext));
		assert_int_equal(e, names[i].want[0] ? OK : ERR_SYNTAX);
		while (e == OK && (name = qmail_names_next(&n, &deflt)) != NULL)
			used +=
			    (size_t)(deflt.data != NULL
					 ? snprintf(got + used,
					       sizeof(got) - used, "%s[%.*s];",
					       name, SLICE_ARGS(deflt))
					 : snprintf(got + used,
					       sizeof(got) - used, "%s;",
					       name));
		assert_string_equal(got, names[i].want);
		if (e == OK)
			assert_null(qmail_names_next(&n, &deflt));
	}
}

static void
test_owner_names_and_bounds(void **state)
{
	static struct qmail_names n;
	static char ext[QMAIL_EXT_BYTES_MAX + 1];
	struct slice deflt;

	(void)state;
	assert_int_equal(
	    qmail_names_begin(&n, SLICE_LIT("-"), SLICE_LIT("List.x")), OK);
	assert_string_equal(qmail_names_owner(&n, false),
	    ".qmail-list:x-owner");
	assert_string_equal(qmail_names_owner(&n, true),
	    ".qmail-list:x-owner-default");
	assert_string_equal(qmail_names_next(&n, &deflt), ".qmail-list:x");
	memset(ext, 'x', sizeof(ext));
	for (size_t len = QMAIL_EXT_BYTES_MAX - 1;
	     len <= QMAIL_EXT_BYTES_MAX + 1; len++) {
		enum err e =
		    qmail_names_begin(&n, SLICE_LIT("-"), slice_of(ext, len));

		assert_int_equal(e,
		    len <= QMAIL_EXT_BYTES_MAX ? OK : ERR_TOOBIG);
		if (e == OK)
			assert_int_equal(strlen(qmail_names_owner(&n, true)),
			    len + 21);
	}
	/* As many names as there are dashes, and two. */
	memset(ext, '-', sizeof(ext));
	assert_int_equal(qmail_names_begin(&n, SLICE_LIT("-"),
			     slice_of(ext, QMAIL_EXT_BYTES_MAX)),
	    OK);
	for (int i = 0; i < QMAIL_EXT_BYTES_MAX + 2; i++)
		assert_non_null(qmail_names_next(&n, &deflt));
	assert_null(qmail_names_next(&n, &deflt));
	assert_int_equal(
	    qmail_names_begin(&n, SLICE_LIT("-"), slice_of("a\0b", 3)),
	    ERR_SYNTAX);
}

static void
expect_slice(struct slice got, const char *want)
{
	if (!slice_eq(got, slice_str(want)))
		fail_msg("%.*s is not %s", SLICE_ARGS(got), want);
}

static void
test_variables(void **state)
{
	static const char *const ext[] = { "a-b-c-d", "b-c-d", "c-d", "d" };
	static const char *const host[] = { "w.x.y.z", "w.x.y", "w.x", "w" };

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		expect_slice(qmail_ext_after(SLICE_LIT("a-b-c-d"), i), ext[i]);
		expect_slice(qmail_host_before(SLICE_LIT("w.x.y.z"), i),
		    host[i]);
		expect_slice(qmail_ext_after(SLICE_LIT("a"), i),
		    i == 0 ? "a" : "");
		expect_slice(qmail_host_before(SLICE_LIT("h"), i), "h");
	}
	expect_slice(qmail_ext_after(SLICE_NONE, 3), "");
	expect_slice(qmail_host_before(SLICE_NONE, 3), "");
}

/* ---- users/assign ---- */

static void
test_assign_lines(void **state)
{
	static const struct {
		const char *why, *line, *want;
	} lines[] = {
		{ "exact", "=joe:jd:1000:100:/home/jd:::",
		    "= joe jd 1000 100 /home/jd  " },
		{ "wild", "+joe-:jd:1000:100:/home/jd:-::",
		    "+ joe- jd 1000 100 /home/jd - " },
		{ "everybody", "+:alias:7790:2108:/var/qmail/alias:-::",
		    "+  alias 7790 2108 /var/qmail/alias - " },
		{ "with an extension", "=list:jd:1000:100:/h:-:list:",
		    "= list jd 1000 100 /h - list" },
		{ "something behind", "=a:b:1:1:/h:::rest", "= a b 1 1 /h  " },
		{ "the end", ".", "." },
		{ "root", "=joe:root:0:0:/root:::", "!" },
		{ "a negative number", "=joe:jd:-1:1:/h:::", "!" },
		{ "not a number", "=joe:jd:x:1:/h:::", "!" },
		{ "the largest number", "=j:j:4294967294:4294967294:/h:::",
		    "= j j 4294967294 4294967294 /h  " },
		{ "that of nobody", "=j:j:4294967295:1:/h:::", "!" },
		{ "no user", "=joe::1:1:/h:::", "!" },
		{ "a relative home", "=joe:jd:1:1:h:::", "!" },
		{ "no home", "=joe:jd:1:1::::", "!" },
		{ "six colons", "=joe:jd:1:1:/h::", "!" },
		{ "empty", "", "!" },
		{ "a comment", "# x", "!" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		struct assign_line l;
		struct errtext et;
		char got[256];
		enum err e;

		print_message("%s\n", lines[i].why);
		e = assign_parse_line(slice_str(lines[i].line), &l, &et);
		if (e == OK)
			(void)snprintf(got, sizeof(got),
			    "%c %.*s %.*s %u %u %.*s %.*s %.*s",
			    l.wild ? '+' : '=', SLICE_ARGS(l.local),
			    SLICE_ARGS(l.to.user), l.to.uid, l.to.gid,
			    SLICE_ARGS(l.to.home), SLICE_ARGS(l.to.dash),
			    SLICE_ARGS(l.to.ext));
		else
			(void)snprintf(got, sizeof(got), "%s",
			    e == ERR_NOTFOUND ? "." : "!");
		assert_string_equal(got, lines[i].want);
		assert_true(e == OK || e == ERR_NOTFOUND || et.text[0] != '\0');
	}
}

static void
test_assign_keys(void **state)
{
	struct assign_line l;
	char key[ASSIGN_KEY_BYTES_MAX], value[ASSIGN_VALUE_BYTES_MAX];
	static char long_line[ASSIGN_VALUE_BYTES_MAX + 64];
	struct assign_user u;
	struct slice rest;
	size_t n;

	(void)state;
	assert_int_equal(
	    assign_parse_line(SLICE_LIT("=Joe:jd:1000:100:/h:-:x:"), &l, NULL),
	    OK);
	assert_int_equal(assign_key(&l, key), 5);
	assert_memory_equal(key, "!joe\0", 5);
	n = assign_value(&l, value);
	assert_int_equal(n, 18);
	assert_memory_equal(value,
	    "jd\0"
	    "1000\0"
	    "100\0"
	    "/h\0-\0x",
	    n);
	for (int nul = 0; nul < 2; nul++) {
		value[n] = '\0';
		assert_int_equal(
		    assign_parse_value(slice_of(value, n + (size_t)nul), &u,
			NULL),
		    OK);
		expect_slice(u.user, "jd");
		expect_slice(u.home, "/h");
		expect_slice(u.dash, "-");
		expect_slice(u.ext, "x");
		assert_int_equal(u.uid, 1000);
		assert_int_equal(u.gid, 100);
	}
	for (size_t i = 0; i < 12; i++)
		assert_int_equal(
		    assign_parse_value(slice_of(value, i), &u, NULL),
		    ERR_CONFIG);
	assert_true(assign_line_matches(&l, SLICE_LIT("jOE"), &rest));
	assert_false(assign_line_matches(&l, SLICE_LIT("joe-x"), &rest));
	assert_int_equal(
	    assign_parse_line(SLICE_LIT("+Joe-:jd:1:1:/h:-::"), &l, NULL), OK);
	assert_int_equal(assign_key(&l, key), 5);
	assert_memory_equal(key, "!joe-", 5);
	assert_true(assign_line_matches(&l, SLICE_LIT("JOE-Ab"), &rest));
	expect_slice(rest, "Ab");
	assert_false(assign_line_matches(&l, SLICE_LIT("joe"), &rest));
	/* A home too long for a value. */
	n = (size_t)snprintf(long_line, sizeof(long_line), "=a:b:1:1:/");
	memset(long_line + n, 'x', ASSIGN_VALUE_BYTES_MAX);
	memcpy(long_line + n + ASSIGN_VALUE_BYTES_MAX, ":::", 4);
	assert_int_equal(assign_parse_line(slice_str(long_line), &l, NULL), OK);
	assert_int_equal(assign_value(&l, value), 0);
}

static void
test_assign_search(void **state)
{
	static const struct {
		const char *why, *local, *chars, *want;
	} rows_of_search[] = {
		{ "prefixes ending in a dash", "Joe-a-b", "-",
		    "!joe-a-b\\0[];!joe-a-[b];!joe-[a-b];![Joe-a-b];" },
		{ "no prefixes at all", "joe", "", "!joe\\0[];![joe];" },
		{ "prefixes ending in letters", "ab", "ba",
		    "!ab\\0[];!ab[];!a[b];![ab];" },
		{ "nobody", "", "-", "!\\0[];![];" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows_of_search); i++) {
		struct slice local = slice_str(rows_of_search[i].local), key;
		struct assign_search s;
		char got[256] = "";
		size_t used = 0, rest;

		print_message("%s\n", rows_of_search[i].why);
		assert_int_equal(assign_search_begin(&s, local), OK);
		assign_search_chars(&s, slice_str(rows_of_search[i].chars));
		while (assign_search_next(&s, &key, &rest)) {
			bool exact = key.data[key.len - 1] == '\0';

			used += (size_t)snprintf(got + used, sizeof(got) - used,
			    "%.*s%s[%.*s];", (int)(key.len - exact), key.data,
			    exact ? "\\0" : "",
			    SLICE_ARGS(
				slice_sub(local, local.len - rest, local.len)));
		}
		assert_string_equal(got, rows_of_search[i].want);
	}
	{
		static char name[ASSIGN_LOCAL_BYTES_MAX + 1];
		struct assign_search s;

		memset(name, 'x', sizeof(name));
		for (size_t n = ASSIGN_LOCAL_BYTES_MAX - 1;
		     n <= ASSIGN_LOCAL_BYTES_MAX + 1; n++)
			assert_int_equal(
			    assign_search_begin(&s, slice_of(name, n)),
			    n <= ASSIGN_LOCAL_BYTES_MAX ? OK : ERR_TOOBIG);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_line_bounds),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_owner_names_and_bounds),
		cmocka_unit_test(test_variables),
		cmocka_unit_test(test_assign_lines),
		cmocka_unit_test(test_assign_keys),
		cmocka_unit_test(test_assign_search),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
