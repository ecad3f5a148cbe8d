/*
 * Envelopes: there and back, and every damaged form refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proto/envelope.h"

static char big[2048];

static struct envelope
sample(void)
{
	return (struct envelope){
		.flags = ENVELOPE_8BIT | ENVELOPE_DOT_LINE,
		.origin = ORIGIN_LMTP,
		.ret = RET_HDRS,
		.arrival_ms = 1795337757123,
		.body_bytes = 1ull << 40,
		.longest_line_bytes = 998,
		.uid = 1000,
		.sender = SLICE_LIT("a@b.example"),
		.envid = SLICE_LIT("QQ314159"),
		.client_name = SLICE_LIT("unknown"),
		.client_address = SLICE_LIT("2001:db8::1"),
		.helo = SLICE_LIT("h"),
		.protocol = SLICE_LIT("LMTP"),
	};
}

static void
test_round_trip(void **state)
{
	char buf[ENVELOPE_BYTES_MAX];
	struct envelope a = sample(), b;
	struct wr w = wr_of(buf, sizeof(buf));
	struct rd r;

	(void)state;
	envelope_put(&w, &a);
	assert_false(w.full);
	r = rd_of(wr_done(&w));
	assert_true(envelope_get(&r, &b));
	assert_true(rd_done(&r));
	assert_int_equal(b.flags, a.flags);
	assert_int_equal(b.origin, a.origin);
	assert_int_equal(b.ret, a.ret);
	assert_true(b.arrival_ms == a.arrival_ms);
	assert_true(b.body_bytes == a.body_bytes);
	assert_int_equal(b.longest_line_bytes, a.longest_line_bytes);
	assert_int_equal(b.uid, a.uid);
	assert_true(slice_eq(b.sender, a.sender));
	assert_true(slice_eq(b.envid, a.envid));
	assert_true(slice_eq(b.client_name, a.client_name));
	assert_true(slice_eq(b.client_address, a.client_address));
	assert_true(slice_eq(b.helo, a.helo));
	assert_true(slice_eq(b.protocol, a.protocol));
}

/* Cut anywhere, it is refused and never read past its end. */
static void
test_cut(void **state)
{
	char buf[ENVELOPE_BYTES_MAX];
	struct envelope a = sample(), b;
	struct wr w = wr_of(buf, sizeof(buf));

	(void)state;
	envelope_put(&w, &a);
	for (size_t n = 0; n < w.len; n++) {
		char *copy = test_malloc(n + 1);
		struct rd r = rd_of(slice_of(copy + 1, n));

		memcpy(copy + 1, buf, n);
		assert_false(envelope_get(&r, &b));
		test_free(copy);
	}
}

static void
test_bounds(void **state)
{
	char buf[ENVELOPE_BYTES_MAX];
	struct envelope e = sample();
	struct wr w = wr_of(buf, sizeof(buf));

	(void)state;
	memset(big, 'x', sizeof(big));
	e.sender = slice_of(big, ADDRESS_BYTES_MAX);
	e.envid = slice_of(big, ENVID_BYTES_MAX);
	e.client_name = e.helo = slice_of(big, HOST_BYTES_MAX);
	envelope_put(&w, &e);
	assert_false(w.full);
	w = wr_of(buf, sizeof(buf));
	e.sender = slice_of(big, ADDRESS_BYTES_MAX + 1);
	envelope_put(&w, &e);
	assert_true(w.full);
}

static void
test_bad_values(void **state)
{
	static const struct {
		const char *why;
		size_t at;
		char byte;
	} rows[] = {
		{ "unknown flag", 3, 1 },
		{ "origin", 4, ORIGIN_COUNT },
		{ "ret", 5, 3 },
		{ "control byte in the sender", 32, '\n' },
		{ "NUL in the sender", 33, 0 },
		{ "DEL in the sender", 34, 0x7f },
		{ "length of the sender", 31, 0x7f },
	};
	char buf[ENVELOPE_BYTES_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct envelope e = sample();
		struct wr w = wr_of(buf, sizeof(buf));
		struct rd r;

		print_message("  %s\n", rows[i].why);
		envelope_put(&w, &e);
		buf[rows[i].at] = rows[i].byte;
		r = rd_of(wr_done(&w));
		assert_false(envelope_get(&r, &e));
		assert_true(r.bad);
	}
}

static void
test_rcpt(void **state)
{
	static const struct {
		const char *why;
		uint8_t notify;
		const char *address;
		bool good;
	} rows[] = {
		{ "plain", 0, "a@b", true },
		{ "never", NOTIFY_NEVER, "a@b", true },
		{ "all others", 14, "a@b", true },
		{ "never and success", 3, "a@b", false },
		{ "unknown notify", 16, "a@b", false },
		{ "no address", 0, "", false },
		{ "line feed", 0, "a\n@b", false },
	};
	char buf[ENVELOPE_RCPT_BYTES_MAX];
	struct envelope_rcpt a, b;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct wr w = wr_of(buf, sizeof(buf));
		struct rd r;

		print_message("  %s\n", rows[i].why);
		/* Written by hand: the encoder refuses to write nonsense. */
		wr_u8(&w, rows[i].notify);
		wr_str(&w, slice_str(rows[i].address), ADDRESS_BYTES_MAX);
		wr_str(&w, SLICE_LIT("rfc822;x"), ORCPT_BYTES_MAX);
		wr_str(&w, SLICE_LIT("c@d"), ADDRESS_BYTES_MAX);
		r = rd_of(wr_done(&w));
		assert_int_equal(envelope_rcpt_get(&r, &b), rows[i].good);
		if (!rows[i].good)
			continue;
		assert_true(rd_done(&r));
		a = b;
		w = wr_of(buf + 800, 800);
		envelope_rcpt_put(&w, &a);
		assert_false(w.full);
		r = rd_of(wr_done(&w));
		assert_true(envelope_rcpt_get(&r, &b));
		assert_true(slice_eq(a.orcpt, b.orcpt));
		assert_true(slice_eq(a.original, b.original));
	}
	memset(big, 'x', sizeof(big));
	a = (struct envelope_rcpt){
		.address = slice_of(big, ADDRESS_BYTES_MAX),
		.orcpt = slice_of(big, ORCPT_BYTES_MAX),
		.original = slice_of(big, ADDRESS_BYTES_MAX),
	};
	struct wr w = wr_of(buf, sizeof(buf));
	envelope_rcpt_put(&w, &a);
	assert_false(w.full);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_cut),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_bad_values),
		cmocka_unit_test(test_rcpt),
	};

	return cmocka_run_group_tests_name("envelope", tests, NULL, NULL);
}
