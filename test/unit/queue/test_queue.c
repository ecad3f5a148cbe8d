/* The queue role from transaction to "removed", its peers played. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "queue/internal.h"
#include "world.h"

static void
test_relay(void **state)
{
	char body[200];
	uint64_t id;
	struct w_job *j;

	(void)state;
	world_open("");
	id = submit(1, "a@b", "c@d.example");
	until(fake_count() == 0 && logged("removed"));
	j = &w.smtp[w.smtp[0].job_count == 0].jobs[0];
	assert_int_equal(j->id, id);
	assert_string_equal(j->transport, "smtp");
	assert_string_equal(j->nexthop, "d.example");
	assert_string_equal(j->sender, "a@b");
	assert_string_equal(j->address[0], "c@d.example");
	assert_int_equal(j->extent.length, 100);
	assert_int_equal(pread(w.smtp[w.smtp[0].job_count == 0].segment_fd,
			     body, j->extent.length, j->extent.offset),
	    100);
	assert_memory_equal(body, w.body, 100);
	assert_true(logged("1: from=<a@b>, size=100, nrcpt=1 (queue active)"));
	assert_true(logged("1: to=<c@d.example>, relay=mx[192.0.2.1]:25, "));
	assert_true(logged("/0.03/1.2, dsn=2.0.0, status=sent (250 ok)"));
	assert_true(logged("status: local 0/10 remote 0/20"));
	/* The message and its result: no sync more than two. */
	assert_in_range(fake.syncs, 1, 2);
	world_close();
}

/* In the lines of qmail-send: all of them, in their order. */
static void
test_qmail_lines(void **state)
{
	struct errtext et;

	(void)state;
	world_open(""); /* standard error is a file from now on */
	world_close();
	assert_int_equal(log_open("weir", "queue", "stderr", LOG_QMAIL, &et),
	    OK);
	world_open("log_format = qmail\n");
	(void)submit(1, "a@b", "c@d.example");
	until(fake_count() == 0 && logged("end msg 1\n"));
	until(logged("status: local 0/10 remote 0/20\n"
		     "new msg 1\n"
		     "info msg 1: bytes 100 from <a@b> qp 1 uid "));
	assert_true(
	    logged("\nstarting delivery 1: msg 1 to remote c@d.example\n"
		   "status: local 0/10 remote 1/20\n"
		   "delivery 1: success: 192.0.2.1_accepted_message./"
		   "Remote_host_said:_250_ok/\n"
		   "status: local 0/10 remote 0/20\n"
		   "end msg 1\n"));
	/* Two recipients of one transaction; one of them is refused. */
	world_bounce();
	(void)submit(2, "a@b", "e@d.example,fail@d.example");
	until(fake_count() == 0 && logged("end msg 2\n"));
	assert_true(
	    logged("\nstarting delivery 2: msg 2 to remote e@d.example\n"
		   "status: local 0/10 remote 1/20\n"
		   "starting delivery 3: msg 2 to remote fail@d.example\n"
		   "status: local 0/10 remote 1/20\n"
		   "delivery 2: success: 192.0.2.1_accepted_message./"
		   "Remote_host_said:_250_ok/\n"
		   "status: local 0/10 remote 1/20\n"
		   "delivery 3: failure: "));
	until(
	    logged("\nbounce msg 2 qp 3\nnew msg 3\ninfo msg 3: bytes 10 from "
		   "<> qp 3 uid "));
	until(logged("\nend msg 3\n"));
	assert_false(logged("removed"));
	assert_false(logged("to=<"));
	world_close();
	until(logged("\nstatus: exiting\n"));
}

static void
test_local(void **state)
{
	(void)state;
	world_open("");
	(void)submit(1, "a@b", "u@here,v@here");
	until(fake_count() == 0);
	assert_int_equal(w.local.job_count, 2); /* one recipient each */
	assert_string_equal(w.local.jobs[0].mailbox, "/home/user");
	assert_string_equal(w.local.jobs[0].nexthop, "here");
	world_close();
}

/* A list with VERP: each recipient gets it from a sender of his own. */
static void
test_verp(void **state)
{
	struct w_job *j;
	unsigned found = 0;

	(void)state;
	world_open("");
	(void)submit(1, "list-owner-@h.example-@[]", "c@d.example,e@d.example");
	until(fake_count() == 0);
	for (unsigned a = 0; a < 2; a++)
		for (unsigned i = 0; i < w.smtp[a].job_count; i++) {
			j = &w.smtp[a].jobs[i];
			assert_int_equal(j->rcpts, 1);
			found++;
			assert_string_equal(j->sender,
			    j->address[0][0] == 'c'
				? "list-owner-c=d.example@h.example"
				: "list-owner-e=d.example@h.example");
		}
	assert_int_equal(found, 2);
	world_close();
}

/* An alias: delivered to where it leads, told apart in the log. */
static void
test_alias(void **state)
{
	(void)state;
	world_open("");
	(void)submit(1, "a@b", "alias@here,joe@here");
	until(w.local.job_count == 2);
	until(logged("to=<joe@here>, orig_to=<alias@here>, "));
	until(logged("to=<joe@here>, relay="));
	world_close();
}

/* 250 only after the sync that covers it. */
static void
test_durable_first(void **state)
{
	(void)state;
	world_open("");
	fake.hold_sync = true;
	open_txn(1, "a@b", "c@d");
	until(w.txns[1].ready);
	send_body(1, 50);
	commit_txn(1, 50);
	until(fake.commits == 1);
	turns(50);
	assert_false(w.txns[1].done);
	assert_int_equal(w.smtp[0].job_count + w.smtp[1].job_count, 0);
	fake.hold_sync = false;
	until(w.txns[1].done);
	assert_int_equal(w.txns[1].done_error, OK);
	until(fake_count() == 0);
	world_close();
}

