/*
 * serve: each kind of request, with a fake weir-local.
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

#include "local/serve.h"
#include "local/syncer.h"
#include "tmpdir.h"

/* The fake: a body to read, results that came. */
static struct {
	const char *body;
	size_t left;
	unsigned packet_count, action_count, result_count;
	enum action_kind last_action;
	size_t action_bytes;
	uint32_t tag;
	uint8_t status;
	char dsn[12], text[OUTCOME_TEXT_BYTES];
} fake;

static size_t
read_body(void *arg, char *buf, size_t size)
{
	(void)arg;
	if (size > fake.left)
		size = fake.left;
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

	(void)arg;
	fake.packet_count++;
	while (r.left > 0) {
		assert_true(result_get(&r, &got));
		fake.tag = got.tag;
		if (got.status == RESULT_WRITTEN)
			continue;
		if (got.status == RESULT_ACTION) {
			/* Never behind the result. */
			assert_int_equal(fake.result_count, 0);
			fake.action_count++;
			fake.action_bytes += got.text.len;
			fake.last_action = (enum action_kind)got.action;
			continue;
		}
		fake.result_count++;
		fake.status = got.status;
		assert_true(slice_copy(got.dsn, fake.dsn, sizeof(fake.dsn)));
		assert_true(slice_copy(got.text, fake.text, sizeof(fake.text)));
	}
}

static const struct worker_io io = { .read_body = read_body, .report = report };
static struct server server = {
	.io = &io,
	.world = { .conf_path = "", .bin_path = "", .channel_fd = -1 },
};

static int
setup(void **state)
{
	server.batch = batch_init(&io);
	return tmpdir_setup(state);
}

static int
teardown(void **state)
{
	batch_abandon(server.batch);
	return tmpdir_teardown(state);
}

static bool
ask(struct request *q, const char *body, size_t missing,
    int fds[static REQUEST_COPY_FDS])
{
	memset(&fake, 0, sizeof(fake));
	fake.body = body;
	fake.left = strlen(body);
	q->body_bytes = fake.left + missing;
	q->tag = 17;
	return serve_request(&server, q, fds);
}

static bool
ask_plain(struct request *q, const char *body)
{
	int none[REQUEST_COPY_FDS] = { -1, -1 };

	return ask(q, body, 0, none);
}

static struct request
request(const struct tmpdir *t, enum request_verb verb)
{
	return (struct request){
		.verb = (uint8_t)verb,
		.base = slice_str(t->path),
		.sender = SLICE_LIT("a@b.test"),
		.address = SLICE_LIT("joe@x.test"),
		.user = SLICE_LIT("joe"),
		.dot_files = SLICE_LIT(".qmail"),
		.actions_max = 10000,
		.command = SLICE_LIT("cat >got; echo said; exit 99"),
		.time_limit_ms = 60000,
		.path = SLICE_LIT("Maildir/"),
		.kind = MAILBOX_MAILDIR,
		.flags = REQUEST_QMAIL | REQUEST_CREATE,
	};
}

static const char plain[] = "A: b\r\n\r\nbody\r\n";
static const char looping[] = "A: b\r\nDelivered-To: joe@x.test\r\n";

static void
scans(void **state)
{
	struct request q = request(*state, REQUEST_SCAN);

	assert_true(ask_plain(&q, plain));
	assert_int_equal(fake.result_count, 1);
	assert_int_equal(fake.tag, 17);
	assert_int_equal(fake.status, JOB_SENT);
	/* The header may be all that came. */
	assert_true(ask_plain(&q, looping));
	assert_int_equal(fake.status, JOB_FAILED);
	assert_string_equal(fake.dsn, "5.4.6");
	assert_int_equal(fake.left, 0);
}

static void
plans(void **state)
{
	struct tmpdir *t = *state;
	struct request q = request(t, REQUEST_PLAN);

	assert_true(ask_plain(&q, plain));
	assert_int_equal(fake.action_count, 1);
	assert_int_equal(fake.last_action, ACTION_DEFAULT);
	assert_int_equal(fake.result_count, 1);
	assert_int_equal(fake.status, JOB_SENT);
	tmpdir_write(t, ".qmail", "|x\n&y@z\n");
	assert_true(ask_plain(&q, plain));
	assert_int_equal(fake.action_count, 3);
	assert_int_equal(fake.last_action, ACTION_ADDRESS);
	assert_true(ask_plain(&q, looping));
	assert_int_equal(fake.action_count, 0);
	assert_int_equal(fake.status, JOB_FAILED);
}

