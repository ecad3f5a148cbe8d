/*
 * The scheduler with a virtual clock: a world of messages whose deliveries
 * take a fixed time, run to the end, and the order of the starts is looked
 * at.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/gate.h"
#include "base/limits.h"
#include "queue/dest.h"
#include "queue/sched.h"

enum { RCPTS = 10100, MSGS = 300, JOBS = 64, DEADLINE_MS = 1000000 };

struct rcpt {
	struct sched_rcpt sched;
	unsigned msg;
};

struct job {
	struct sched_job sched;
	struct list_node node; /* in flight, oldest first */
	struct mono end;
	bool fails;
};

static struct world {
	struct acct acct;
	struct gate local, remote;
	struct sched s;
	struct mono now;
	struct sched_msg msgs[MSGS];
	struct rcpt rcpts[RCPTS];
	unsigned rcpt_count;
	struct job jobs[JOBS];
	struct list in_flight, idle_jobs;
	/* What was started, in order. */
	struct {
		unsigned msg, rcpts;
		int64_t at_ms;
	} started[RCPTS];
	unsigned started_count;
	unsigned running, running_peak;
	const char *broken; /* next hop that cannot be reached */
	int64_t again_ms;   /* what was refused last comes back so soon */
} w;

/* What each limit counted in this world; the page has no room for rows of so
 * many. */
static struct limit_row counted[SCHED_LIMIT_COUNT], dead_counted;

static int64_t
waits(enum sched_limit_which which)
{
	return atomic_load(&counted[which].waited);
}

static void
transport(const char *name, enum sched_class class, unsigned window,
    unsigned rcpts)
{
	struct sched_transport t = { .class = class,
		.window_initial = 5,
		.window_max = window,
		.rcpts_max = rcpts };

	for (unsigned i = 0; i < SCHED_LIMIT_COUNT; i++)
		t.rows[i] = &counted[i];
	snprintf(t.name, sizeof(t.name), "%s", name);
	assert_int_equal(sched_transport_set(&w.s, &t), OK);
}

static void
world(unsigned local, unsigned remote, unsigned rcpts_max)
{
	struct sched_conf conf = { .msgs_max = 100,
		.rcpts_max = rcpts_max,
		.dead_ms = 300000 };

	memset(&w, 0, sizeof(w));
	memset(counted, 0, sizeof(counted));
	memset(&dead_counted, 0, sizeof(dead_counted));
	w.now.ms = 1;
	list_init(&w.in_flight);
	list_init(&w.idle_jobs);
	for (unsigned i = 0; i < JOBS; i++)
		list_push_back(&w.idle_jobs, &w.jobs[i].node);
	acct_init(&w.acct, NULL, "test", 64 << 20, false, "");
	gate_init(&w.local, "local", "concurrency_local", local,
	    sched_reserved(local));
	gate_init(&w.remote, "remote", "concurrency_remote", remote,
	    sched_reserved(remote));
	assert_int_equal(sched_init(&w.s, &w.acct, &conf, &w.local, &w.remote),
	    OK);
	w.s.dead_row = &dead_counted;
	transport("smtp", SCHED_REMOTE, 20, 50);
	transport("local", SCHED_LOCAL, 2, 1);
	for (unsigned i = 0; i < MSGS; i++)
		sched_msg_init(&w.msgs[i], false);
}

static void
world_end(void)
{
	for (unsigned i = 0; i < w.rcpt_count; i++)
		sched_remove(&w.s, &w.rcpts[i].sched);
	while (!list_empty(&w.in_flight)) {
		struct list_node *n = list_pop_front(&w.in_flight);
		struct job *j = CONTAINER(n, struct job, node);

		sched_done(&w.s, &j->sched, SITE_OK, SLICE_NONE, w.now);
	}
	assert_int_equal(w.local.in_use, 0);
	assert_int_equal(w.remote.in_use, 0);
	sched_fini(&w.s);
	acct_fini(&w.acct); /* nothing is left */
}