/* A crash before the sync forgets what was not answered, no more. */
static void
test_crash(void **state)
{
	uint64_t id;

	(void)state;
	world_open("");
	w.jobs_hang = true;
	id = submit(1, "a@b", "c@d");
	until(w.smtp[0].job_count + w.smtp[1].job_count == 1);
	fake.hold_sync = true;
	open_txn(2, "a@b", "x@y");
	until(w.txns[2].ready);
	send_body(2, 50);
	commit_txn(2, 50);
	until(fake.commits == 2);
	w.jobs_hang = false;
	world_restart(true);
	until(fake_count() == 0);
	assert_false(logged("x@y"));
	assert_int_equal(w.smtp[0].jobs[0].id + w.smtp[1].jobs[0].id, id);
	world_close();
}

static const struct {
	const char *why;
	const char *rcpt, *log;
	enum store_status status;
} verdicts[] = {
	{ "refused for good", "u@no.such",
	    "dsn=5.1.1, status=bounced (no such user)", STORE_FAILED },
	{ "refused for now", "u@later", "dsn=4.2.1, status=deferred (not now)",
	    STORE_WAITING },
	{ "transport error", "u@error", "dsn=5.7.9, status=bounced (we do not)",
	    STORE_FAILED },
	{ "deferred by the agent", "defer@d",
	    "dsn=4.2.2, status=deferred (mailbox full)", STORE_WAITING },
	{ "failed at the agent", "fail@d",
	    "dsn=5.1.1, status=bounced (550 unknown)", STORE_FAILED },
	{ "nobody answers there", "down@d",
	    "status=deferred (connection refused)", STORE_WAITING },
	{ "thrown away", "u@discard", "dsn=2.0.0, status=sent (as you wish)",
	    STORE_STATUS_COUNT },
};

static void
test_verdicts(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(verdicts) / sizeof(verdicts[0]); i++) {
		uint64_t id;

		world_open("");
		id = submit(1, "a@b", verdicts[i].rcpt);
		until(logged("status="));
		if (!logged(verdicts[i].log)) {
			print_message("%s\n", verdicts[i].why);
			fail();
		}
		until(fake.results > 0);
		if (fake_rcpt(id, 0, NULL) != verdicts[i].status)
			fail_msg("%s: %d", verdicts[i].why,
			    fake_rcpt(id, 0, NULL));
		world_close();
	}
}

static void
test_retry(void **state)
{
	uint64_t id;

	(void)state;
	world_open("");
	id = submit(1, "a@b", "defer@d,c@d");
	until(fake_flags(id) & STORE_TRIED);
	assert_int_equal(fake_rcpt(id, 0, NULL), STORE_WAITING);
	assert_int_equal(fake_rcpt(id, 1, NULL), STORE_DONE);
	assert_in_range(fake_due(id) - clock_system.wall(&clock_system).ms,
	    298000, 330000);
	/* Everything is due: only the deferred one is tried again. */
	queue_flush(w.q);
	until(w.smtp[0].job_count + w.smtp[1].job_count == 2);
	for (unsigned a = 0; a < 2; a++)
		for (unsigned i = 0; i < w.smtp[a].job_count; i++)
			if (w.smtp[a].jobs[i].rcpts == 1)
				assert_string_equal(
				    w.smtp[a].jobs[i].address[0], "defer@d");
	world_close();
}

/* ALRM: a few at once, a herd within so many seconds, and not for hours. */
static void
test_flush_spread(void **state)
{
	static const struct {
		uint64_t deferred_count;
		int64_t spread_ms;
	} rows[] = { { 0, 0 }, { 50, 0 }, { 51, 1020 }, { 3000, 60000 },
		{ 3001, 60000 }, { 10000000, 60000 } };

	(void)state;
	world_open("");
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		w.q->counts.deferred_count = rows[i].deferred_count;
		queue_flush(w.q);
		assert_int_equal(fake.spread_ms, rows[i].spread_ms);
	}
	world_close();
}

/* A world whose rows are its own: that of all has no room for so many. */
static void
world_with_rows(const char *conf_text)
{
	static struct limits_page page;

	page = (struct limits_page){ .magic = LIMITS_MAGIC,
		.version = LIMITS_VERSION };
	limits_use(&page);
	world_open(conf_text);
}

static void
test_expired(void **state)
{
	struct limits_page *before = limits_current();
	char line[200];
	uint64_t id;

	(void)state;
	world_with_rows("maximal_queue_lifetime = 0\n");
	id = submit(1, "a@b", "defer@d");
	until(logged("dsn=5.4.7, status=bounced (delivery time expired: mailbox"
		     " full)"));
	until(w.wants > 0);
	world_bounce();
	until(w.report_count == 1);
	assert_string_equal(w.reports[0].to, "a@b");
	(void)snprintf(line, sizeof(line),
	    "limit maximal_queue_lifetime (0 ms) reached by message %" PRIu64
	    " to defer@d: given up",
	    id);
	assert_true(logged(line));
	assert_int_equal(atomic_load(&w.q->age_row->refused), 1);
	assert_int_equal(atomic_load(&w.q->null_age_row->refused), 0);
	world_close();
	limits_use(before);
}

