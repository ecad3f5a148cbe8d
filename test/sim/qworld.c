/*
 * qworld: one run: the queue comes and goes, time passes, troubles come, and
 * at the end everything heals and must come to an end.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/limits.h"
#include "conf/conf.h"
#include "qsim.h"

enum {
	RUN_MS = 100000,
	HEAL_MS = 400000,
	STEP_MS = 2500, /* between two troubles, about */
	LATE_STEP_MS = 5000,
	SPINS_MAX = 2000,
	MEMORY_BYTES = 24 << 20,
	DAY_MS = 86400000,
	CROWD_SEEDS = 8, /* one of so many is for qcrowd.c */
};

struct qsim w;

uint64_t
q_chance(uint64_t n)
{
	w.random ^= w.random << 13;
	w.random ^= w.random >> 7;
	w.random ^= w.random << 17;
	return (w.random * 0x2545f4914f6cdd1d >> 11) % n;
}

/* ---- what is to come ---- */

static bool
before(const struct q_event *a, const struct q_event *b)
{
	return a->at_ms != b->at_ms ? a->at_ms < b->at_ms
				    : a->serial < b->serial;
}

void
q_after(int64_t ms, enum q_event_kind kind, unsigned a, unsigned b)
{
	unsigned i = w.event_count++;
	struct q_event e = { w.now_ms + ms, ++w.event_serial, kind, a, b };

	if (w.event_count > Q_EVENTS_MAX)
		q_fail("too many events");
	for (; i > 0 && before(&e, &w.events[(i - 1) / 2]); i = (i - 1) / 2)
		w.events[i] = w.events[(i - 1) / 2];
	w.events[i] = e;
}

static struct q_event
event_take(void)
{
	struct q_event first = w.events[0], last = w.events[--w.event_count];
	unsigned i = 0, below;

	while ((below = 2 * i + 1) < w.event_count) {
		if (below + 1 < w.event_count &&
		    before(&w.events[below + 1], &w.events[below]))
			below++;
		if (!before(&w.events[below], &last))
			break;
		w.events[i] = w.events[below];
		i = below;
	}
	w.events[i] = last;
	return first;
}

/* ---- the queue's process ---- */

static void
want(void *arg, enum role wanted)
{
	(void)arg;
	if (wanted != ROLE_BOUNCE)
		q_fail("the queue wants a %s", role_name(wanted));
	q_after(50 + (int64_t)q_chance(1000), DO_BOUNCE, 0, 0);
}

static void
bad_peer(void *arg, enum role peer, unsigned index, const char *why)
{
	(void)arg;
	q_say("%lld: %s %u: %s", (long long)w.now_ms, role_name(peer), index,
	    why);
	if (strcmp(why, "does not answer") != 0 &&
	    strcmp(why, "a report that does not end") != 0 &&
	    strcmp(why, "does not read what it is sent") != 0)
		q_fail("%s is blamed: %s", role_name(peer), why);
}

static void
die(void *arg, const char *why)
{
	(void)arg;
	q_say("%lld: dies: %s", (long long)w.now_ms, why);
	w.died = true;
}

static void
drained(void *arg)
{
	(void)arg;
	w.died = true;
	w.abandon = false;
}

void
q_connect(enum role role, unsigned index, struct chan **at,
    const struct chan_events *events, void *arg)
{
	int fd[2];

	if (chan_pair(fd) != OK ||
	    chan_open(w.loop, NULL, fd[0], role, ROLE_QUEUE, 0, events, arg,
		1 << 20, at) != OK)
		q_fail("no channel");
	queue_channel(w.q, role, index, fd[1]);
}

static void
press(void)
{
	w.pressed_ms = w.now_ms;
}

static void
stop_disk_faults(void)
{
	w.disk.fail_one_in = w.disk.sync_fail_one_in = 0;
	w.disk.calls_left = 0;
	w.disk.dead = false;
	w.disk.fault = (struct sim_fault){ 0 };
}

static void
start(void)
{
	struct queue_env env = { .loop = w.loop,
		.acct = &w.acct,
		.conf = w.conf,
		.disk = &w.disk.disk,
		.want = want,
		.bad_peer = bad_peer,
		.die = die,
		.drained = drained };
	struct errtext et = { "" };
	enum err e;

	stop_disk_faults();
	(void)mem_fail_after(0);
	acct_set_max(&w.acct, MEMORY_BYTES);
	e = queue_open(&env, &w.q, &et);
	if (e != OK)
		q_fail("the queue does not open: %s %s", err_name(e), et.text);
	w.died = false;
	w.restart_ms = w.now_ms;
	q_stats.restarts++;
	q_peers_open();
	queue_listen(w.q, SIMCHAN_LISTEN);
	queue_go(w.q);
}

