/*
 * The reply parser: each row fed whole, octet by octet and at every split.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "proto/smtp_reply.h"

#define BYTES(s)                 \
	{                        \
		s, sizeof(s) - 1 \
	}

static const struct {
	const char *why;
	struct slice in;
	enum smtp_reply_state state;
	int code;
	const char *text, *status;
	size_t used; /* 0: all of in */
} rows[] = {
	{ "one line", BYTES("250 Ok\r\n"), SMTP_REPLY_DONE, 250, "250 Ok",
	    "2.0.0" },
	{ "enhanced status", BYTES("550 5.1.1 no such user\r\n"),
	    SMTP_REPLY_DONE, 550, "550 5.1.1 no such user", "5.1.1" },
	{ "three digits in each part", BYTES("450 4.123.456 x\r\n"),
	    SMTP_REPLY_DONE, 450, "450 4.123.456 x", "4.123.456" },
	{ "four digits are no status", BYTES("450 4.1234.1 x\r\n"),
	    SMTP_REPLY_DONE, 450, "450 4.1234.1 x", "4.0.0" },
	{ "status of another class than the code", BYTES("550 4.1.1 x\r\n"),
	    SMTP_REPLY_DONE, 550, "550 4.1.1 x", "5.0.0" },
	{ "status glued to text", BYTES("550 5.1.1x\r\n"), SMTP_REPLY_DONE, 550,
	    "550 5.1.1x", "5.0.0" },
	{ "status alone", BYTES("250 2.1.0\r\n"), SMTP_REPLY_DONE, 250,
	    "250 2.1.0", "2.1.0" },
	{ "several lines", BYTES("550-one\r\n550-5.7.1 two\r\n550 three\r\n"),
	    SMTP_REPLY_DONE, 550, "550-one\n550-5.7.1 two\n550 three",
	    "5.7.1" },
	{ "LF alone ends a line", BYTES("250-a\n250 b\n"), SMTP_REPLY_DONE, 250,
	    "250-a\n250 b", "2.0.0" },
	{ "code alone", BYTES("354\r\n"), SMTP_REPLY_DONE, 354, "354",
	    "2.0.0" },
	{ "code alone after others", BYTES("250-a\r\n250\r\n"), SMTP_REPLY_DONE,
	    250, "250-a\n250", "2.0.0" },
	{ "empty text", BYTES("250 \r\n"), SMTP_REPLY_DONE, 250, "250 ",
	    "2.0.0" },
	{ "CR inside a line is text", BYTES("250 a\rb\r\r\n"), SMTP_REPLY_DONE,
	    250, "250 a\rb\r", "2.0.0" },
	{ "the next reply is left alone", BYTES("250 a\r\n251 b\r\n"),
	    SMTP_REPLY_DONE, 250, "250 a", "2.0.0", 7 },
	{ "8-bit octets are text", BYTES("550 \xff\x80\x01\r\n"),
	    SMTP_REPLY_DONE, 550, "550 \xff\x80\x01", "5.0.0" },
	{ "not finished", BYTES("250-a\r\n250 b"), SMTP_REPLY_MORE, 250,
	    "250-a\n250 b", NULL },
	{ "code changes", BYTES("250-a\r\n550 b\r\n"), SMTP_REPLY_BAD },
	{ "no code", BYTES("hello\r\n"), SMTP_REPLY_BAD },
	{ "empty line", BYTES("\r\n"), SMTP_REPLY_BAD },
	{ "two digits", BYTES("25\r\n"), SMTP_REPLY_BAD },
	{ "four digits", BYTES("2500 x\r\n"), SMTP_REPLY_BAD },
	{ "1yz is no SMTP", BYTES("150 x\r\n"), SMTP_REPLY_BAD },
	{ "6yz is no SMTP", BYTES("650 x\r\n"), SMTP_REPLY_BAD },
	{ "minus only", BYTES("-50 x\r\n"), SMTP_REPLY_BAD },
	{ "letter after the code", BYTES("250x\r\n"), SMTP_REPLY_BAD },
	{ "NUL in the code",
	    BYTES("2\0"
		  "50 x\r\n"),
	    SMTP_REPLY_BAD },
	{ "CR in the code", BYTES("25\r0 x\r\n"), SMTP_REPLY_BAD },
};

static void
check(size_t i, const struct smtp_reply *r, size_t used)
{
	char status[SMTP_STATUS_BYTES];

	if (r->state != rows[i].state)
		fail_msg("%s: state %d", rows[i].why, (int)r->state);
	if (r->state == SMTP_REPLY_BAD)
		return;
	assert_int_equal(r->text_len, strlen(rows[i].text));
	assert_memory_equal(r->text, rows[i].text, r->text_len);
	assert_int_equal(r->code, rows[i].code);
	assert_int_equal(used, rows[i].used ? rows[i].used : rows[i].in.len);
	if (rows[i].status == NULL)
		return;
	smtp_reply_status(r, status);
	if (strcmp(status, rows[i].status) != 0)
		fail_msg("%s: status %s", rows[i].why, status);
}

