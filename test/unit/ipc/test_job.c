/*
 * Records of deliveries: round trip, bounds, truncation.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "ipc/job.h"

static char letters[2048];
static unsigned char room[4096];

static struct slice
letters_of(size_t n)
{
	return slice_of(letters, n);
}

static void
test_extent(void **state)
{
	struct extent e = { 0x1122334455667788, 0xfffffff0, 15 }, g;
	struct wr w = wr_of(room, sizeof(room));
	struct rd r;

	(void)state;
	extent_put(&w, &e);
	assert_int_equal(w.len, EXTENT_BYTES);
	r = rd_of(wr_done(&w));
	assert_true(extent_get(&r, &g));
	assert_true(rd_done(&r));
	assert_true(g.segment == e.segment && g.offset == e.offset &&
		    g.length == e.length);
	for (size_t n = 0; n < w.len; n++) {
		r = rd_of(slice_of(room, n));
		assert_false(extent_get(&r, &g));
	}
}

static void
test_extent_bounds(void **state)
{
	static const struct {
		const char *why;
		uint32_t offset, length;
		bool ok;
	} rows[] = {
		{ "empty", 1, 0, false },
		{ "one byte", 1, 1, true },
		{ "ends at the last offset", UINT32_MAX - 5, 5, true },
		{ "wraps around", UINT32_MAX - 5, 6, false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct extent e = { 1, rows[i].offset, rows[i].length }, g;
		struct wr w = wr_of(room, sizeof(room));
		struct rd r;

		extent_put(&w, &e);
		r = rd_of(wr_done(&w));
		if (extent_get(&r, &g) != rows[i].ok)
			fail_msg("%s", rows[i].why);
	}
}

static void
test_rcpt(void **state)
{
	struct job_rcpt j = { 7, 3, letters_of(JOB_ADDRESS_BYTES_MAX),
		letters_of(JOB_ORCPT_BYTES_MAX),
		letters_of(JOB_ADDRESS_BYTES_MAX),
		letters_of(JOB_MAILBOX_BYTES_MAX), 1000, 100 },
			g;
	struct wr w = wr_of(room, sizeof(room));
	struct rd r;

	(void)state;
	job_rcpt_put(&w, &j);
	assert_false(w.full);
	assert_int_equal(w.len, JOB_RCPT_BYTES_MAX);
	r = rd_of(wr_done(&w));
	assert_true(job_rcpt_get(&r, &g) && rd_done(&r));
	assert_true(
	    g.index == 7 && g.notify == 3 && g.uid == 1000 && g.gid == 100 &&
	    slice_eq(g.address, j.address) && slice_eq(g.orcpt, j.orcpt) &&
	    slice_eq(g.original, j.original) && slice_eq(g.mailbox, j.mailbox));
	for (size_t n = 0; n < w.len; n++) {
		r = rd_of(slice_of(room, n));
		assert_false(job_rcpt_get(&r, &g));
	}
	j.address = letters_of(JOB_ADDRESS_BYTES_MAX + 1);
	w = wr_of(room, sizeof(room));
	job_rcpt_put(&w, &j);
	assert_true(w.full);
}

static void
test_result(void **state)
{
	struct job_result j = { 9, JOB_FAILED, letters_of(JOB_DSN_BYTES_MAX),
		letters_of(JOB_RELAY_BYTES_MAX), letters_of(JOB_TEXT_BYTES_MAX),
		letters_of(JOB_ADDRESS_BYTES_MAX),
		letters_of(JOB_ORCPT_BYTES_MAX) },
			  g;
	struct wr w = wr_of(room, sizeof(room));
	struct rd r;

	(void)state;
	job_result_put(&w, &j);
	assert_false(w.full);
	assert_int_equal(w.len, JOB_RESULT_BYTES_MAX);
	r = rd_of(wr_done(&w));
	assert_true(job_result_get(&r, &g) && rd_done(&r));
	assert_true(
	    g.index == 9 && g.status == JOB_FAILED && slice_eq(g.dsn, j.dsn) &&
	    slice_eq(g.relay, j.relay) && slice_eq(g.text, j.text) &&
	    slice_eq(g.address, j.address) && slice_eq(g.orcpt, j.orcpt));
	for (size_t n = 0; n < w.len; n++) {
		r = rd_of(slice_of(room, n));
		assert_false(job_result_get(&r, &g));
	}
	room[4] = JOB_STATUS_COUNT;
	r = rd_of(wr_done(&w));
	assert_false(job_result_get(&r, &g));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_extent),
		cmocka_unit_test(test_extent_bounds),
		cmocka_unit_test(test_rcpt),
		cmocka_unit_test(test_result),
	};

	memset(letters, 'x', sizeof(letters));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