/* The process ends, in good order or not. */
static void
stop(bool orderly)
{
	w.abandon = !orderly;
	q_say("%lld: the queue %s", (long long)w.now_ms,
	    orderly ? "stops" : "is killed");
	queue_close(w.q);
	w.q = NULL;
	w.abandon = false;
	q_peers_close();
	simchan_reset();
	if (w.acct.used_bytes != 0)
		q_fail("%lld bytes of memory leaked",
		    (long long)w.acct.used_bytes);
	q_free_all();
	for (unsigned i = 0; i < w.rcpt_count; i++)
		w.rcpts[i].running = false;
	for (unsigned i = 0; i < w.msg_count; i++)
		w.msgs[i].spared = true;
	if (!orderly || w.died) /* it failed in its last moments */
		q_crashed();
	if (!orderly) {
		stop_disk_faults();
		if (q_chance(2))
			simdisk_crash(&w.disk);
	}
}

static void
restart(void)
{
	if (w.q == NULL)
		start();
}

static void
fall(bool orderly)
{
	if (w.q == NULL)
		return;
	stop(orderly);
	q_after(200 + (int64_t)q_chance(3000), DO_RESTART, 0, 0);
}

/* ---- configuration ---- */

/* Messages, and recipients, in memory at least: in a crowd what three windows
 * take at once may wait beside as many that run, and some room is left. */
static unsigned
places(void)
{
	return w.crowd ? 50 : 2;
}

/* Of a destination.  Without a limit (0) slow ones would have all that may run
 * at once. */
static unsigned
window_max(void)
{
	return w.crowd ? 1 + (unsigned)q_chance(5) : (unsigned)q_chance(6);
}

static void
load_conf(bool first)
{
	static unsigned min_s, max_s, life_s;
	static bool singly;
	char text[1200];
	const struct conf *old = w.conf;
	unsigned fails = mem_fail_after(0); /* not this */
	struct conf_report *r = conf_report_new(&w.conf_acct);

	if (first) {
		min_s = 4 + (unsigned)q_chance(6);
		max_s = min_s + (unsigned)q_chance(20);
		life_s = 60 + (unsigned)q_chance(120);
		/* Then each recipient is a destination. */
		singly = q_chance(4) == 0 && !w.crowd;
		w.least_backoff_ms = min_s * 1000;
		w.lifetime_ms = life_s * 1000;
	}
	snprintf(text, sizeof(text),
	    "myhostname = m.x\n"
	    "qmgr_message_active_limit = %u\n"
	    "qmgr_message_recipient_limit = %u\n"
	    "concurrency_local = %u\nconcurrency_remote = %u\n"
	    "initial_destination_concurrency = %u\n"
	    "default_destination_concurrency_limit = %u\n"
	    "local_destination_concurrency_limit = %u\n"
	    "default_destination_recipient_limit = %u\n"
	    "minimal_backoff_time = %us\nmaximal_backoff_time = %us\n"
	    "maximal_queue_lifetime = %us\nbounce_queue_lifetime = %us\n"
	    "queue_run_delay = %us\ntransport_retry_time = 3s\n"
	    "delay_warning_time = %us\n"
	    "queue_segment_size = 1M\nqueue_minfree = 0\n",
	    first ? places() + (unsigned)q_chance(25)
		  : (unsigned)old->qmgr_message_active_limit,
	    first ? places() + (unsigned)q_chance(80)
		  : (unsigned)old->qmgr_message_recipient_limit,
	    1 + (unsigned)q_chance(4),
	    (w.crowd ? 20 : 1) + (unsigned)q_chance(q_chance(4) == 0 ? 40 : 8),
	    1 + (unsigned)q_chance(5), window_max(), 1 + (unsigned)q_chance(3),
	    singly ? 1 : 2 + (unsigned)q_chance(10), min_s, max_s, life_s,
	    life_s, 2 + (unsigned)q_chance(10),
	    q_chance(3) == 0 ? 10 + (unsigned)q_chance(40) : 0);
	if (r == NULL || conf_load_text(&w.conf_acct, slice_str(text), "sim", r,
			     &w.conf) != OK)
		q_fail("the configuration is refused:\n%s", text);
	conf_report_free(&w.conf_acct, r);
	(void)mem_fail_after(fails);
	if (w.q != NULL)
		queue_reload(w.q, w.conf);
	conf_free(old);
}

