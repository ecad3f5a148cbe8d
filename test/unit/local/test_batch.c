/*
 * batch: several deliveries of a worker together, with a fake weir-local.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "local/batch.h"
#include "local/syncer.h"
#include "tmpdir.h"

/* The fake: bodies to read, results that came. */
static struct {
	const char *body;
	size_t left, step;
	unsigned report_count, result_count, written_count;
	struct outcome results[64]; /* by tag */
} fake;

static size_t
read_body(void *arg, char *buf, size_t size)
{
	(void)arg;
	if (size > fake.left)
		size = fake.left;
	if (size > fake.step)
		size = fake.step;
	memcpy(buf, fake.body, size);
	fake.body += size;
	fake.left -= size;
	return size;
}

static void
report(void *arg, struct slice packet)
{
	struct rd r = rd_of(packet);
	struct result got;
	struct outcome *o;

	(void)arg;
	fake.report_count++;
	while (r.left > 0) {
		assert_true(result_get(&r, &got));
		if (got.status == RESULT_WRITTEN) {
			fake.written_count++;
			continue;
		}
		o = &fake.results[got.tag];
		o->status = (enum job_status)got.status;
		assert_true(slice_copy(got.dsn, o->dsn, sizeof(o->dsn)));
		assert_true(slice_copy(got.text, o->text, sizeof(o->text)));
		fake.result_count++;
	}
}

static const struct worker_io io = { read_body, report, NULL };
static struct batch *batch;

static int
setup(void **state)
{
	memset(&fake, 0, sizeof(fake));
	fake.step = SIZE_MAX;
	batch = batch_init(&io);
	return tmpdir_setup(state);
}

static bool
deliver(const struct tmpdir *t, uint32_t tag, const char *path,
    const char *body)
{
	struct slice p = slice_str(path);
	struct request q = {
		.tag = tag,
		.kind =
		    p.data[p.len - 1] == '/' ? MAILBOX_MAILDIR : MAILBOX_MBOX,
		.flags = REQUEST_CREATE,
		.body_bytes = strlen(body),
		.locks = { { LOCK_FCNTL }, 1, 1, 1000 },
		.base = slice_str(t->path),
		.path = p,
		.sender = SLICE_LIT("a@b.test"),
		.address = SLICE_LIT("joe@x.test"),
	};

	fake.body = body;
	fake.left = strlen(body);
	return batch_deliver(batch, &q);
}

static void
a_batch_reports_once(void **state)
{
	struct tmpdir *t = *state;
	uint32_t i;

	for (i = 0; i < WORKER_GROUP_MAX; i++) {
		assert_false(batch_full(batch));
		assert_true(deliver(t, i, i % 2 ? "joe/" : "ann/",
		    "A: b\r\n\r\nx\r\n"));
	}
	assert_true(batch_full(batch));
	/* Nothing is published before the commit. */
	assert_int_equal(tmpdir_count(t, "joe/new", NULL, 0), 0);
	assert_int_equal(fake.report_count, 0);
	batch_finish(batch);
	assert_int_equal(fake.report_count, 1);
	assert_int_equal(fake.result_count, WORKER_GROUP_MAX);
	for (i = 0; i < WORKER_GROUP_MAX; i++) {
		assert_int_equal(fake.results[i].status, JOB_SENT);
		assert_string_equal(fake.results[i].text,
		    "delivered to maildir");
	}
	assert_int_equal(tmpdir_count(t, "joe/new", NULL, 0), 16);
	assert_int_equal(tmpdir_count(t, "ann/new", NULL, 0), 16);
	assert_int_equal(tmpdir_count(t, "ann/tmp", NULL, 0), 0);
	assert_int_equal(batch_count(batch), 0);
	batch_finish(batch);
	assert_int_equal(fake.report_count, 1);
}

static void
what_is_written(void **state)
{
	struct tmpdir *t = *state;
	char name[600];

	fake.step = 1;
	assert_true(deliver(t, 1, "joe/", "A: b\r\n\r\n.x\r\nend"));
	batch_finish(batch);
	assert_int_equal(tmpdir_count(t, "joe/new", name, sizeof(name)), 1);
	assert_string_equal(tmpdir_read(t, name),
	    "Return-Path: <a@b.test>\nDelivered-To: joe@x.test\n"
	    "A: b\n\n.x\nend");
}

