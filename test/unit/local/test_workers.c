/*
 * workers: those that hang, and those that idle.  The path of weir-deliver is
 * the first argument.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/mem.h"
#include "ev/loop.h"
#include "local/workers.h"
#include "local/workers_internal.h"
#include "tmpdir.h"

enum { OTHER_UID = 65534 };

static const char *deliver_program;
static struct acct account;
static struct ev_loop *loop;

static struct {
	struct workers *workers;
	struct segments segments;
	struct workers_events events;
	unsigned done_count, reaped_count;
	bool deaf; /* a child that exits is nobody's */
	const struct delivery *order[2 * WORKER_TURN_COUNT]; /* of the ends */
} fake;

static void
on_done(void *arg, struct delivery *d)
{
	(void)arg;
	if (fake.done_count < ARRAY_LEN(fake.order))
		fake.order[fake.done_count] = d;
	fake.done_count++;
	ev_loop_stop(loop);
}

static void
on_child(void *arg, int signum)
{
	(void)arg;
	(void)signum;
	if (fake.deaf)
		while (waitpid(-1, NULL, WNOHANG) > 0)
			continue;
	else
		workers_reap(fake.workers);
	fake.reaped_count++;
	ev_loop_stop(loop);
}

static int
setup(void **state)
{
	struct tmpdir *t;

	tmpdir_setup(state);
	t = *state;
	memset(&fake, 0, sizeof(fake));
	segments_init(&fake.segments, &account);
	fake.events = (struct workers_events){ .on_done = on_done };
	if (geteuid() == 0)
		assert_int_equal(fchown(t->fd, OTHER_UID, OTHER_UID), 0);
	return 0;
}

static int
teardown(void **state)
{
	workers_free(fake.workers);
	segments_clear(&fake.segments);
	pool_fini(&fake.segments.pool);
	while (wait(NULL) > 0)
		continue;
	return tmpdir_teardown(state);
}

static void
on_late(void *arg, struct ev_timer *t)
{
	(void)arg;
	(void)t;
	fail_msg("nothing happened for 20 s");
}

static void
run(void)
{
	struct ev_timer late;

	ev_timer_init(&late, loop, on_late, NULL);
	ev_timer_set(&late, 20000);
	assert_int_equal(ev_loop_run(loop), OK);
	ev_timer_clear(&late);
}

/* An empty message for joe/. */
static void
submit_as(const struct tmpdir *t, struct delivery *d, uid_t uid)
{
	*d = (struct delivery){
		.owner = { uid, uid, uid },
		.request = {
			.kind = MAILBOX_MAILDIR,
			.flags = REQUEST_CREATE,
			.base = slice_str(t->path),
			.path = uid == OTHER_UID - 1 ? SLICE_LIT("ann/")
						     : SLICE_LIT("joe/"),
			.address = SLICE_LIT("joe@x.test"),
		},
		.body = { .segments = &fake.segments },
	};
	workers_submit(fake.workers, d);
}

static void
submit(const struct tmpdir *t, struct delivery *d)
{
	submit_as(t, d, geteuid() == 0 ? OTHER_UID : geteuid());
}

static void
a_worker_that_hangs_is_killed(void **state)
{
	static char program[128];
	struct tmpdir *t = *state;
	struct delivery d[3];
	int i;

	snprintf(program, sizeof(program), "%s/hangs", t->path);
	tmpdir_write(t, "hangs", "#!/bin/sh\nexec sleep 100\n");
	assert_int_equal(fchmodat(t->fd, "hangs", 0755, 0), 0);
	assert_int_equal(workers_new(loop, &account, program, NULL, 2,
			     &fake.events, &fake.workers),
	    OK);
	workers_set_times(fake.workers, 1000, 50);
	for (i = 0; i < 3; i++)
		submit(t, &d[i]);
	assert_int_equal(workers_busy(fake.workers), 3);
	while (fake.done_count < 3 || fake.reaped_count < 1)
		run();
	for (i = 0; i < 3; i++) {
		assert_int_equal(d[i].outcome.status, JOB_DEFERRED);
		assert_string_equal(d[i].outcome.dsn, "4.3.0");
		assert_non_null(strstr(d[i].outcome.text, "hangs"));
	}
	assert_int_equal(workers_busy(fake.workers), 0);
}