/* ---- troubles ---- */

static unsigned
random_msg(void)
{
	return w.msg_count == 0 ? 0 : (unsigned)q_chance(w.msg_count);
}

static void
jump(void)
{
	static const int64_t far[] = { 3600000, DAY_MS, 365 * (int64_t)DAY_MS };
	int64_t ms = far[q_chance(3)];

	/* A shorter way back that happens while the queue is down it cannot
	 * know: due times are then that much later (due.c, too_far). */
	if (ms > 3600000 && q_chance(2))
		ms = -ms;
	w.went_back |= ms < 0;
	q_say("%lld: the clock jumps by %lld s", (long long)w.now_ms,
	    (long long)(ms / 1000));
	simloop_jump(w.loop, ms);
	q_free_all();
}

static void
disk_trouble(void)
{
	press();
	switch (q_chance(3)) {
	case 0: w.disk.sync_fail_one_in = 4; break;
	case 1: w.disk.fail_one_in = 20; break;
	default: w.disk.calls_left = 1 + q_chance(40); break;
	}
}

static void
mischief(void)
{
	unsigned agent = (unsigned)q_chance(Q_AGENTS);

	switch (q_chance(16)) {
	case 0:
		q_agent_close(agent);
		q_after((int64_t)q_chance(8000), DO_AGENT, agent, 0);
		break;
	case 1: load_conf(false); break;
	case 2: jump(); break;
	case 3: fall(q_chance(3) == 0); break;
	case 4:
		press();
		(void)mem_fail_after(1 + (unsigned)q_chance(60));
		break;
	case 5:
		press();
		acct_set_max(&w.acct,
		    w.acct.used_bytes + (int64_t)q_chance(1 << 16));
		break;
	case 6: disk_trouble(); break;
	case 7: w.lookup_mute = w.q != NULL; break;
	case 8: q_control(CTL_VERB_HOLD, random_msg()); break;
	case 9: q_control(CTL_VERB_RELEASE, random_msg()); break;
	case 10:
		q_control(q_chance(2) ? CTL_VERB_DELETE : CTL_VERB_FAIL,
		    random_msg());
		break;
	case 11: q_control(CTL_VERB_RETRY, random_msg()); break;
	case 12:
		if (w.agent[agent] != NULL) {
			chan_pause(w.agent[agent], true);
			q_after(3000, DO_RESUME, agent, 0);
		}
		break;
	case 13:
		if (w.q != NULL) {
			q_free_all();
			queue_flush(w.q);
		}
		break;
	default:
		w.kind[q_chance(Q_DESTS)] = (enum q_kind)q_chance(KIND_COUNT);
		break;
	}
	if (w.q != NULL && q_chance(3) == 0 && !w.died) {
		(void)mem_fail_after(0);
		acct_set_max(&w.acct, MEMORY_BYTES);
		stop_disk_faults();
	}
}

static void
happen(const struct q_event *e)
{
	switch (e->kind) {
	case DO_ARRIVE:
		q_arrive();
		if (w.now_ms < RUN_MS)
			q_after((int64_t)q_chance(w.crowd ? 100 : 3000),
			    DO_ARRIVE, 0, 0);
		break;
	case DO_JOB: q_job_end(e->a, e->b); break;
	case DO_ANSWER:
		if (w.questions[e->a].tag == e->b)
			q_lookup_answer(e->a);
		break;
	case DO_AGENT: q_agent_open(e->a); break;
	case DO_LOOKUP: q_lookup_open(); break;
	case DO_BOUNCE: q_bounce_open(); break;
	case DO_MISCHIEF:
		if (w.now_ms >= RUN_MS)
			break;
		mischief();
		q_after((int64_t)q_chance(2 * STEP_MS * w.trouble), DO_MISCHIEF,
		    0, 0);
		break;
	case DO_RESTART: restart(); break;
	case DO_RESUME:
		if (w.agent[e->a] != NULL)
			chan_pause(w.agent[e->a], false);
		break;
	}
}

/* ---- time ---- */

