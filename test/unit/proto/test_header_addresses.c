/*
 * header_addresses: address lists whole, byte by byte and at every split.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "proto/header_addresses.h"

/* Addresses that must come out, each followed by a bar; NULL: refused. */
static const struct {
	const char *why, *in, *out;
} rows[] = {
	{ "one address", " joe@x.test\r\n", "joe@x.test|" },
	{ "several", "a@x, b@y,c@z", "a@x|b@y|c@z|" },
	{ "display names", "Joe Smith <joe@x>, \"Ann, B.\" <ann@y>",
	    "joe@x|ann@y|" },
	{ "folded", " a@x,\r\n b@y,\r\n\tc@z\r\n", "a@x|b@y|c@z|" },
	{ "folded within angle brackets", "Joe\r\n <joe@x\r\n >", "joe@x|" },
	{ "comments", "joe@x (Joe (the) Smith), (only) ann@y", "joe@x|ann@y|" },
	{ "comment with separators", "joe@x (a, b <c@d>; \\) e)", "joe@x|" },
	{ "comment before the domain", "joe@(here)x", "joe@x|" },
	{ "an old form of name", "joe@x (\"Joe\")", "joe@x|" },
	{ "quoted local part", "\"joe smith\"@x", "\"joe smith\"@x|" },
	{ "quoted quote", "\"a\\\"b, c\"@x", "\"a\\\"b, c\"@x|" },
	{ "folding within quotes", "\"a\r\n b\"@x", "\"a b\"@x|" },
	{ "group", "Friends: a@x, B <b@y>;, c@z", "a@x|b@y|c@z|" },
	{ "empty group", "undisclosed-recipients:;", "" },
	{ "route", "Joe <@a.test,@b.test:joe@x>", "joe@x|" },
	{ "blanks around dots and at", "joe . smith @ x . test",
	    "joe.smith@x.test|" },
	{ "literal", "joe@[192.0.2.1], a@[IPv6:2001:db8::1]",
	    "joe@[192.0.2.1]|a@[IPv6:2001:db8::1]|" },
	{ "no domain", "root, joe", "root|joe|" },
	{ "empty elements", ",, a@x,,b@y , ", "a@x|b@y|" },
	{ "semicolon as a separator", "a@x; b@y", "a@x|b@y|" },
	{ "empty", " \r\n", "" },
	{ "empty angle brackets", "Nobody <>, a@x", "a@x|" },
	{ "UTF-8", "\xc3\xa4 <j\xc3\xb6@x>", "j\xc3\xb6@x|" },
	{ "encoded words", "=?utf-8?q?J=C3=B6?= <joe@x>", "joe@x|" },
	{ "words without brackets", "Joe Smith", NULL },
	{ "name before a bare address", "Joe joe@x", NULL },
	{ "an address as the name of a group", "a@x TO:<b@y>", NULL },
	{ "an at sign in a quoted group name", "\"a@x\": b@y;", "b@y|" },
	{ "an address as a display name", "a@x <b@y>", "b@y|" },
	{ "two addresses without a comma", "a@x b@y", NULL },
	{ "something after the brackets", "<a@x> b", NULL },
	{ "brackets in brackets", "<a<b@x>>", NULL },
	{ "brackets that do not close", "Joe <a@x", NULL },
	{ "a closing bracket", "a@x>", NULL },
	{ "a comma in brackets", "<a@x, b@y>", NULL },
	{ "quotes that do not close", "\"joe@x", NULL },
	{ "a comment that does not close", "a@x (joe", NULL },
	{ "a closing parenthesis", "a@x)", NULL },
	{ "a backslash outside quotes", "a\\b@x", NULL },
	{ "a route without address", "<@a.test>", NULL },
	{ "control characters", "a\001b@x", NULL },
	{ "DEL in a comment", "a@x (\x7f)", NULL },
};

struct got {
	char text[2048];
	size_t len;
};

static enum err
take(void *arg, struct slice address)
{
	struct got *g = arg;

	memcpy(g->text + g->len, address.data, address.len);
	g->len += address.len;
	g->text[g->len++] = '|';
	g->text[g->len] = '\0';
	return OK;
}

static void
check(size_t i, size_t a, size_t b)
{
	const char *in = rows[i].in;
	size_t len = strlen(in);
	struct header_addresses h;
	struct got g = { .len = 0 };
	enum err e;

	header_addresses_init(&h, take, &g);
	e = header_addresses_feed(&h, slice_of(in, a));
	if (e == OK)
		e = header_addresses_feed(&h, slice_of(in + a, b - a));
	if (e == OK)
		e = header_addresses_feed(&h, slice_of(in + b, len - b));
	if (e == OK)
		e = header_addresses_end(&h);
	if (rows[i].out == NULL ? e != ERR_SYNTAX
				: e != OK || strcmp(g.text, rows[i].out) != 0)
		fail_msg("%s: split %zu %zu: %s, \"%s\"", rows[i].why, a, b,
		    err_name(e), g.text);
}

