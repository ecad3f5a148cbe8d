/*
 * drop_file: there and back, cut at every byte, hostile values.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proto/drop_file.h"

static struct slice
encode(const struct drop_file *d, unsigned char *buf, size_t size)
{
	struct wr w = wr_of(buf, size);

	drop_file_put(&w, d);
	drop_file_rcpt_put(&w, NOTIFY_DELAY | NOTIFY_FAILURE,
	    SLICE_LIT("joe@x.test"));
	assert_false(w.full);
	return wr_done(&w);
}

static const struct drop_file sample = {
	.ret = RET_HDRS,
	.sender = SLICE_LIT("a@b.test"),
	.envid = SLICE_LIT("id+201"),
	.rcpt_count = 1,
};

static void
there_and_back(void **state)
{
	unsigned char buf[4096];
	struct rd r = rd_of(encode(&sample, buf, sizeof(buf)));
	struct drop_file d;
	struct slice address;
	uint8_t notify;

	(void)state;
	assert_true(drop_file_get(&r, &d));
	assert_int_equal(d.ret, RET_HDRS);
	assert_true(slice_eq(d.sender, sample.sender));
	assert_true(slice_eq(d.envid, sample.envid));
	assert_int_equal(d.rcpt_count, 1);
	assert_true(drop_file_rcpt_get(&r, &notify, &address));
	assert_int_equal(notify, NOTIFY_DELAY | NOTIFY_FAILURE);
	assert_true(slice_eq(address, SLICE_LIT("joe@x.test")));
	assert_true(rd_done(&r));
}

static void
every_cut(void **state)
{
	unsigned char buf[4096];
	struct slice whole = encode(&sample, buf, sizeof(buf)), address;
	struct drop_file d;
	uint8_t notify;
	struct rd r;
	size_t cut;

	(void)state;
	for (cut = 0; cut < whole.len; cut++) {
		r = rd_of(slice_sub(whole, 0, cut));
		assert_false(drop_file_get(&r, &d) &&
			     drop_file_rcpt_get(&r, &notify, &address));
	}
}

static void
hostile_values(void **state)
{
	unsigned char buf[4096];
	struct drop_file d = sample, got;
	struct slice address;
	uint8_t notify;
	struct wr w;
	struct rd r;

	(void)state;
	d.rcpt_count = 0;
	r = rd_of(encode(&d, buf, sizeof(buf)));
	assert_false(drop_file_get(&r, &got));
	d.rcpt_count = DROP_FILE_RCPTS_MAX + 1;
	r = rd_of(encode(&d, buf, sizeof(buf)));
	assert_false(drop_file_get(&r, &got));
	d = sample;
	d.ret = RET_HDRS + 1;
	r = rd_of(encode(&d, buf, sizeof(buf)));
	assert_false(drop_file_get(&r, &got));
	r = rd_of(encode(&sample, buf, sizeof(buf)));
	buf[0] ^= 1;
	assert_false(drop_file_get(&r, &got));
	w = wr_of(buf, sizeof(buf));
	drop_file_rcpt_put(&w, NOTIFY_NEVER | NOTIFY_DELAY, SLICE_LIT("a@b"));
	r = rd_of(wr_done(&w));
	assert_false(drop_file_rcpt_get(&r, &notify, &address));
	w = wr_of(buf, sizeof(buf));
	drop_file_rcpt_put(&w, 16, SLICE_LIT("a@b"));
	r = rd_of(wr_done(&w));
	assert_false(drop_file_rcpt_get(&r, &notify, &address));
	w = wr_of(buf, sizeof(buf));
	drop_file_rcpt_put(&w, 0, SLICE_NONE);
	r = rd_of(wr_done(&w));
	assert_false(drop_file_rcpt_get(&r, &notify, &address));
}

static void
trailer(void **state)
{
	unsigned char buf[64];
	struct wr w = wr_of(buf, sizeof(buf));
	uint64_t bytes;
	struct rd r;

	(void)state;
	drop_file_trailer_put(&w, UINT64_C(1) << 40);
	assert_int_equal(w.len, DROP_FILE_TRAILER_BYTES);
	r = rd_of(wr_done(&w));
	assert_true(drop_file_trailer_get(&r, &bytes));
	assert_true(bytes == UINT64_C(1) << 40);
	r = rd_of(slice_of(buf, w.len - 1));
	assert_false(drop_file_trailer_get(&r, &bytes));
	r = rd_of(slice_of(buf, w.len + 1));
	assert_false(drop_file_trailer_get(&r, &bytes));
	buf[15] ^= 1;
	r = rd_of(slice_of(buf, w.len));
	assert_false(drop_file_trailer_get(&r, &bytes));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(there_and_back),
		cmocka_unit_test(every_cut),
		cmocka_unit_test(hostile_values),
		cmocka_unit_test(trailer),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
