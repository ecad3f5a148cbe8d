/*
 * plans: a fake queue and a fake lookup on one side of the real code, a fake
 * worker (fake_deliver.c, whose path is the first argument) on the other.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "alias/target.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/time.h"
#include "conf/conf.h"
#include "ev/loop.h"
#include "ipc/frames.h"
#include "ipc/job.h"
#include "local/jobs.h"
#include "local/plan.h"
#include "proto/envelope.h"
#include "tmpdir.h"

enum { TEXT_BYTES = 1 << 20, FORWARDS = 16, LIST_COUNT = 5000 };

static const char *fake_program;
static struct acct account;
static struct ev_loop *loop;
static struct conf conf;
static struct target_env env;
static struct slice delimiter_items[] = { SLICE_LIT("x.test") };

/* What the fake queue got as a new message. */
struct forwarded {
	uint32_t tag;
	bool ready, committed, aborted;
	uint32_t rcpts_expected, rcpts_got;
	char sender[512];
	uint8_t ret;
	char first[512], first_original[512]; /* recipient */
	uint8_t notify;
	char *body;
	size_t body_len;
	uint64_t credit;
	struct fr_txn_commit commit;
};

static struct {
	struct jobs *jobs;
	struct chan *queue, *lookup;
	unsigned done_count;
	struct {
		uint8_t status;
		char dsn[12], text[400];
	} result;
	unsigned forward_count;
	struct forwarded forwards[FORWARDS];
	uint8_t open_error, done_error;
	bool never_done; /* TXN_DONE is not sent */
	bool stop_at_commit;
	/* The answer to EXPAND: kind, text ...; then the end. */
	const struct {
		uint8_t kind;
		const char *text;
	} * targets;
	unsigned target_count;
	unsigned list_count; /* of made-up addresses besides */
	struct fr_expand_end end;
	bool silent; /* EXPAND is not answered */
	char expanded[512];
	int checked; /* verdict; -1: none yet */
} fake;

/* ---- the fake queue ---- */

static void
on_results(struct frame *f)
{
	struct fr_job_results got;
	struct job_result r;
	struct rd rd;

	assert_true(get_job_results(f, &got));
	rd = rd_of(got.results);
	assert_true(job_result_get(&rd, &r));
	fake.result.status = r.status;
	assert_true(slice_copy(r.dsn, fake.result.dsn, 12));
	assert_true(slice_copy(r.text, fake.result.text, 400));
}

static struct forwarded *
forwarded_of(uint32_t tag)
{
	for (unsigned i = 0; i < fake.forward_count; i++)
		if (fake.forwards[i].tag == tag)
			return &fake.forwards[i];
	fail_msg("a transaction that was not opened");
	return NULL;
}

static void
on_open(struct frame *f)
{
	struct forwarded *w = &fake.forwards[fake.forward_count++];
	struct fr_txn_open in;
	struct envelope e;
	struct rd rd;

	assert_true(fake.forward_count <= FORWARDS);
	assert_true(get_txn_open(f, &in));
	rd = rd_of(in.envelope);
	assert_true(envelope_get(&rd, &e));
	*w = (struct forwarded){ .tag = f->tag,
		.rcpts_expected = in.rcpt_count,
		.ret = e.ret,
		.credit = 4096 };
	assert_true(slice_copy(e.sender, w->sender, sizeof(w->sender)));
	w->body = mem_alloc(&account, TEXT_BYTES);
	assert_non_null(w->body);
}

static void
on_rcpts(struct frame *f)
{
	struct forwarded *w = forwarded_of(f->tag);
	struct fr_txn_ready ready = { .error = fake.open_error,
		.id = 700 + f->tag,
		.credit_bytes = (uint32_t)w->credit };
	struct fr_txn_rcpt in;
	struct envelope_rcpt r;
	struct rd rd;

	assert_true(get_txn_rcpt(f, &in));
	rd = rd_of(in.rcpts);
	while (rd.left > 0) {
		assert_true(envelope_rcpt_get(&rd, &r));
		if (w->rcpts_got++ > 0)
			continue;
		assert_true(slice_copy(r.address, w->first, 512));
		assert_true(slice_copy(r.original, w->first_original, 512));
		w->notify = r.notify;
	}
	if (w->rcpts_got < w->rcpts_expected)
		return;
	w->ready = true;
	assert_int_equal(send_txn_ready(fake.queue, f->tag, &ready, -1), OK);
}

