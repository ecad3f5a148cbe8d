/*
 * Addresses and paths: canonical forms, what is refused, and the bounds.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "proto/address.h"

#define U ADDRESS_UTF8
#define N ADDRESS_NULL
#define B ADDRESS_BARE

static const struct {
	const char *why;
	const char *in;
	unsigned allow;
	enum err e;
	const char *text, *rest;
} paths[] = {
	{ "plain", "<a@b.example>", 0, OK, "a@b.example", "" },
	{ "parameters follow", "<a@b> SIZE=1", 0, OK, "a@b", " SIZE=1" },
	{ "blank before the path", " \t<a@b>", 0, OK, "a@b", "" },
	{ "no brackets", "a@b X=1", 0, OK, "a@b", " X=1" },
	{ "null sender", "<>", N, OK, "", "" },
	{ "null where none may be", "<>", 0, ERR_SYNTAX, 0, 0 },
	{ "nothing", "", N | B, ERR_SYNTAX, 0, 0 },
	{ "postmaster", "<Postmaster>", B, OK, "Postmaster", "" },
	{ "domain missing", "<bob>", 0, ERR_SYNTAX, 0, 0 },
	{ "domain empty", "<bob@>", B, ERR_SYNTAX, 0, 0 },
	{ "local part empty", "<@b>", 0, ERR_SYNTAX, 0, 0 },
	{ "source route", "<@a,@b.c:u@d>", 0, OK, "u@d", "" },
	{ "literal in a route", "<@[1.2.3.4]:u@d>", 0, OK, "u@d", "" },
	{ "route without mailbox", "<@a:>", 0, ERR_SYNTAX, 0, 0 },
	{ "route without colon", "<@a,@b>", 0, ERR_SYNTAX, 0, 0 },
	{ "route in the address", "<@a:b@c:d@e>", 0, ERR_SYNTAX, 0, 0 },
	{ "percent hack means nothing", "<a%b@c>", 0, OK, "a%b@c", "" },
	{ "bang path means nothing", "<h!a@c>", 0, OK, "h!a@c", "" },
	{ "two @", "<a@b@c>", 0, ERR_SYNTAX, 0, 0 },
	{ "quoted @", "<\"a@b\"@c>", 0, OK, "\"a@b\"@c", "" },
	{ "needless quotes", "<\"abc\"@d>", 0, OK, "abc@d", "" },
	{ "needless escapes", "<\"a\\bc\"@d>", 0, OK, "abc@d", "" },
	{ "quoted blank", "<\"a b\"@d>", 0, OK, "\"a b\"@d", "" },
	{ "quoted bracket", "<\"a>b\"@d> X", 0, OK, "\"a>b\"@d", " X" },
	{ "quoted quote", "<\"a\\\"b\"@d>", 0, OK, "\"a\\\"b\"@d", "" },
	{ "backslash", "<\"a\\\\b\"@d>", 0, OK, "\"a\\\\b\"@d", "" },
	{ "quote not closed", "<\"ab@d>", 0, ERR_SYNTAX, 0, 0 },
	{ "quote after text", "<a\"b\"@d>", 0, ERR_SYNTAX, 0, 0 },
	{ "text after quote", "<\"b\"a@d>", 0, ERR_SYNTAX, 0, 0 },
	{ "empty quotes", "<\"\"@d>", 0, ERR_SYNTAX, 0, 0 },
	{ "dot first", "<.a@d>", 0, ERR_SYNTAX, 0, 0 },
	{ "dot last", "<a.@d>", 0, ERR_SYNTAX, 0, 0 },
	{ "two dots", "<a..b@d>", 0, ERR_SYNTAX, 0, 0 },
	{ "two dots, quoted", "<\"a..b\"@d>", 0, OK, "\"a..b\"@d", "" },
	{ "blank outside quotes", "<a b@d>", 0, ERR_SYNTAX, 0, 0 },
	{ "shell characters", "<|`x`$y@d>", 0, OK, "|`x`$y@d", "" },
	{ "shell characters that are no atom", "<a;b@d>", 0, ERR_SYNTAX, 0, 0 },
	{ "parenthesis", "<a(b)@d>", 0, ERR_SYNTAX, 0, 0 },
	{ "control byte", "<a\001b@d>", 0, ERR_SYNTAX, 0, 0 },
	{ "control byte in quotes", "<\"a\001b\"@d>", 0, ERR_SYNTAX, 0, 0 },
	{ "escaped control byte", "<\"a\\\002b\"@d>", 0, ERR_SYNTAX, 0, 0 },
	{ "DEL", "<a\177@d>", 0, ERR_SYNTAX, 0, 0 },
	{ "bracket missing", "<a@d", 0, ERR_SYNTAX, 0, 0 },
	{ "text after bracket", "<a@d>x", 0, ERR_SYNTAX, 0, 0 },
	{ "two addresses", "<a@d>,<b@d>", 0, ERR_SYNTAX, 0, 0 },
	{ "dot at the end", "<a@d.e.>", 0, OK, "a@d.e", "" },
	{ "two dots in domain", "<a@d..e>", 0, ERR_SYNTAX, 0, 0 },
	{ "dot first in domain", "<a@.e>", 0, ERR_SYNTAX, 0, 0 },
	{ "hyphen first", "<a@-d>", 0, ERR_SYNTAX, 0, 0 },
	{ "hyphen last", "<a@d-.e>", 0, ERR_SYNTAX, 0, 0 },
	{ "underscore", "<a@_d.e>", 0, OK, "a@_d.e", "" },
	{ "slash in domain", "<a@../etc>", 0, ERR_SYNTAX, 0, 0 },
	{ "IPv4", "<a@[192.0.2.1]>", 0, OK, "a@[192.0.2.1]", "" },
	{ "IPv4 short", "<a@[192.0.2]>", 0, ERR_SYNTAX, 0, 0 },
	{ "IPv4 out of range", "<a@[192.0.2.256]>", 0, ERR_SYNTAX, 0, 0 },
	{ "IPv6", "<a@[IPv6:2001:db8::1]>", 0, OK, "a@[IPv6:2001:db8::1]", "" },
	{ "IPv6 without tag", "<a@[2001:db8::1]>", 0, ERR_SYNTAX, 0, 0 },
	{ "IPv6 zone", "<a@[IPv6:fe80::1%lo]>", 0, ERR_SYNTAX, 0, 0 },
	{ "literal not closed", "<a@[192.0.2.1>", 0, ERR_SYNTAX, 0, 0 },
	{ "text after literal", "<a@[192.0.2.1]b>", 0, ERR_SYNTAX, 0, 0 },
	{ "UTF-8 local", "<\xc3\xbc@d>", U, OK, "\xc3\xbc@d", "" },
	{ "UTF-8 domain", "<a@b\xc3\xbc.de>", U, OK, "a@b\xc3\xbc.de", "" },
	{ "UTF-8 quoted", "<\"\xc3\xbc x\"@d>", U, OK, "\"\xc3\xbc x\"@d", "" },
	{ "UTF-8 not asked for", "<\xc3\xbc@d>", 0, ERR_UNSUPPORTED, 0, 0 },
	{ "UTF-8 domain not asked for", "<a@\xc3\xbc>", 0, ERR_UNSUPPORTED, 0,
	    0 },
	{ "overlong", "<\xc0\xafz@d>", U, ERR_SYNTAX, 0, 0 },
	{ "overlong, three bytes", "<\xe0\x80\xaf@d>", U, ERR_SYNTAX, 0, 0 },
	{ "surrogate", "<\xed\xa0\x80@d>", U, ERR_SYNTAX, 0, 0 },
	{ "above 10FFFF", "<\xf4\x90\x80\x80@d>", U, ERR_SYNTAX, 0, 0 },
	{ "cut short", "<\xe2\x82@d>", U, ERR_SYNTAX, 0, 0 },
	{ "Latin-1", "<\xfc@d>", U, ERR_SYNTAX, 0, 0 },
	{ "Latin-1 domain", "<a@\xfc>", U, ERR_SYNTAX, 0, 0 },
};

static void
test_paths(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		char buf[ADDRESS_BYTES_MAX];
		struct address a;
		struct slice rest;
		enum err e;

		print_message("  %s\n", paths[i].why);
		e = address_parse_path(slice_str(paths[i].in), paths[i].allow,
		    buf, &a, &rest);
		assert_int_equal(e, paths[i].e);
		if (e != OK)
			continue;
		assert_true(slice_eq(a.text, slice_str(paths[i].text)));
		assert_true(slice_eq(rest, slice_str(paths[i].rest)));
	}
}

/* What was made canonical is read again as the same, in the same parts. */
static void
test_canonical_is_stable(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		char buf[ADDRESS_BYTES_MAX], again[ADDRESS_BYTES_MAX];
		struct address a, b, c;
		struct slice rest;

		if (paths[i].e != OK)
			continue;
		assert_int_equal(address_parse_path(slice_str(paths[i].in),
				     paths[i].allow, buf, &a, &rest),
		    OK);
		assert_int_equal(
		    address_parse(a.text, paths[i].allow, again, &b), OK);
		assert_true(slice_eq(a.text, b.text));
		address_split(a.text, &c);
		assert_true(slice_eq(a.local, c.local));
		assert_true(slice_eq(a.domain, c.domain));
		assert_int_equal(a.literal, c.literal);
		assert_int_equal(a.utf8, c.utf8);
	}
}

