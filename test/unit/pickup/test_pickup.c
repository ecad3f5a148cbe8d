/*
 * pickup: dropped files, good and hostile, with a fake queue.
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

#include "../local/tmpdir.h"
#include "base/mem.h"
#include "conf/conf.h"
#include "ev/loop.h"
#include "ipc/frames.h"
#include "pickup/take.h"
#include "proto/drop_file.h"
#include "proto/envelope.h"

enum { CREDIT_BYTES = 65536, MESSAGE_ID = 4711 };

static struct acct account;
static struct ev_loop *loop;
static const struct conf *conf, *small_conf;

static struct {
	struct take *take;
	struct chan *chan;
	/* What it answers with. */
	enum err ready_error, done_error;
	bool hang_up_at_commit;
	/* What it saw. */
	unsigned open_count, commit_count, abort_count, rcpt_count;
	unsigned rcpt_total;
	struct envelope envelope; /* numbers only */
	char sender[600], rcpts[2048];
	struct fr_txn_commit commit;
	char body[300000];
	size_t body_len, credit_left;
	bool empty, bad, saw_good;
} fake;

static void
on_open(struct frame *f)
{
	struct fr_txn_open in;
	struct envelope e;
	struct rd r;

	assert_true(get_txn_open(f, &in));
	r = rd_of(in.envelope);
	assert_true(envelope_get(&r, &e) && rd_done(&r));
	fake.open_count++;
	fake.envelope = e;
	assert_true(slice_copy(e.sender, fake.sender, sizeof(fake.sender)));
	fake.rcpt_total = in.rcpt_count;
	fake.rcpt_count = 0;
	fake.rcpts[0] = '\0';
	fake.body_len = 0;
}

static void
on_rcpts(struct frame *f)
{
	struct fr_txn_ready ready = { .error = (uint8_t)fake.ready_error,
		.id = MESSAGE_ID,
		.credit_bytes = CREDIT_BYTES };
	struct fr_txn_rcpt in;
	struct envelope_rcpt rcpt;
	struct rd r;

	assert_true(get_txn_rcpt(f, &in));
	r = rd_of(in.rcpts);
	while (r.left > 0) {
		assert_true(envelope_rcpt_get(&r, &rcpt));
		fake.rcpt_count++;
		if (fake.rcpt_total > 10)
			continue;
		strncat(fake.rcpts, rcpt.address.data, rcpt.address.len);
		strcat(fake.rcpts, " ");
	}
	if (fake.rcpt_count < fake.rcpt_total)
		return;
	fake.credit_left = CREDIT_BYTES;
	assert_int_equal(send_txn_ready(fake.chan, f->tag, &ready, -1), OK);
}

static void
on_body(struct frame *f)
{
	struct fr_txn_credit credit;
	struct fr_txn_body in;

	assert_true(get_txn_body(f, &in));
	assert_true(in.data.len <= fake.credit_left);
	assert_true(fake.body_len + in.data.len < sizeof(fake.body));
	memcpy(fake.body + fake.body_len, in.data.data, in.data.len);
	fake.body_len += in.data.len;
	fake.body[fake.body_len] = '\0';
	credit.bytes = (uint32_t)in.data.len;
	assert_int_equal(send_txn_credit(fake.chan, f->tag, &credit, -1), OK);
}

static void
on_commit(struct frame *f)
{
	struct fr_txn_done done = { .error = (uint8_t)fake.done_error,
		.id = MESSAGE_ID };

	assert_true(get_txn_commit(f, &fake.commit));
	fake.commit_count++;
	fake.saw_good |= strstr(fake.body, "good") != NULL;
	assert_int_equal(fake.commit.body_bytes, fake.body_len);
	if (fake.hang_up_at_commit) {
		chan_close(fake.chan);
		fake.chan = NULL;
		return;
	}
	assert_int_equal(send_txn_done(fake.chan, f->tag, &done, -1), OK);
}