static void
on_body(struct frame *f)
{
	struct forwarded *w = forwarded_of(f->tag);
	struct fr_txn_credit credit;
	struct fr_txn_body in;

	assert_true(get_txn_body(f, &in) && w->ready);
	assert_true(in.data.len <= w->credit);
	assert_true(w->body_len + in.data.len < TEXT_BYTES);
	memcpy(w->body + w->body_len, in.data.data, in.data.len);
	w->body_len += in.data.len;
	credit.bytes = (uint32_t)in.data.len;
	assert_int_equal(send_txn_credit(fake.queue, f->tag, &credit, -1), OK);
}

static void
on_commit(struct frame *f)
{
	struct forwarded *w = forwarded_of(f->tag);
	struct fr_txn_done done = { .error = fake.done_error,
		.id = 700 + f->tag };

	assert_true(get_txn_commit(f, &w->commit));
	assert_int_equal(w->commit.body_bytes, w->body_len);
	w->committed = true;
	assert_int_equal(fake.done_count, 0);
	if (fake.stop_at_commit)
		ev_loop_stop(loop);
	if (!fake.never_done)
		assert_int_equal(send_txn_done(fake.queue, f->tag, &done, -1),
		    OK);
}

static void
on_queue_frame(void *arg, struct chan *c, struct frame *f)
{
	(void)arg;
	(void)c;
	switch (f->type) {
	case FRAME_JOB_RESULTS: on_results(f); break;
	case FRAME_JOB_DONE:
		fake.done_count++;
		ev_loop_stop(loop);
		break;
	case FRAME_JOB_WRITTEN: break;
	case FRAME_TXN_OPEN: on_open(f); break;
	case FRAME_TXN_RCPT: on_rcpts(f); break;
	case FRAME_TXN_BODY: on_body(f); break;
	case FRAME_TXN_COMMIT: on_commit(f); break;
	case FRAME_TXN_ABORT: forwarded_of(f->tag)->aborted = true; break;
	default: fail_msg("frame %u", f->type);
	}
}

/* ---- the fake lookup ---- */

static void
answer_expand(uint32_t tag)
{
	struct fr_expanded x;
	char text[64];

	for (unsigned i = 0; i < fake.target_count; i++) {
		x.kind = fake.targets[i].kind;
		x.text = slice_str(fake.targets[i].text);
		assert_int_equal(send_expanded(fake.lookup, tag, &x, -1), OK);
	}
	for (unsigned i = 0; i < fake.list_count; i++) {
		snprintf(text, sizeof(text), "member%u@far.test", i);
		x.kind = ALIAS_ADDRESS;
		x.text = slice_str(text);
		assert_int_equal(send_expanded(fake.lookup, tag, &x, -1), OK);
	}
	assert_int_equal(send_expand_end(fake.lookup, tag, &fake.end, -1), OK);
}

static void
on_lookup_frame(void *arg, struct chan *c, struct frame *f)
{
	struct fr_expand in;
	struct fr_checked checked;

	(void)arg;
	(void)c;
	if (f->type == FRAME_CHECKED) {
		assert_true(get_checked(f, &checked));
		fake.checked = checked.verdict;
		ev_loop_stop(loop);
		return;
	}
	assert_true(get_expand(f, &in));
	assert_true(slice_copy(in.address, fake.expanded, 512));
	if (fake.silent)
		ev_loop_stop(loop);
	else
		answer_expand(f->tag);
}

static void
on_closed(void *arg, struct chan *c, bool bad, const char *why)
{
	struct chan **which = arg;

	assert_false(bad);
	(void)why;
	*which = NULL;
	chan_close(c);
	ev_loop_stop(loop);
}

static void
connect_role(enum role role, struct chan **out)
{
	static const struct chan_events queue = { on_queue_frame, on_closed,
		NULL };
	static const struct chan_events lookup = { on_lookup_frame, on_closed,
		NULL };
	int fds[2];

	assert_int_equal(chan_pair(fds), OK);
	assert_int_equal(role == ROLE_QUEUE
			     ? jobs_set_queue(fake.jobs, fds[0], 0)
			     : jobs_set_lookup(fake.jobs, fds[0], 0),
	    OK);
	assert_int_equal(chan_open(loop, &account, fds[1], role, ROLE_LOCAL, 0,
			     role == ROLE_QUEUE ? &queue : &lookup, out,
			     4 << 20, out),
	    OK);
}

/* ---- set-up ---- */

static void
on_child(void *arg, int signum)
{
	(void)arg;
	(void)signum;
	if (fake.jobs != NULL)
		jobs_reap(fake.jobs);
}

static void
on_late(void *arg, struct ev_timer *t)
{
	(void)arg;
	(void)t;
	fail_msg("no answer in 30 s");
}