/* Feed in pieces that end at cut (0: none) and then every step octets. */
static size_t
feed(struct smtp_reply *r, struct slice in, size_t cut, size_t step)
{
	size_t used = 0;

	smtp_reply_init(r);
	while (used < in.len && r->state == SMTP_REPLY_MORE) {
		size_t to = used < cut ? cut : used + step;
		struct slice piece = slice_sub(in, used, to);
		size_t n = smtp_reply_feed(r, piece);

		assert_true(n <= piece.len);
		assert_true(n == piece.len || r->state != SMTP_REPLY_MORE);
		used += n;
	}
	return used;
}

static void
test_rows(void **state)
{
	struct smtp_reply r;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		check(i, &r, feed(&r, rows[i].in, 0, rows[i].in.len));
		check(i, &r, feed(&r, rows[i].in, 0, 1));
		for (size_t cut = 1; cut < rows[i].in.len; cut++)
			check(i, &r, feed(&r, rows[i].in, cut, SIZE_MAX / 2));
	}
}

/* count lines of len octets (line ends included), the last one final. */
static size_t
make_lines(char *buf, size_t size, unsigned count, size_t len)
{
	size_t at = 0;

	for (unsigned i = 0; i < count; i++) {
		assert_true(at + len <= size);
		memset(buf + at, 'x', len);
		memcpy(buf + at, i + 1 < count ? "250-" : "250 ", 4);
		memcpy(buf + at + len - 2, "\r\n", 2);
		at += len;
	}
	return at;
}

static char big[SMTP_REPLY_BYTES_MAX + 4096];

static const struct {
	const char *why;
	unsigned count;
	size_t len;
	enum smtp_reply_state state;
	size_t kept;
} limits[] = {
	{ "lines below the limit", SMTP_REPLY_LINES_MAX - 1, 10,
	    SMTP_REPLY_DONE, 99 * 9 - 1 },
	{ "lines at the limit", SMTP_REPLY_LINES_MAX, 10, SMTP_REPLY_DONE,
	    100 * 9 - 1 },
	{ "lines above the limit", SMTP_REPLY_LINES_MAX + 1, 10, SMTP_REPLY_BAD,
	    0 },
	{ "line below the limit", 1, SMTP_REPLY_LINE_BYTES + 1, SMTP_REPLY_DONE,
	    SMTP_REPLY_LINE_BYTES - 1 },
	{ "line at the limit", 1, SMTP_REPLY_LINE_BYTES + 2, SMTP_REPLY_DONE,
	    SMTP_REPLY_LINE_BYTES },
	{ "line above the limit is cut", 1, SMTP_REPLY_LINE_BYTES + 3,
	    SMTP_REPLY_DONE, SMTP_REPLY_LINE_BYTES },
	{ "text at the limit", 2, SMTP_REPLY_TEXT_BYTES / 2 + 1,
	    SMTP_REPLY_DONE, SMTP_REPLY_TEXT_BYTES - 1 },
	{ "text above the limit is cut", 10, 1000, SMTP_REPLY_DONE,
	    SMTP_REPLY_TEXT_BYTES },
	{ "bytes at the limit", 2, SMTP_REPLY_BYTES_MAX / 2, SMTP_REPLY_DONE,
	    SMTP_REPLY_TEXT_BYTES },
	{ "bytes above the limit", 2, SMTP_REPLY_BYTES_MAX / 2 + 1,
	    SMTP_REPLY_BAD, 0 },
};

static void
test_limits(void **state)
{
	static const size_t steps[] = { 1, 7, 4096, sizeof(big) };
	struct smtp_reply r;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(limits); i++) {
		size_t len = make_lines(big, sizeof(big), limits[i].count,
		    limits[i].len);

		for (size_t s = 0; s < ARRAY_LEN(steps); s++) {
			feed(&r, slice_of(big, len), 0, steps[s]);
			if (r.state != limits[i].state)
				fail_msg("%s: state %d", limits[i].why,
				    (int)r.state);
			if (r.state == SMTP_REPLY_DONE &&
			    r.text_len != limits[i].kept)
				fail_msg("%s: kept %zu", limits[i].why,
				    r.text_len);
		}
	}
}

/* A line that never ends costs neither memory nor time without bound. */
static void
test_row_42_endless_line(void **state)
{
	struct smtp_reply r;
	size_t total = 0;

	(void)state;
	memset(big, 'x', sizeof(big));
	smtp_reply_init(&r);
	(void)smtp_reply_feed(&r, SLICE_LIT("250 "));
	while (r.state == SMTP_REPLY_MORE && total < 1u << 30)
		total += smtp_reply_feed(&r, slice_of(big, 4096));
	assert_int_equal(r.state, SMTP_REPLY_BAD);
	assert_true(total <= SMTP_REPLY_BYTES_MAX + 4096);
}

static void
test_lines(void **state)
{
	struct slice rest, line;
	struct smtp_reply r;

	(void)state;
	smtp_reply_init(&r);
	(void)smtp_reply_feed(&r, SLICE_LIT("250-h\r\n250-\r\n250\r\n"));
	rest = smtp_reply_text(&r);
	assert_true(smtp_reply_line(&rest, &line));
	assert_true(slice_eq(line, SLICE_LIT("h")));
	assert_true(smtp_reply_line(&rest, &line));
	assert_int_equal(line.len, 0);
	assert_true(smtp_reply_line(&rest, &line));
	assert_int_equal(line.len, 0);
	assert_false(smtp_reply_line(&rest, &line));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_row_42_endless_line),
		cmocka_unit_test(test_lines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
