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

static struct request
sample_of(enum request_verb verb)
{
	struct request q = sample();

	q.verb = (uint8_t)verb;
	if (verb == REQUEST_DELIVER)
		return q;
	q = (struct request){
		.tag = 8,
		.verb = (uint8_t)verb,
		.flags = REQUEST_QMAIL | REQUEST_HAS_DEFAULT,
		.body_bytes = verb == REQUEST_CHECK ? 0 : 1000,
		.base = q.base,
		.sender = q.sender,
		.address = SLICE_LIT("joe-list@x.test"),
		.original = q.original,
	};
	if (verb == REQUEST_SCAN)
		return q;
	q.user = SLICE_LIT("joe");
	q.shell = SLICE_LIT("/bin/bash");
	if (verb == REQUEST_PIPE) {
		q.transport = SLICE_LIT("filter");
		q.pipe_flags = 5;
		q.message_id = 1ull << 40;
		q.argv = slice_of("/bin/x\0$user", 13);
		q.recipients = slice_of("a@x\0\0b@x\0c@x", 13);
		q.null_sender = SLICE_LIT("nobody");
		q.nexthop = SLICE_LIT("hop");
		q.client_address = SLICE_LIT("::1");
		q.client_name = SLICE_LIT("localhost");
		q.client_helo = SLICE_LIT("me");
		q.client_protocol = SLICE_LIT("ESMTP");
		memcpy(q.delimiters, "+-", 3);
		q.time_limit_ms = 1000;
		return q;
	}
	q.extension = SLICE_LIT("list");
	q.dash = SLICE_LIT("-");
	q.delimiter = SLICE_LIT("+");
	if (verb == REQUEST_COMMAND) {
		q.command = SLICE_LIT("cat >f");
		q.new_sender = SLICE_LIT("joe-list-owner@x.test");
		q.default_extension = SLICE_LIT("ist");
		q.time_limit_ms = 1000000;
		q.memory_limit_bytes = 64ull << 20;
		q.process_max = 100;
		return q;
	}
	q.dot_files = SLICE_LIT(".qmail .forward");
	q.forward_path = SLICE_LIT("$home/.forward");
	q.actions_max = 10000;
	return q;
}

static void
same_slice(struct slice got, struct slice want)
{
	assert_int_equal(got.len, want.len);
	assert_true(slice_eq(got, want));
}

static void
there_and_back(void **state)
{
	enum request_verb verb;

	(void)state;
	for (verb = 0; verb < REQUEST_VERBS; verb++) {
		struct request q = sample_of(verb), got;
		struct rd r = rd_of(encode(&q));

		assert_true(request_get(&r, &got));
		assert_int_equal(got.tag, q.tag);
		assert_int_equal(got.verb, verb);
		assert_int_equal(got.kind, q.kind);
		assert_int_equal(got.flags, q.flags);
		assert_true(got.body_bytes == q.body_bytes);
		assert_true(got.size_limit_bytes == q.size_limit_bytes);
		assert_memory_equal(got.locks.order, q.locks.order,
		    LOCK_ORDER_MAX);
		assert_int_equal(got.locks.attempts, q.locks.attempts);
		assert_int_equal(got.locks.delay_ms, q.locks.delay_ms);
		assert_int_equal(got.locks.stale_ms, q.locks.stale_ms);
		same_slice(got.base, q.base);
		same_slice(got.path, q.path);
		same_slice(got.sender, q.sender);
		same_slice(got.address, q.address);
		same_slice(got.original, q.original);
		same_slice(got.user, q.user);
		same_slice(got.shell, q.shell);
		same_slice(got.extension, q.extension);
		same_slice(got.dash, q.dash);
		same_slice(got.delimiter, q.delimiter);
		same_slice(got.dot_files, q.dot_files);
		same_slice(got.forward_path, q.forward_path);
		assert_int_equal(got.actions_max, q.actions_max);
		same_slice(got.command, q.command);
		same_slice(got.transport, q.transport);
		assert_int_equal(got.pipe_flags, q.pipe_flags);
		assert_true(got.message_id == q.message_id);
		same_slice(got.argv, q.argv);
		same_slice(got.recipients, q.recipients);
		same_slice(got.null_sender, q.null_sender);
		same_slice(got.nexthop, q.nexthop);
		same_slice(got.client_address, q.client_address);
		same_slice(got.client_name, q.client_name);
		same_slice(got.client_helo, q.client_helo);
		same_slice(got.client_protocol, q.client_protocol);
		assert_string_equal(got.delimiters, q.delimiters);
		same_slice(got.new_sender, q.new_sender);
		same_slice(got.default_extension, q.default_extension);
		assert_int_equal(got.time_limit_ms, q.time_limit_ms);
		assert_true(got.memory_limit_bytes == q.memory_limit_bytes);
		assert_int_equal(got.process_max, q.process_max);
	}
}