static void
test_expired_report(void **state)
{
	struct limits_page *before = limits_current();

	(void)state;
	world_with_rows("bounce_queue_lifetime = 0\n");
	(void)submit(1, "", "defer@d");
	until(logged("limit bounce_queue_lifetime (0 ms) reached by message "));
	assert_int_equal(atomic_load(&w.q->age_row->refused), 0);
	assert_int_equal(atomic_load(&w.q->null_age_row->refused), 1);
	world_close();
	limits_use(before);
}

/* Who has a limit of his own is counted in a row of his own. */
static void
test_rows_of_transports(void **state)
{
	static const struct {
		const char *transport, *conf;
		enum sched_limit_which which;
		const char *parameter;
		int64_t limit;
	} rows[] = {
		{ "smtp", "", SCHED_LIMIT_WINDOW,
		    "default_destination_concurrency_limit", 20 },
		{ "local", "", SCHED_LIMIT_WINDOW,
		    "local_destination_concurrency_limit", 2 },
		{ "smtp", "smtp_destination_concurrency_limit = 7\n",
		    SCHED_LIMIT_WINDOW, "smtp_destination_concurrency_limit",
		    7 },
		{ "smtp", "", SCHED_LIMIT_RCPTS,
		    "default_destination_recipient_limit", 50 },
		{ "lmtp", "lmtp_destination_recipient_limit = 9\n",
		    SCHED_LIMIT_RCPTS, "lmtp_destination_recipient_limit", 9 },
		{ "relay", "initial_destination_concurrency = 3\n",
		    SCHED_LIMIT_INITIAL, "initial_destination_concurrency", 3 },
		{ "relay", "relay_initial_destination_concurrency = 4\n",
		    SCHED_LIMIT_INITIAL,
		    "relay_initial_destination_concurrency", 4 },
	};
	struct limits_page *before = limits_current();

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct sched_transport *t;
		const struct limit_row *row;

		world_with_rows(rows[i].conf);
		t = sched_transport_find(&w.q->sched,
		    slice_str(rows[i].transport));
		assert_non_null(t);
		row = t->rows[rows[i].which];
		assert_string_equal(row->parameter, rows[i].parameter);
		assert_int_equal(atomic_load(&row->limit), rows[i].limit);
		world_close();
	}
	limits_use(before);
}

static void
test_soft_bounce(void **state)
{
	uint64_t id;

	(void)state;
	world_open("soft_bounce = yes\n");
	id = submit(1, "a@b", "fail@d");
	until(logged("dsn=4.1.1, status=deferred (550 unknown)"));
	until(fake_flags(id) & STORE_TRIED);
	world_close();
}

/* The bounce and "bounced" of the original are one commit. */
static void
test_bounce(void **state)
{
	uint64_t id;
	unsigned commits;

	(void)state;
	world_open("");
	id = submit(1, "a@b.example", "fail@d,c@d");
	until(w.wants > 0);
	assert_int_equal(fake_rcpt(id, 0, NULL), STORE_FAILED);
	commits = fake.commits;
	world_bounce();
	until(fake_count() == 0);
	assert_int_equal(fake.commits, commits + 1);
	assert_int_equal(w.report_count, 1);
	assert_int_equal(w.reports[0].kind, REPORT_FAILED);
	assert_int_equal(w.reports[0].id, id);
	assert_int_equal(w.reports[0].rcpts, 1);
	assert_string_equal(w.reports[0].to, "a@b.example");
	assert_string_equal(w.reports[0].address, "fail@d");
	assert_string_equal(w.reports[0].dsn, "5.1.1");
	assert_string_equal(w.reports[0].text, "550 unknown");
	until(logged("1: removed") && logged("2: removed"));
	assert_true(logged("2: from=<>, size=10, nrcpt=1 (queue active)"));
	world_close();
}

/* A crash with a report owed: it is made afterwards, from the log. */
static void
test_bounce_after_crash(void **state)
{
	(void)state;
	world_open("");
	(void)submit(1, "a@b.example", "fail@d");
	until(w.wants > 0);
	world_restart(true);
	world_bounce();
	until(w.report_count == 1);
	assert_string_equal(w.reports[0].text, "550 unknown");
	until(fake_count() == 0);
	world_close();
}

static void
test_double_bounce(void **state)
{
	(void)state;
	world_open("myhostname = here\n");
	world_bounce();
	(void)submit(1, "fail@b.example", "fail@d");
	until(fake_count() == 0);
	assert_int_equal(w.report_count, 2);
	assert_int_equal(w.reports[1].kind, REPORT_DOUBLE);
	assert_string_equal(w.reports[1].to, "postmaster@here");
	world_close();
}

static void
test_triple_bounce(void **state)
{
	(void)state;
	world_open("doublebounceto = fail\ndoublebouncehost = d.example\n");
	world_bounce();
	(void)submit(1, "", "fail@d");
	until(fake_count() == 0);
	assert_int_equal(w.report_count, 1);
	assert_true(logged("2: discarding: a report to <fail@d.example>"));
	world_close();
}

static const struct {
	const char *why, *rcpt;
	unsigned reports;
	uint8_t kind;
} notifies[] = {
	{ "NOTIFY=NEVER", "fail@d/1", 0, 0 },
	{ "NOTIFY=SUCCESS says nothing of failure", "fail@d/2", 0, 0 },
	{ "NOTIFY=FAILURE", "fail@d/4", 1, REPORT_FAILED },
	{ "no NOTIFY, success", "c@d", 0, 0 },
	{ "NOTIFY=SUCCESS, the next hop knows no DSN", "c@d/2", 1,
	    REPORT_DELIVERED },
	{ "NOTIFY=SUCCESS, handed on", "dsn@d/2", 0, 0 },
};