static void
an_idle_worker_leaves(void **state)
{
	struct tmpdir *t = *state;
	struct delivery d;

	assert_int_equal(workers_new(loop, &account, deliver_program, NULL, 1,
			     &fake.events, &fake.workers),
	    OK);
	workers_set_times(fake.workers, 1, 20000);
	submit(t, &d);
	while (fake.done_count < 1 || fake.reaped_count < 1)
		run();
	assert_int_equal(d.outcome.status, JOB_SENT);
	/* Its place is free again. */
	submit(t, &d);
	while (fake.done_count < 2)
		run();
	assert_int_equal(d.outcome.status, JOB_SENT);
	assert_int_equal(tmpdir_count(t, "joe/new", NULL, 0), 2);
}

/* More deliveries than a worker takes at once: the others wait with it. */
static void
more_than_a_batch(void **state)
{
	enum { COUNT = 3 * WORKER_REQUESTS_MAX + 1 };
	static struct delivery d[COUNT];
	struct tmpdir *t = *state;
	int i;

	assert_int_equal(workers_new(loop, &account, deliver_program, NULL, 1,
			     &fake.events, &fake.workers),
	    OK);
	for (i = 0; i < COUNT; i++)
		submit(t, &d[i]);
	while (fake.done_count < COUNT)
		run();
	for (i = 0; i < COUNT; i++)
		assert_int_equal(d[i].outcome.status, JOB_SENT);
	assert_int_equal(tmpdir_count(t, "joe/new", NULL, 0), COUNT);
}

/* One place, one owner who always has something to do, and another. */
static void
a_busy_owner_gives_up_his_place(void **state)
{
	enum { COUNT = WORKER_TURN_COUNT + 40 };
	static struct delivery d[COUNT];
	struct tmpdir *t = *state;
	unsigned last = 0;
	int i;

	if (geteuid() != 0) {
		print_message("skipped: needs root to be several users\n");
		skip();
	}
	assert_int_equal(fchmod(t->fd, 0777), 0);
	assert_int_equal(workers_new(loop, &account, deliver_program, NULL, 1,
			     &fake.events, &fake.workers),
	    OK);
	for (i = 0; i < COUNT; i++)
		submit_as(t, &d[i], i == 1 ? OTHER_UID - 1 : OTHER_UID);
	while (fake.done_count < COUNT)
		run();
	for (i = 0; i < COUNT; i++)
		assert_int_equal(d[i].outcome.status, JOB_SENT);
	for (i = 0; i < COUNT; i++)
		if (fake.order[i] == &d[1])
			last = (unsigned)i;
	/* Behind his turn, before what came after that. */
	assert_in_range(last, 1, WORKER_TURN_COUNT + 2);
}

static void
no_place_at_all(void **state)
{
	struct tmpdir *t = *state;
	struct delivery d;

	assert_int_equal(workers_new(loop, &account, deliver_program, NULL, 0,
			     &fake.events, &fake.workers),
	    OK);
	submit(t, &d);
	assert_int_equal(workers_busy(fake.workers), 1);
	assert_int_equal(tmpdir_count(t, ".", NULL, 0), 0);
	/* After a reload there is. */
	workers_set_limit(fake.workers, 1);
	while (fake.done_count < 1)
		run();
	assert_int_equal(d.outcome.status, JOB_SENT);
}

/* ---- fork_attempts, fork_delay ---- */

enum { ATTEMPTS = 3 };

static void
let_start(bool can)
{
	fake.workers->program = can ? deliver_program : "/none/weir-deliver";
}

/* The first attempt has failed. */
static void
two_wait_for_a_start(const struct tmpdir *t, struct delivery d[static 2])
{
	assert_int_equal(workers_new(loop, &account, deliver_program, NULL, 1,
			     &fake.events, &fake.workers),
	    OK);
	workers_set_forks(fake.workers, ATTEMPTS, 1);
	let_start(false);
	submit(t, &d[0]);
	submit(t, &d[1]);
}

static void
until_failed(unsigned times)
{
	while (fake.workers->failed_count < times)
		assert_int_equal(ev_loop_turn(loop), OK);
}

/* One attempt less: nobody is told. */
static void
a_start_that_fails_is_tried_again(void **state)
{
	struct tmpdir *t = *state;
	struct delivery d[2];

	two_wait_for_a_start(t, d);
	until_failed(ATTEMPTS - 1);
	assert_int_equal(fake.done_count, 0);
	assert_int_equal(fake.workers->waiting_count, 2);
	let_start(true);
	while (fake.done_count < 2)
		run();
	assert_int_equal(d[0].outcome.status, JOB_SENT);
	assert_int_equal(d[1].outcome.status, JOB_SENT);
	assert_int_equal(fake.workers->failed_count, 0);
	assert_int_equal(fake.workers->fork_row->refused, 0);
}