static void
run(void)
{
	struct ev_timer late;

	ev_timer_init(&late, loop, on_late, NULL);
	ev_timer_set(&late, 30000);
	assert_int_equal(ev_loop_run(loop), OK);
	ev_timer_clear(&late);
}

/* The fake worker learns its directory from a script. */
static void
write_program(const struct tmpdir *t, char *path, size_t size)
{
	char text[600];

	snprintf(text, sizeof(text), "#!/bin/sh\nexec %s %s \"$@\"\n",
	    fake_program, t->path);
	tmpdir_write(t, "deliver", text);
	assert_int_equal(fchmodat(t->fd, "deliver", 0755, 0), 0);
	snprintf(path, size, "%s/deliver", t->path);
}

static int
setup(void **state)
{
	static char program[128];
	struct tmpdir *t;

	tmpdir_setup(state);
	t = *state;
	memset(&fake, 0, sizeof(fake));
	fake.checked = -1;
	conf = (struct conf){
		.concurrency_local = 4,
		.home_mailbox = "Maildir/",
		.mail_spool_directory = "/var/mail",
		.mailbox_command = "",
		.srs_domain = "",
		.srs_secrets = "",
		.virtual_mailbox_base = t->path,
		.virtual_minimum_uid = 100,
		.postmaster_mailbox = "",
		.data_directory = t->path,
		.queue_directory = t->path,
		.myhostname = "mx.x.test",
		.myorigin = "x.test",
		.mydestination = { delimiter_items, 1 },
		.recipient_delimiter = "+",
		.default_privs = "nobody",
		.forward_path = "",
		.deliver_lock_attempts = 1,
		.command_time_limit_ms = 10000,
		.duplicate_filter_limit = 1000,
		.header_total_size_limit_bytes = 8,
	};
	/* Not empty: users have dot files. */
	conf.dot_files = (struct conf_list){ delimiter_items, 1 };
	env = (struct target_env){ .conf = &conf, .is_root = true };
	env.own = (struct owner){ 65534, 65534, 65534 };
	write_program(t, program, sizeof(program));
	assert_int_equal(jobs_new(loop, &account, &env, program, &fake.jobs),
	    OK);
	connect_role(ROLE_QUEUE, &fake.queue);
	connect_role(ROLE_LOOKUP, &fake.lookup);
	return 0;
}

static int
teardown(void **state)
{
	chan_close(fake.queue);
	chan_close(fake.lookup);
	for (unsigned i = 0; i < fake.forward_count; i++)
		mem_free(&account, fake.forwards[i].body);
	jobs_free(fake.jobs);
	fake.jobs = NULL;
	while (wait(NULL) > 0)
		continue;
	return tmpdir_teardown(state);
}

static const char body_text[] = "Subject: x\r\n\r\nHello\r\n";

/* A job of one recipient for the user "nobody", or without one an alias. */
static void
send_job_for(const struct tmpdir *t, const char *mailbox, const char *address,
    const char *sender, uint8_t notify)
{
	unsigned char buffer[ENVELOPE_BYTES_MAX];
	struct wr w = wr_of(buffer, sizeof(buffer));
	struct fr_segment segment = { .number = 1 };
	struct extent x = { 1, 0, sizeof(body_text) - 1 };
	struct job_rcpt r = { .address = slice_str(address),
		.mailbox = slice_str(mailbox),
		.notify = notify };
	struct envelope e = { .sender = slice_str(sender), .ret = RET_HDRS };
	struct fr_job_extents extents;
	struct fr_job_rcpts rcpts;
	struct fr_job f = { .id = 1,
		.rcpt_count = 1,
		.extent_count = 1,
		.transport = SLICE_LIT("local") };
	int fd;

	tmpdir_write(t, "segment", body_text);
	fd = openat(t->fd, "segment", O_RDONLY);
	assert_int_equal(send_segment(fake.queue, 0, &segment, fd), OK);
	close(fd);
	extent_put(&w, &x);
	extents.extents = wr_done(&w);
	assert_int_equal(send_job_extents(fake.queue, 1, &extents, -1), OK);
	w = wr_of(buffer, sizeof(buffer));
	job_rcpt_put(&w, &r);
	rcpts.rcpts = wr_done(&w);
	assert_int_equal(send_job_rcpts(fake.queue, 1, &rcpts, -1), OK);
	w = wr_of(buffer, sizeof(buffer));
	envelope_put(&w, &e);
	f.envelope = wr_done(&w);
	assert_int_equal(send_job(fake.queue, 1, &f, -1), OK);
}