static void
test_notify(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(notifies) / sizeof(notifies[0]); i++) {
		world_open("");
		world_bounce();
		(void)submit(1, "a@b", notifies[i].rcpt);
		until(fake_count() == 0);
		if (w.report_count != notifies[i].reports ||
		    (w.report_count > 0 &&
			w.reports[0].kind != notifies[i].kind))
			fail_msg("%s", notifies[i].why);
		world_close();
	}
}

/* An attempt set for next year, by a clock that was wrong, is made although
 * other mail is due before. */
static void
test_due_too_far(void **state)
{
	const int64_t year_ms = (int64_t)365 * 86400 * 1000;
	struct wall now = clock_system.wall(&clock_system);
	uint64_t near, far;

	(void)state;
	world_open("");
	near = submit(1, "a@b", "defer@d");
	far = submit(1, "a@b", "defer@d");
	until(fake_flags(near) & STORE_TRIED && fake_flags(far) & STORE_TRIED);
	now.ms += year_ms;
	until(w.q->active_count == 0);
	assert_int_equal(store_due_set(w.q->store, far, now), OK);
	until(fake_due(far) < now.ms);
	assert_in_range(fake_due(near), 1, (uint64_t)now.ms - 1);
	world_close();
}

static void
test_delay_warning(void **state)
{
	uint64_t id;

	(void)state;
	world_open("delay_warning_time = 1h\n");
	world_bounce();
	w.arrival_ms =
	    (uint64_t)clock_system.wall(&clock_system).ms - 3590 * 1000;
	id = submit(1, "a@b", "defer@d");
	until(fake_flags(id) & STORE_TRIED);
	assert_int_equal(w.report_count, 0); /* not old enough */
	w.arrival_ms -= 10 * 1000;
	id = submit(1, "a@b", "defer@d");
	until(fake_flags(id) & STORE_DELAY_WARNED);
	assert_int_equal(w.reports[0].kind, REPORT_DELAYED);
	assert_string_equal(w.reports[0].text, "mailbox full");
	assert_int_equal(fake_rcpt(id, 0, NULL), STORE_WAITING);
	queue_flush(w.q);
	until(w.smtp[0].job_count + w.smtp[1].job_count >= 4);
	turns(50);
	assert_int_equal(w.report_count, 1); /* once */
	world_close();
}

/* The role that composes dies at this message: in the end it gets it without
 * the original. */
static void
test_bounce_role_dies(void **state)
{
	(void)state;
	world_open("");
	world_bounce();
	w.bounce_mute = true;
	(void)submit(1, "a@b", "fail@d");
	until(w.report_count == 1);
	assert_int_equal(w.reports[0].extents, 1);
	for (unsigned i = 1; i < 3; i++) {
		chan_close(w.bounce);
		w.bounce = NULL;
		turns(5);
		w.bounce_mute = i < 2;
		world_bounce();
		until(w.report_count == i + 1);
	}
	assert_int_equal(w.reports[2].extents, 0);
	until(fake_count() == 0);
	world_close();
}

/* A bounce role that began a report and hangs gives its place back. */
static void
test_bounce_role_hangs(void **state)
{
	(void)state;
	world_open("");
	world_bounce();
	w.bounce_hangs = true;
	(void)submit(1, "a@b", "fail@d");
	until(w.q->txn_pool.in_use == 1 && w.q->report_slots[0].txn != NULL &&
	      w.q->report_slots[0].txn->state == TXN_BODY);
	w.q->report_slots[0].deadline.ms = 0;
	until(w.bads == 1);
	assert_int_equal(w.q->txn_pool.in_use, 0);
	w.bounce_hangs = false;
	world_bounce();
	until(fake_count() == 0);
	world_close();
}

static void
test_agent_dies(void **state)
{
	uint64_t id;

	(void)state;
	world_open("");
	w.jobs_hang = true;
	id = submit(1, "a@b", "c@d");
	until(w.smtp[0].job_count + w.smtp[1].job_count == 1);
	chan_close(w.smtp[0].chan);
	chan_close(w.smtp[1].chan);
	w.smtp[0].chan = w.smtp[1].chan = NULL;
	until(logged("status=deferred (delivery agent died)"));
	until(fake_flags(id) & STORE_TRIED);
	/* transport_retry_time, not the usual backoff */
	assert_in_range(fake_due(id) - clock_system.wall(&clock_system).ms,
	    50000, 61000);
	/* Without an agent nothing starts, and nothing is lost. */
	queue_flush(w.q);
	turns(200);
	w.jobs_hang = false;
	world_agents();
	until(fake_count() == 0);
	world_close();
}

static void
test_lookup_dies(void **state)
{
	(void)state;
	world_open("");
	w.lookup_mute = true;
	(void)submit(1, "a@b", "c@d");
	until(w.questions == 1);
	chan_close(w.lookup);
	w.lookup = NULL;
	turns(10);
	w.lookup_mute = false;
	world_lookup();
	until(fake_count() == 0);
	assert_int_equal(w.questions, 2);
	world_close();
}

/* A lookup that hangs: also those behind the questions that are open are
 * deferred in time, and it is replaced. */