static void
on_frame(void *arg, struct chan *c, struct frame *f)
{
	(void)arg;
	(void)c;
	switch (f->type) {
	case FRAME_TXN_OPEN: on_open(f); break;
	case FRAME_TXN_RCPT: on_rcpts(f); break;
	case FRAME_TXN_BODY: on_body(f); break;
	case FRAME_TXN_COMMIT: on_commit(f); break;
	case FRAME_TXN_ABORT: fake.abort_count++; break;
	default: fail_msg("frame %u", f->type);
	}
	/* A refusal makes it wait for half a minute. */
	if (fake.done_error != OK && f->type == FRAME_TXN_COMMIT)
		ev_loop_stop(loop);
	if (fake.ready_error != OK && fake.rcpt_count == fake.rcpt_total &&
	    f->type == FRAME_TXN_RCPT)
		ev_loop_stop(loop);
}

static void
on_closed(void *arg, struct chan *c, bool bad, const char *why)
{
	(void)arg;
	(void)bad;
	(void)why;
	chan_close(c);
	fake.chan = NULL;
}

static void
connect_queue(void)
{
	static const struct chan_events events = { on_frame, on_closed, NULL };
	int fds[2];

	assert_int_equal(chan_pair(fds), OK);
	assert_int_equal(take_set_queue(fake.take, fds[0], 0), OK);
	assert_int_equal(chan_open(loop, &account, fds[1], ROLE_QUEUE,
			     ROLE_PICKUP, 0, &events, NULL, 1 << 20,
			     &fake.chan),
	    OK);
}

static void
on_empty(void *arg)
{
	(void)arg;
	fake.empty = true;
	ev_loop_stop(loop);
}

static void
on_bad(void *arg, const char *why)
{
	(void)arg;
	fake.bad = true;
	(void)why;
	ev_loop_stop(loop);
}

static int
setup(void **state)
{
	static const struct take_events events = { on_empty, on_bad, NULL };
	struct tmpdir *t;

	tmpdir_setup(state);
	t = *state;
	memset(&fake, 0, sizeof(fake));
	assert_int_equal(take_new(loop, &account,
			     fcntl(t->fd, F_DUPFD_CLOEXEC, 3), &events,
			     &fake.take),
	    OK);
	take_set_conf(fake.take, conf);
	return 0;
}

static int
teardown(void **state)
{
	take_free(fake.take);
	if (fake.chan != NULL)
		chan_close(fake.chan);
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
	fake.empty = false;
	assert_int_equal(ev_loop_run(loop), OK);
	ev_timer_clear(&late);
}

/* A dropped file; skew is added to the length that its trailer tells. */
static void
put_file(const struct tmpdir *t, const char *name, const char *sender,
    const char *const *rcpts, uint32_t count, const char *text, int skew)
{
	static unsigned char buf[400000];
	struct wr w = wr_of(buf, sizeof(buf));
	struct drop_file d = { .sender = slice_str(sender),
		.rcpt_count = count };
	uint32_t i;
	int fd;

	drop_file_put(&w, &d);
	for (i = 0; i < count; i++)
		drop_file_rcpt_put(&w, NOTIFY_DELAY,
		    slice_str(rcpts[rcpts[1] == NULL ? 0 : i]));
	wr_raw(&w, slice_str(text));
	drop_file_trailer_put(&w, strlen(text) + (size_t)skew);
	assert_false(w.full);
	fd = openat(t->fd, name, O_WRONLY | O_CREAT | O_EXCL, 0444);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, buf, w.len), w.len);
	close(fd);
}

static const char *const joe[] = { "joe@x.test", NULL };
static const char *const joe_and_ann[] = { "joe@x.test", "ann@y.test" };

