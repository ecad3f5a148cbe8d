/*
 * jobs and workers: a fake queue gives jobs to the real code with the real
 * weir-deliver, whose path is the first argument.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/time.h"
#include "conf/conf.h"
#include "ev/loop.h"
#include "ipc/frames.h"
#include "ipc/job.h"
#include "local/jobs.h"
#include "proto/envelope.h"
#include "tmpdir.h"

enum { RESULTS_MAX = 600, OTHER_UID = 65534 };

static const char *deliver_program;

/* Lives for the whole program: a loop and the handler of SIGCHLD exist once
 * in a process. */
static struct acct account;
static struct ev_loop *loop;
static struct conf conf;
static struct target_env env;

static struct {
	struct jobs *jobs;
	struct chan *chan;
	unsigned done_want, done_count, result_count;
	bool closed, idle;
	struct {
		uint8_t status;
		char dsn[12], relay[16], text[400];
	} results[RESULTS_MAX]; /* by index of the recipient */
} fake;

static void
on_results(struct frame *f)
{
	struct fr_job_results got;
	struct job_result r;
	struct rd rd;

	assert_true(get_job_results(f, &got));
	rd = rd_of(got.results);
	while (rd.left > 0) {
		assert_true(job_result_get(&rd, &r));
		assert_true(r.index < RESULTS_MAX);
		fake.results[r.index].status = r.status;
		assert_true(slice_copy(r.dsn, fake.results[r.index].dsn, 12));
		assert_true(
		    slice_copy(r.relay, fake.results[r.index].relay, 16));
		assert_true(
		    slice_copy(r.text, fake.results[r.index].text, 400));
		fake.result_count++;
	}
}

static void
on_frame(void *arg, struct chan *c, struct frame *f)
{
	(void)arg;
	(void)c;
	if (f->type == FRAME_JOB_RESULTS)
		on_results(f);
	else if (f->type == FRAME_JOB_DONE)
		fake.done_count++;
	if (fake.done_count == fake.done_want)
		ev_loop_stop(loop);
}

static void
on_closed(void *arg, struct chan *c, bool bad, const char *why)
{
	(void)arg;
	(void)bad;
	(void)why;
	fake.closed = true;
	fake.chan = NULL;
	chan_close(c);
	ev_loop_stop(loop);
}

static void
on_child(void *arg, int signum)
{
	(void)arg;
	(void)signum;
	if (fake.jobs != NULL)
		jobs_reap(fake.jobs);
}

static const struct chan_events events = { on_frame, on_closed, NULL };

static void
connect_queue(void)
{
	int fds[2];

	assert_int_equal(chan_pair(fds), OK);
	assert_int_equal(jobs_set_queue(fake.jobs, fds[0], 0), OK);
	assert_int_equal(chan_open(loop, &account, fds[1], ROLE_QUEUE,
			     ROLE_LOCAL, 0, &events, NULL, 1 << 20, &fake.chan),
	    OK);
}

static void
on_late(void *arg, struct ev_timer *t)
{
	(void)arg;
	(void)t;
	fail_msg("no answer in 30 s");
}

/* Until count jobs are done (or the channel is closed). */
static void
run(unsigned count)
{
	struct ev_timer late;

	ev_timer_init(&late, loop, on_late, NULL);
	ev_timer_set(&late, 30000);
	fake.done_want = count;
	assert_int_equal(ev_loop_run(loop), OK);
	ev_timer_clear(&late);
}

static int
setup(void **state)
{
	struct tmpdir *t;

	tmpdir_setup(state);
	t = *state;
	memset(&fake, 0, sizeof(fake));
	conf = (struct conf){
		.concurrency_local = 4,
		.home_mailbox = "Maildir/",
		.mailbox_command = "",
		.srs_domain = "",
		.srs_secrets = "",
		.queue_directory = t->path,
		.recipient_delimiter = "+",
		.default_privs = "nobody",
		.myorigin = "x.test",
		.forward_path = "",
		.myhostname = "x.test",
		.mail_spool_directory = "/var/mail",
		.virtual_mailbox_base = t->path,
		.virtual_minimum_uid = 100,
		.postmaster_mailbox = "",
		.data_directory = t->path,
		.deliver_lock_attempts = 1,
	};
	env = (struct target_env){ .conf = &conf };
	env.is_root = geteuid() == 0;
	env.own = (struct owner){ geteuid(), getegid(), getegid() };
	if (env.is_root) {
		env.own = (struct owner){ OTHER_UID, OTHER_UID, OTHER_UID };
		assert_int_equal(fchown(t->fd, OTHER_UID, OTHER_UID), 0);
	}
	return 0;
}

static void
start(const char *program)
{
	assert_int_equal(jobs_new(loop, &account, &env, program, &fake.jobs),
	    OK);
	connect_queue();
}