static void
test_lookup_hangs(void **state)
{
	unsigned bads = w.bads;

	(void)state;
	world_open("");
	w.lookup_mute = true;
	for (uint32_t i = 1; i <= 100; i++)
		(void)submit(i % 8, "a@b", "c@d");
	until(w.questions == 64);
	w.q->route_moved.ms -= 59000;
	route_tick(w.q);
	turns(10);
	assert_false(logged("address lookup timed out"));
	w.q->route_moved.ms -= 1000;
	route_tick(w.q);
	until(fake_count() == 100 && w.bads > bads);
	assert_true(list_empty(&w.q->routing));
	assert_true(logged("status=deferred (address lookup timed out)"));
	w.lookup_mute = false;
	world_lookup();
	queue_flush(w.q);
	until(fake_count() == 0);
	world_close();
}

/* It answers, but so slowly that some would wait too long for their turn. */
static void
test_lookup_is_slow(void **state)
{
	(void)state;
	world_open("");
	w.lookup_mute = true;
	for (uint32_t i = 1; i <= 70; i++)
		(void)submit(i % 8, "a@b", "c@d");
	until(w.questions == 64);
	CONTAINER(list_first(&w.q->routing), struct rcpt, sched.node)
	    ->msg->routing_since.ms -= 300000;
	route_tick(w.q);
	until(logged("status=deferred (address lookup timed out)"));
	assert_false(list_empty(&w.q->routing));
	world_close();
}

/* A clean stop in the middle: all goes on at once afterwards. */
static void
test_restart(void **state)
{
	(void)state;
	world_open("");
	w.lookup_mute = true;
	(void)submit(1, "a@b", "c@d,e@f");
	until(w.questions == 2);
	w.lookup_mute = false;
	w.jobs_hang = true;
	world_restart(false);
	until(w.smtp[0].job_count + w.smtp[1].job_count == 2);
	w.jobs_hang = false;
	world_restart(false);
	/* What ran at the stop: transport_retry_time. */
	assert_true(logged("status=deferred (interrupted by a stop)"));
	queue_flush(w.q);
	until(fake_count() == 0);
	world_close();
}

static void
test_batch_full(void **state)
{
	(void)state;
	world_open("");
	open_txn(1, "a@b", "c@d");
	until(w.txns[1].ready);
	fake.batch_full = true;
	send_body(1, 4000);
	send_body(1, 3000);
	commit_txn(1, 7000);
	turns(20);
	assert_int_equal(fake.commits, 0);
	fake_room();
	until(w.txns[1].done);
	assert_int_equal(w.txns[1].done_error, OK);
	until(fake_count() == 0);
	/* Results wait, too. */
	w.jobs_hang = true;
	(void)submit(2, "a@b", "c@d");
	until(w.smtp[0].job_count + w.smtp[1].job_count == 2);
	fake.batch_full = true;
	answer_job(&w.smtp[0], &w.smtp[0].jobs[0]);
	turns(20);
	fake_room();
	world_close();
}

static void
test_credit(void **state)
{
	(void)state;
	world_open("");
	open_txn(1, "a@b", "c@d");
	until(w.txns[1].ready);
	assert_int_equal(w.txns[1].credit, 65536);
	for (unsigned i = 0; i < 40; i++) {
		until(w.txns[1].credit >= (i + 1) * 4096);
		send_body(1, 4096);
	}
	commit_txn(1, 40 * 4096);
	until(w.txns[1].done && fake_count() == 0);
	/* More than was invited: the peer is at fault. */
	fake.batch_full = false;
	open_txn(2, "a@b", "c@d");
	until(w.txns[2].ready);
	fake.batch_full = true;
	send_body(2, 40000);
	send_body(2, 40000);
	until(w.bads == 1);
	assert_string_equal(w.bad_why, "TXN_BODY");
	world_close();
}

static void
test_no_space(void **state)
{
	(void)state;
	world_open("");
	fake.no_space = true;
	open_txn(1, "a@b", "c@d");
	until(w.txns[1].ready);
	assert_int_equal(w.txns[1].ready_error, ERR_NOSPACE);
	until(w.state_error == ERR_NOSPACE);
	fake.no_space = false;
	until(w.state_error == OK); /* looked at each second */
	(void)submit(2, "a@b", "c@d");
	world_close();
}

/* Asked for with the commit, granted after DONE, used without another READY. */
static void
test_ahead(void **state)
{
	struct fr_txn_commit commit = { .body_bytes = 10, .ahead = 2 };
	struct fr_txn_abort no = { 0 };

	(void)state;
	world_open("");
	open_txn(1, "a@b", "c@d");
	until(w.txns[1].ready);
	assert_int_equal(w.q->ahead_count, 0);
	send_body(1, 10);
	assert_int_equal(send_txn_commit(w.smtpd, 1, &commit, -1), OK);
	until(w.txns[2].ready);
	assert_true(w.txns[1].done);
	assert_int_equal(w.txns[2].ready_error, OK);
	assert_int_equal(w.q->ahead_count, 1);

	w.txns[2].ready = false;
	open_txn(2, "a@b", "c@d,e@f");
	send_body(2, 10);
	commit.ahead = 3;
	assert_int_equal(send_txn_commit(w.smtpd, 2, &commit, -1), OK);
	until(w.txns[3].ready);
	assert_true(w.txns[2].done);
	assert_false(w.txns[2].ready);
	assert_int_equal(w.txns[2].done_error, OK);

	/* Given back unused. */
	assert_int_equal(send_txn_abort(w.smtpd, 3, &no, -1), OK);
	until(w.q->ahead_count == 0);
	until(w.q->txn_pool.in_use == 0);

	/* Nothing is granted when something is short. */
	open_txn(4, "a@b", "c@d");
	until(w.txns[4].ready);
	send_body(4, 10);
	fake.no_space = true;
	commit.ahead = 5;
	assert_int_equal(send_txn_commit(w.smtpd, 4, &commit, -1), OK);
	until(w.txns[5].ready);
	assert_int_equal(w.txns[5].ready_error, ERR_FULL);
	assert_int_equal(w.q->ahead_count, 0);
	fake.no_space = false;

	/* One that is granted goes with its channel. */
	open_txn(6, "a@b", "c@d");
	until(w.txns[6].ready);
	send_body(6, 10);
	commit.ahead = 7;
	assert_int_equal(send_txn_commit(w.smtpd, 6, &commit, -1), OK);
	until(w.txns[7].ready);
	assert_int_equal(w.q->ahead_count, 1);
	chan_close(w.smtpd);
	w.smtpd = NULL;
	until(w.q->ahead_count == 0);
	world_close();
}