static void
turn(void)
{
	if (w.q != NULL) {
		(void)simchan_deliver();
		simloop_readable(w.loop, SIMCHAN_LISTEN);
		if (ev_loop_turn(w.loop) != OK)
			q_fail("the loop");
		q_stats.turns++;
	}
	/* What was due by a clock that was ahead comes to light later, too:
	 * when it is released from hold. */
	if (w.q != NULL && w.q->flush_owed && w.went_back)
		q_free_all();
	if (w.died)
		fall(false);
	if (w.acct.refused_count > 0 || w.disk.dead || w.disk.fail_one_in > 0 ||
	    w.disk.sync_fail_one_in > 0 || w.acct.max_bytes < MEMORY_BYTES) {
		w.acct.refused_count = 0;
		press();
	}
	q_check();
}

/* Go on to the next instant at which anything happens. */
static void
pass(int64_t until_ms)
{
	int64_t next = until_ms;

	if (w.event_count > 0 && w.events[0].at_ms < next)
		next = w.events[0].at_ms;
	if (w.q != NULL && simloop_next(w.loop) < next)
		next = simloop_next(w.loop);
	if (w.q != NULL && simchan_pending())
		next = w.now_ms;
	if (next > w.now_ms) {
		w.now_ms = next;
		w.spins = 0;
	} else if (++w.spins > SPINS_MAX) {
		q_fail("turns without end");
	}
	simloop_at(w.loop, w.now_ms);
	while (w.event_count > 0 && w.events[0].at_ms <= w.now_ms) {
		struct q_event e = event_take();

		happen(&e);
	}
	turn();
}

static void
run_until(int64_t end_ms)
{
	int64_t look_ms = w.now_ms;

	while (w.now_ms < end_ms) {
		pass(end_ms);
		if (w.now_ms < look_ms)
			continue;
		look_ms = w.now_ms + LATE_STEP_MS;
		if (w.q != NULL)
			q_check_late();
	}
}

/* Nothing fails any more, and what is held is released. */
static void
heal(void)
{
	int64_t end_ms = w.now_ms + HEAL_MS;

	w.healing = true;
	(void)mem_fail_after(0);
	acct_set_max(&w.acct, MEMORY_BYTES);
	stop_disk_faults();
	for (unsigned d = 0; d < Q_DESTS; d++)
		w.kind[d] = KIND_FAST;
	if (w.lookup_mute)
		q_say("lookup still hangs");
	while (w.now_ms < end_ms) {
		unsigned i = 0;

		run_until(w.now_ms + 2000);
		q_peers_open();
		while (i < w.msg_count && !w.msgs[i].held)
			i++;
		if (i < w.msg_count && w.q != NULL)
			q_control(CTL_VERB_RELEASE, i);
		else if (w.q != NULL && i == w.msg_count &&
			 w.q->jobs.count == 0 && w.q->active_count == 0 &&
			 store_message_count(w.q->store) == 0)
			break;
	}
	q_check_end();
}

void
q_run(uint64_t seed)
{
	static struct limits_page page;

	w = (struct qsim){ .seed = seed,
		.random = seed * 0x9e3779b97f4a7c15 | 1 };
	for (unsigned i = 0; i < 4; i++)
		(void)q_chance(2);
	page = (struct limits_page){ .magic = LIMITS_MAGIC,
		.version = LIMITS_VERSION };
	limits_use(&page);
	random_seed(seed);
	acct_init(&w.acct, NULL, "sim", MEMORY_BYTES, false, "");
	acct_init(&w.conf_acct, NULL, "sim", 0, false, "");
	simdisk_init(&w.disk, seed * 2654435761u + 1);
	if (ev_loop_new(NULL, &w.loop) != OK)
		q_fail("no loop");
	simloop_jump(w.loop, 1700000000000);
	w.now_ms = 1000;
	simloop_at(w.loop, w.now_ms);
	simchan_bytes_max = q_chance(3) == 0 ? 1500 + q_chance(6000) : 1 << 20;
	w.trouble = 1 + (unsigned)q_chance(6);
	for (unsigned d = 0; d < Q_DESTS; d++)
		w.kind[d] =
		    q_chance(2) ? KIND_FAST : (enum q_kind)q_chance(KIND_COUNT);
	if (seed % CROWD_SEEDS == 0)
		q_crowd_begin();
	load_conf(true);
	start();
	q_after(0, DO_ARRIVE, 0, 0);
	if (!w.crowd)
		q_after(STEP_MS, DO_MISCHIEF, 0, 0);
	run_until(RUN_MS);
	heal();
	stop(true);
	conf_free(w.conf);
	ev_loop_free(w.loop);
	simdisk_fini(&w.disk);
	acct_fini(&w.acct);
	acct_fini(&w.conf_acct);
}