static void
more_maildirs_than_fit(void **state)
{
	struct tmpdir *t = *state;
	char path[32];
	uint32_t i;

	for (i = 0; i < 20; i++) {
		snprintf(path, sizeof(path), "u%u/", i);
		assert_true(deliver(t, i, path, "x\r\n"));
	}
	batch_finish(batch);
	assert_int_equal(fake.result_count, 20);
	for (i = 0; i < 20; i++)
		assert_int_equal(fake.results[i].status, JOB_SENT);
	assert_int_equal(tmpdir_count(t, ".", NULL, 0), 20);
}

/* What was written is told once, what failed only in its result. */
static void
written_is_told(void **state)
{
	struct tmpdir *t = *state;

	tmpdir_write(t, "file", "");
	batch_tell(batch);
	assert_int_equal(fake.report_count, 0);
	assert_true(deliver(t, 1, "joe/", "x\r\n"));
	assert_true(deliver(t, 2, "file/", "x\r\n"));
	batch_tell(batch);
	batch_tell(batch);
	assert_int_equal(fake.report_count, 1);
	assert_int_equal(fake.written_count, 1);
	assert_true(deliver(t, 3, "joe/", "x\r\n"));
	batch_tell(batch);
	assert_int_equal(fake.written_count, 2);
	assert_int_equal(fake.result_count, 0);
	batch_finish(batch);
	assert_int_equal(fake.written_count, 2);
	assert_int_equal(fake.result_count, 3);
}

/* While one group is synced by the threads the next is written. */
static void
two_groups_at_once(void **state)
{
	struct tmpdir *t = *state;
	uint32_t i;

	syncer_start();
	for (i = 0; i < WORKER_GROUP_MAX; i++)
		assert_true(deliver(t, i, "joe/", "x\r\n"));
	batch_commit(batch);
	assert_true(batch_syncing(batch));
	assert_false(batch_full(batch));
	for (; i < 2 * WORKER_GROUP_MAX; i++)
		assert_true(deliver(t, i, "joe/", "x\r\n"));
	assert_true(batch_full(batch));
	batch_commit(batch); /* not while the first is under way */
	assert_int_equal(batch_count(batch), WORKER_GROUP_MAX);
	batch_finish(batch);
	assert_int_equal(fake.report_count, 2);
	assert_int_equal(fake.result_count, 2 * WORKER_GROUP_MAX);
	assert_int_equal(tmpdir_count(t, "joe/new", NULL, 0),
	    2 * WORKER_GROUP_MAX);
	assert_int_equal(tmpdir_count(t, "joe/tmp", NULL, 0), 0);
	/* weir-local dies: nothing that was not reported stays. */
	assert_true(deliver(t, 1, "joe/", "x\r\n"));
	batch_commit(batch);
	assert_true(deliver(t, 2, "joe/", "x\r\n"));
	batch_abandon(batch);
	/* The first may have been, before the second was there. */
	assert_int_equal(tmpdir_count(t, "joe/new", NULL, 0),
	    fake.result_count);
	assert_int_equal(tmpdir_count(t, "joe/tmp", NULL, 0), 0);
}

static void
one_fault_is_one_result(void **state)
{
	struct tmpdir *t = *state;

	tmpdir_write(t, "file", "");
	assert_true(deliver(t, 1, "joe/", "x\r\n"));
	assert_true(deliver(t, 2, "file/", "x\r\n"));
	assert_true(deliver(t, 3, "joe/", "y\r\n"));
	batch_finish(batch);
	assert_int_equal(fake.results[1].status, JOB_SENT);
	assert_int_equal(fake.results[2].status, JOB_DEFERRED);
	assert_string_equal(fake.results[2].dsn, "4.2.0");
	assert_int_equal(fake.results[3].status, JOB_SENT);
	assert_int_equal(tmpdir_count(t, "joe/new", NULL, 0), 2);
}

static void
loops_fail(void **state)
{
	/* The field comes in the first piece, and far behind it. */
	static char late[200000];
	struct tmpdir *t = *state;
	size_t n = 0;

	while (n < sizeof(late) - 100)
		n += (size_t)snprintf(late + n, sizeof(late) - n,
		    "X-Filler: %060d\r\n", 1);
	snprintf(late + n, sizeof(late) - n,
	    "Delivered-To: joe@x.test\r\n\r\n");
	assert_true(
	    deliver(t, 1, "joe/", "Delivered-To: joe@x.test\r\n\r\nx\r\n"));
	assert_true(deliver(t, 2, "joe/", late));
	assert_true(deliver(t, 3, "mbox", late));
	batch_finish(batch);
	for (n = 1; n <= 3; n++) {
		assert_int_equal(fake.results[n].status, JOB_FAILED);
		assert_string_equal(fake.results[n].dsn, "5.4.6");
	}
	assert_int_equal(tmpdir_count(t, "joe/tmp", NULL, 0), 0);
	assert_int_equal(tmpdir_count(t, "joe/new", NULL, 0), 0);
	assert_string_equal(tmpdir_read(t, "mbox"), "");
}