static void
test_poisoned(void **state)
{
	(void)state;
	world_open("");
	open_txn(1, "a@b", "c@d");
	until(w.txns[1].ready);
	send_body(1, 10);
	fake_poison();
	commit_txn(1, 10);
	until(w.txns[1].done);
	assert_int_equal(w.txns[1].done_error, ERR_IO);
	assert_int_equal(w.deaths, 1);
	world_restart(true);
	assert_int_equal(fake_count(), 0);
	world_close();
}

static void
test_smtpd_goes(void **state)
{
	(void)state;
	world_open("");
	open_txn(1, "a@b", "c@d");
	open_txn(2, "a@b", "c@d");
	until(w.txns[1].ready && w.txns[2].ready);
	send_body(2, 10);
	fake.hold_sync = true;
	commit_txn(2, 10);
	until(fake.commits == 1);
	chan_close(w.smtpd);
	w.smtpd = NULL;
	turns(10);
	fake.hold_sync = false;
	until(logged("removed")); /* it was committed: it is delivered */
	world_close();
}

static void
test_malformed(void **state)
{
	struct fr_txn_open open = { .rcpt_count = 1,
		.envelope = SLICE_LIT("junk") };

	(void)state;
	world_open("");
	assert_int_equal(send_txn_open(w.smtpd, 1, &open, -1), OK);
	until(w.bads == 1);
	assert_string_equal(w.bad_why, "an envelope that does not decode");
	until(w.smtpd == NULL); /* its channel is closed, the queue lives */
	assert_int_equal(w.deaths, 0);
	world_close();
}

static void
test_drain(void **state)
{
	(void)state;
	world_open("");
	w.jobs_hang = true;
	(void)submit(1, "a@b", "c@d");
	until(w.smtp[0].job_count + w.smtp[1].job_count == 1);
	queue_drain(w.q, 5000);
	open_txn(2, "a@b", "c@d");
	until(w.txns[2].ready);
	assert_int_equal(w.txns[2].ready_error, ERR_AGAIN);
	turns(50);
	assert_int_equal(w.drained, 0);
	if (w.smtp[0].job_count > 0)
		answer_job(&w.smtp[0], &w.smtp[0].jobs[0]);
	else
		answer_job(&w.smtp[1], &w.smtp[1].jobs[0]);
	until(w.drained == 1);
	queue_close(w.q);
	w.q = NULL;
	assert_int_equal(fake_count(), 0);
	world_close();
}

/* One place in the active set: the others wait on disk, none is lost. */
static void
test_active_limit(void **state)
{
	(void)state;
	world_open("qmgr_message_active_limit = 1\n"
		   "qmgr_message_recipient_limit = 1\n");
	w.jobs_hang = true;
	(void)submit(1, "a@b", "c@d");
	(void)submit(2, "a@b", "c@e,c@f,c@g");
	(void)submit(3, "a@b", "c@h");
	turns(100);
	assert_int_equal(w.smtp[0].job_count + w.smtp[1].job_count, 1);
	w.jobs_hang = false;
	for (unsigned a = 0; a < 2; a++)
		if (w.smtp[a].job_count > 0)
			answer_job(&w.smtp[a], &w.smtp[a].jobs[0]);
	until(fake_count() == 0);
	assert_int_equal(w.smtp[0].job_count + w.smtp[1].job_count, 5);
	world_close();
}

static unsigned
jobs_begun(void)
{
	return w.smtp[0].job_count + w.smtp[1].job_count;
}

static const struct {
	const char *why, *conf;
	unsigned count, rcpts; /* of messages, of each's recipients */
	int64_t memory;	       /* in bytes; 0: as it comes */
	unsigned loaded;       /* messages, at most */
} shares[] = {
	{ "places", "qmgr_message_active_limit = 4\n", 10, 1, 0, 2 },
	{ "an odd number", "qmgr_message_active_limit = 5\n", 10, 1, 0, 3 },
	{ "recipients", "qmgr_message_recipient_limit = 8\n", 10, 2, 0, 2 },
	{ "memory", "", 40, 8, MSG_RESERVE_BYTES + (64 << 10), 20 },
};