/* As many as there may be: all who wait are told, and who comes then waits
 * until the next start, however many they are. */
static void
starts_that_fail_defer(void **state)
{
	struct tmpdir *t = *state;
	struct delivery d[3];

	two_wait_for_a_start(t, d);
	while (fake.done_count < 2)
		run();
	for (int i = 0; i < 2; i++) {
		assert_int_equal(d[i].outcome.status, JOB_DEFERRED);
		assert_string_equal(d[i].outcome.dsn, "4.3.0");
	}
	assert_int_equal(fake.workers->fork_row->refused, 1);
	assert_int_equal(fake.workers->waiting_count, 0);
	assert_true(fake.workers->fork_waits);
	let_start(true);
	submit(t, &d[2]);
	assert_int_equal(fake.workers->waiting_count, 1);
	while (fake.done_count < 3)
		run();
	assert_int_equal(d[2].outcome.status, JOB_SENT);
}

/* What workers_recount writes. */
static void
recounted(char *buf, size_t size)
{
	int fd = memfd_create("log", 0), old = dup(2);
	ssize_t n;

	dup2(fd, 2);
	workers_recount(fake.workers);
	fflush(stderr);
	dup2(old, 2);
	close(old);
	n = pread(fd, buf, size - 1, 0);
	buf[n < 0 ? 0 : n] = '\0';
	close(fd);
}

/* Planted: a place that no worker holds. */
static void
a_lost_place_is_found(void **state)
{
	static struct worker lost;
	struct mono never = { INT64_MAX };
	struct tmpdir *t = *state;
	struct delivery d;
	char said[400];

	assert_int_equal(workers_new(loop, &account, deliver_program, NULL, 1,
			     &fake.events, &fake.workers),
	    OK);
	assert_true(
	    gate_enter(&fake.workers->gate, &lost.slot, false, never, false));
	submit(t, &d);
	assert_int_equal(fake.workers->waiting_count, 1);
	recounted(said, sizeof(said));
	assert_non_null(strstr(said, "bug: 1 of 1 places of the gate workers "
				     "are held by no process"));
	while (fake.done_count < 1)
		run();
	assert_int_equal(d.outcome.status, JOB_SENT);
	recounted(said, sizeof(said));
	assert_string_equal(said, "");
	assert_int_equal(fake.workers->gate.in_use, 1);
}

/* Planted: a process whose end nobody told the role. */
static void
a_lost_process_is_found(void **state)
{
	struct tmpdir *t = *state;
	struct delivery d[2];
	struct worker *w;
	char said[400];

	assert_int_equal(workers_new(loop, &account, deliver_program, NULL, 1,
			     &fake.events, &fake.workers),
	    OK);
	submit(t, &d[0]);
	while (fake.done_count < 1)
		run();
	recounted(said, sizeof(said));
	assert_string_equal(said, "");
	fake.deaf = true;
	w = CONTAINER(list_first(&fake.workers->live), struct worker, node);
	assert_int_equal(kill(w->pid, SIGKILL), 0);
	while (kill(w->pid, 0) == 0)
		run();
	fake.deaf = false;
	recounted(said, sizeof(said));
	assert_non_null(strstr(said, "bug: 1 of 1 places of the gate workers "
				     "are held by no process"));
	assert_int_equal(fake.workers->gate.in_use, 0);
	submit(t, &d[1]);
	while (fake.done_count < 2)
		run();
	assert_int_equal(d[1].outcome.status, JOB_SENT);
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(a_worker_that_hangs_is_killed),
		T(an_idle_worker_leaves),
		T(more_than_a_batch),
		T(a_busy_owner_gives_up_his_place),
		T(no_place_at_all),
		T(a_start_that_fails_is_tried_again),
		T(starts_that_fail_defer),
		T(a_lost_place_is_found),
		T(a_lost_process_is_found),
	};

	if (argc < 2)
		return 64;
	deliver_program = argv[1];
	signal(SIGPIPE, SIG_IGN);
	acct_init(&account, NULL, "test", 0, false, "");
	if (ev_loop_new(&account, &loop) != OK ||
	    ev_signal(loop, SIGCHLD, on_child, NULL) != OK)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