static void
every_cut_is_refused(void **state)
{
	enum request_verb verb;

	(void)state;
	for (verb = 0; verb < REQUEST_VERBS; verb++) {
		struct request q = sample_of(verb), got;
		struct slice whole = encode(&q);
		size_t cut;

		for (cut = 0; cut < whole.len; cut++) {
			struct rd r = rd_of(slice_sub(whole, 0, cut));

			assert_false(request_get(&r, &got));
		}
	}
}

/* All fields as long as they may be. */
static void
the_largest_fits(void **state)
{
	static char bytes[COMMAND_BYTES_MAX + 1];
	static char recipients[REQUEST_RECIPIENTS_BYTES_MAX];
	static char argv[REQUEST_ARGV_BYTES_MAX];
	enum request_verb verb;

	(void)state;
	memset(bytes, 'x', sizeof(bytes));
	memset(argv, 'x', sizeof(argv) - 1);
	memset(recipients, 'x', sizeof(recipients) - 2);
	bytes[0] = '/';
	for (verb = 0; verb < REQUEST_VERBS; verb++) {
		struct request q = sample_of(verb), got;
		struct rd r;

		q.base = slice_of(bytes, PATH_BYTES_MAX);
		q.sender = q.address = q.original = q.new_sender =
		    slice_of(bytes, ADDRESS_BYTES_MAX);
		q.user = slice_of(bytes, USER_NAME_BYTES_MAX);
		q.shell = slice_of(bytes, PATH_BYTES_MAX);
		q.extension = q.default_extension =
		    slice_of(bytes, EXTENSION_BYTES_MAX);
		q.dash = slice_of(bytes, DASH_BYTES_MAX);
		q.dot_files = slice_of(bytes, DOT_FILES_BYTES_MAX);
		q.forward_path = slice_of(bytes, FORWARD_PATH_BYTES_MAX);
		q.command = slice_of(bytes, COMMAND_BYTES_MAX);
		q.transport = slice_of(bytes, USER_NAME_BYTES_MAX);
		q.argv = slice_of(argv, sizeof(argv));
		q.recipients = slice_of(recipients, sizeof(recipients));
		q.null_sender = slice_of(bytes, ADDRESS_BYTES_MAX);
		q.nexthop = slice_of(bytes, NEXTHOP_BYTES_MAX);
		q.client_address = q.client_name = q.client_helo =
		    q.client_protocol = slice_of(bytes, HOST_BYTES_MAX);
		memset(q.delimiters, '+', DELIMITERS_BYTES_MAX);
		r = rd_of(encode(&q));
		assert_true(request_get(&r, &got));
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
	q = sample_of(REQUEST_CHECK);
	q.body_bytes = 1;
	r = rd_of(encode(&q));
	assert_false(request_get(&r, &got));
	q = sample_of(REQUEST_PLAN);
	q.user = SLICE_NONE;
	r = rd_of(encode(&q));
	assert_false(request_get(&r, &got));
	q = sample_of(REQUEST_PLAN);
	q.base = SLICE_LIT("home/joe");
	r = rd_of(encode(&q));
	assert_false(request_get(&r, &got));
	q = sample_of(REQUEST_COMMAND);
	q.time_limit_ms = 0;
	r = rd_of(encode(&q));
	assert_false(request_get(&r, &got));
}

/* Lists without an end, empty, of an odd number, too long. */
static void
hostile_lists(void **state)
{
	static const char zeros[2 * (REQUEST_ARGV_MAX + 1)];
	static const struct {
		bool ok;
		struct slice argv, recipients;
	} rows[] = {
		{ true, { "/x", 3 }, { "a\0", 3 } },
		{ true, { zeros, REQUEST_ARGV_MAX }, { "a\0", 3 } },
		{ false, { zeros, REQUEST_ARGV_MAX + 1 }, { "a\0", 3 } },
		{ false, { "/x", 2 }, { "a\0", 3 } },
		{ false, { "", 0 }, { "a\0", 3 } },
		{ false, { "/x", 3 }, { "a\0", 2 } },
		{ false, { "/x", 3 }, { "a\0b", 3 } },
		{ false, { "/x", 3 }, { "", 0 } },
		{ false, { "/x", 3 }, { "a\0\0b", 5 } },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct request q = sample_of(REQUEST_PIPE), got;
		struct rd r;

		q.argv = rows[i].argv;
		q.recipients = rows[i].recipients;
		r = rd_of(encode(&q));
		if (request_get(&r, &got) != rows[i].ok)
			fail_msg("row %zu", i);
	}
}

static void
unknown_verbs(void **state)
{
	struct request q = sample(), got;
	unsigned char packet[REQUEST_BYTES_MAX];
	struct slice whole = encode(&q);
	struct rd r;

	(void)state;
	memcpy(packet, whole.data, whole.len);
	packet[4] = REQUEST_VERBS;
	r = rd_of(slice_of((char *)packet, whole.len));
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
	packet[4] = RESULT_STATUS_COUNT;
	r = rd_of(wr_done(&w));
	assert_false(result_get(&r, &got));
	/* The limit that ended it goes along; an unknown one is refused. */
	w = wr_of(packet, sizeof(packet));
	o.limit = OUTCOME_LIMIT_LOCK;
	result_put(&w, 1, &o);
	r = rd_of(wr_done(&w));
	assert_true(result_get(&r, &got));
	assert_int_equal(got.limit, OUTCOME_LIMIT_LOCK);
	packet[5] = OUTCOME_LIMIT_COUNT;
	r = rd_of(wr_done(&w));
	assert_false(result_get(&r, &got));
}

static void
actions(void **state)
{
	static char text[ACTION_TEXT_BYTES_MAX + 1];
	unsigned char packet[RESULTS_BYTES_MAX];
	struct wr w = wr_of(packet, sizeof(packet));
	struct outcome o;
	struct result got;
	struct rd r;

	(void)state;
	memset(text, 'x', sizeof(text));
	result_put_action(&w, 3, ACTION_COMMAND, 12,
	    slice_of(text, ACTION_TEXT_BYTES_MAX));
	result_put_action(&w, 3, ACTION_SET_DEFAULT, 0, SLICE_NONE);
	outcome_set(&o, JOB_SENT, "2.0.0", "enough");
	result_put_stop(&w, 4, &o);
	assert_false(w.full);
	r = rd_of(wr_done(&w));
	assert_true(result_get(&r, &got));
	assert_int_equal(got.tag, 3);
	assert_int_equal(got.status, RESULT_ACTION);
	assert_int_equal(got.action, ACTION_COMMAND);
	assert_int_equal(got.line, 12);
	assert_int_equal(got.text.len, ACTION_TEXT_BYTES_MAX);
	assert_true(result_get(&r, &got));
	assert_int_equal(got.action, ACTION_SET_DEFAULT);
	assert_int_equal(got.text.len, 0);
	assert_true(result_get(&r, &got));
	assert_int_equal(got.tag, 4);
	assert_int_equal(got.status, RESULT_STOP);
	assert_true(slice_eq(got.text, SLICE_LIT("enough")));
	assert_true(rd_done(&r));
	w = wr_of(packet, sizeof(packet));
	result_put_action(&w, 3, ACTION_KINDS, 0, SLICE_NONE);
	r = rd_of(wr_done(&w));
	assert_false(result_get(&r, &got));
	result_put_action(&w, 3, ACTION_COMMAND, 0,
	    slice_of(text, ACTION_TEXT_BYTES_MAX + 1));
	assert_true(w.full);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(there_and_back),
		cmocka_unit_test(every_cut_is_refused),
		cmocka_unit_test(the_largest_fits),
		cmocka_unit_test(hostile_values),
		cmocka_unit_test(hostile_lists),
		cmocka_unit_test(unknown_verbs),
		cmocka_unit_test(results),
		cmocka_unit_test(actions),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