static enum err
add(unsigned msg, const char *t, const char *nexthop, struct slice *reason)
{
	struct rcpt *r = &w.rcpts[w.rcpt_count];
	struct sched_refusal why = { .reason = SLICE_NONE };
	enum err e;

	assert_true(w.rcpt_count < RCPTS);
	r->msg = msg;
	e = sched_add(&w.s, &w.msgs[msg], &r->sched, slice_str(t),
	    slice_str(nexthop), w.now, &why);
	if (e == OK)
		w.rcpt_count++;
	*reason = why.reason;
	w.again_ms = why.again_ms;
	return e;
}

static void
add_ok(unsigned msg, const char *t, const char *nexthop)
{
	struct slice reason;

	assert_int_equal(add(msg, t, nexthop, &reason), OK);
}

/* Every invariant that can be seen from outside. */
static void
check(void)
{
	assert_true(w.local.in_use <= w.local.limit);
	assert_true(w.remote.in_use <= w.remote.limit);
	for (uint32_t b = 0; b < w.s.dests.bucket_count; b++)
		for (struct hash_node *n = w.s.dests.buckets[b]; n != NULL;
		     n = n->next) {
			struct sched_dest *d =
			    CONTAINER(n, struct sched_dest, node);

			assert_true(d->dead || list_empty(&d->blocked) ||
				    !dest_has_room(d));
		}
}

/* Start all that can start; each delivery takes ms. */
static void
start_all(int64_t ms)
{
	for (;;) {
		struct list_node *n = list_first(&w.idle_jobs);
		struct job *j = CONTAINER(n, struct job, node);

		assert_non_null(n);
		if (!sched_next(&w.s, w.now, mono_add(w.now, DEADLINE_MS),
			&j->sched))
			break;
		list_remove(n);
		list_push_back(&w.in_flight, n);
		j->end = mono_add(w.now, ms);
		j->fails = w.broken != NULL &&
			   slice_eq(slice_of(j->sched.dest->nexthop,
					j->sched.dest->nexthop_len),
			       slice_str(w.broken));
		w.started[w.started_count].msg =
		    (unsigned)(j->sched.msg - w.msgs);
		w.started[w.started_count].rcpts = j->sched.rcpt_count;
		w.started[w.started_count++].at_ms = w.now.ms;
		if (++w.running > w.running_peak)
			w.running_peak = w.running;
	}
	check();
}

/* The oldest delivery ends. */
static bool
end_one(void)
{
	struct list_node *n = list_pop_front(&w.in_flight);
	struct job *j;

	if (n == NULL)
		return false;
	j = CONTAINER(n, struct job, node);
	if (mono_sub(j->end, w.now) > 0)
		w.now = j->end;
	w.running--;
	sched_done(&w.s, &j->sched, j->fails ? SITE_FAILED : SITE_OK,
	    SLICE_LIT("connect: refused"), w.now);
	list_push_back(&w.idle_jobs, n);
	return true;
}

static void
run(int64_t ms)
{
	start_all(ms);
	while (end_one())
		start_all(ms);
}

/* Deliveries of message a that started after start number from and before
 * the first one of message b; -1: b never started. */
static int
started_before(unsigned from, unsigned a, unsigned b)
{
	int count = 0;

	for (unsigned i = from; i < w.started_count; i++) {
		if (w.started[i].msg == b)
			return count;
		count += w.started[i].msg == a;
	}
	return -1;
}

static void
test_one(void **state)
{
	(void)state;
	world(10, 20, 100);
	add_ok(0, "smtp", "example.com");
	run(10);
	assert_int_equal(w.started_count, 1);
	assert_int_equal(w.started[0].rcpts, 1);
	assert_int_equal(w.msgs[0].waiting, 0);
	assert_int_equal(w.s.dests.count, 0); /* forgotten */
	world_end();
}