static void
check_log(const struct tmpdir *t, const char *why, const char *expected)
{
	const char *log = tmpdir_read(t, "log");

	if (strcmp(log == NULL ? "" : log, expected) != 0)
		fail_msg("%s: the worker was asked for\n%swhich should be\n%s",
		    why, log, expected);
}

static void
check_result(const char *why, uint8_t status, const char *text)
{
	if (fake.result.status != status || strcmp(fake.result.text, text) != 0)
		fail_msg("%s: %u \"%s\", should be %u \"%s\"", why,
		    fake.result.status, fake.result.text, status, text);
}

/* ---- dot files ---- */

#define END	"= 0 2.0.0 ok\n"
#define LOG_BOX "deliver /nonexistent/Maildir/\n"

static const struct plan_row {
	const char *why;
	const char *plan;
	uint8_t status;
	const char *text;
	const char *log; /* after the first line */
	unsigned forwards, rcpts;
	const char *first, *sender;
} plan_rows[] = {
	{ "no dot file", "default \n" END, JOB_SENT, "delivered", LOG_BOX, 0, 0,
	    NULL, NULL },
	{ "no dot file, and the worker has delivered at once",
	    "= 0 2.0.0 delivered to maildir\n", JOB_SENT,
	    "delivered to maildir", "", 0, 0, NULL, NULL },
	{ "it could not", "= 1 4.2.2 mailbox full\n", JOB_DEFERRED,
	    "mailbox full", "", 0, 0, NULL, NULL },
	{ "an action of each kind, in their order",
	    "qmail .qmail\nmbox ./mbox\ncommand ok\nmaildir M\n"
	    "address ann@far.test\n" END,
	    JOB_SENT, "delivered, ran, delivered, forwarded as 701",
	    "deliver /nonexistent/mbox\ncommand ok a@b.test sender=a@b.test\n"
	    "deliver /nonexistent/M\n",
	    1, 1, "ann@far.test", "a@b.test" },
	{ "an absolute path", "mbox /var/tmp/box\n" END, JOB_SENT, "delivered",
	    "deliver //var/tmp/box\n", 0, 0, NULL, NULL },
	{ "the one device", "mbox /dev/null\n" END, JOB_SENT, "discarded", "",
	    0, 0, NULL, NULL },
	{ "a path that leaves the home", "mbox ../box\n" END, JOB_DEFERRED,
	    "mailbox path \"../box\" below \"/nonexistent\" is not usable", "",
	    0, 0, NULL, NULL },
	{ "the first failure ends it, forwards included",
	    "address ann@far.test\ncommand fail\ncommand ok\n" END, JOB_FAILED,
	    "no", "command fail a@b.test sender=a@b.test\n", 0, 0, NULL, NULL },
	{ "a deferral, too", "command defer\nmbox x\n" END, JOB_DEFERRED,
	    "later", "command defer a@b.test sender=a@b.test\n", 0, 0, NULL,
	    NULL },
	{ "99 ends it with success; what was to be forwarded is",
	    "address ann@far.test\ncommand stop\naddress bob@far.test\n" END,
	    JOB_SENT, "stopped, forwarded as 701",
	    "command stop a@b.test sender=a@b.test\n", 1, 1, "ann@far.test",
	    "a@b.test" },
	{ "a worker that dies", "command die\n" END, JOB_DEFERRED,
	    "delivery process died", "command die a@b.test sender=a@b.test\n",
	    0, 0, NULL, NULL },
	{ "the plan is not to be carried out",
	    "mbox x\n= 1 4.2.1 Uh-oh: home directory is writable.\n",
	    JOB_DEFERRED, "Uh-oh: home directory is writable.", "", 0, 0, NULL,
	    NULL },
	{ "a loop", "= 2 5.4.6 loops\n", JOB_FAILED, "loops", "", 0, 0, NULL,
	    NULL },
	{ "nothing but comments", "qmail .qmail\n" END, JOB_SENT,
	    "nothing to be done", "", 0, 0, NULL, NULL },
	{ "duplicates go once",
	    "address ann@far.test\naddress ANN@Far.Test\naddress bob@far.test\n"
	    "address ann@far.test\n" END,
	    JOB_SENT, "forwarded as 701", "", 1, 2, "ann@far.test",
	    "a@b.test" },
	{ "a bare name", "address ann\n" END, JOB_SENT, "forwarded as 701", "",
	    1, 1, "ann@x.test", "a@b.test" },
	{ "an address that is none", "address a b c@\n" END, JOB_DEFERRED,
	    "\"a b c@\" is not an address", "", 0, 0, NULL, NULL },
	{ "the user himself keeps it here",
	    "address nobody\naddress ann@far.test\n" END, JOB_SENT,
	    "delivered, forwarded as 701", LOG_BOX, 1, 1, "ann@far.test",
	    "a@b.test" },
	{ "\\user", "user nobody\n" END, JOB_SENT, "delivered", LOG_BOX, 0, 0,
	    NULL, NULL },
	{ "\\user who is none", "user no-such-user-here\n" END, JOB_FAILED,
	    "unknown user: \"no-such-user-here\"", "", 0, 0, NULL, NULL },
	{ "a list with an owner",
	    "setsender list-owner@x.test\naddress ann@far.test\n" END, JOB_SENT,
	    "forwarded as 701", "", 1, 1, "ann@far.test", "list-owner@x.test" },
	{ "the owner is told to commands",
	    "setsender list-owner@x.test\ncommand ok\n" END, JOB_SENT, "ran",
	    "command ok a@b.test sender=list-owner@x.test\n", 0, 0, NULL,
	    NULL },
	{ "the copy of a command", "command copy\n" END, JOB_SENT, "copied",
	    "command copy a@b.test sender=a@b.test\n", 0, 0, NULL, NULL },
};

