/*
 * The body encoder: each row whole and at every split, and with few slices.
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
#include "proto/smtp_body.h"

static const struct {
	const char *why;
	const char *in, *wire; /* wire: with the end of the message */
} rows[] = {
	{ "empty", "", ".\r\n" },
	{ "a line", "a\r\n", "a\r\n.\r\n" },
	{ "no line end at the end", "a", "a\r\n.\r\n" },
	{ "dot at the start", ".a\r\n", "..a\r\n.\r\n" },
	{ "dot line", "a\r\n.\r\nb\r\n", "a\r\n..\r\nb\r\n.\r\n" },
	{ "dots", "..\r\n..\r\n", "...\r\n...\r\n.\r\n" },
	{ "dot inside a line", "a.b\r\n", "a.b\r\n.\r\n" },
	{ "only a dot", ".", "..\r\n.\r\n" },
	{ "empty lines", "\r\n\r\n", "\r\n\r\n.\r\n" },
	{ "LF alone", "a\nb\n", "a\r\nb\r\n.\r\n" },
	{ "CR alone", "a\rb\r", "a\r\nb\r\n.\r\n" },
	{ "LF dot LF smuggles nothing", "a\n.\nb\r\n",
	    "a\r\n..\r\nb\r\n.\r\n" },
	{ "CR dot CR smuggles nothing", "a\r.\rb\r\n",
	    "a\r\n..\r\nb\r\n.\r\n" },
	{ "LF dot CRLF smuggles nothing", "a\n.\r\nb",
	    "a\r\n..\r\nb\r\n.\r\n" },
	{ "CRLF dot LF smuggles nothing", "a\r\n.\nb",
	    "a\r\n..\r\nb\r\n.\r\n" },
	{ "CR CR LF", "a\r\r\nb", "a\r\n\r\nb\r\n.\r\n" },
	{ "LF CR", "a\n\rb", "a\r\n\r\nb\r\n.\r\n" },
};

/* Encode pieces that end at cut; returns the length written. */
static size_t
encode(struct slice in, size_t cut, unsigned max, char *to, size_t size)
{
	struct slice out[64];
	struct smtp_body b;
	size_t used = 0, len = 0;

	smtp_body_init(&b);
	while (used < in.len) {
		struct slice piece =
		    slice_sub(in, used, used < cut ? cut : in.len);
		unsigned count;
		size_t n = smtp_body_encode(&b, piece, out, max, &count);

		assert_true(n > 0 && n <= piece.len);
		assert_true(count <= max);
		used += n;
		for (unsigned i = 0; i < count; i++) {
			assert_true(len + out[i].len <= size);
			memcpy(to + len, out[i].data, out[i].len);
			len += out[i].len;
		}
	}
	out[0] = smtp_body_end(&b);
	memcpy(to + len, out[0].data, out[0].len);
	return len + out[0].len;
}

static void
test_rows(void **state)
{
	static const unsigned maxes[] = { SMTP_BODY_OUT_MIN, 5, 64 };
	char wire[256];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct slice in = slice_str(rows[i].in);

		for (size_t m = 0; m < ARRAY_LEN(maxes); m++)
			for (size_t cut = 0; cut <= in.len; cut++) {
				size_t len = encode(in, cut, maxes[m], wire,
				    sizeof(wire));

				if (len != strlen(rows[i].wire) ||
				    memcmp(wire, rows[i].wire, len) != 0)
					fail_msg("%s: split %zu: %.*s",
					    rows[i].why, cut, (int)len, wire);
			}
	}
}

/* What a stored line can be needs one slice for the whole body. */
static void
test_plain_is_one_slice(void **state)
{
	static const char in[] = "Subject: x\r\n\r\nhello\r\nthere\r\n";
	struct slice out[SMTP_BODY_OUT_MIN];
	struct smtp_body b;
	unsigned count;

	(void)state;
	smtp_body_init(&b);
	assert_int_equal(
	    smtp_body_encode(&b, slice_str(in), out, ARRAY_LEN(out), &count),
	    strlen(in));
	assert_int_equal(count, 1);
	assert_true(slice_eq(out[0], slice_str(in)));
}

/* From any octets: every CR LF in pairs, and one CRLF.CRLF, at the end. */
static void
test_row_2_nothing_is_smuggled_out(void **state)
{
	static const char alphabet[] = "\r\n.a";
	char in[40], wire[256];

	(void)state;
	random_seed(1);
	for (int round = 0; round < 20000; round++) {
		size_t len = random_u64() % sizeof(in), n, ends = 0;

		for (size_t i = 0; i < len; i++)
			in[i] = alphabet[random_u64() % 4];
		wire[0] = '\r';
		wire[1] = '\n';
		n = 2 + encode(slice_of(in, len), random_u64() % (len + 1),
			    SMTP_BODY_OUT_MIN, wire + 2, sizeof(wire) - 2);
		for (size_t i = 0; i < n; i++) {
			if (wire[i] == '\r')
				assert_true(i + 1 < n && wire[i + 1] == '\n');
			if (wire[i] == '\n')
				assert_true(i > 0 && wire[i - 1] == '\r');
			if (i + 5 <= n && !memcmp(wire + i, "\r\n.\r\n", 5))
				ends++;
		}
		assert_int_equal(ends, 1);
		assert_memory_equal(wire + n - 5, "\r\n.\r\n", 5);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_plain_is_one_slice),
		cmocka_unit_test(test_row_2_nothing_is_smuggled_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