static void
takes_a_message(void **state)
{
	struct tmpdir *t = *state;

	put_file(t, "msg.1", "a@b.test", joe_and_ann, 2,
	    "Message-ID: <1@x>\r\n\r\n.x\r\ny\nz", 0);
	connect_queue();
	run();
	assert_true(fake.empty);
	assert_int_equal(fake.commit_count, 1);
	assert_string_equal(fake.sender, "a@b.test");
	assert_string_equal(fake.rcpts, "joe@x.test ann@y.test ");
	assert_int_equal(fake.envelope.origin, ORIGIN_LOCAL);
	assert_int_equal(fake.envelope.uid, geteuid());
	assert_int_equal(fake.commit.flags,
	    ENVELOPE_DOT_LINE | ENVELOPE_NO_FINAL_EOL);
	assert_true(strncmp(fake.body, "Received: ", 10) == 0);
	assert_non_null(strstr(fake.body, "4711"));
	assert_non_null(
	    strstr(fake.body, "\r\nMessage-ID: <1@x>\r\n\r\n.x\r\ny\r\nz"));
	assert_int_equal(tmpdir_count(t, ".", NULL, 0), 0);
}

static void
many_files(void **state)
{
	struct tmpdir *t = *state;
	char name[32];
	int i;

	for (i = 0; i < 30; i++) {
		snprintf(name, sizeof(name), "msg.%d", i);
		put_file(t, name, "", joe, 1, "x\r\n", 0);
	}
	tmpdir_write(t, "tmp.1.2.3", "being written");
	tmpdir_write(t, "bad.msg.0", "set aside before");
	connect_queue();
	run();
	assert_int_equal(fake.commit_count, 30);
	assert_int_equal(tmpdir_count(t, ".", NULL, 0), 2);
	/* Later ones, too. */
	put_file(t, "msg.x", "", joe, 1, "x\r\n", 0);
	take_scan(fake.take);
	run();
	assert_int_equal(fake.commit_count, 31);
}

static void
many_recipients(void **state)
{
	struct tmpdir *t = *state;

	put_file(t, "msg.1", "a@b.test", joe, 10240, "x\r\n", 0);
	connect_queue();
	run();
	assert_int_equal(fake.rcpt_count, 10240);
	assert_int_equal(fake.commit_count, 1);
}

static void
large_message(void **state)
{
	static char text[200001];
	struct tmpdir *t = *state;

	/* Grows, for each LF becomes two bytes. */
	memset(text, 'x', sizeof(text) - 1);
	for (size_t i = 40; i < sizeof(text) - 1; i += 41)
		text[i] = '\n';
	put_file(t, "msg.1", "a@b.test", joe, 1, text, 0);
	connect_queue();
	run();
	assert_int_equal(fake.commit_count, 1);
	assert_true(fake.body_len > sizeof(text));
}

static void
hostile_files(void **state)
{
	static const char *const no_address[] = { "joe", NULL };
	static const char *const injected[] = { "j@x\r\nDATA", NULL };
	static char loop_text[4000];
	struct tmpdir *t = *state;
	size_t n = 0;

	while (n < 3900)
		n += (size_t)snprintf(loop_text + n, sizeof(loop_text) - n,
		    "Received: from x\r\n");
	tmpdir_write(t, "msg.empty", "");
	tmpdir_write(t, "msg.short", "x");
	tmpdir_write(t, "msg.noise",
	    "This is a text and no message, whatever its name may be.");
	put_file(t, "msg.sender", "a@b@c", joe, 1, "x\r\n", 0);
	put_file(t, "msg.rcpt", "a@b.test", no_address, 1, "x\r\n", 0);
	put_file(t, "msg.inject", "a@b.test", injected, 1, "x\r\n", 0);
	put_file(t, "msg.long", "a@b.test", joe, 1, "x\r\n", 1);
	put_file(t, "msg.brief", "a@b.test", joe, 1, "x\r\n", -1);
	put_file(t, "msg.none", "a@b.test", joe, 0, "x\r\n", 0);
	put_file(t, "msg.loop", "a@b.test", joe, 1, loop_text, 0);
	assert_int_equal(symlinkat("/etc/passwd", t->fd, "msg.symlink"), 0);
	assert_int_equal(mkfifoat(t->fd, "msg.fifo", 0644), 0);
	assert_int_equal(mkdirat(t->fd, "msg.dir", 0755), 0);
	put_file(t, "first", "a@b.test", joe, 1, "x\r\n", 0);
	assert_int_equal(linkat(t->fd, "first", t->fd, "msg.linked", 0), 0);
	put_file(t, "msg.good", "a@b.test", joe, 1, "good\r\n", 0);
	connect_queue();
	run();
	/* One message came through, all others are set aside by name. */
	assert_int_equal(fake.commit_count, 1);
	assert_true(fake.saw_good);
	assert_int_equal(faccessat(t->fd, "bad.msg.noise", F_OK, 0), 0);
	assert_int_equal(faccessat(t->fd, "bad.msg.loop", F_OK, 0), 0);
	assert_int_equal(faccessat(t->fd, "bad.msg.linked", F_OK, 0), 0);
	assert_int_equal(faccessat(t->fd, "bad.msg.fifo", F_OK, 0), 0);
	assert_int_equal(tmpdir_count(t, ".", NULL, 0), 15);
	assert_int_equal(fake.open_count, fake.commit_count + fake.abort_count);
}