static void
dot_files(void **state)
{
	const struct plan_row *r;
	char log[400];

	for (size_t i = 0; i < ARRAY_LEN(plan_rows); i++) {
		struct tmpdir *t;

		r = &plan_rows[i];
		if (i > 0)
			setup(state);
		t = *state;
		tmpdir_write(t, "plan", r->plan);
		send_job_for(t, "nobody", "nobody@x.test", "a@b.test", 0);
		run();
		check_result(r->why, r->status, r->text);
		snprintf(log, sizeof(log), "plan ext=\n%s", r->log);
		check_log(t, r->why, log);
		assert_int_equal(fake.forward_count, r->forwards);
		if (r->forwards > 0) {
			assert_int_equal(fake.forwards[0].rcpts_got, r->rcpts);
			assert_string_equal(fake.forwards[0].first, r->first);
			assert_string_equal(fake.forwards[0].first_original,
			    "");
			assert_string_equal(fake.forwards[0].sender, r->sender);
		}
		if (i + 1 < ARRAY_LEN(plan_rows))
			teardown(state);
	}
}

static void
the_new_message(void **state)
{
	struct forwarded *w = &fake.forwards[0];
	struct tmpdir *t = *state;
	char text[sizeof(body_text) + 200];

	tmpdir_write(t, "plan", "address ann@far.test\n" END);
	send_job_for(t, "nobody", "nobody+x@x.test", "a@b.test", 0);
	run();
	check_log(t, "extension", "plan ext=x\n");
	w->body[w->body_len] = '\0';
	assert_memory_equal(w->body,
	    "Received: by mx.x.test (Weir)\r\n\tid 701;", 39);
	snprintf(text, sizeof(text), "\r\nDelivered-To: nobody+x@x.test\r\n%s",
	    body_text);
	assert_string_equal(strstr(w->body, "\r\nDelivered"), text);
	assert_int_equal(w->ret, RET_HDRS);
}

static void
forwards_that_are_refused(void **state)
{
	struct tmpdir *t = *state;

	tmpdir_write(t, "plan", "address ann@far.test\n" END);
	fake.open_error = ERR_NOSPACE;
	send_job_for(t, "nobody", "nobody@x.test", "a@b.test", 0);
	run();
	assert_int_equal(fake.result.status, JOB_DEFERRED);
	assert_string_equal(fake.result.dsn, err_status(ERR_NOSPACE));
	teardown(state);
	setup(state);
	t = *state;
	tmpdir_write(t, "plan", "address ann@far.test\n" END);
	fake.done_error = ERR_IO;
	send_job_for(t, "nobody", "nobody@x.test", "a@b.test", 0);
	run();
	assert_true(fake.forwards[0].committed);
	assert_int_equal(fake.result.status, JOB_DEFERRED);
}

/* Sent only when it is durable: until DONE there is no result. */
static void
sent_only_when_durable(void **state)
{
	struct tmpdir *t = *state;
	struct fr_txn_done done = { .id = 701 };

	tmpdir_write(t, "plan", "address ann@far.test\n" END);
	fake.never_done = fake.stop_at_commit = true;
	send_job_for(t, "nobody", "nobody@x.test", "a@b.test", 0);
	run();
	assert_true(fake.forwards[0].committed);
	assert_int_equal(fake.done_count, 0);
	assert_int_equal(send_txn_done(fake.queue, 1, &done, -1), OK);
	run();
	assert_int_equal(fake.done_count, 1);
	check_result("after DONE", JOB_SENT, "forwarded as 701");
}