static void
mbox_and_maildir_together(void **state)
{
	struct tmpdir *t = *state;

	assert_true(deliver(t, 1, "joe/", "x\r\n"));
	/* What waits is not kept waiting for the locks of an mbox. */
	assert_true(deliver(t, 2, "mbox", "y\r\n"));
	assert_int_equal(fake.result_count, 1);
	batch_finish(batch);
	assert_int_equal(fake.results[1].status, JOB_SENT);
	assert_int_equal(fake.results[2].status, JOB_SENT);
	assert_string_equal(fake.results[2].text, "delivered to mailbox");
	assert_non_null(strstr(tmpdir_read(t, "mbox"), "\ny\n\n"));
}

static void
a_body_that_breaks_off(void **state)
{
	static const char *const paths[] = { "joe/", "mbox" };
	struct tmpdir *t = *state;
	struct request q;
	size_t i;

	for (i = 0; i < 2; i++) {
		assert_true(deliver(t, 0, "joe/", "x\r\n"));
		q = (struct request){
			.tag = 1,
			.kind = i == 0 ? MAILBOX_MAILDIR : MAILBOX_MBOX,
			.flags = REQUEST_CREATE,
			.body_bytes = 100,
			.locks = { { LOCK_FCNTL }, 1, 1, 1000 },
			.base = slice_str(t->path),
			.path = slice_str(paths[i]),
		};
		fake.body = "only this";
		fake.left = 9;
		assert_false(batch_deliver(batch, &q));
		batch_abandon(batch);
		assert_int_equal(batch_count(batch), 0);
	}
	/* The first was committed before the mbox, the rest is gone. */
	assert_int_equal(tmpdir_count(t, "joe/new", NULL, 0), 1);
	assert_int_equal(tmpdir_count(t, "joe/tmp", NULL, 0), 0);
	assert_string_equal(tmpdir_read(t, "mbox"), "");
}

static void
homes_are_checked(void **state)
{
	struct tmpdir *t = *state;
	struct request q = {
		.tag = 1,
		.kind = MAILBOX_MAILDIR,
		.flags = REQUEST_CREATE | REQUEST_HOME,
		.body_bytes = 1,
		.base = slice_str(t->path),
		.path = SLICE_LIT("Maildir/"),
		.address = SLICE_LIT("joe@x.test"),
	};

	assert_int_equal(fchmod(t->fd, 0777), 0);
	fake.body = "x";
	fake.left = 1;
	assert_true(batch_deliver(batch, &q));
	batch_finish(batch);
	assert_int_equal(fake.results[1].status, JOB_DEFERRED);
	assert_non_null(strstr(fake.results[1].text, "writable"));
	assert_int_equal(fchmod(t->fd, 0755), 0);
	fake.body = "x";
	fake.left = 1;
	assert_true(batch_deliver(batch, &q));
	batch_finish(batch);
	assert_int_equal(fake.results[1].status, JOB_SENT);
	q.base = SLICE_LIT("/nonexistent-home");
	fake.body = "x";
	fake.left = 1;
	assert_true(batch_deliver(batch, &q));
	batch_finish(batch);
	assert_int_equal(fake.results[1].status, JOB_DEFERRED);
	assert_int_equal(fake.left, 0);
	if (geteuid() != 0)
		return;
	assert_int_equal(fchown(t->fd, 12345, 12345), 0);
	q.base = slice_str(t->path);
	fake.body = "x";
	fake.left = 1;
	assert_true(batch_deliver(batch, &q));
	batch_finish(batch);
	assert_int_equal(fake.results[1].status, JOB_DEFERRED);
	assert_non_null(strstr(fake.results[1].text, "belong"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, tmpdir_teardown)
		T(a_batch_reports_once),
		T(what_is_written),
		T(more_maildirs_than_fit),
		T(written_is_told),
		T(one_fault_is_one_result),
		T(loops_fail),
		T(mbox_and_maildir_together),
		T(a_body_that_breaks_off),
		T(homes_are_checked),
		/* The last: from here on the process has threads. */
		T(two_groups_at_once),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
