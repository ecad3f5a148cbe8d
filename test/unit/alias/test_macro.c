/*
 * ${name} in texts, the arguments of the pipe transport, commands with and
 * without a shell.
 */
#include "../check.h"

#include <stdio.h>
#include <string.h>

#include "alias/command.h"
#include "alias/macro.h"
#include "alias/pipe_args.h"

static const struct macro_var vars[] = {
	{ "user", { "joe", 3 } },
	{ "empty", { NULL, 0 } },
	{ "evil", { "a;b|`c`$(d) 'e'\n/../-f", 22 } },
	{ "dots", { "..", 2 } },
	{ "slash", { "a/b", 3 } },
};
static const struct macro_vars all = { vars, ARRAY_LEN(vars) };

static void
test_expand(void **state)
{
	static const struct {
		const char *why, *text, *want; /* NULL: ERR_CONFIG */
	} rows[] = {
		{ "no name", "a b", "a b" },
		{ "nothing", "", "" },
		{ "plain", "$user", "joe" },
		{ "up to what is no name", "$user-x", "joe-x" },
		{ "braces", "a${user}b", "ajoeb" },
		{ "parentheses", "a$(user)b", "ajoeb" },
		{ "a dollar sign", "$$user", "$user" },
		{ "an empty value", "a${empty}b", "ab" },
		{ "if it is there", "${user?yes}${empty?no}", "yes" },
		{ "if it is not", "${user:no}${empty:yes}", "yes" },
		{ "names within", "${user?+$user}", "+joe" },
		{ "braces within", "${user?{${user}}}x", "{joe}x" },
		{ "four deep", "${user?${user?${user?${user?x}}}}", "x" },
		{ "five deep", "${user?${user?${user?${user?${user?x}}}}}",
		    NULL },
		{ "an unknown name", "$nobody", NULL },
		{ "case matters", "$User", NULL },
		{ "a brace is missing", "${user", NULL },
		{ "a parenthesis is missing", "$(user", NULL },
		{ "no name in it", "${}", NULL },
		{ "no name before the test", "${?x}", NULL },
		{ "not a name", "${us er}", NULL },
		{ "a dollar sign at the end", "a$", NULL },
		{ "a dollar sign alone", "a$ b", NULL },
		{ "values are not searched", "$evil",
		    "a;b|`c`$(d) 'e'\n/../-f" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char buf[64];
		struct errtext et = { "" };
		struct out o;
		enum err e;

		print_message("%s\n", rows[i].why);
		out_init(&o, buf, sizeof(buf));
		e = macro_expand(slice_str(rows[i].text), &all, MACRO_RAW, &o,
		    &et);
		assert_int_equal(e, rows[i].want != NULL ? OK : ERR_CONFIG);
		if (e == OK)
			assert_true(
			    slice_eq(out_text(&o), slice_str(rows[i].want)));
		else
			assert_true(et.text[0] != '\0');
	}
}

static void
test_guards(void **state)
{
	char buf[64];
	struct out o;

	(void)state;
	out_init(&o, buf, sizeof(buf));
	assert_int_equal(macro_expand(SLICE_LIT("cmd '$evil'; $user"), &all,
			     MACRO_COMMAND, &o, NULL),
	    OK);
	assert_true(slice_eq(out_text(&o),
	    SLICE_LIT("cmd 'a_b__c___d___e__/../-f'; joe")));
	for (size_t i = 0; i < ARRAY_LEN(vars); i++) {
		bool bad = i >= 2;
		char text[16];

		(void)snprintf(text, sizeof(text), "/x/$%s", vars[i].name);
		out_init(&o, buf, sizeof(buf));
		assert_int_equal(
		    macro_expand(slice_str(text), &all, MACRO_PATH, &o, NULL),
		    bad ? ERR_DENIED : OK);
	}
	/* limit - 1, limit, limit + 1 */
	for (size_t size = 6; size <= 8; size++) {
		out_init(&o, buf, size);
		assert_int_equal(macro_expand(SLICE_LIT("abcd$user"), &all,
				     MACRO_RAW, &o, NULL),
		    size >= 7 ? OK : ERR_TOOBIG);
	}
}

static void
test_uses(void **state)
{
	(void)state;
	assert_true(macro_uses(SLICE_LIT("a$user"), "user"));
	assert_true(macro_uses(SLICE_LIT("${user}"), "user"));
	assert_true(macro_uses(SLICE_LIT("$(user)"), "user"));
	assert_true(macro_uses(SLICE_LIT("${x?$user}"), "user"));
	assert_true(macro_uses(SLICE_LIT("${user?x}"), "user"));
	assert_false(macro_uses(SLICE_LIT("$$user"), "user"));
	assert_false(macro_uses(SLICE_LIT("$username user"), "user"));
	assert_false(macro_uses(SLICE_LIT("$"), "user"));
}

static void
test_flags(void **state)
{
	struct errtext et;
	unsigned flags;

	(void)state;
	assert_int_equal(pipe_flags_parse(SLICE_LIT("DRhu"), &flags, &et), OK);
	assert_int_equal(flags, PIPE_DELIVERED_TO | PIPE_RETURN_PATH |
				    PIPE_LOWER_DOMAIN | PIPE_LOWER_LOCAL);
	assert_int_equal(pipe_flags_parse(SLICE_LIT("BFOXq.>"), &flags, &et),
	    OK);
	assert_int_equal(pipe_flags_parse(SLICE_NONE, &flags, &et), OK);
	assert_int_equal(flags, 0);
	assert_int_equal(pipe_flags_parse(SLICE_LIT("Dr"), &flags, &et),
	    ERR_CONFIG);
}

static void
test_address(void **state)
{
	static const struct {
		const char *why, *address, *delimiters;
		unsigned flags;
		const char *recipient, *mailbox, *user, *extension, *domain;
	} rows[] = {
		{ "plain", "Joe@Ex.Test", "+", 0, "Joe@Ex.Test", "Joe", "Joe",
		    "", "Ex.Test" },
		{ "extended", "joe+a+b@x", "+", 0, "joe+a+b@x", "joe+a+b",
		    "joe", "a+b", "x" },
		{ "no delimiters", "joe+a@x", "", 0, "joe+a@x", "joe+a",
		    "joe+a", "", "x" },
		{ "several", "joe-a+b@x", "+-", 0, "joe-a+b@x", "joe-a+b",
		    "joe", "a+b", "x" },
		{ "a delimiter in front", "+a@x", "+", 0, "+a@x", "+a", "+a",
		    "", "x" },
		{ "folded", "Joe+A@Ex.Test", "+",
		    PIPE_LOWER_DOMAIN | PIPE_LOWER_LOCAL, "joe+a@ex.test",
		    "joe+a", "joe", "a", "ex.test" },
		{ "the domain only", "Joe@Ex", "+", PIPE_LOWER_DOMAIN, "Joe@ex",
		    "Joe", "Joe", "", "ex" },
		{ "not quoted", "\"a b\"@x", "+", 0, "a b@x", "a b", "a b", "",
		    "x" },
		{ "quoted", "\"a b\"@x", "+", PIPE_QUOTE, "\"a b\"@x",
		    "\"a b\"", "\"a b\"", "", "x" },
		{ "no domain", "joe", "+", 0, "joe", "joe", "joe", "", "" },
		{ "the null sender", "", "+", 0, "", "", "", "", "" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct pipe_address a;
		const char *want[] = { rows[i].recipient, rows[i].mailbox,
			rows[i].user, rows[i].extension, rows[i].domain };
		struct slice got[5];

		print_message("%s\n", rows[i].why);
		pipe_address_make(slice_str(rows[i].address),
		    rows[i].delimiters, rows[i].flags, &a);
		got[0] = a.recipient;
		got[1] = a.mailbox;
		got[2] = a.user;
		got[3] = a.extension;
		got[4] = a.domain;
		for (size_t k = 0; k < 5; k++)
			assert_true(slice_eq(got[k], slice_str(want[k])));
		assert_true(slice_eq(a.original, a.recipient));
	}
}

/* "arg|arg|..." or the error's name. */
static void
expect_args(const char *why, const char *const *argv, size_t argc,
    const char *const *to, size_t to_count, const char *want)
{
	static struct pipe_address rcpt[4];
	struct slice templates[8];
	const struct pipe_message m = { .sender = SLICE_LIT("s@y"),
		.nexthop = SLICE_LIT("hop"),
		.size = SLICE_LIT("123") };
	struct pipe_args a = { templates, argc, &m, rcpt, to_count, 0, 0 };
	char got[256], buf[64];
	size_t used = 0;
	struct out o;
	enum err e;

	print_message("%s\n", why);
	for (size_t i = 0; i < argc; i++)
		templates[i] = slice_str(argv[i]);
	for (size_t i = 0; i < to_count; i++)
		pipe_address_make(slice_str(to[i]), "+", 0, &rcpt[i]);
	for (;;) {
		out_init(&o, buf, sizeof(buf));
		e = pipe_args_next(&a, &o, NULL);
		if (e != OK)
			break;
		used += (size_t)snprintf(got + used, sizeof(got) - used,
		    "%.*s|", SLICE_ARGS(out_text(&o)));
	}
	if (e != ERR_NOTFOUND)
		(void)snprintf(got, sizeof(got), "%s", err_name(e));
	assert_string_equal(got, want);
}

static void
test_args(void **state)
{
	static const char *const all_args[] = { "/bin/x", "-f", "$sender",
		"-to", "${user}+${extension}", "$size", "" };
	static const char *const dash[] = { "/bin/x", "$recipient" };
	static const char *const dash_inside[] = { "/bin/x", "-r$recipient" };
	static const char *const behind[] = { "/bin/x", "--", "<$recipient>" };
	static const char *const unknown[] = { "/bin/x", "$rcpt" };
	static const char *const one[] = { "joe+x@a" };
	static const char *const two[] = { "joe+x@a", "jane@b" };
	static const char *const evil[] = { "-oQ/tmp@a" };

	(void)state;
	expect_args("one recipient", all_args, 7, one, 1,
	    "/bin/x|-f|s@y|-to|joe+x|123||");
	expect_args("an argument for each of two", all_args, 7, two, 2,
	    "/bin/x|-f|s@y|-to|joe+x|jane+|123||");
	expect_args("an address that is an option", dash, 2, evil, 1, "DENIED");
	expect_args("behind an option's letter it is a value", dash_inside, 2,
	    evil, 1, "/bin/x|-r-oQ/tmp@a|");
	expect_args("and in brackets", behind, 3, evil, 1,
	    "/bin/x|--|<-oQ/tmp@a>|");
	expect_args("an unknown name", unknown, 2, one, 1, "CONFIG");
}

static void
test_command_words(void **state)
{
	static const struct {
		const char *why, *text, *want; /* NULL: a shell's */
	} rows[] = {
		{ "words", " /bin/a  b\tc ", "/bin/a|b|c|" },
		{ "an address", "/bin/a -f a@b.c", "/bin/a|-f|a@b.c|" },
		{ "nothing", "  ", NULL },
		{ "quotes", "/bin/a 'b'", NULL },
		{ "a pipe", "a | b", NULL },
		{ "a variable", "a $HOME", NULL },
		{ "an asterisk", "a *", NULL },
		{ "a new line", "a\nb", NULL },
		{ "an assignment", "A=b /bin/a", NULL },
		{ "an equals sign later", "/bin/a b=c", "/bin/a|b=c|" },
		{ "a negation", "! /bin/a", NULL },
		{ "a high byte", "/bin/a \xc3\xa4", NULL },
	};
	static struct slice words[COMMAND_WORD_COUNT_MAX];
	static char many[2 * COMMAND_WORD_COUNT_MAX + 2];
	size_t count;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		bool plain =
		    command_words(slice_str(rows[i].text), words, &count);
		char got[64];
		size_t used = 0;

		print_message("%s\n", rows[i].why);
		assert_int_equal(plain, rows[i].want != NULL);
		for (size_t k = 0; plain && k < count; k++)
			used += (size_t)snprintf(got + used, sizeof(got) - used,
			    "%.*s|", SLICE_ARGS(words[k]));
		if (plain)
			assert_string_equal(got, rows[i].want);
	}
	for (size_t n = COMMAND_WORD_COUNT_MAX - 1;
	     n <= COMMAND_WORD_COUNT_MAX + 1; n++) {
		for (size_t i = 0; i < n; i++)
			memcpy(many + 2 * i, "a ", 2);
		assert_int_equal(
		    command_words(slice_of(many, 2 * n), words, &count),
		    n <= COMMAND_WORD_COUNT_MAX);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_expand),
		cmocka_unit_test(test_guards),
		cmocka_unit_test(test_uses),
		cmocka_unit_test(test_flags),
		cmocka_unit_test(test_address),
		cmocka_unit_test(test_args),
		cmocka_unit_test(test_command_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
