/*
 * header: the search for our own Delivered-To at every split, and the fields
 * that a delivery adds.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "local/header.h"

static const struct {
	const char *why;
	const char *message;
	bool loops;
} rows[] = {
	{ "no field", "From: a\r\n\r\nbody\r\n", false },
	{ "our address", "Delivered-To: joe@x.test\r\n\r\n", true },
	{ "another address", "Delivered-To: ann@x.test\r\n\r\n", false },
	{ "ours after another's",
	    "Delivered-To: ann@x.test\r\nDelivered-To: joe@x.test\r\n\r\n",
	    true },
	{ "case does not matter", "DELIVERED-TO:JOE@X.test\r\n\r\n", true },
	{ "bare LF lines", "Delivered-To: joe@x.test\n\n", true },
	{ "folded", "Delivered-To:\r\n joe@x.test\r\nA: b\r\n\r\n", true },
	{ "blank before the colon", "Delivered-To : joe@x.test\r\n\r\n", true },
	{ "angle brackets and blanks at the end",
	    "Delivered-To: <joe@x.test> \t\r\n\r\n", true },
	{ "in the body", "A: b\r\n\r\nDelivered-To: joe@x.test\r\n", false },
	{ "in another field's continuation",
	    "A: b\r\n Delivered-To: joe@x.test\r\n\r\n", false },
	{ "a longer name", "X-Delivered-To: joe@x.test\r\n\r\n", false },
	{ "a name that only begins alike", "Delivered-Tox: joe@x.test\r\n\r\n",
	    false },
	{ "a name cut by the line's end",
	    "Delivered\r\n-To: joe@x.test\r\n\r\n", false },
	{ "our address with more behind it",
	    "Delivered-To: joe@x.test.example\r\n\r\n", false },
	{ "no body, no empty line", "A: b\r\nDelivered-To: joe@x.test", true },
	{ "a second colon", "Delivered-To: :joe@x.test\r\n\r\n", false },
	{ "an empty value", "Delivered-To:\r\n\r\n", false },
};

static bool
scan(const char *m, size_t a, size_t b)
{
	struct loop_scan s;
	size_t len = strlen(m);

	loop_scan_init(&s, SLICE_LIT("joe@x.test"));
	loop_scan_feed(&s, slice_of(m, a));
	loop_scan_feed(&s, slice_of(m + a, b - a));
	loop_scan_feed(&s, slice_of(m + b, len - b));
	return loop_scan_end(&s);
}

static void
every_split(void **state)
{
	size_t i, a, b, len;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		len = strlen(rows[i].message);
		for (a = 0; a <= len; a++)
			for (b = a; b <= len; b++)
				if (scan(rows[i].message, a, b) !=
				    rows[i].loops)
					fail_msg("%s: split %zu %zu",
					    rows[i].why, a, b);
	}
}

static void
long_value(void **state)
{
	char m[1200], address[ADDRESS_BYTES_MAX];
	struct loop_scan s;
	size_t extra;

	(void)state;
	memset(address, 'a', sizeof(address));
	for (extra = 0; extra < 2; extra++) {
		loop_scan_init(&s, slice_of(address, sizeof(address)));
		snprintf(m, sizeof(m), "Delivered-To: %.*s%s\r\n\r\n",
		    (int)sizeof(address), address, extra ? "a" : "");
		assert_int_equal(loop_scan_feed(&s, slice_str(m)), !extra);
	}
}

static void
scan_is_bounded(void **state)
{
	static char filler[65536];
	struct loop_scan s;
	size_t fed;

	(void)state;
	memset(filler, 'x', sizeof(filler));
	filler[sizeof(filler) - 1] = '\n';
	loop_scan_init(&s, SLICE_LIT("joe@x.test"));
	for (fed = 0; fed <= LOOP_SCAN_BYTES_MAX; fed += sizeof(filler))
		assert_false(
		    loop_scan_feed(&s, slice_of(filler, sizeof(filler))));
	assert_true(s.done);
	assert_false(
	    loop_scan_feed(&s, SLICE_LIT("Delivered-To: joe@x.test\r\n\r\n")));
}

static void
added_fields(void **state)
{
	static const struct {
		const char *why, *sender, *address, *original, *out;
	} added[] = {
		{ "sender and recipient", "a@b", "joe@x", "",
		    "Return-Path: <a@b>\nDelivered-To: joe@x\n" },
		{ "null sender", "", "joe@x", "joe@x",
		    "Return-Path: <>\nDelivered-To: joe@x\n" },
		{ "an alias is told", "a@b", "joe@x", "info@x",
		    "Return-Path: <a@b>\nX-Original-To: info@x\n"
		    "Delivered-To: joe@x\n" },
		{ "no line of the sender's own", "a\nX: y", "joe@x", "",
		    "Return-Path: <a?X: y>\nDelivered-To: joe@x\n" },
	};
	char out[HEADER_ADDED_BYTES_MAX];
	size_t i, n;

	(void)state;
	for (i = 0; i < ARRAY_LEN(added); i++) {
		n = header_added(slice_str(added[i].sender),
		    slice_str(added[i].address), slice_str(added[i].original),
		    out);
		if (!slice_eq(slice_of(out, n), slice_str(added[i].out)))
			fail_msg("%s", added[i].why);
	}
}

static void
added_fields_fit(void **state)
{
	char out[HEADER_ADDED_BYTES_MAX], long_address[ADDRESS_BYTES_MAX];
	char other[ADDRESS_BYTES_MAX];
	struct slice a = slice_of(long_address, sizeof(long_address));

	(void)state;
	memset(long_address, 'a', sizeof(long_address));
	memset(other, 'b', sizeof(other));
	assert_true(header_added(a, a, slice_of(other, sizeof(other)), out) <=
		    sizeof(out));
}

static void
from_lines(void **state)
{
	static const struct {
		struct slice sender;
		const char *begin, *why;
	} from_rows[] = {
		{ SLICE_LIT("a@b.test"), "From a@b.test ", "an address" },
		{ SLICE_LIT(""), "From MAILER-DAEMON ", "the null sender" },
		{ SLICE_LIT("\"a b\"@c"), "From \"a-b\"@c ",
		    "a blank would end it" },
		{ SLICE_LIT("a\n\tb@c"), "From a--b@c ",
		    "a newline would begin another" },
	};
	static char longest[ADDRESS_BYTES_MAX];
	char out[FROM_LINE_BYTES_MAX];
	size_t i, n;

	(void)state;
	for (i = 0; i < ARRAY_LEN(from_rows); i++) {
		n = header_from_line(from_rows[i].sender, out);
		if (strncmp(out, from_rows[i].begin,
			strlen(from_rows[i].begin)) != 0)
			fail_msg("%s", from_rows[i].why);
		/* "Sun Nov 22 08:55:57 2026" and LF. */
		assert_int_equal(n, strlen(from_rows[i].begin) + 24 + 1);
		assert_int_equal(out[n - 1], '\n');
		assert_ptr_equal(memchr(out, '\n', n), out + n - 1);
	}
	memset(longest, 'x', sizeof(longest));
	n = header_from_line(slice_of(longest, sizeof(longest)), out);
	assert_true(n <= sizeof(out));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_split),
		cmocka_unit_test(long_value),
		cmocka_unit_test(scan_is_bounded),
		cmocka_unit_test(added_fields),
		cmocka_unit_test(added_fields_fit),
		cmocka_unit_test(from_lines),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
