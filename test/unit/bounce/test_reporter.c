/* The bounce role with the queue played by the test. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/time.h"
#include "bounce/reporter.h"
#include "conf/conf.h"
#include "ev/loop.h"
#include "ipc/frames.h"
#include "ipc/job.h"
#include "proto/envelope.h"

static struct world {
	struct acct acct;
	struct ev_loop *loop;
	const struct conf *conf;
	struct reporter *r;
	struct chan *queue;
	int segment;
	unsigned opened, failed, idles, bads;
	bool committed;
	uint64_t body_bytes;
	char body[200000];
	size_t len;
	uint32_t credit; /* how much a READY gives */
	bool refuse;
} w;

static void
on_frame(void *arg, struct chan *c, struct frame *f)
{
	struct fr_txn_body body;
	struct fr_txn_commit commit;
	struct fr_txn_ready ready = { .id = 77,
		.credit_bytes = w.credit,
		.error = w.refuse ? ERR_FULL : OK };
	struct fr_txn_credit credit;
	struct fr_txn_done done = { 0 };

	(void)arg;
	switch (f->type) {
	case FRAME_TXN_OPEN: w.opened++; break;
	case FRAME_TXN_RCPT:
		assert_int_equal(send_txn_ready(c, f->tag, &ready, -1), OK);
		break;
	case FRAME_TXN_BODY:
		assert_true(get_txn_body(f, &body));
		assert_true(w.len + body.data.len < sizeof(w.body));
		memcpy(w.body + w.len, body.data.data, body.data.len);
		w.len += body.data.len;
		credit.bytes = (uint32_t)body.data.len;
		assert_int_equal(send_txn_credit(c, f->tag, &credit, -1), OK);
		break;
	case FRAME_TXN_COMMIT:
		assert_true(get_txn_commit(f, &commit));
		w.body_bytes = commit.body_bytes;
		w.committed = true;
		assert_int_equal(send_txn_done(c, f->tag, &done, -1), OK);
		break;
	case FRAME_REPORT_FAILED: w.failed++; break;
	case FRAME_TXN_ABORT: break;
	default: fail();
	}
}

static void
on_closed(void *arg, struct chan *c, bool bad, const char *why)
{
	(void)arg;
	if (bad)
		fail_msg("%s", why);
	chan_close(c);
	w.queue = NULL;
}

static const struct chan_events events = { on_frame, on_closed, NULL };

static void
idle(void *arg)
{
	(void)arg;
	w.idles++;
}

static void
bad_queue(void *arg, const char *why)
{
	(void)arg;
	(void)why;
	w.bads++;
}

static void
world_open(const char *conf)
{
	struct conf_report *report;
	struct reporter_env env;
	int fd[2];

	memset(&w, 0, sizeof(w));
	w.credit = 65536;
	acct_init(&w.acct, NULL, "test", 16 << 20, false, "");
	report = conf_report_new(&w.acct);
	assert_int_equal(
	    conf_load_text(&w.acct, slice_str(conf), "test", report, &w.conf),
	    OK);
	conf_report_free(&w.acct, report);
	assert_int_equal(ev_loop_new(&w.acct, &w.loop), OK);
	env = (struct reporter_env){ .loop = w.loop,
		.acct = &w.acct,
		.conf = w.conf,
		.idle = idle,
		.bad_queue = bad_queue };
	assert_int_equal(reporter_open(&env, &w.r), OK);
	assert_int_equal(chan_pair(fd), OK);
	assert_int_equal(chan_open(w.loop, &w.acct, fd[0], ROLE_QUEUE,
			     ROLE_BOUNCE, 0, &events, NULL, 1 << 20, &w.queue),
	    OK);
	reporter_channel(w.r, fd[1]);
	w.segment = memfd_create("segment", MFD_CLOEXEC);
}

static void
world_close(void)
{
	reporter_close(w.r);
	chan_close(w.queue);
	ev_loop_free(w.loop);
	conf_free(w.conf);
	close(w.segment);
	acct_fini(&w.acct);
}