static void
the_queue_goes_away(void **state)
{
	struct tmpdir *t = *state;

	tmpdir_write(t, "plan", "address ann@far.test\n" END);
	fake.never_done = fake.stop_at_commit = true;
	send_job_for(t, "nobody", "nobody@x.test", "a@b.test", 0);
	run();
	chan_close(fake.queue);
	fake.queue = NULL;
	connect_role(ROLE_QUEUE, &fake.queue);
	fake.never_done = fake.stop_at_commit = false;
	send_job_for(t, "nobody", "nobody@x.test", "a@b.test", 0);
	run();
	check_result("again", JOB_SENT, "forwarded as 702");
}

static void
what_the_sender_wished(void **state)
{
	static const struct {
		const char *why, *plan;
		uint8_t notify, forwarded, status;
	} rows[] = {
		{ "goes along", "address ann@far.test\n" END, NOTIFY_SUCCESS,
		    NOTIFY_SUCCESS, JOB_SENT_DSN },
		{ "not twice", "mbox x\naddress ann@far.test\n" END,
		    NOTIFY_SUCCESS | NOTIFY_FAILURE, NOTIFY_FAILURE, JOB_SENT },
		{ "nothing is left of it", "mbox x\naddress ann@far.test\n" END,
		    NOTIFY_SUCCESS, NOTIFY_NEVER, JOB_SENT },
		{ "not for a list",
		    "setsender o@x.test\naddress ann@far.test\n" END,
		    NOTIFY_SUCCESS, 0, JOB_SENT },
		{ "never is never",
		    "setsender o@x.test\naddress ann@far.test\n" END,
		    NOTIFY_NEVER, NOTIFY_NEVER, JOB_SENT },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (i > 0)
			setup(state);
		tmpdir_write(*state, "plan", rows[i].plan);
		send_job_for(*state, "nobody", "nobody@x.test", "a@b.test",
		    rows[i].notify);
		run();
		assert_int_equal(fake.forwards[0].notify, rows[i].forwarded);
		assert_int_equal(fake.result.status, rows[i].status);
		if (i + 1 < ARRAY_LEN(rows))
			teardown(state);
	}
}

static void
the_null_sender_stays(void **state)
{
	struct tmpdir *t = *state;

	tmpdir_write(t, "plan",
	    "setsender o@x.test\naddress ann@far.test\n" END);
	send_job_for(t, "nobody", "nobody@x.test", "", 0);
	run();
	assert_string_equal(fake.forwards[0].sender, "");
}

/* A foreign sender whose mail goes on to a foreign domain, and no other. */
static void
senders_are_rewritten(void **state)
{
	static const struct {
		const char *why, *sender, *address, *begin;
	} rows[] = {
		{ "foreign both", "a@b.test", "ann@far.test", "SRS0=" },
		{ "our own sender", "a@x.test", "ann@far.test", "a@x.test" },
		{ "stays here", "a@b.test", "ann@x.test", "a@b.test" },
		{ "quoted", "\"a b\"@b.test", "ann@far.test", "\"SRS0=" },
	};
	static char secrets[128];
	char plan[200];

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct tmpdir *t;

		if (i > 0)
			setup(state);
		t = *state;
		snprintf(secrets, sizeof(secrets), "%s/secrets", t->path);
		tmpdir_write(t, "secrets", "# ours\nabc\nold\n");
		conf.srs_domain = "x.test";
		conf.srs_secrets = secrets;
		snprintf(plan, sizeof(plan), "address %s\n" END,
		    rows[i].address);
		tmpdir_write(t, "plan", plan);
		send_job_for(t, "nobody", "nobody@x.test", rows[i].sender, 0);
		run();
		check_result(rows[i].why, JOB_SENT, "forwarded as 701");
		assert_memory_equal(fake.forwards[0].sender, rows[i].begin,
		    strlen(rows[i].begin));
		assert_string_equal(strrchr(fake.forwards[0].sender, '@'),
		    i == 2 ? "@b.test" : "@x.test");
		teardown(state);
	}
	setup(state);
	tmpdir_write(*state, "plan", "address ann@far.test\n" END);
	conf.srs_domain = "x.test";
	conf.srs_secrets = "/nonexistent/secrets";
	send_job_for(*state, "nobody", "nobody@x.test", "a@b.test", 0);
	run();
	assert_int_equal(fake.result.status, JOB_DEFERRED);
}

