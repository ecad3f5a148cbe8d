/*
 * Header sections: what is counted, what is cut, and that it does not matter
 * how the bytes came.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/hash.h"
#include "proto/header_scan.h"

static const struct header_limits wide = { 102400, 1048576, 10000, 50 };

static const struct {
	const char *why;
	const char *in, *out;
	uint32_t field_max;
	uint32_t fields, hops;
	const char *id;
	bool cut;
} rows[] = {
	{ "plain", "A: b\r\nC: d\r\n\r\nE: f\r\n", NULL, 100, 2, 0, "", false },
	{ "no header", "\r\nA: b\r\n", NULL, 100, 0, 0, "", false },
	{ "a line that is no field ends it", "A: b\r\nhello\r\nC: d\r\n", NULL,
	    100, 1, 0, "", false },
	{ "a colon first is no field", ": b\r\nC: d\r\n", NULL, 100, 0, 0, "",
	    false },
	{ "folded", "A: b\r\n c\r\n\td\r\nE: f\r\n\r\n", NULL, 100, 2, 0, "",
	    false },
	{ "blank before the colon", "A : b\r\nC: d\r\n\r\n", NULL, 100, 2, 0,
	    "", false },
	{ "8-bit in a name", "A\xff: b\r\n\r\n", NULL, 100, 0, 0, "", false },
	{ "hops", "Received: a\r\nRECEIVED: b\r\nX-Received: c\r\n\r\n", NULL,
	    100, 3, 2, "", false },
	{ "no hops in the body", "A: b\r\n\r\nReceived: a\r\n", NULL, 100, 1, 0,
	    "", false },
	{ "Message-ID", "message-ID:  <a@b> \r\n\r\n", NULL, 100, 1, 0, "<a@b>",
	    false },
	{ "Message-ID folded", "Message-Id:\r\n <a@b>\r\n\r\n", NULL, 100, 1, 0,
	    "<a@b>", false },
	{ "the first Message-ID", "Message-Id: <a>\r\nMessage-Id: <b>\r\n\r\n",
	    NULL, 100, 2, 0, "<a>", false },
	{ "one byte below the limit", "A: 345678901234567\r\nB: c\r\n\r\nd",
	    NULL, 21, 2, 0, "", false },
	{ "exactly at the limit", "A: 3456789012345678\r\nB: c\r\n\r\nd", NULL,
	    21, 2, 0, "", false },
	{ "one byte more", "A: 34567890123456789\r\nB: c\r\n\r\nd",
	    "A: 3456789012345678\r\nB: c\r\n\r\nd", 21, 2, 0, "", true },
	{ "cut within a folded line",
	    "A: 34567\r\n 123456789012345\r\n more\r\nB: c\r\n\r\n",
	    "A: 34567\r\n 12345678\r\nB: c\r\n\r\n", 21, 2, 0, "", true },
	{ "limit in the CRLF of a fold",
	    "A: 3456789012345\r\n x\r\n y\r\nB: c\r\n\r\n",
	    "A: 3456789012345\r\nB: c\r\n\r\n", 18, 2, 0, "", true },
	{ "limit between CR and LF",
	    "A: 345678901234\r\n x\r\n y\r\nB: c\r\n\r\n",
	    "A: 345678901234\r\nB: c\r\n\r\n", 18, 2, 0, "", true },
	{ "limit at the start of a folded line",
	    "A: 34567890123\r\n x\r\n y\r\nB: c\r\n\r\n",
	    "A: 34567890123\r\nB: c\r\n\r\n", 18, 2, 0, "", true },
	{ "two are cut", "A: 3456789012345678\r\nB: 3456789012345678\r\n\r\nx",
	    "A: 34567890123\r\nB: 34567890123\r\n\r\nx", 16, 2, 0, "", true },
};

/* Feed in pieces of at most n bytes; n 0: of random sizes. */
static size_t
scan(struct header_scan *h, const struct header_limits *limits, const char *in,
    size_t len, size_t n, char *out)
{
	char piece[8192];
	size_t made = 0, at = 0;

	header_scan_init(h);
	while (at < len) {
		size_t take = n > 0 ? n : 1 + random_u64() % 9;

		if (take > len - at)
			take = len - at;
		memcpy(piece, in + at, take);
		at += take;
		take = header_scan(h, limits, piece, take);
		memcpy(out + made, piece, take);
		made += take;
	}
	return made;
}