static void
too_large(void **state)
{
	static char text[50002];
	struct tmpdir *t = *state;

	memset(text, 'x', sizeof(text) - 1);
	put_file(t, "msg.1", "a@b.test", joe, 1, text, 0);
	text[50000] = '\0';
	put_file(t, "msg.2", "a@b.test", joe, 1, text, 0);
	take_set_conf(fake.take, small_conf);
	connect_queue();
	run();
	assert_int_equal(fake.commit_count, 1);
	assert_int_equal(faccessat(t->fd, "bad.msg.1", F_OK, 0), 0);
}

static void
refused_for_now(void **state)
{
	struct tmpdir *t = *state;

	put_file(t, "msg.1", "a@b.test", joe, 1, "x\r\n", 0);
	fake.ready_error = ERR_NOSPACE;
	connect_queue();
	run();
	assert_int_equal(fake.commit_count, 0);
	/* The file is still there; a drain ends the waiting. */
	assert_int_equal(tmpdir_count(t, ".", NULL, 0), 1);
	take_drain(fake.take);
	run();
	assert_true(fake.empty);
	assert_int_equal(tmpdir_count(t, ".", NULL, 0), 1);
}

static void
not_durable(void **state)
{
	struct tmpdir *t = *state;

	put_file(t, "msg.1", "a@b.test", joe, 1, "x\r\n", 0);
	fake.done_error = ERR_IO;
	connect_queue();
	run();
	assert_int_equal(fake.commit_count, 1);
	assert_int_equal(tmpdir_count(t, ".", NULL, 0), 1);
}

static void
queue_lost_at_commit(void **state)
{
	struct tmpdir *t = *state;

	put_file(t, "msg.1", "a@b.test", joe, 1, "x\r\n", 0);
	fake.hang_up_at_commit = true;
	connect_queue();
	run();
	assert_true(fake.bad);
	/* Nobody acknowledged it: it is begun anew. */
	assert_int_equal(tmpdir_count(t, ".", NULL, 0), 1);
	fake.hang_up_at_commit = false;
	connect_queue();
	run();
	assert_int_equal(fake.commit_count, 2);
	assert_int_equal(tmpdir_count(t, ".", NULL, 0), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(takes_a_message),
		T(many_files),
		T(many_recipients),
		T(large_message),
		T(hostile_files),
		T(too_large),
		T(refused_for_now),
		T(not_durable),
		T(queue_lost_at_commit),
	};
	struct conf_report *report;

	acct_init(&account, NULL, "test", 0, false, "");
	report = conf_report_new(&account);
	if (ev_loop_new(&account, &loop) != OK ||
	    conf_load_text(&account, SLICE_LIT("myhostname = here.test\n"),
		"test", report, &conf) != OK ||
	    conf_load_text(&account,
		SLICE_LIT("myhostname = here.test\n"
			  "message_size_limit = 50000\n"),
		"test", report, &small_conf) != OK)
		return 1;
	conf_report_free(&account, report);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