/* A report about a message stored in two extents. */
static void
report(struct slice message, unsigned rcpts, bool with_segment)
{
	static unsigned char buf[49152];
	unsigned char xbuf[64], ebuf[1024];
	struct wr x = wr_of(xbuf, sizeof(xbuf)), e = wr_of(ebuf, sizeof(ebuf));
	struct wr p = wr_of(buf, sizeof(buf));
	struct envelope env = { .sender = SLICE_LIT("a@b"),
		.body_bytes = message.len };
	struct extent a = { 9, 100, (uint32_t)(message.len / 2) };
	struct extent b = { 9, 100 + a.length,
		(uint32_t)(message.len - a.length) };
	struct fr_segment seg = { .number = 9 };
	struct fr_job_extents extents;
	struct fr_report_rcpts list;
	struct fr_report r = { .kind = REPORT_FAILED,
		.id = 5,
		.rcpt_count = rcpts,
		.extent_count = 2,
		.report_to = SLICE_LIT("a@b") };

	assert_int_equal(pwrite(w.segment, message.data, message.len, 100),
	    message.len);
	extent_put(&x, &a);
	extent_put(&x, &b);
	envelope_put(&e, &env);
	for (unsigned i = 0; i < rcpts; i++) {
		struct job_result j = { .index = i,
			.status = JOB_FAILED,
			.dsn = SLICE_LIT("5.1.1"),
			.text = SLICE_LIT("nobody"),
			.address = SLICE_LIT("c@d") };

		job_result_put(&p, &j);
	}
	assert_false(p.full || e.full || x.full);
	if (with_segment)
		assert_int_equal(send_segment(w.queue, 0, &seg, w.segment), OK);
	extents.extents = wr_done(&x);
	assert_int_equal(send_job_extents(w.queue, 1, &extents, -1), OK);
	list.rcpts = wr_done(&p);
	assert_int_equal(send_report_rcpts(w.queue, 1, &list, -1), OK);
	r.envelope = wr_done(&e);
	assert_int_equal(send_report(w.queue, 1, &r, -1), OK);
	for (unsigned i = 0; i < 200000 && !w.committed && w.failed == 0; i++)
		assert_int_equal(ev_loop_turn(w.loop), OK);
	w.body[w.len] = '\0';
}

static unsigned
count(const char *part)
{
	unsigned n = 0;

	for (const char *s = w.body; (s = strstr(s, part)) != NULL; s++)
		n++;
	return n;
}

static void
test_whole(void **state)
{
	static const uint32_t credits[] = { 65536, 1000, 1 };

	(void)state;
	for (size_t i = 0; i < sizeof(credits) / sizeof(credits[0]); i++) {
		world_open("myhostname = mx.example\n"
			   "bouncefrom = daemon\nbouncehost = b.example\n");
		w.credit = credits[i];
		report(SLICE_LIT("Subject: x\r\n\r\nthe body\r\n"), 3, true);
		assert_true(w.committed);
		assert_int_equal(w.body_bytes, w.len);
		assert_int_equal(count("Final-Recipient: "), 3);
		assert_int_equal(count("    nobody\r\n"), 3);
		assert_int_equal(count("id 77;"), 1);
		assert_int_equal(count("<daemon@b.example>\r\n"), 1);
		assert_int_equal(count("Subject: x\r\n\r\nthe body\r\n\r\n--"),
		    1);
		world_close();
	}
}

/* Longer than bounce_size_limit: the header alone, however it is cut. */
static void
test_header(void **state)
{
	static char message[60000];
	int len = snprintf(message, sizeof(message),
	    "Subject: x\r\nX-Long: y\r\n\r\nsecret");

	(void)state;
	memset(message + len, 'z', sizeof(message) - (size_t)len);
	for (size_t size = 30; size < 40; size++) {
		world_open("bounce_size_limit = 20\n");
		report(slice_of(message, size), 1, true);
		assert_true(w.committed);
		assert_int_equal(count("text/rfc822-headers"), 1);
		assert_int_equal(count("X-Long: y\r\n\r\n"), 1);
		assert_int_equal(count("secret"), 0);
		world_close();
	}
	world_open("");
	report(slice_of(message, sizeof(message)), 1, true);
	assert_int_equal(count("secret"), 0);
	world_close();
}

static void
test_no_newline(void **state)
{
	(void)state;
	world_open("");
	report(SLICE_LIT("Subject: x\r\n\r\nno end"), 1, true);
	assert_int_equal(count("no end\r\n\r\n--=_weir"), 1);
	world_close();
}

static void
test_failures(void **state)
{
	(void)state;
	world_open("");
	report(SLICE_LIT("Subject: x\r\n\r\n"), 1, false);
	assert_int_equal(w.failed, 1); /* no such segment */
	world_close();

	world_open("");
	w.refuse = true;
	report(SLICE_LIT("Subject: x\r\n\r\n"), 1, true);
	assert_int_equal(w.failed, 1);
	world_close();
}

/* Every allocation fails once: a report or REPORT_FAILED, never a crash. */
static void
test_memory(void **state)
{
	(void)state;
	for (unsigned n = 1; n < 12; n++) {
		world_open("");
		for (unsigned i = 0; i < 5; i++)
			(void)ev_loop_turn(w.loop);
		mem_fail_after(n);
		report(SLICE_LIT("Subject: x\r\n\r\nb\r\n"), 2, true);
		mem_fail_after(0);
		assert_true(w.committed || w.failed == 1);
		world_close();
	}
}

static void
test_nonsense(void **state)
{
	struct fr_report_rcpts junk = { .rcpts = SLICE_LIT("junk") };

	(void)state;
	world_open("");
	assert_int_equal(send_report_rcpts(w.queue, 1, &junk, -1), OK);
	for (unsigned i = 0; i < 20; i++)
		(void)ev_loop_turn(w.loop);
	assert_int_equal(w.bads, 1);
	world_close();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole),
		cmocka_unit_test(test_header),
		cmocka_unit_test(test_no_newline),
		cmocka_unit_test(test_failures),
		cmocka_unit_test(test_memory),
		cmocka_unit_test(test_nonsense),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