/* However much deferred mail is due, new mail finds room. */
static void
test_new_beside_deferred(void **state)
{
	static char rcpts[400];

	(void)state;
	for (unsigned i = 0; i < sizeof(shares) / sizeof(shares[0]); i++) {
		unsigned begun;
		size_t at = 0;

		print_message("%s\n", shares[i].why);
		world_open(shares[i].conf);
		for (unsigned n = 0; n < shares[i].rcpts; n++)
			at += (size_t)snprintf(rcpts + at, sizeof(rcpts) - at,
			    "%sdefer%u@d.example", n > 0 ? "," : "", n);
		for (uint32_t m = 1; m <= shares[i].count; m++) {
			uint64_t id = submit(m, "a@b", rcpts);

			until(fake_flags(id) & STORE_TRIED);
		}
		turns(20);
		if (shares[i].memory > 0) {
			acct_set_max(&w.q->msg_acct,
			    w.q->msg_acct.used_bytes + shares[i].memory);
			acct_set_max(&w.q->deferred_acct, 32 << 10);
		}
		w.jobs_hang = true;
		begun = jobs_begun();
		queue_flush(w.q);
		until(w.q->deferred_count > 0 && w.q->starved);
		turns(100);
		assert_in_range(w.q->active_count, 1, shares[i].loaded);
		assert_true(jobs_begun() > begun);
		begun = jobs_begun();
		(void)submit(50, "a@b", "c@new.example");
		until(jobs_begun() > begun);
		world_close();
	}
}

/* Much comes for a next hop that says nothing: mail for others has a place in
 * memory all the same, and that which has none is not given up or told. */
static void
test_silent_beside_others(void **state)
{
	uint64_t id = 0;
	unsigned begun;

	(void)state;
	world_open("qmgr_message_active_limit = 20\n");
	w.jobs_hang = true;
	for (uint32_t m = 1; m <= 60; m++)
		id = submit(m, "a@b", "c@silent.example");
	turns(20);
	/* Those of its window, and half of the places. */
	assert_in_range(jobs_begun(), 1, 5);
	assert_in_range(w.q->active_count, 6, 5 + 10);
	assert_int_equal(fake_flags(id) & STORE_TRIED, 0);
	begun = jobs_begun();
	(void)submit(100, "a@b", "c@new.example");
	turns(5);
	assert_int_equal(jobs_begun(), begun + 1);
	world_close();
}

/* The most recipients that were in memory. */
static int64_t
rcpts_peak(void)
{
	struct limits_page *page = limits_current();

	for (unsigned i = 0; i < page->row_count; i++)
		if (strcmp(page->rows[i].name, "recipients") == 0)
			return page->rows[i].high_water;
	fail();
	return 0;
}

/* The next part of a message waits until others have left it room. */
static void
test_part_room(void **state)
{
	static struct limits_page page = { .magic = LIMITS_MAGIC,
		.version = LIMITS_VERSION };

	(void)state;
	limits_use(&page);
	world_open("qmgr_message_recipient_limit = 1\n");
	w.jobs_hang = true;
	(void)submit(1, "a@b", "c@e,c@f");
	until(w.smtp[0].job_count + w.smtp[1].job_count == 1);
	fake.again = 1;
	fake.hold_sync = true;
	answer_job(&w.smtp[w.smtp[0].job_count == 0],
	    &w.smtp[w.smtp[0].job_count == 0].jobs[0]);
	until(fake.again == 0);
	open_txn(2, "a@b", "c@g"); /* takes the place */
	until(w.txns[2].ready);
	send_body(2, 100);
	commit_txn(2, 100);
	turns(20);
	fake.hold_sync = false;
	until(w.txns[2].done);
	turns(100);
	assert_int_equal(rcpts_peak(), 1);
	assert_int_equal(w.smtp[0].job_count + w.smtp[1].job_count, 2);
	w.jobs_hang = false;
	for (unsigned a = 0; a < 2; a++)
		for (unsigned i = 0; i < w.smtp[a].job_count; i++)
			if (!w.smtp[a].jobs[i].answered)
				answer_job(&w.smtp[a], &w.smtp[a].jobs[i]);
	until(fake_count() == 0);
	assert_int_equal(w.smtp[0].job_count + w.smtp[1].job_count, 3);
	world_close();
}

/* Rows that are too old, and recipients that are not on disk yet. */
static void
test_load_again(void **state)
{
	uint64_t id;

	(void)state;
	world_open("qmgr_message_active_limit = 2\n"
		   "qmgr_message_recipient_limit = 2\n");
	w.jobs_hang = true;
	id = submit(1, "a@b", "defer@d,c@e,c@f,c@g,c@h");
	until(w.smtp[0].job_count + w.smtp[1].job_count == 2);
	w.jobs_hang = false;
	fake.again = 3;
	for (unsigned a = 0; a < 2; a++)
		for (unsigned i = w.smtp[a].job_count; i-- > 0;)
			answer_job(&w.smtp[a], &w.smtp[a].jobs[i]);
	until(fake_rcpt(id, 4, NULL) == STORE_DONE);
	until(fake_flags(id) & STORE_TRIED);
	assert_int_equal(fake.again, 0);
	turns(5);
	fake.again = 3;
	queue_flush(w.q);
	until(w.smtp[0].job_count + w.smtp[1].job_count == 6);
	assert_int_equal(fake.again, 0);
	world_close();
}

/* A short answer of the store is no reason to wait for the next run. */
static void
test_load_short_pages(void **state)
{
	unsigned runs;

	(void)state;
	world_open("");
	for (uint32_t i = 1; i <= 3; i++) {
		uint64_t id = submit(i, "a@b", "defer@d");

		until(fake_flags(id) & STORE_TRIED);
	}
	turns(20);
	fake.page_max = 1;
	runs = fake.runs;
	queue_flush(w.q);
	until(w.smtp[0].job_count + w.smtp[1].job_count == 6);
	assert_true(fake.runs <= runs + 1);
	world_close();
}