/* Every prefix of every row is refused or accepted without reading past its
 * end: each is parsed in a block of exactly its size. */
static void
test_prefixes(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(paths); i++)
		for (size_t n = 0; n <= strlen(paths[i].in); n++) {
			char buf[ADDRESS_BYTES_MAX];
			char *copy = test_malloc(n + 1);
			struct address a;
			struct slice rest;

			memcpy(copy + 1, paths[i].in, n);
			if (address_parse_path(slice_of(copy + 1, n), U | N | B,
				buf, &a, &rest) == OK)
				assert_true(rest.len <= n);
			test_free(copy);
		}
}

static void
test_bounds(void **state)
{
	char in[2000], buf[ADDRESS_BYTES_MAX];
	struct address a;
	int len;

	(void)state;
	for (int local = LOCAL_PART_BYTES_MAX - 1;
	     local <= LOCAL_PART_BYTES_MAX + 1; local++) {
		memset(in, 'a', sizeof(in));
		len = local;
		len += snprintf(in + len, sizeof(in) - len, "@d");
		assert_int_equal(address_parse(slice_of(in, len), 0, buf, &a),
		    local <= LOCAL_PART_BYTES_MAX ? OK : ERR_TOOBIG);
	}
	for (int domain = DOMAIN_BYTES_MAX - 1; domain <= DOMAIN_BYTES_MAX + 1;
	     domain++) {
		memset(in, 'a', sizeof(in));
		in[1] = '@';
		for (int i = 2 + 60; i < 2 + domain - 1; i += 60)
			in[i] = '.';
		assert_int_equal(
		    address_parse(slice_of(in, 2 + domain), 0, buf, &a),
		    domain <= DOMAIN_BYTES_MAX ? OK : ERR_TOOBIG);
	}
	for (int label = 62; label <= 64; label++) {
		memset(in, 'a', sizeof(in));
		in[1] = '@';
		assert_int_equal(
		    address_parse(slice_of(in, 2 + label), 0, buf, &a),
		    label <= 63 ? OK : ERR_SYNTAX);
	}
	/* A quoted part that is within bounds only without its escapes. */
	in[0] = '"';
	for (int i = 1; i < 301; i += 2)
		memcpy(in + i, "\\\\", 2);
	memcpy(in + 301, "\"@d", 3);
	assert_int_equal(address_parse(slice_of(in, 304), 0, buf, &a),
	    ERR_TOOBIG);
	memset(in, 'a', sizeof(in));
	assert_int_equal(address_parse(slice_of(in, sizeof(in)), B, buf, &a),
	    ERR_TOOBIG);
}