/* A list of many, and lines as long as they may be. */
static void
large_plans(void **state)
{
	static char text[5000 * 24 + 8 * 4100];
	struct tmpdir *t = *state;
	struct request q = request(t, REQUEST_PLAN);
	size_t len = 0;
	int i;

	for (i = 0; i < 5000; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len,
		    "&member%05d@list.test\n", i);
	for (i = 0; i < 8; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len,
		    "|%04094d\n", i);
	tmpdir_write(t, ".qmail", text);
	assert_true(ask_plain(&q, plain));
	assert_int_equal(fake.status, JOB_SENT);
	assert_int_equal(fake.action_count, 1 + 5000 + 8);
	assert_true(fake.action_bytes > 5000 * 21 + 8 * 4094);
	assert_true(fake.packet_count > 8);
}

static void
checks(void **state)
{
	struct tmpdir *t = *state;
	struct request q = request(t, REQUEST_CHECK);

	q.extension = SLICE_LIT("list");
	q.dash = SLICE_LIT("-");
	q.flags = REQUEST_EXTENSION_STRICT;
	assert_true(ask_plain(&q, ""));
	assert_int_equal(fake.result_count, 1);
	assert_int_equal(fake.status, JOB_FAILED);
	assert_string_equal(fake.dsn, "5.1.1");
	tmpdir_write(t, ".qmail-list", "");
	assert_true(ask_plain(&q, ""));
	assert_int_equal(fake.status, JOB_SENT);
	assert_int_equal(fake.action_count, 0);
}

static void
commands(void **state)
{
	struct tmpdir *t = *state;
	struct request q = request(t, REQUEST_COMMAND);
	int fds[REQUEST_COPY_FDS], first = dup(0), after;
	char path[64];

	close(first);
	fds[0] = openat(t->fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fds[0]);
	fds[1] = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(ask(&q, plain, 0, fds));
	assert_int_equal(fake.status, RESULT_STOP);
	assert_string_equal(fake.text, "said");
	assert_string_equal(tmpdir_read(t, "got"), "A: b\n\nbody\n");
	after = dup(0);
	close(after);
	assert_int_equal(after, first);
	/* Without its descriptors it is not started. */
	assert_int_equal(unlinkat(t->fd, "got", 0), 0);
	assert_true(ask_plain(&q, plain));
	assert_int_equal(fake.status, JOB_DEFERRED);
	assert_null(tmpdir_read(t, "got"));
	assert_int_equal(fake.left, 0);
}

/* A result that is ready is told before a command begins. */
static void
deliveries_come_first(void **state)
{
	struct tmpdir *t = *state;
	struct request q = request(t, REQUEST_DELIVER);

	assert_true(ask_plain(&q, plain));
	assert_int_equal(fake.result_count, 0);
	q = request(t, REQUEST_COMMAND);
	assert_true(ask_plain(&q, plain));
	assert_int_equal(fake.result_count, 2);
	assert_int_equal(tmpdir_count(t, "Maildir/new", NULL, 0), 1);
}

/* Deliveries that happen together see the home as the first of them did. */
static void
one_look_for_a_batch(void **state)
{
	struct tmpdir *t = *state;
	struct request q = request(t, REQUEST_PLAN);

	q.flags |= REQUEST_OR_DELIVER;
	assert_true(ask_plain(&q, plain));
	assert_int_equal(batch_count(server.batch), 1);
	tmpdir_write(t, ".qmail", "|x\n");
	tmpdir_write(t, ".qmail-ext", "|x\n");
	assert_true(ask_plain(&q, plain));
	assert_int_equal(batch_count(server.batch), 2);
	/* Another address is another question. */
	q.dash = SLICE_LIT("-");
	q.extension = SLICE_LIT("ext");
	assert_true(ask_plain(&q, plain));
	assert_int_equal(fake.last_action, ACTION_COMMAND);
	assert_int_equal(batch_count(server.batch), 2);
	/* The next batch looks again. */
	q.dash = q.extension = SLICE_NONE;
	batch_finish(server.batch);
	assert_true(ask_plain(&q, plain));
	assert_int_equal(batch_count(server.batch), 0);
	assert_int_equal(fake.last_action, ACTION_COMMAND);
	assert_int_equal(tmpdir_count(t, "Maildir/new", NULL, 0), 2);
}

static void
bodies_that_break_off(void **state)
{
	static const enum request_verb verbs[] = { REQUEST_SCAN, REQUEST_PLAN,
		REQUEST_COMMAND, REQUEST_DELIVER };
	struct tmpdir *t = *state;
	int none[REQUEST_COPY_FDS] = { -1, -1 };
	size_t i;

	for (i = 0; i < ARRAY_LEN(verbs); i++) {
		struct request q = request(t, verbs[i]);

		assert_false(ask(&q, plain, 1, none));
		assert_int_equal(fake.result_count, 0);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(scans),
		T(plans),
		T(large_plans),
		T(checks),
		T(commands),
		T(deliveries_come_first),
		T(one_look_for_a_batch),
		T(bodies_that_break_off),
	};
	syncer_start();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