/* However much new mail there is, what is deferred is asked for in between. */
static void
test_load_in_turn(void **state)
{
	(void)state;
	world_open("qmgr_message_active_limit = 2\n");
	w.jobs_hang = true;
	for (uint32_t i = 1; i <= 8; i++)
		(void)submit(i, "a@b", "c@d");
	fake.page_max = 1;
	fake.fresh_row_max = 0;
	w.jobs_hang = false;
	for (unsigned a = 0; a < 2; a++)
		for (unsigned i = w.smtp[a].job_count; i-- > 0;)
			answer_job(&w.smtp[a], &w.smtp[a].jobs[i]);
	until(fake_count() == 0);
	assert_int_equal(fake.fresh_row_max, 1);
	world_close();
}

/* Recipients that are too much to be read at once are read in parts. */
static void
test_load_large(void **state)
{
	uint64_t id;

	(void)state;
	world_open("");
	id = submit(1, "a@b", "defer@d,defer2@d,defer3@d,defer4@d,defer5@d");
	until(fake_flags(id) & STORE_TRIED);
	turns(5);
	fake.load_max = 2;
	queue_flush(w.q);
	until(w.smtp[0].job_count + w.smtp[1].job_count == 1 + 3);
	world_close();
}

/* A stored recipient that does not decode is not passed over: the message is
 * set aside; in a later part it stays until that part is the first. */
static void
test_load_spoilt(void **state)
{
	uint64_t id;

	(void)state;
	world_open("");
	id = submit(1, "a@b", "defer@d,defer2@d,defer3@d,defer4@d");
	until(fake_flags(id) & STORE_TRIED);
	turns(5);
	fake.spoilt = 4;
	fake.load_max = 2;
	queue_flush(w.q);
	until(logged("recipient 3 does not decode"));
	turns(20);
	assert_int_equal(fake_rcpt(id, 3, NULL), STORE_WAITING);
	assert_int_equal(fake.aside, 0);
	fake.load_max = 0;
	queue_flush(w.q);
	until(fake.aside == id);
	assert_int_equal(fake_count(), 0);
	world_close();
}

/* No room for the result of a delivery: it waits, nothing is done twice. */
static void
test_log_full(void **state)
{
	(void)state;
	world_open("");
	fake.log_full = true;
	(void)submit(1, "a@b", "c@d");
	until(logged("status=sent"));
	turns(50);
	assert_int_equal(w.deaths, 0);
	assert_int_equal(fake_count(), 1);
	fake.log_full = false;
	fake_room();
	until(fake_count() == 0);
	assert_int_equal(w.smtp[0].job_count + w.smtp[1].job_count, 1);
	world_close();
}

static void
test_reload(void **state)
{
	(void)state;
	world_open("");
	world_reload("concurrency_remote = 0\n");
	(void)submit(1, "a@b", "c@d");
	turns(50);
	assert_int_equal(w.smtp[0].job_count + w.smtp[1].job_count, 0);
	world_reload("soft_bounce = yes\n");
	until(fake_count() == 0);
	(void)submit(2, "a@b", "fail@d");
	until(logged("dsn=4.1.1, status=deferred (550 unknown)"));
	world_close();
}

static void
test_defer_transports(void **state)
{
	(void)state;
	world_open("defer_transports = smtp\n");
	(void)submit(1, "a@b", "c@d");
	until(logged("status=deferred (deferred transport)"));
	world_close();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_relay), cmocka_unit_test(test_local),
		cmocka_unit_test(test_verp), cmocka_unit_test(test_alias),
		cmocka_unit_test(test_durable_first),
		cmocka_unit_test(test_crash), cmocka_unit_test(test_verdicts),
		cmocka_unit_test(test_retry), cmocka_unit_test(test_expired),
		cmocka_unit_test(test_expired_report),
		cmocka_unit_test(test_rows_of_transports),
		cmocka_unit_test(test_flush_spread),
		cmocka_unit_test(test_soft_bounce),
		cmocka_unit_test(test_bounce),
		cmocka_unit_test(test_bounce_after_crash),
		cmocka_unit_test(test_double_bounce),
		cmocka_unit_test(test_triple_bounce),
		cmocka_unit_test(test_notify),
		cmocka_unit_test(test_due_too_far),
		cmocka_unit_test(test_delay_warning),
		cmocka_unit_test(test_bounce_role_dies),
		cmocka_unit_test(test_bounce_role_hangs),
		cmocka_unit_test(test_agent_dies),
		cmocka_unit_test(test_lookup_dies),
		cmocka_unit_test(test_lookup_hangs),
		cmocka_unit_test(test_lookup_is_slow),
		cmocka_unit_test(test_restart),
		cmocka_unit_test(test_batch_full),
		cmocka_unit_test(test_credit), cmocka_unit_test(test_no_space),
		cmocka_unit_test(test_poisoned), cmocka_unit_test(test_ahead),
		cmocka_unit_test(test_smtpd_goes),
		cmocka_unit_test(test_malformed), cmocka_unit_test(test_drain),
		cmocka_unit_test(test_active_limit),
		cmocka_unit_test(test_new_beside_deferred),
		cmocka_unit_test(test_silent_beside_others),
		cmocka_unit_test(test_part_room),
		cmocka_unit_test(test_load_again),
		cmocka_unit_test(test_load_short_pages),
		cmocka_unit_test(test_load_in_turn),
		cmocka_unit_test(test_load_large),
		cmocka_unit_test(test_load_spoilt),
		cmocka_unit_test(test_log_full), cmocka_unit_test(test_reload),
		cmocka_unit_test(test_defer_transports),
		cmocka_unit_test(test_qmail_lines), /* the last: log_open */
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
