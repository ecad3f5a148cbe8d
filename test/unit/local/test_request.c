/*
 * request: between weir-local and a worker; cut and hostile packets.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "local/request.h"

static struct request
sample(void)
{
	return (struct request){
		.tag = 7,
		.kind = MAILBOX_MBOX,
		.flags = REQUEST_HOME,
		.body_bytes = 1ull << 40,
		.size_limit_bytes = 51200000,
		.locks = { { LOCK_DOTLOCK, LOCK_FCNTL }, 5, 1000, 500000 },
		.base = SLICE_LIT("/home/joe"),
		.path = SLICE_LIT("mail/inbox"),
		.sender = SLICE_LIT("a@b.test"),
		.address = SLICE_LIT("joe@x.test"),
		.original = SLICE_LIT("info@x.test"),
	};
}

static struct slice
encode(const struct request *q)
{
	static unsigned char packet[REQUEST_BYTES_MAX];
	struct wr w = wr_of(packet, sizeof(packet));

	request_put(&w, q);
	assert_false(w.full);
	return wr_done(&w);
}

static void
there_and_back(void **state)
{
	struct request q = sample(), got;
	struct rd r = rd_of(encode(&q));

	(void)state;
	assert_true(request_get(&r, &got));
	assert_int_equal(got.tag, q.tag);
	assert_int_equal(got.kind, q.kind);
	assert_int_equal(got.flags, q.flags);
	assert_true(got.body_bytes == q.body_bytes);
	assert_true(got.size_limit_bytes == q.size_limit_bytes);
	assert_memory_equal(got.locks.order, q.locks.order, LOCK_ORDER_MAX);
	assert_int_equal(got.locks.attempts, q.locks.attempts);
	assert_int_equal(got.locks.delay_ms, q.locks.delay_ms);
	assert_int_equal(got.locks.stale_ms, q.locks.stale_ms);
	assert_true(slice_eq(got.base, q.base));
	assert_true(slice_eq(got.path, q.path));
	assert_true(slice_eq(got.sender, q.sender));
	assert_true(slice_eq(got.address, q.address));
	assert_true(slice_eq(got.original, q.original));
}

static void
every_cut_is_refused(void **state)
{
	struct request q = sample(), got;
	struct slice whole = encode(&q);
	struct rd r;
	size_t cut;

	(void)state;
	for (cut = 0; cut < whole.len; cut++) {
		r = rd_of(slice_sub(whole, 0, cut));
		assert_false(request_get(&r, &got));
	}
}

static void
hostile_values(void **state)
{
	struct request q = sample(), got;
	struct rd r;

	(void)state;
	q.path = SLICE_LIT("../ann/inbox");
	r = rd_of(encode(&q));
	assert_false(request_get(&r, &got));
	q = sample();
	q.base = SLICE_LIT("home/joe");
	r = rd_of(encode(&q));
	assert_false(request_get(&r, &got));
	q = sample();
	q.kind = MAILBOX_KINDS;
	r = rd_of(encode(&q));
	assert_false(request_get(&r, &got));
	q = sample();
	q.locks.order[1] = LOCK_KINDS;
	r = rd_of(encode(&q));
	assert_false(request_get(&r, &got));
}

static void
results(void **state)
{
	unsigned char packet[RESULTS_BYTES_MAX];
	struct wr w = wr_of(packet, sizeof(packet));
	struct outcome o;
	struct result got;
	struct rd r;
	uint32_t i;

	(void)state;
	outcome_set(&o, JOB_DEFERRED, "4.2.2", "%0*d", OUTCOME_TEXT_BYTES + 10,
	    1);
	for (i = 0; i < WORKER_GROUP_MAX; i++)
		result_put(&w, i, &o);
	assert_false(w.full);
	r = rd_of(wr_done(&w));
	for (i = 0; i < WORKER_GROUP_MAX; i++) {
		assert_true(result_get(&r, &got));
		assert_int_equal(got.tag, i);
		assert_int_equal(got.status, JOB_DEFERRED);
		assert_true(slice_eq(got.dsn, SLICE_LIT("4.2.2")));
		assert_int_equal(got.text.len, OUTCOME_TEXT_BYTES - 1);
	}
	assert_true(rd_done(&r));
	packet[4] = RESULT_WRITTEN + 1;
	r = rd_of(wr_done(&w));
	assert_false(result_get(&r, &got));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(there_and_back),
		cmocka_unit_test(every_cut_is_refused),
		cmocka_unit_test(hostile_values),
		cmocka_unit_test(results),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