static int
teardown(void **state)
{
	if (fake.chan != NULL)
		chan_close(fake.chan);
	fake.chan = NULL;
	jobs_free(fake.jobs);
	fake.jobs = NULL;
	/* Workers that were let go may still be at their files. */
	while (wait(NULL) > 0)
		continue;
	return tmpdir_teardown(state);
}

static void
give_segment(const struct tmpdir *t, uint64_t number, const char *text)
{
	struct fr_segment f = { .number = number };
	char name[32];
	int fd;

	snprintf(name, sizeof(name), "segment%llu", (unsigned long long)number);
	tmpdir_write(t, name, text);
	fd = openat(t->fd, name, O_RDONLY);
	assert_int_equal(send_segment(fake.chan, 0, &f, fd), OK);
	close(fd);
	assert_int_equal(unlinkat(t->fd, name, 0), 0);
}

static void
send_extents(uint32_t tag, const struct extent *e, size_t count)
{
	static unsigned char buffer[49152];
	struct wr w = wr_of(buffer, sizeof(buffer));
	struct fr_job_extents f;
	size_t i;

	for (i = 0; i < count; i++)
		extent_put(&w, &e[i]);
	f.extents = wr_done(&w);
	assert_int_equal(send_job_extents(fake.chan, tag, &f, -1), OK);
}

static void
send_rcpt(uint32_t tag, uint32_t index, const char *mailbox, uint32_t uid)
{
	unsigned char buffer[4096];
	struct wr w = wr_of(buffer, sizeof(buffer));
	struct job_rcpt r = {
		.index = index,
		.address = SLICE_LIT("joe@x.test"),
		.mailbox = slice_str(mailbox),
		.uid = uid,
		.gid = uid,
	};
	struct fr_job_rcpts f;

	job_rcpt_put(&w, &r);
	f.rcpts = wr_done(&w);
	assert_int_equal(send_job_rcpts(fake.chan, tag, &f, -1), OK);
}

static void
finish_job(uint32_t tag, const char *transport, uint32_t rcpts,
    uint32_t extents)
{
	unsigned char buffer[ENVELOPE_BYTES_MAX];
	struct wr w = wr_of(buffer, sizeof(buffer));
	struct envelope e = { .sender = SLICE_LIT("a@b.test") };
	struct fr_job f = {
		.id = tag,
		.rcpt_count = rcpts,
		.extent_count = extents,
		.transport = slice_str(transport),
	};

	envelope_put(&w, &e);
	f.envelope = wr_done(&w);
	assert_int_equal(send_job(fake.chan, tag, &f, -1), OK);
}

/* A job of one recipient whose body is all of segment 1. */
static void
send_simple(uint32_t tag, const char *transport, const char *mailbox,
    uint32_t bytes)
{
	struct extent e = { 1, 0, bytes };

	send_extents(tag, &e, 1);
	send_rcpt(tag, tag, mailbox, 0);
	finish_job(tag, transport, 1, 1);
}

static void
delivers(void **state)
{
	static const struct extent extents[] = { { 1, 4, 6 }, { 2, 0, 4 },
		{ 1, 10, 3 } };
	struct tmpdir *t = *state;
	char name[600];

	start(deliver_program);
	give_segment(t, 1, "....A: b\r\nx\r\n....");
	give_segment(t, 2, "\r\ny ");
	send_extents(9, extents, 2);
	send_extents(9, extents + 2, 1);
	send_rcpt(9, 0, "x.test/joe/Maildir/", 0);
	send_rcpt(9, 1, "x.test/ann", 0);
	send_rcpt(9, 2, "../../etc/passwd", 0);
	finish_job(9, "virtual", 3, 3);
	run(1);
	assert_int_equal(fake.result_count, 3);
	assert_int_equal(fake.results[0].status, JOB_SENT);
	assert_string_equal(fake.results[0].dsn, "2.0.0");
	assert_string_equal(fake.results[0].relay, "virtual");
	assert_string_equal(fake.results[0].text, "delivered to maildir");
	assert_string_equal(fake.results[1].text, "delivered to mailbox");
	assert_int_equal(fake.results[2].status, JOB_DEFERRED);
	assert_int_equal(
	    tmpdir_count(t, "x.test/joe/Maildir/new", name, sizeof(name)), 1);
	assert_string_equal(tmpdir_read(t, name),
	    "Return-Path: <a@b.test>\nDelivered-To: joe@x.test\n"
	    "A: b\n\ny x\n");
	assert_non_null(
	    strstr(tmpdir_read(t, "x.test/ann"), "A: b\n\ny x\n\n"));
}