static void
every_split(void **state)
{
	size_t i, a, b, len;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		len = strlen(rows[i].in);
		for (a = 0; a <= len; a++)
			for (b = a; b <= len; b++)
				check(i, a, b);
	}
}

static enum err
parse(const char *in, struct got *g)
{
	struct header_addresses h;
	enum err e;

	g->len = 0;
	g->text[0] = '\0';
	header_addresses_init(&h, take, g);
	e = header_addresses_feed(&h, slice_str(in));
	return e == OK ? header_addresses_end(&h) : e;
}

static void
limits(void **state)
{
	char in[ADDRESS_BYTES_MAX + 200];
	struct got g;
	int n;

	(void)state;
	for (n = ADDRESS_BYTES_MAX - 1; n <= ADDRESS_BYTES_MAX + 1; n++) {
		snprintf(in, sizeof(in), "%0*d, a@x", n, 0);
		assert_int_equal(parse(in, &g),
		    n <= ADDRESS_BYTES_MAX ? OK : ERR_TOOBIG);
		/* A display name may be of any length. */
		snprintf(in, sizeof(in), "%0*d <a@x>", n, 0);
		assert_int_equal(parse(in, &g), OK);
		assert_string_equal(g.text, "a@x|");
	}
	for (n = HEADER_COMMENT_DEPTH_MAX - 1;
	     n <= HEADER_COMMENT_DEPTH_MAX + 1; n++) {
		memset(in, '(', (size_t)n);
		memset(in + n, ')', (size_t)n);
		in[2 * n] = '\0';
		assert_int_equal(parse(in, &g),
		    n <= HEADER_COMMENT_DEPTH_MAX ? OK : ERR_SYNTAX);
	}
}

static enum err
stop(void *arg, struct slice address)
{
	(void)address;
	return --*(int *)arg == 0 ? ERR_FULL : OK;
}

static void
the_caller_stops(void **state)
{
	struct header_addresses h;
	int left = 2;

	(void)state;
	header_addresses_init(&h, stop, &left);
	assert_int_equal(header_addresses_feed(&h, SLICE_LIT("a,b,c,d")),
	    ERR_FULL);
	assert_int_equal(header_addresses_end(&h), ERR_FULL);
	assert_int_equal(left, 0);
}

static enum err
any(void *arg, struct slice address)
{
	(void)arg;
	(void)address;
	return OK;
}

/* What counts as a token, and the limit on their number at limit - 1, limit
 * and limit + 1, whole and byte by byte. */
static void
tokens(void **state)
{
	static const struct {
		const char *why, *text;
		int64_t count;
	} cases[] = {
		{ "nothing", " \r\n ", 0 },
		{ "an atom", "joe", 1 },
		{ "an address", "joe@x", 3 },
		{ "dots", "a.b@x.y", 7 },
		{ "a list", "a@b, c@d", 7 },
		{ "words and brackets", "Joe Q <joe@x>", 7 },
		{ "a quoted string is one", "\"a b. c\" <j@x>", 6 },
		{ "a comment is one", "j@x (a (b) c)", 4 },
		{ "a literal is one", "j@[1.2.3.4]", 3 },
		{ "a group", "g: a, b;", 6 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (int64_t max = cases[i].count - 1;
		     max <= cases[i].count + 1; max++) {
			struct header_addresses h;
			const char *p = cases[i].text;
			enum err e = OK;

			if (max <= 0)
				continue;
			print_message("%s\n", cases[i].why);
			header_addresses_init(&h, any, NULL);
			h.token_max = max;
			for (; *p != '\0' && e == OK; p++)
				e = header_addresses_feed(&h, slice_of(p, 1));
			if (e == OK)
				e = header_addresses_end(&h);
			assert_int_equal(e,
			    cases[i].count <= max ? OK : ERR_TOOBIG);
			assert_int_equal(h.token_count, cases[i].count);
			header_addresses_init(&h, any, NULL);
			h.token_max = max;
			e = header_addresses_feed(&h, slice_str(cases[i].text));
			assert_int_equal(e,
			    cases[i].count <= max ? OK : ERR_TOOBIG);
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_split),
		cmocka_unit_test(limits),
		cmocka_unit_test(tokens),
		cmocka_unit_test(the_caller_stops),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
