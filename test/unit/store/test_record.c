/*
 * Records: what is written is read, and nothing else is: every truncation
 * and every flipped bit is found.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "store/record.h"

enum { SEGMENT = 77 };

static size_t
make(unsigned char *buf, unsigned type, uint64_t id, struct slice payload)
{
	size_t bytes = record_bytes(payload.len);

	memset(buf, 0xee, bytes + 8);
	memset(buf + RECORD_HEADER_BYTES + payload.len, 0,
	    bytes - RECORD_HEADER_BYTES - payload.len);
	if (payload.len > 0)
		memcpy(buf + RECORD_HEADER_BYTES, payload.data, payload.len);
	record_seal(buf, SEGMENT, type, 0, id, (uint32_t)payload.len,
	    record_crc_pad(crc32c(0, payload.data, payload.len),
		(uint32_t)payload.len));
	return bytes;
}

static void
test_round_trip(void **state)
{
	unsigned char buf[256];
	char text[64];
	struct slice payload;
	struct record r;

	(void)state;
	memset(text, 'x', sizeof(text));
	for (size_t len = 0; len <= sizeof(text); len++) {
		size_t n = make(buf, RECORD_BODY, 5 + len, slice_of(text, len));

		assert_int_equal(n % 8, 0);
		assert_true(
		    record_verify(slice_of(buf, n), SEGMENT, &r, &payload));
		assert_int_equal(r.type, RECORD_BODY);
		assert_int_equal(r.id, 5 + len);
		assert_true(slice_eq(payload, slice_of(text, len)));
		/* Bytes behind it do not matter. */
		assert_true(
		    record_verify(slice_of(buf, n + 8), SEGMENT, &r, &payload));
		/* In another segment it is stale. */
		assert_false(
		    record_verify(slice_of(buf, n), SEGMENT + 1, &r, &payload));
		for (size_t cut = 0; cut < n; cut++)
			assert_false(record_verify(slice_of(buf, cut), SEGMENT,
			    &r, &payload));
		for (size_t bit = 0; bit < n * 8; bit++) {
			buf[bit / 8] ^= (unsigned char)(1u << bit % 8);
			assert_false(record_verify(slice_of(buf, n), SEGMENT,
			    &r, &payload));
			buf[bit / 8] ^= (unsigned char)(1u << bit % 8);
		}
	}
}

static void
test_limits(void **state)
{
	static unsigned char buf[RECORD_BYTES_MAX + 64];
	static char zeros[RECORD_BYTES_MAX];
	static const struct {
		const char *why;
		size_t len;
		bool ok;
	} rows[] = {
		{ "one less than the most", RECORD_BYTES_MAX - 33, true },
		{ "the most", RECORD_BYTES_MAX - 32, true },
		{ "one more", RECORD_BYTES_MAX - 31, false },
	};
	struct slice payload;
	struct record r;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		size_t n =
		    make(buf, RECORD_BODY, 1, slice_of(zeros, rows[i].len));

		if (record_verify(slice_of(buf, n), SEGMENT, &r, &payload) !=
		    rows[i].ok)
			fail_msg("%s", rows[i].why);
	}
}

static void
test_segment_header(void **state)
{
	unsigned char buf[SEGMENT_HEADER_BYTES];
	struct segment_header h = { .version = SEGMENT_VERSION,
		.number = 12,
		.prev = 11,
		.segment_bytes = SEGMENT_BYTES_MIN,
		.created_ms = 99,
		.spool_id = 0x123456789abc,
		.id_floor = 500 },
			      got;

	(void)state;
	segment_header_put(&h, buf);
	assert_int_equal(segment_header_get(buf, &got), OK);
	assert_int_equal(got.version, h.version);
	assert_int_equal(got.number, h.number);
	assert_int_equal(got.prev, h.prev);
	assert_int_equal(got.segment_bytes, h.segment_bytes);
	assert_int_equal(got.created_ms, h.created_ms);
	assert_int_equal(got.spool_id, h.spool_id);
	assert_int_equal(got.id_floor, h.id_floor);
	for (size_t bit = 0; bit < sizeof(buf) * 8; bit++) {
		buf[bit / 8] ^= (unsigned char)(1u << bit % 8);
		assert_int_equal(segment_header_get(buf, &got), ERR_CORRUPT);
		buf[bit / 8] ^= (unsigned char)(1u << bit % 8);
	}
	h.version = SEGMENT_VERSION + 1;
	segment_header_put(&h, buf);
	assert_int_equal(segment_header_get(buf, &got), ERR_VERSION);
	h.version = 0;
	segment_header_put(&h, buf);
	assert_int_equal(segment_header_get(buf, &got), ERR_CORRUPT);
}