static void
the_filter_is_full(void **state)
{
	struct tmpdir *t = *state;

	conf.duplicate_filter_limit = 2;
	tmpdir_write(t, "plan",
	    "address a@far.test\naddress b@far.test\naddress a@far.test\n"
	    "address c@far.test\naddress c@far.test\n" END);
	send_job_for(t, "nobody", "nobody@x.test", "a@b.test", 0);
	run();
	assert_int_equal(fake.forwards[0].rcpts_got, 4);
}

static void
a_command_gets_the_mail(void **state)
{
	struct tmpdir *t = *state;

	conf.mailbox_command = "ok";
	tmpdir_write(t, "plan", "default \n" END);
	send_job_for(t, "nobody", "nobody@x.test", "a@b.test", 0);
	run();
	check_result("mailbox_command", JOB_SENT, "ran");
	check_log(t, "mailbox_command",
	    "plan ext=\ncommand ok a@b.test sender=a@b.test\n");
}

/* "|": as in a .qmail file. */
static void
a_command_by_qmails_rules(void **state)
{
	struct tmpdir *t = *state;

	conf.mailbox_command = "| ok";
	tmpdir_write(t, "plan", "default \n" END);
	send_job_for(t, "nobody", "nobody@x.test", "a@b.test", 0);
	run();
	check_result("mailbox_command", JOB_SENT, "ran");
	check_log(t, "mailbox_command",
	    "plan ext=\ncommand ok a@b.test sender=a@b.test\n");
}

static void
commands_by_user(void **state)
{
	static struct slice items[] = { SLICE_LIT(
	    "inline:{ nobody = stop, other = fail }") };
	struct tmpdir *t = *state;

	conf.mailbox_command = "ok";
	conf.mailbox_command_maps = (struct conf_list){ items, 1 };
	jobs_reload(fake.jobs);
	tmpdir_write(t, "plan", "default \n" END);
	send_job_for(t, "nobody", "nobody@x.test", "a@b.test", 0);
	run();
	check_result("mailbox_command_maps", JOB_SENT, "stopped");
}

static void
no_room_for_a_copy(void **state)
{
	struct tmpdir *t = *state;

	assert_int_equal(unlinkat(t->fd, "copies", AT_REMOVEDIR), 0);
	tmpdir_write(t, "plan", "command ok\n" END);
	send_job_for(t, "nobody", "nobody@x.test", "a@b.test", 0);
	run();
	assert_int_equal(fake.result.status, JOB_DEFERRED);
	assert_non_null(strstr(fake.result.text, "cannot make a copy"));
	check_log(t, "no copy", "plan ext=\n");
}

static void
in_qmails_words(void **state)
{
	struct tmpdir *t = *state;

	conf.log_format = LOG_QMAIL;
	tmpdir_write(t, "plan",
	    "mbox x\naddress ann@far.test\naddress bob@far.test\n"
	    "command ok\n" END);
	send_job_for(t, "nobody", "nobody@x.test", "a@b.test", 0);
	run();
	check_result("did", JOB_SENT, "did 1+2+1/qp 701");
}

/* ---- aliases ---- */

static void
aliases(void **state)
{
	static const struct {
		uint8_t kind;
		const char *text;
	} targets[] = {
		{ ALIAS_ADDRESS, "ann@far.test" },
		{ ALIAS_COMMAND, "ok" },
		{ ALIAS_MBOX, "/var/lists/archive" },
		{ ALIAS_MAILDIR, "/var/lists/dir/" },
		{ ALIAS_USER, "nobody" },
		{ ALIAS_ADDRESS, "List@x.test" },
	};
	struct tmpdir *t = *state;

	fake.targets = (const void *)targets;
	fake.target_count = ARRAY_LEN(targets);
	fake.end.owner = SLICE_LIT("owner-list@x.test");
	send_job_for(t, "", "list@x.test", "a@b.test", 0);
	run();
	assert_string_equal(fake.expanded, "list@x.test");
	check_result("alias", JOB_SENT,
	    "ran, delivered, delivered, delivered, forwarded as 701, "
	    "forwarded as 702");
	check_log(t, "alias",
	    "scan\ncommand ok owner-list@x.test sender=owner-list@x.test\n"
	    "deliver //var/lists/archive\ndeliver //var/lists/dir\n" LOG_BOX);
	assert_int_equal(fake.forward_count, 2);
	assert_string_equal(fake.forwards[0].first, "ann@far.test");
	assert_string_equal(fake.forwards[0].first_original, "list@x.test");
	assert_string_equal(fake.forwards[0].sender, "owner-list@x.test");
	/* Itself: without a Delivered-To that would look like a loop. */
	assert_string_equal(fake.forwards[1].first, "List@x.test");
	fake.forwards[1].body[fake.forwards[1].body_len] = '\0';
	assert_null(strstr(fake.forwards[1].body, "Delivered-To"));
}