/* A list of 10,000 and a single message that comes behind it. */
static const struct {
	const char *why;
	unsigned domains;   /* of the list */
	const char *single; /* next hop of the single message */
	unsigned remote, window;
	unsigned begun; /* deliveries over when the single one comes */
} lists[] = {
	{ "one domain, at once", 1, "d0", 20, 20, 0 },
	{ "one domain, in the middle", 1, "d0", 20, 20, 70 },
	{ "one domain, other domain", 1, "other", 20, 20, 3 },
	{ "10,000 domains, its own", 10000, "other", 20, 20, 0 },
	{ "10,000 domains, in the middle", 10000, "other", 20, 20, 5000 },
	{ "10,000 domains, one of them, served early", 10000, "d1", 20, 20, 0 },
	{ "10,000 domains, one of them, served late", 10000, "d9999", 20, 20,
	    10 },
	{ "no more than one at a time, one domain", 1, "d0", 1, 20, 10 },
	{ "one at a time, many domains", 10000, "d9999", 1, 20, 10 },
	{ "windows of one, many domains", 10000, "d9999", 20, 1, 10 },
	{ "windows of one, one domain", 1, "d0", 20, 1, 10 },
	{ "windows of two, two domains", 2, "d1", 3, 2, 10 },
};

static void
test_list_delays_single(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
		unsigned from;
		int before;

		world(10, lists[i].remote, RCPTS);
		transport("smtp", SCHED_REMOTE, lists[i].window, 50);
		for (unsigned r = 0; r < 10000; r++) {
			char name[16];

			snprintf(name, sizeof(name), "d%u",
			    r % lists[i].domains);
			add_ok(0, "smtp", name);
		}
		start_all(10);
		for (unsigned k = 0; k < lists[i].begun; k++) {
			assert_true(end_one());
			start_all(10);
		}
		from = w.started_count;
		add_ok(1, "smtp", lists[i].single);
		run(10);
		before = started_before(from, 0, 1);
		if (before < 0 || before > 1)
			fail_msg("%s: %d deliveries of the list before it",
			    lists[i].why, before);
		assert_int_equal(w.msgs[0].waiting, 0);
		world_end();
	}
}

/* Lists that share a domain with the single message do not hold its window
 * with deliveries that they do not start. */
static void
test_many_lists(void **state)
{
	unsigned from;

	(void)state;
	world(10, 2, RCPTS);
	transport("smtp", SCHED_REMOTE, 5, 50);
	for (unsigned m = 0; m < 10; m++)
		for (unsigned r = 0; r < 1000; r++) {
			char name[16];

			snprintf(name, sizeof(name), "d%u", r);
			add_ok(m, "smtp", name);
		}
	start_all(10);
	from = w.started_count;
	add_ok(10, "smtp", "d999");
	run(10);
	for (unsigned m = 0; m < 10; m++)
		assert_in_range(started_before(from, m, 10), 0, 1);
	world_end();
}

/* Both lists get the same share, whatever their number of domains. */
static void
test_two_lists(void **state)
{
	unsigned count[2] = { 0 };

	(void)state;
	world(10, 20, RCPTS);
	transport("smtp", SCHED_REMOTE, 20, 10);
	for (unsigned r = 0; r < 5000; r++) {
		char name[16];

		snprintf(name, sizeof(name), "d%u", r);
		add_ok(0, "smtp", name);
		add_ok(1, "smtp", "one");
	}
	run(10);
	/* Once the window of "one" has grown. */
	for (unsigned i = 300; i < 450; i++)
		count[w.started[i].msg]++;
	assert_in_range(count[1], 70, 80);
	world_end();
}