/* Every payload: whole it decodes, cut anywhere it does not, longer not. */
static void
test_envelope(void **state)
{
	unsigned char buf[1024];
	struct wr w = wr_of(buf, sizeof(buf));
	struct store_extent x[2] = { { 3, 8192, 100 }, { 4, 4120, 7 } };
	struct rec_envelope e = { .due_ms = -5,
		.flags = STORE_HOLD,
		.moved = 1,
		.dest = 6,
		.first_segment = 3,
		.bytes = 999,
		.rcpt_total = 2,
		.state = { 4, 4096, 64 },
		.extent_count = 2,
		.rcpt_extent_count = 1,
		.envelope = SLICE_LIT("envelope"),
		.rcpts = SLICE_LIT("rcpts") };
	struct rec_envelope got;
	struct store_extent y;
	struct rd rd;

	(void)state;
	rec_envelope_head_put(&w, &e);
	extent_list_put(&w, x, 2);
	extent_list_put(&w, x, 1);
	rec_envelope_tail_put(&w, &e);
	wr_raw(&w, e.rcpts);
	assert_false(w.full);
	assert_true(rec_envelope_get(wr_done(&w), &got));
	assert_int_equal(got.due_ms, -5);
	assert_int_equal(got.flags, STORE_HOLD);
	assert_int_equal(got.state.offset, 4096);
	assert_true(slice_eq(got.envelope, e.envelope));
	assert_true(slice_eq(got.rcpts, e.rcpts));
	rd = rd_of(got.extents);
	assert_true(extent_list_get(&rd, &y));
	assert_memory_equal(&y, &x[0], sizeof(y));
	for (size_t cut = 0; cut < w.len; cut++)
		assert_false(rec_envelope_get(slice_of(buf, cut), &got));
	assert_false(rec_envelope_get(slice_of(buf, w.len + 1), &got));
}

static void
test_update(void **state)
{
	unsigned char buf[4096];
	struct wr w = wr_of(buf, sizeof(buf));
	char text[STORE_TEXT_BYTES_MAX + 10];
	struct rec_update u = { .due_ms = 7,
		.flags = STORE_TRIED,
		.dest = 8,
		.over = 1,
		.prev = { 2, 4096, 64 },
		.result_count = 1 },
			  got;
	struct store_result r = { .index = 3,
		.status = STORE_FAILED,
		.attempts = 4,
		.dsn = SLICE_LIT("5.1.1"),
		.relay = SLICE_LIT("mx[1.2.3.4]:25"),
		.text = { text, sizeof(text) } },
			    back;
	struct rd rd;

	(void)state;
	memset(text, 't', sizeof(text));
	rec_update_put(&w, &u);
	rec_result_put(&w, &r);
	assert_false(w.full);
	rd = rd_of(wr_done(&w));
	assert_true(rec_update_get(&rd, &got));
	assert_true(rec_result_get(&rd, &back));
	assert_true(rd_done(&rd));
	assert_int_equal(got.over, 1);
	assert_int_equal(got.prev.segment, 2);
	assert_int_equal(back.status, STORE_FAILED);
	assert_int_equal(back.text.len, STORE_TEXT_BYTES_MAX);
	for (size_t cut = 0; cut < w.len; cut++) {
		rd = rd_of(slice_of(buf, cut));
		assert_false(
		    rec_update_get(&rd, &got) && rec_result_get(&rd, &back));
	}
}

/* Positions and extents that cannot be are refused. */
static void
test_bounds(void **state)
{
	static const struct {
		const char *why;
		struct store_extent x;
		bool ok;
	} rows[] = {
		{ "the first possible", { 1, 4120, 1 }, true },
		{ "inside the header", { 1, 4119, 1 }, false },
		{ "no segment", { 0, 4120, 1 }, false },
		{ "empty", { 1, 4120, 0 }, false },
		{ "longer than a record", { 1, 4120, RECORD_BYTES_MAX + 1 },
		    false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		unsigned char buf[EXTENT_BYTES];
		struct wr w = wr_of(buf, sizeof(buf));
		struct store_extent got;
		struct rd rd;

		extent_list_put(&w, &rows[i].x, 1);
		rd = rd_of(wr_done(&w));
		if (extent_list_get(&rd, &got) != rows[i].ok)
			fail_msg("%s", rows[i].why);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_segment_header),
		cmocka_unit_test(test_envelope),
		cmocka_unit_test(test_update),
		cmocka_unit_test(test_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