static void
many_jobs(void **state)
{
	enum { JOBS = 500 };
	struct tmpdir *t = *state;
	uint32_t i;

	start(deliver_program);
	give_segment(t, 1, "A: b\r\n\r\nx\r\n");
	for (i = 0; i < JOBS; i++)
		send_simple(i, "virtual", i % 3 ? "joe/" : "ann/", 11);
	run(JOBS);
	for (i = 0; i < JOBS; i++)
		assert_int_equal(fake.results[i].status, JOB_SENT);
	assert_int_equal(tmpdir_count(t, "joe/new", NULL, 0) +
			     tmpdir_count(t, "ann/new", NULL, 0),
	    JOBS);
}

static void
large_body(void **state)
{
	enum { BYTES = 3 * 1024 * 1024 };
	static char text[BYTES + 1];
	struct tmpdir *t = *state;
	struct stat st;
	char name[600];

	memset(text, 'x', BYTES);
	start(deliver_program);
	give_segment(t, 1, text);
	send_simple(1, "virtual", "joe/", BYTES);
	send_simple(2, "virtual", "joe/", BYTES);
	run(2);
	assert_int_equal(fake.results[1].status, JOB_SENT);
	assert_int_equal(fake.results[2].status, JOB_SENT);
	tmpdir_count(t, "joe/new", name, sizeof(name));
	assert_int_equal(fstatat(t->fd, name, &st, 0), 0);
	assert_int_equal(st.st_size,
	    BYTES + strlen("Return-Path: <a@b.test>\nDelivered-To: "
			   "joe@x.test\n"));
}

static void
users_of_the_system(void **state)
{
	struct tmpdir *t = *state;

	start(deliver_program);
	conf.postmaster_mailbox = t->path;
	give_segment(t, 1, "A: b\r\n\r\nx\r\n");
	send_simple(1, "local", "no-such-user-here", 11);
	send_simple(2, "local", "root", 11);
	send_simple(4, "telepathy", "joe", 11);
	run(3);
	assert_int_equal(fake.results[1].status, JOB_FAILED);
	assert_string_equal(fake.results[1].dsn, "5.1.1");
	assert_string_equal(fake.results[1].relay, "local");
	assert_int_equal(fake.results[2].status, JOB_DEFERRED);
	assert_non_null(strstr(fake.results[2].text, "alias root"));
	assert_int_equal(fake.results[4].status, JOB_DEFERRED);
}

static void
postmaster_has_a_mailbox(void **state)
{
	static char mailbox[128];
	struct tmpdir *t = *state;

	snprintf(mailbox, sizeof(mailbox), "%s/postmaster/Maildir/", t->path);
	conf.postmaster_mailbox = mailbox;
	start(deliver_program);
	give_segment(t, 1, "A: b\r\n\r\nx\r\n");
	send_simple(1, "local", "Postmaster", 11);
	run(1);
	assert_int_equal(fake.results[1].status, JOB_SENT);
	assert_int_equal(tmpdir_count(t, "postmaster/Maildir/new", NULL, 0), 1);
}

static void
workers_that_fail(void **state)
{
	static const struct {
		const char *program, *text;
	} rows[] = {
		{ "/nonexistent/weir-deliver", "cannot start" },
		{ "/bin/false", "died" },
		{ "/bin/true", "died" },
	};
	struct tmpdir *t = *state;
	size_t i;

	for (i = 0; i < ARRAY_LEN(rows); i++) {
		memset(&fake, 0, sizeof(fake));
		start(rows[i].program);
		give_segment(t, 1, "A: b\r\n\r\nx\r\n");
		send_simple(1, "virtual", "joe/", 11);
		run(1);
		assert_int_equal(fake.results[1].status, JOB_DEFERRED);
		assert_string_equal(fake.results[1].dsn, "4.3.0");
		if (strstr(fake.results[1].text, rows[i].text) == NULL)
			fail_msg("%s: %s", rows[i].program,
			    fake.results[1].text);
		if (i + 1 == ARRAY_LEN(rows))
			break;
		chan_close(fake.chan);
		jobs_free(fake.jobs);
	}
}

static void
damaged_segments(void **state)
{
	struct tmpdir *t = *state;

	start(deliver_program);
	give_segment(t, 1, "short");
	send_simple(1, "virtual", "joe/", 11);
	run(1);
	assert_int_equal(fake.results[1].status, JOB_DEFERRED);
	assert_non_null(strstr(fake.results[1].text, "cannot be read"));
	/* The next one is served by a new worker. */
	send_simple(2, "virtual", "joe/", 5);
	run(2);
	assert_int_equal(fake.results[2].status, JOB_SENT);
	assert_int_equal(tmpdir_count(t, "joe/tmp", NULL, 0) +
			     tmpdir_count(t, "joe/new", NULL, 0),
	    1);
}