static void
test_recipient_limit(void **state)
{
	static const struct {
		unsigned rcpts, limit, deliveries, last, splits;
	} rows[] = {
		{ 49, 50, 1, 49, 0 },
		{ 50, 50, 1, 50, 0 },
		{ 51, 50, 2, 1, 1 },
		{ 3, 1, 3, 1, 2 },
		{ 100, 50, 2, 50, 1 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		world(10, 20, 1000);
		transport("smtp", SCHED_REMOTE, 20, rows[i].limit);
		for (unsigned r = 0; r < rows[i].rcpts; r++)
			add_ok(0, "smtp", "x");
		run(1);
		assert_int_equal(w.started_count, rows[i].deliveries);
		assert_int_equal(w.started[w.started_count - 1].rcpts,
		    rows[i].last);
		assert_int_equal(waits(SCHED_LIMIT_RCPTS), rows[i].splits);
		world_end();
	}
}

static void
test_gate(void **state)
{
	static const struct {
		unsigned limit, messages, peak;
	} rows[] = {
		{ 20, 19, 19 },
		{ 20, 20, 20 },
		{ 20, 21, 20 },
		{ 1, 5, 1 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		world(10, rows[i].limit, 1000);
		for (unsigned m = 0; m < rows[i].messages; m++) {
			char name[16];

			snprintf(name, sizeof(name), "d%u", m);
			add_ok(m, "smtp", name);
		}
		run(1);
		assert_int_equal(w.running_peak, rows[i].peak);
		assert_int_equal(w.started_count, rows[i].messages);
		world_end();
	}
	/* 0: held. */
	world(0, 20, 10);
	add_ok(0, "local", "u");
	start_all(1);
	assert_int_equal(w.started_count, 0);
	gate_set_limit(&w.local, 1, 0);
	run(1);
	assert_int_equal(w.started_count, 1);
	world_end();
}

/* The window of a destination bounds what runs there: limit -1, 0, +1. */
static void
test_destination_limit(void **state)
{
	static const struct {
		const char *transport;
		unsigned messages, peak, at_limit, below;
	} rows[] = {
		{ "local", 1, 1, 0, 0 },
		{ "local", 2, 2, 0, 0 },
		{ "local", 3, 2, 1, 0 },
		/* Its window begins with 5 and may have 20. */
		{ "smtp", 4, 4, 0, 0 },
		{ "smtp", 5, 5, 0, 0 },
		{ "smtp", 6, 5, 0, 1 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		world(10, 20, 100);
		for (unsigned m = 0; m < rows[i].messages; m++)
			add_ok(m, rows[i].transport, "user@here");
		run(1);
		assert_int_equal(w.running_peak, rows[i].peak);
		assert_int_equal(w.started_count, rows[i].messages);
		assert_int_equal(waits(SCHED_LIMIT_WINDOW), rows[i].at_limit);
		assert_int_equal(waits(SCHED_LIMIT_INITIAL), rows[i].below);
		world_end();
	}
}

/* The delivery that started last is written: what waits has its slots. */
static void
written_last(void)
{
	struct list_node *n = w.in_flight.head.prev;

	sched_written(&w.s, &CONTAINER(n, struct job, node)->sched);
}

/* What waits for the disk alone keeps no slot, of the gate nor of the
 * destination; it is over once all the same. */
static void
test_written(void **state)
{
	static const struct {
		const char *why;
		unsigned gate, window;
	} rows[] = {
		{ "the gate is full", 3, 5 },
		{ "the destination is full", 10, 3 },
		{ "both are", 3, 3 },
	};

	(void)state;
	for (size_t k = 0; k < sizeof(rows) / sizeof(rows[0]); k++) {
		print_message("%s\n", rows[k].why);
		world(rows[k].gate, 20, 100);
		transport("local", SCHED_LOCAL, rows[k].window, 1);
		for (unsigned i = 0; i < 20; i++)
			add_ok(i, "local", "joe");
		start_all(10);
		assert_int_equal(w.started_count, 3);
		for (unsigned i = 4; i < 20; i++) {
			written_last();
			written_last(); /* says nothing new */
			assert_int_equal(w.local.in_use, 2);
			start_all(10);
			assert_int_equal(w.local.in_use, 3);
			assert_int_equal(w.started_count, i);
		}
		while (end_one())
			start_all(10);
		assert_int_equal(w.started_count, 20);
		assert_int_equal(w.s.dests.count, 0);
		world_end();
	}
}

static void
test_window_grows(void **state)
{
	(void)state;
	world(10, 40, 5000);
	for (unsigned m = 0; m < MSGS; m++)
		for (unsigned k = 0; k < 2; k++)
			add_ok(m, "smtp", "big");
	start_all(10);
	assert_int_equal(w.running, 5);
	run(10);
	assert_int_equal(w.running_peak, 20);
	world_end();
}

static void
test_dead_destination(void **state)
{
	struct sched_suspended sus;
	struct slice reason = SLICE_NONE;
	unsigned count = 0;

	(void)state;
	world(10, 20, 1000);
	w.broken = "down";
	for (unsigned m = 0; m < 30; m++)
		add_ok(m, "smtp", "down");
	add_ok(30, "smtp", "up");
	run(10);
	/* A cohort of five was tried, and the window shrank meanwhile. */
	assert_in_range(w.started_count, 6, 10);
	while (sched_next_suspended(&w.s, &sus)) {
		assert_true(
		    slice_eq(sus.reason, SLICE_LIT("connect: refused")));
		count += sus.rcpt_count;
	}
	assert_int_equal(count + w.started_count, 31);
	assert_int_equal(
	    sched_window(&w.s, SLICE_LIT("smtp"), SLICE_LIT("down"), w.now), 0);
	assert_int_equal(atomic_load(&dead_counted.waited), 1);
	/* Refused while it is dead, one ms before its time too. */
	w.now =
	    dest_find(&w.s, &w.s.transports[0], SLICE_LIT("down"))->dead_until;
	w.now.ms -= 1;
	assert_int_equal(add(31, "smtp", "DOWN", &reason), ERR_BUSY);
	assert_true(slice_eq(reason, SLICE_LIT("connect: refused")));
	w.now.ms += 1;
	w.broken = NULL;
	w.started_count = 0;
	assert_int_equal(add(31, "smtp", "down", &reason), OK);
	run(10);
	assert_int_equal(w.started_count, 1);
	world_end();
}

/* No more wait for a destination than there is room for, and those of a
 * window.  What is refused is deferred when nothing moves there, until a
 * delivery ends. */
static void
test_share(void **state)
{
	static const struct {
		unsigned waiting, msgs, rcpts;
		int64_t after_ms;
		enum err e;
		const char *why;
	} rows[] = {
		{ 9, 10, 1000, SCHED_STUCK_MS, OK, "one less than room" },
		{ 10, 10, 1000, SCHED_STUCK_MS - 1, ERR_AGAIN, "maybe slow" },
		{ 10, 10, 1000, SCHED_STUCK_MS, ERR_BUSY, "stuck" },
		{ 11, 10, 1000, SCHED_STUCK_MS * 100, ERR_BUSY, "for long" },
		{ 4, 1, 1000, 0, OK, "as many as its window takes" },
		{ 5, 1, 1000, 0, ERR_AGAIN, "and no more" },
		{ 249, 1000, 10, 0, OK, "recipients that its window takes" },
		{ 250, 1000, 10, 0, ERR_AGAIN, "and no more" },
		{ 251, 1000, 63, 0, OK, "recipients: four for each place" },
		{ 251, 1000, 62, 0, ERR_AGAIN, "and no more" },
	};
	struct slice reason = SLICE_NONE;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		unsigned m = 0;

		world(10, 20, 1000);
		w.now.ms = 1000000;
		/* The window's five have begun, the others wait. */
		for (; m < rows[i].waiting + 5; m++)
			add_ok(m, "smtp", "stalls");
		start_all(1000000);
		assert_int_equal(w.running, 5);
		w.now.ms += rows[i].after_ms;
		sched_set_room(&w.s, rows[i].msgs, rows[i].rcpts);
		if (add(m, "smtp", "stalls", &reason) != rows[i].e)
			fail_msg("%s", rows[i].why);
		assert_int_equal(reason.len > 0, rows[i].e == ERR_BUSY);
		assert_int_equal(w.again_ms > 0, rows[i].e == ERR_AGAIN);
		/* Others are not concerned, nor is who waits there already;
		 * and there may be more room. */
		add_ok(m + 1, "smtp", "up");
		add_ok(m - 1, "smtp", "stalls");
		sched_set_room(&w.s, rows[i].waiting + 2,
		    (rows[i].waiting + 5) / SCHED_RCPT_SHARE);
		add_ok(m, "smtp", "stalls");
		world_end();
	}
}

/* What is refused comes back in the order in which it came, a little faster
 * than the destination takes it, and no later than what is deferred. */
static void
test_share_quick(void **state)
{
	struct slice reason = SLICE_NONE;
	struct sched_dest *d;
	unsigned m = 0;

	(void)state;
	world(10, 20, 1000);
	/* Sixteen in 160 ms; 100 more would take a second. */
	for (; m < 116; m++)
		add_ok(m, "smtp", "quick");
	for (unsigned i = 0; i < 16; i++) {
		sched_set_room(&w.s, 1, 1000);
		assert_int_equal(add(m, "smtp", "quick", &reason), ERR_AGAIN);
		start_all(1);
		w.now.ms += 10;
		assert_true(end_one());
	}
	sched_set_room(&w.s, 1, 1000);
	d = dest_find(&w.s, sched_transport_find(&w.s, SLICE_LIT("smtp")),
	    SLICE_LIT("quick"));
	assert_int_equal(d->pace_us, 10000);
	while (add(m, "smtp", "quick", &reason) == OK)
		m++;
	assert_int_equal(d->peer_count, SCHED_QUICK_MS / 10);
	/* Nothing ended for as long: it was quick. */
	for (unsigned i = 0; i < 50; i++) {
		start_all(1);
		w.now.ms += 10;
		assert_true(end_one());
	}
	add_ok(m, "smtp", "quick");
	start_all(1);
	w.now.ms += SCHED_QUICK_MS - 1;
	add_ok(m + 1, "smtp", "quick");
	w.now.ms += 1;
	assert_int_not_equal(add(m + 2, "smtp", "quick", &reason), OK);
	world_end();
}

static void
test_share_line(void **state)
{
	struct slice reason = SLICE_NONE;
	unsigned m = 0;
	int64_t last_ms = 0;

	(void)state;
	world(10, 20, 1000);
	/* One in 100 ms: 20 deliveries in two seconds. */
	for (; m < 60; m++)
		add_ok(m, "smtp", "slow");
	for (unsigned i = 0; i < 20; i++) {
		start_all(1);
		w.now.ms += 100;
		assert_true(end_one());
	}
	start_all(1);
	sched_set_room(&w.s, 1, 1000);
	for (unsigned i = 0; i < 100; i++) {
		assert_int_equal(add(m, "smtp", "slow", &reason), ERR_AGAIN);
		if (i == 0)
			assert_in_range(w.again_ms, 500, 3000);
		else
			assert_in_range(w.again_ms - last_ms, 40, 100);
		last_ms = w.again_ms;
	}
	for (unsigned i = 0; i < 10000; i++)
		assert_int_equal(add(m, "smtp", "slow", &reason), ERR_AGAIN);
	assert_int_equal(w.again_ms, 300000);
	sched_revive(&w.s);
	assert_int_equal(add(m, "smtp", "slow", &reason), ERR_AGAIN);
	assert_in_range(w.again_ms, 500, 3000);
	world_end();
}

static void
test_internal_takes_turns(void **state)
{
	(void)state;
	world(10, 1, 1000);
	sched_msg_init(&w.msgs[100], true);
	for (unsigned m = 0; m < 50; m++) {
		char name[16];

		snprintf(name, sizeof(name), "d%u", m);
		add_ok(m, "smtp", name);
	}
	start_all(1);
	add_ok(100, "smtp", "reports");
	run(1);
	assert_int_equal(w.started[1].msg, 100);
	world_end();
}

/* Of a gate of 40, two slots are only for internal messages. */
static void
test_reserved(void **state)
{
	(void)state;
	assert_int_equal(sched_reserved(20), 0);
	assert_int_equal(sched_reserved(21), 1);
	world(10, 40, 1000);
	for (unsigned m = 0; m < 60; m++) {
		char name[16];

		snprintf(name, sizeof(name), "d%u", m);
		add_ok(m, "smtp", name);
	}
	start_all(1);
	assert_int_equal(w.running, 38);
	for (unsigned m = 100; m < 103; m++) {
		sched_msg_init(&w.msgs[m], true);
		add_ok(m, "smtp", "reports");
	}
	start_all(1);
	assert_int_equal(w.running, 40);
	run(1);
	assert_int_equal(w.started_count, 63);
	world_end();
}

static void
test_stall(void **state)
{
	(void)state;
	world(10, 20, 100);
	add_ok(0, "smtp", "x");
	add_ok(0, "local", "y");
	sched_stall(&w.s, SCHED_REMOTE, mono_add(w.now, 60000));
	start_all(1);
	assert_int_equal(w.started_count, 1);
	w.now.ms += 60000;
	start_all(1);
	assert_int_equal(w.started_count, 2);
	world_end();
}

static void
test_bounds(void **state)
{
	struct slice reason;

	(void)state;
	world(10, 0, 3);
	add_ok(0, "smtp", "a");
	add_ok(1, "smtp", "a");
	add_ok(2, "smtp", "a");
	assert_int_equal(add(3, "smtp", "a", &reason), ERR_FULL);
	assert_int_equal(add(3, "nowhere", "a", &reason), ERR_NOTFOUND);
	sched_remove(&w.s, &w.rcpts[1].sched);
	assert_int_equal(add(3, "smtp", "b", &reason), OK);
	world_end();
}

/* A message that waits for lookup holds no slot that others could have. */
static void
test_parked(void **state)
{
	(void)state;
	world(10, 20, 100);
	transport("smtp", SCHED_REMOTE, 1, 50);
	add_ok(0, "smtp", "d");
	start_all(10);
	sched_msg_park(&w.s, &w.msgs[1], true);
	add_ok(1, "smtp", "d");
	add_ok(2, "smtp", "d");
	assert_true(end_one());
	start_all(10);
	assert_int_equal(w.started_count, 2);
	assert_int_equal(w.started[1].msg, 2);
	sched_msg_park(&w.s, &w.msgs[1], false);
	start_all(10); /* the window is full */
	assert_int_equal(w.started_count, 2);
	run(10);
	assert_int_equal(w.started_count, 3);
	assert_int_equal(w.started[2].msg, 1);
	world_end();
}

/* A window that shrinks takes back slots that were promised. */
static void
test_window_shrinks(void **state)
{
	(void)state;
	world(10, 20, 100);
	transport("smtp", SCHED_REMOTE, 3, 50);
	for (unsigned m = 0; m < 3; m++)
		add_ok(m, "smtp", "d");
	start_all(10);
	assert_int_equal(w.started_count, 3);
	for (unsigned m = 3; m < 6; m++)
		add_ok(m, "smtp", "d");
	start_all(10); /* they meet the full window */
	assert_true(end_one());
	assert_true(end_one()); /* two are woken */
	transport("smtp", SCHED_REMOTE, 1, 50);
	start_all(10);
	assert_int_equal(w.running, 1);
	assert_int_equal(w.started_count, 3);
	w.running_peak = 1;
	run(10);
	assert_int_equal(w.running_peak, 1);
	assert_int_equal(w.started_count, 6);
	assert_int_equal(w.started[5].msg, 5); /* who was not woken */
	world_end();
}

/* The same for one that was parked when it waited for a slot already. */
static void
test_parked_late(void **state)
{
	(void)state;
	world(10, 20, 100);
	transport("smtp", SCHED_REMOTE, 1, 50);
	add_ok(0, "smtp", "d");
	start_all(10);
	add_ok(1, "smtp", "d");
	add_ok(2, "smtp", "d");
	start_all(10); /* both meet the full window */
	sched_msg_park(&w.s, &w.msgs[1], true);
	assert_true(end_one());
	start_all(10);
	assert_int_equal(w.started_count, 2);
	assert_int_equal(w.started[1].msg, 2);
	sched_msg_park(&w.s, &w.msgs[1], false);
	run(10);
	assert_int_equal(w.started_count, 3);
	world_end();
}

/* Removing one that was woken passes its slot on. */
static void
test_remove(void **state)
{
	(void)state;
	world(1, 20, 100);
	for (unsigned m = 0; m < 6; m++)
		add_ok(m, "local", "u"); /* window 2, gate 1 */
	start_all(1);
	assert_int_equal(w.running, 1);
	for (unsigned m = 1; m < 5; m++)
		sched_remove(&w.s, &w.rcpts[m].sched);
	run(1);
	assert_int_equal(w.started_count, 2);
	assert_int_equal(w.started[1].msg, 5);
	world_end();
}

/* Every allocation fails once: refused, nothing leaks, all still runs. */
static void
test_memory(void **state)
{
	(void)state;
	for (unsigned n = 1; n < 12; n++) {
		struct slice reason;

		world(10, 20, 100);
		mem_fail_after(n);
		for (unsigned m = 0; m < 5; m++) {
			char name[16];
			enum err e;

			snprintf(name, sizeof(name), "d%u", m);
			e = add(m, "smtp", name, &reason);
			if (e != OK)
				assert_int_equal(e, ERR_FULL);
		}
		mem_fail_after(0);
		run(1);
		assert_int_equal(w.started_count, w.rcpt_count);
		world_end();
	}
}

/* Anything in any order; the invariants hold and all ends. */
static void
test_random(void **state)
{
	unsigned seed = 1;

	(void)state;
	for (unsigned round = 0; round < 30; round++) {
		struct sched_suspended sus;
		unsigned gone = 0, removed = 0, started = 0;

		world(1 + round % 4, 1 + round % 7, 2000);
		transport("smtp", SCHED_REMOTE, 1 + round % 5, 1 + round % 9);
		w.broken = round % 3 == 0 ? "d3" : NULL;
		for (unsigned step = 0; step < 3000; step++) {
			char name[16];
			struct slice reason;

			seed = seed * 1103515245 + 12345;
			snprintf(name, sizeof(name), "d%u", seed / 65536 % 11);
			switch (seed / 1048576 % 5) {
			case 0:
			case 1:
				(void)add(seed / 7 % MSGS,
				    seed / 131072 % 4 ? "smtp" : "local", name,
				    &reason);
				break;
			case 2: start_all(5); break;
			case 3: (void)end_one(); break;
			case 4:
				if (w.rcpt_count > 0) {
					struct sched_rcpt *r =
					    &w.rcpts[seed / 9 % w.rcpt_count]
						 .sched;

					removed += r->peer != NULL;
					sched_remove(&w.s, r);
				}
				break;
			}
			check();
		}
		run(5);
		while (sched_next_suspended(&w.s, &sus))
			gone += sus.rcpt_count;
		for (unsigned i = 0; i < w.started_count; i++)
			started += w.started[i].rcpts;
		assert_int_equal(gone + removed + started, w.rcpt_count);
		world_end();
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one),
		cmocka_unit_test(test_list_delays_single),
		cmocka_unit_test(test_many_lists),
		cmocka_unit_test(test_two_lists),
		cmocka_unit_test(test_recipient_limit),
		cmocka_unit_test(test_gate),
		cmocka_unit_test(test_destination_limit),
		cmocka_unit_test(test_written),
		cmocka_unit_test(test_window_grows),
		cmocka_unit_test(test_dead_destination),
		cmocka_unit_test(test_share),
		cmocka_unit_test(test_share_quick),
		cmocka_unit_test(test_share_line),
		cmocka_unit_test(test_internal_takes_turns),
		cmocka_unit_test(test_reserved),
		cmocka_unit_test(test_stall),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_parked),
		cmocka_unit_test(test_parked_late),
		cmocka_unit_test(test_window_shrinks),
		cmocka_unit_test(test_remove),
		cmocka_unit_test(test_memory),
		cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
