#include "../check.h"

#include "base/wire.h"

static void
test_round_trip(void **state)
{
	unsigned char buf[64];
	struct wr w = wr_of(buf, sizeof(buf));
	struct rd r;

	(void)state;
	wr_u8(&w, 0xfe);
	wr_u16(&w, 0x1234);
	wr_u32(&w, 0xdeadbeef);
	wr_u64(&w, 0x0123456789abcdef);
	wr_str(&w, SLICE_LIT("hello"), 5);
	wr_blob(&w, SLICE_NONE, 0);
	wr_raw(&w, SLICE_LIT("xy"));
	assert_false(w.full);
	assert_int_equal(buf[1], 0x34); /* little-endian */

	r = rd_of(wr_done(&w));
	assert_int_equal(rd_u8(&r), 0xfe);
	assert_int_equal(rd_u16(&r), 0x1234);
	assert_int_equal(rd_u32(&r), 0xdeadbeef);
	assert_true(rd_u64(&r) == 0x0123456789abcdef);
	assert_true(slice_eq(rd_str(&r, 5), SLICE_LIT("hello")));
	assert_int_equal(rd_blob(&r, 0).len, 0);
	assert_false(rd_done(&r));
	assert_true(slice_eq(rd_raw(&r, 2), SLICE_LIT("xy")));
	assert_true(rd_done(&r));
}

/* Cut at every length, a frame is bad, and stays bad. */
static void
test_short(void **state)
{
	unsigned char buf[32];
	struct wr w = wr_of(buf, sizeof(buf));
	size_t whole;

	(void)state;
	wr_u32(&w, 7);
	wr_str(&w, SLICE_LIT("abc"), 3);
	wr_u64(&w, 9);
	whole = wr_done(&w).len;
	for (size_t len = 0; len < whole; len++) {
		struct rd r = rd_of(slice_of(buf, len));

		rd_u32(&r);
		rd_str(&r, 3);
		rd_u64(&r);
		assert_true(r.bad);
		assert_false(rd_done(&r));
		assert_int_equal(rd_u8(&r), 0);
	}
}

static void
test_string_limit(void **state)
{
	static const struct {
		size_t len, max;
		bool ok;
	} rows[] = { { 4, 5, true }, { 5, 5, true }, { 6, 5, false } };
	unsigned char buf[32];

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct wr w = wr_of(buf, sizeof(buf));
		struct slice s = slice_of("abcdef", rows[i].len);
		struct rd r;

		wr_str(&w, s, rows[i].max);
		assert_int_equal(!w.full, rows[i].ok);
		assert_int_equal(w.len, rows[i].ok ? rows[i].len + 2 : 0);

		w = wr_of(buf, sizeof(buf));
		wr_blob(&w, s, 6);
		r = rd_of(wr_done(&w));
		rd_blob(&r, rows[i].max);
		assert_int_equal(rd_done(&r), rows[i].ok);
	}
}

/* Into every size too small a field is written whole or not at all. */
static void
test_full(void **state)
{
	unsigned char buf[8];

	(void)state;
	for (size_t size = 0; size <= 7; size++) {
		struct wr w = wr_of(buf, size);

		wr_str(&w, SLICE_LIT("abcde"), 5);
		assert_int_equal(w.full, size < 7);
		assert_int_equal(w.len, size < 7 ? 0 : 7);
	}
	{
		struct wr w = wr_of(buf, 3);

		wr_u32(&w, 1);
		assert_true(w.full);
		wr_u8(&w, 1); /* would fit, but the error is sticky */
		assert_int_equal(w.len, 0);
	}
}

static void
test_crc32c(void **state)
{
	/* RFC 3720 appendix B.4, and the usual check value. */
	unsigned char zeros[32] = { 0 };
	unsigned char ones[32];
	unsigned char up[300];

	(void)state;
	memset(ones, 0xff, sizeof(ones));
	for (size_t i = 0; i < sizeof(up); i++)
		up[i] = (unsigned char)i;
	assert_int_equal(crc32c(0, "123456789", 9), 0xe3069283);
	assert_int_equal(crc32c(0, zeros, 32), 0x8a9136aa);
	assert_int_equal(crc32c(0, ones, 32), 0x62a8ab43);
	assert_int_equal(crc32c(0, up, 32), 0x46dd794e);
	assert_int_equal(crc32c(0, NULL, 0), 0);
	/* Both ways agree, and parts give what the whole gives. */
	for (size_t cut = 0; cut <= sizeof(up); cut++) {
		uint32_t whole = crc32c_portable(0, up, sizeof(up));
		uint32_t part = crc32c(0, up, cut);

		assert_int_equal(part, crc32c_portable(0, up, cut));
		assert_int_equal(crc32c(part, up + cut, sizeof(up) - cut),
		    whole);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_short),
		cmocka_unit_test(test_string_limit),
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_crc32c),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