static void
aliases_that_fail(void **state)
{
	struct tmpdir *t = *state;

	fake.end = (struct fr_expand_end){ ERR_LOOKUP, 554, SLICE_LIT("5.4.6"),
		SLICE_LIT("loop: a b a"), SLICE_NONE };
	send_job_for(t, "", "list@x.test", "a@b.test", 0);
	run();
	check_result("loop of names", JOB_FAILED, "loop: a b a");
	assert_string_equal(fake.result.dsn, "5.4.6");
	fake.end = (struct fr_expand_end){ ERR_LOOKUP, 451, SLICE_LIT("4.3.0"),
		SLICE_LIT("no table"), SLICE_NONE };
	send_job_for(t, "", "list@x.test", "a@b.test", 0);
	run();
	check_result("temporary", JOB_DEFERRED, "no table");
	tmpdir_write(t, "loops", "");
	send_job_for(t, "", "list@x.test", "a@b.test", 0);
	run();
	check_result("loop of messages", JOB_FAILED, "loop");
}

static void
lookup_goes_away(void **state)
{
	struct tmpdir *t = *state;

	fake.silent = true;
	send_job_for(t, "", "list@x.test", "a@b.test", 0);
	run();
	chan_close(fake.lookup);
	fake.lookup = NULL;
	run();
	check_result("gone", JOB_DEFERRED, "aliases cannot be looked up now");
	send_job_for(t, "", "list@x.test", "a@b.test", 0);
	run();
	check_result("not there", JOB_DEFERRED,
	    "aliases cannot be looked up now");
}

static void
a_large_list(void **state)
{
	struct tmpdir *t = *state;

	conf.duplicate_filter_limit = 10000;
	fake.list_count = LIST_COUNT;
	send_job_for(t, "", "list@x.test", "a@b.test", 0);
	run();
	check_result("5000", JOB_SENT, "forwarded as 701");
	assert_int_equal(fake.forwards[0].rcpts_got, LIST_COUNT);
	fake.list_count = PLAN_ACTIONS_MAX + 1;
	send_job_for(t, "", "list@x.test", "a@b.test", 0);
	run();
	check_result("one too many", JOB_DEFERRED,
	    "more addresses and actions than the limit");
}

/* ---- checks ---- */

static void
checks(void **state)
{
	static const struct {
		const char *why, *user, *plan, *log;
		enum check_verdict verdict;
	} rows[] = {
		{ "there is one", "nobody", "= 0 2.0.0 yes\n", "check ext=x\n",
		    CHECK_EXISTS },
		{ "there is none", "nobody", "= 2 5.1.1 no\n", "check ext=x\n",
		    CHECK_MISSING },
		{ "cannot be said", "nobody", "= 1 4.2.1 home\n",
		    "check ext=x\n", CHECK_UNKNOWN },
		{ "no such user", "no-such-user-here", "", "", CHECK_MISSING },
	};
	struct fr_check f = { .extension = SLICE_LIT("x") };

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (i > 0)
			setup(state);
		tmpdir_write(*state, "plan", rows[i].plan);
		f.user = slice_str(rows[i].user);
		assert_int_equal(send_check(fake.lookup, 5, &f, -1), OK);
		run();
		assert_int_equal(fake.checked, rows[i].verdict);
		check_log(*state, rows[i].why, rows[i].log);
		if (i + 1 < ARRAY_LEN(rows))
			teardown(state);
	}
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(dot_files),
		T(the_new_message),
		T(forwards_that_are_refused),
		T(sent_only_when_durable),
		T(the_queue_goes_away),
		T(what_the_sender_wished),
		T(the_null_sender_stays),
		T(senders_are_rewritten),
		T(the_filter_is_full),
		T(a_command_gets_the_mail),
		T(a_command_by_qmails_rules),
		T(commands_by_user),
		T(no_room_for_a_copy),
		T(in_qmails_words),
		T(aliases),
		T(aliases_that_fail),
		T(lookup_goes_away),
		T(a_large_list),
		T(checks),
	};

	if (argc < 2)
		return 64;
	fake_program = argv[1];
	signal(SIGPIPE, SIG_IGN);
	acct_init(&account, NULL, "test", 0, false, "");
	if (ev_loop_new(&account, &loop) != OK ||
	    ev_signal(loop, SIGCHLD, on_child, NULL) != OK)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