static void
unknown_segment(void **state)
{
	struct extent e = { 77, 0, 5 };

	(void)state;
	start(deliver_program);
	send_extents(1, &e, 1);
	send_rcpt(1, 1, "joe/", 0);
	finish_job(1, "virtual", 1, 1);
	run(1);
	assert_int_equal(fake.results[1].status, JOB_DEFERRED);
}

static void
jobs_that_do_not_fit_together(void **state)
{
	struct tmpdir *t = *state;

	start(deliver_program);
	give_segment(t, 1, "short");
	send_rcpt(1, 1, "joe/", 0);
	finish_job(1, "virtual", 2, 0);
	run(1);
	assert_true(fake.closed);
	/* A new queue is served as if nothing had been. */
	connect_queue();
	give_segment(t, 1, "A: b\r\n\r\nx\r\n");
	send_simple(1, "virtual", "joe/", 11);
	run(1);
	assert_int_equal(fake.results[1].status, JOB_SENT);
}

/* Every allocation fails once: the job is deferred or done, nothing dies. */
static void
memory_is_refused(void **state)
{
	struct tmpdir *t = *state;
	unsigned n, refused_count = 0;

	start(deliver_program);
	give_segment(t, 1, "A: b\r\n\r\nx\r\n");
	send_simple(1, "virtual", "joe/", 11);
	run(1);
	for (n = 1; n < 40; n++) {
		fake.done_count = fake.result_count = 0;
		send_simple(2, "virtual", "joe/", 11);
		mem_fail_after(n);
		run(1);
		mem_fail_after(0);
		assert_false(fake.closed);
		if (fake.result_count == 0 ||
		    fake.results[2].status == JOB_DEFERRED)
			refused_count++;
	}
	assert_true(refused_count > 0 && refused_count < 39);
}

static void
the_queue_is_lost(void **state)
{
	struct tmpdir *t = *state;
	uint32_t i;

	start(deliver_program);
	give_segment(t, 1, "A: b\r\n\r\nx\r\n");
	for (i = 0; i < 100; i++)
		send_simple(i, "virtual", "joe/", 11);
	run(1);
	chan_close(fake.chan);
	connect_queue();
	fake.done_count = 0;
	give_segment(t, 1, "A: b\r\n\r\nx\r\n");
	send_simple(1, "virtual", "ann/", 11);
	run(1);
	assert_int_equal(fake.results[1].status, JOB_SENT);
	assert_int_equal(tmpdir_count(t, "ann/new", NULL, 0), 1);
}

static void
on_idle(void *arg)
{
	(void)arg;
	fake.idle = true;
}

static void
drained(void **state)
{
	struct tmpdir *t = *state;

	start(deliver_program);
	give_segment(t, 1, "A: b\r\n\r\nx\r\n");
	send_simple(1, "virtual", "joe/", 11);
	run(1);
	assert_false(fake.idle);
	jobs_drain(fake.jobs, on_idle, NULL);
	assert_true(fake.idle);
	send_simple(2, "virtual", "joe/", 11);
	run(2);
	assert_int_equal(fake.results[2].status, JOB_DEFERRED);
	assert_string_equal(fake.results[2].dsn, "4.3.2");
}

/* One place for workers and several owners: they take turns. */
static void
owners_take_turns(void **state)
{
	struct tmpdir *t = *state;
	struct extent e = { 1, 0, 11 };
	uint32_t i;

	if (!env.is_root) {
		print_message("skipped: needs root to be several users\n");
		skip();
	}
	conf.concurrency_local = 1;
	assert_int_equal(fchmod(t->fd, 0777), 0);
	start(deliver_program);
	give_segment(t, 1, "A: b\r\n\r\nx\r\n");
	for (i = 0; i < 6; i++) {
		send_extents(i, &e, 1);
		send_rcpt(i, i, i % 2 ? "odd/" : "even/", 2000 + i % 2);
		finish_job(i, "virtual", 1, 1);
	}
	send_extents(6, &e, 1);
	send_rcpt(6, 6, "low/", 99);
	finish_job(6, "virtual", 1, 1);
	run(7);
	for (i = 0; i < 6; i++)
		assert_int_equal(fake.results[i].status, JOB_SENT);
	assert_non_null(strstr(fake.results[6].text, "virtual_minimum_uid"));
	assert_int_equal(tmpdir_count(t, "odd/new", NULL, 0), 3);
	assert_int_equal(tmpdir_count(t, "even/new", NULL, 0), 3);
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(delivers),
		T(many_jobs),
		T(large_body),
		T(users_of_the_system),
		T(postmaster_has_a_mailbox),
		T(workers_that_fail),
		T(damaged_segments),
		T(unknown_segment),
		T(jobs_that_do_not_fit_together),
		T(memory_is_refused),
		T(the_queue_is_lost),
		T(drained),
		T(owners_take_turns),
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