static void
test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const char *want = rows[i].out ? rows[i].out : rows[i].in;
		struct header_limits limits = wide;

		print_message("  %s\n", rows[i].why);
		limits.field_bytes_max = rows[i].field_max;
		for (size_t n = 0; n <= 60; n++) {
			struct header_scan h;
			char out[8192];
			size_t len = scan(&h, &limits, rows[i].in,
			    strlen(rows[i].in), n, out);

			assert_int_equal(len, strlen(want));
			assert_memory_equal(out, want, len);
			assert_int_equal(h.field_count, rows[i].fields);
			assert_int_equal(h.hop_count, rows[i].hops);
			assert_int_equal(h.cut, rows[i].cut);
			assert_true(slice_eq(header_scan_message_id(&h),
			    slice_str(rows[i].id)));
			assert_int_equal(h.fault, HEADER_OK);
		}
	}
}

static void
test_limits(void **state)
{
	char in[8192], out[8192];
	struct header_limits limits = wide;
	struct header_scan h;
	size_t len;

	(void)state;
	for (int count = 4; count <= 6; count++) {
		limits = wide;
		limits.hop_count_max = 5;
		len = 0;
		for (int i = 0; i < count; i++)
			len += (size_t)snprintf(in + len, sizeof(in) - len,
			    "Received: x\r\n");
		scan(&h, &limits, in, len, 7, out);
		assert_int_equal(h.fault, count > 5 ? HEADER_LOOP : HEADER_OK);
		limits = wide;
		limits.count_max = 5;
		scan(&h, &limits, in, len, 7, out);
		assert_int_equal(h.fault,
		    count > 5 ? HEADER_TOO_MANY : HEADER_OK);
		limits = wide;
		limits.total_bytes_max = 5 * 13;
		scan(&h, &limits, in, len, 7, out);
		assert_int_equal(h.fault,
		    count > 5 ? HEADER_TOO_BIG : HEADER_OK);
	}
}

/* Whatever the bytes: pieces do not matter, nothing grows, fields keep their
 * limit, and outside a cut nothing changes. */
static void
test_random(void **state)
{
	struct header_limits limits = wide;
	char in[600], whole[600], parts[600];

	(void)state;
	random_seed(7);
	for (int round = 0; round < 20000; round++) {
		size_t n = random_u64() % sizeof(in), a, b;
		struct header_scan h, g;

		for (size_t i = 0; i < n; i++) {
			in[i] = "a: b\tR"[random_u64() % 6];
			if (random_u64() % 9 == 0 && i + 1 < n) {
				in[i++] = '\r';
				in[i] = '\n';
			}
		}
		limits.field_bytes_max = 16 + (uint32_t)(random_u64() % 40);
		a = scan(&h, &limits, in, n, sizeof(in), whole);
		b = scan(&g, &limits, in, n, 0, parts);
		assert_int_equal(a, b);
		assert_memory_equal(whole, parts, a);
		assert_int_equal(h.cut, g.cut);
		assert_int_equal(h.field_count, g.field_count);
		assert_true(a <= n);
		if (!h.cut) {
			assert_int_equal(a, n);
			assert_memory_equal(whole, in, n);
		}
	}
}

/* BDAT may end within a field that is being cut. */
static void
test_finish(void **state)
{
	struct header_limits limits = wide;
	struct header_scan h;
	char out[100], tail[1];
	size_t n;

	(void)state;
	limits.field_bytes_max = 16;
	n = scan(&h, &limits, "A: 345678901234", 15, 3, out);
	assert_int_equal(n, 15);
	assert_int_equal(out[14], '\r');
	assert_int_equal(header_scan_finish(&h, tail), 1);
	assert_int_equal(tail[0], '\n');
	scan(&h, &limits, "A: 34567890123", 14, 3, out);
	assert_int_equal(header_scan_finish(&h, tail), 0);
}

static void
test_long_message_id(void **state)
{
	char in[1000], out[1000];
	struct header_scan h;

	(void)state;
	memset(in, 'x', sizeof(in));
	memcpy(in, "Message-ID: ", 12);
	scan(&h, &wide, in, sizeof(in), 0, out);
	assert_int_equal(header_scan_message_id(&h).len, MESSAGE_ID_BYTES_MAX);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_finish),
		cmocka_unit_test(test_long_message_id),
	};

	return cmocka_run_group_tests_name("header_scan", tests, NULL, NULL);
}