static void
test_quoting(void **state)
{
	static const struct {
		const char *raw, *quoted;
	} rows[] = {
		{ "abc", "abc" },
		{ "a b", "\"a b\"" },
		{ "a\"b", "\"a\\\"b\"" },
		{ "a..b", "\"a..b\"" },
		{ "a\\b", "\"a\\\\b\"" },
		{ "\xc3\xbc", "\xc3\xbc" },
	};
	char buf[LOCAL_PART_BYTES_MAX], big[LOCAL_PART_BYTES_MAX + 1];
	size_t len;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_true(
		    address_local_quote(slice_str(rows[i].raw), buf, &len));
		assert_true(
		    slice_eq(slice_of(buf, len), slice_str(rows[i].quoted)));
		assert_true(address_local_unquote(slice_str(rows[i].quoted),
		    buf, &len));
		assert_true(
		    slice_eq(slice_of(buf, len), slice_str(rows[i].raw)));
	}
	assert_false(address_local_quote(slice_str(""), buf, &len));
	assert_false(address_local_quote(slice_str("a\nb"), buf, &len));
	assert_false(address_local_unquote(slice_str("a b"), buf, &len));
	assert_false(address_local_unquote(slice_str(""), buf, &len));
	memset(big, ' ', sizeof(big));
	assert_true(address_local_quote(slice_of(big, LOCAL_PART_BYTES_MAX - 2),
	    buf, &len));
	assert_false(address_local_quote(
	    slice_of(big, LOCAL_PART_BYTES_MAX - 1), buf, &len));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_paths),
		cmocka_unit_test(test_canonical_is_stable),
		cmocka_unit_test(test_prefixes),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_quoting),
	};

	return cmocka_run_group_tests_name("address", tests, NULL, NULL);
}
