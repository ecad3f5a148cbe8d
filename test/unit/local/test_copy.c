/*
 * copy: CRLF to LF and mboxrd quoting, whole, byte by byte, at every split.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "local/copy.h"

static const struct {
	const char *why;
	bool quote;
	const char *in, *out;
	bool ends_in_newline;
} rows[] = {
	{ "lines lose their CR", false, "a\r\nb\r\n", "a\nb\n", true },
	{ "an empty message", true, "", "", true },
	{ "a last line without end", false, "a\r\nb", "a\nb", false },
	{ "a CR inside a line stays", false, "a\rb\r\n", "a\rb\n", false },
	{ "two CRs before LF: one is data", false, "a\r\r\n", "a\r\n", false },
	{ "a CR at the very end stays", true, "a\r", "a\r", false },
	{ "CR at the start of a line", true, "\rFrom x\r\n", "\rFrom x\n",
	    true },
	{ "From is not quoted without need", false, "From a\r\n", "From a\n",
	    true },
	{ "From is quoted", true, "From a\r\nb\r\n", ">From a\nb\n", true },
	{ "From in the second line", true, "a\r\nFrom b\r\n", "a\n>From b\n",
	    true },
	{ "quoted From gets one more", true, ">From a\r\n>>>From b\r\n",
	    ">>From a\n>>>>From b\n", true },
	{ "From without blank is none", true, "From\r\nFrom:\r\nFro\r\n",
	    "From\nFrom:\nFro\n", true },
	{ "lower case is none", true, "from a\r\n", "from a\n", true },
	{ "From in the middle of a line", true, "a From b\r\n", "a From b\n",
	    true },
	{ "From broken by a CR", true, "From\rx y\r\nFrom z\r\n",
	    "From\rx y\n>From z\n", true },
	{ "From at the end of the message", true, "From ", ">From ", false },
	{ "a beginning of From at the end", true, "x\r\nFro", "x\nFro", false },
	{ "greater signs that quote nothing", true, ">> a\r\n>\r\n",
	    ">> a\n>\n", true },
};

static size_t
run(bool quote, const char *in, size_t a, size_t b, char *out)
{
	size_t len = strlen(in), n = 0;
	struct copy c;

	copy_init(&c, quote);
	n += copy_feed(&c, slice_of(in, a), out + n);
	n += copy_feed(&c, slice_of(in + a, b - a), out + n);
	n += copy_feed(&c, slice_of(in + b, len - b), out + n);
	n += copy_end(&c, out + n);
	out[n] = '\0';
	return n;
}

static void
every_split(void **state)
{
	char out[256];
	size_t i, a, b, len;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		len = strlen(rows[i].in);
		for (a = 0; a <= len; a++) {
			for (b = a; b <= len; b++) {
				run(rows[i].quote, rows[i].in, a, b, out);
				if (strcmp(out, rows[i].out) != 0)
					fail_msg("%s: split %zu %zu",
					    rows[i].why, a, b);
			}
		}
	}
}

static void
byte_by_byte(void **state)
{
	char out[256];
	struct copy c;
	size_t i, k, n;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		copy_init(&c, rows[i].quote);
		n = 0;
		for (k = 0; rows[i].in[k] != '\0'; k++)
			n +=
			    copy_feed(&c, slice_of(rows[i].in + k, 1), out + n);
		n += copy_end(&c, out + n);
		out[n] = '\0';
		assert_string_equal(out, rows[i].out);
		assert_int_equal(c.ends_in_newline,
		    n == 0 || out[n - 1] == '\n');
	}
}

/* The bound that callers reserve holds for the worst input. */
static void
room_is_enough(void **state)
{
	static char in[6000], out[COPY_ROOM(6000)];
	struct copy c;
	size_t k;

	(void)state;
	for (k = 0; k + 6 <= sizeof(in); k += 6)
		memcpy(in + k, "From \n", 6);
	for (k = 0; k < 6; k++) {
		copy_init(&c, true);
		(void)copy_feed(&c, slice_of(in, k), out);
		assert_true(copy_feed(&c, slice_of(in + k, 5994), out) <=
			    COPY_ROOM(5994));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_split),
		cmocka_unit_test(byte_by_byte),
		cmocka_unit_test(room_is_enough),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
