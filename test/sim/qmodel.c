/*
 * qmodel: what the model knows and what must hold.
 */
#include <stdlib.h>
#include <string.h>

#include "conf/conf.h"
#include "qsim.h"
#include "queue/dest.h"

enum {
	/* Deliveries of one message to a destination while another message
	 * waits there: one for each of its own destinations, and so many. */
	OVERTAKE_MAX = 3,
	/* What was heard is on disk so much later (100 ms by design). */
	WRITTEN_MS = 2000,
	SLACK_MS = 1500,
	/* A jump is noticed, and made good, so much later. */
	FREE_MS = 5000,
};

/* While message a waits at a destination: starts of b there. */
static struct {
	uint64_t seen; /* the check that saw it wait last */
	uint8_t starts[Q_MSGS_MAX];
} waiting[Q_MSGS_MAX][Q_DESTS];
static uint64_t checks;

unsigned
q_msg_new(void)
{
	unsigned m = w.msg_count++;

	if (w.msg_count > Q_MSGS_MAX)
		q_fail("too many messages for the model");
	w.msgs[m] =
	    (struct q_msg){ .first = w.rcpt_count, .free_ms = w.free_ms };
	for (unsigned d = 0; d < Q_DESTS; d++)
		waiting[m][d].seen = 0;
	q_stats.messages++;
	return m;
}

unsigned
q_rcpt_new(unsigned msg, unsigned dest, uint8_t notify)
{
	unsigned r = w.rcpt_count++;

	if (w.rcpt_count > Q_RCPTS_MAX)
		q_fail("too many recipients for the model");
	w.rcpts[r] = (struct q_rcpt){ .msg = msg,
		.dest = (uint8_t)dest,
		.notify = notify };
	w.msgs[msg].count++;
	q_stats.recipients++;
	return r;
}

unsigned
q_rcpt_of(struct slice orcpt)
{
	uint64_t n = 0;

	if (orcpt.len < 8 ||
	    !slice_to_u64(slice_sub(orcpt, 7, orcpt.len), Q_RCPTS_MAX, &n) ||
	    n >= w.rcpt_count)
		q_fail("a recipient that nobody sent: %.*s", SLICE_ARGS(orcpt));
	return (unsigned)n;
}

void
q_acked(unsigned msg, uint64_t id)
{
	struct q_msg *m = &w.msgs[msg];

	if (!m->committed)
		q_fail("message %u is acknowledged and was not sent", msg);
	m->acked = true;
	m->acked_ms = w.now_ms;
	m->id = id;
	for (unsigned i = 0; i < m->count; i++)
		w.rcpts[m->first + i].moved_ms = w.now_ms;
}

void
q_report_exists(unsigned msg)
{
	struct q_msg *m = &w.msgs[msg];

	for (unsigned i = 0; i < m->about_count && m->about_over; i++) {
		struct q_rcpt *r = &w.rcpts[m->about[i]];

		r->over = true;
		r->owed = false;
	}
}

void
q_free_all(void)
{
	w.free_ms = w.now_ms + FREE_MS;
	for (unsigned i = 0; i < w.msg_count; i++)
		w.msgs[i].free_ms = w.free_ms;
}

/* The queue has it, whether it was acknowledged or not. */
static void
seen(unsigned msg)
{
	if (w.msgs[msg].about_count > 0)
		q_report_exists(msg);
}

void
q_crashed(void)
{
	for (unsigned i = 0; i < w.rcpt_count; i++) {
		struct q_rcpt *r = &w.rcpts[i];

		r->again |= w.now_ms <= r->done_ms + WRITTEN_MS ||
			    w.pressed_ms >= r->done_ms;
	}
}

/* ---- starts ---- */

static void
check_rcpt_start(unsigned i)
{
	struct q_rcpt *r = &w.rcpts[i];
	struct q_msg *m = &w.msgs[r->msg];

	if (!m->committed)
		q_fail("message %u was never committed, and is delivered",
		    r->msg);
	if (r->running)
		q_fail("recipient %u is delivered twice at once", i);
	if (r->over && !r->done)
		q_fail("recipient %u was reported, and is delivered", i);
	if (r->done && !r->again)
		q_fail("recipient %u was done with at %lld and is delivered", i,
		    (long long)r->done_ms);
	if (r->deferred_ms > 0 && m->free_ms < r->deferred_ms &&
	    w.now_ms < r->deferred_ms + w.least_backoff_ms - SLACK_MS)
		q_fail("recipient %u was deferred at %lld and is tried at %lld",
		    i, (long long)r->deferred_ms, (long long)w.now_ms);
	r->tried = r->running = true;
	r->moved_ms = w.now_ms;
	seen(r->msg);
}

static unsigned
dest_count(const struct q_msg *m)
{
	unsigned set = 0;

	for (unsigned i = 0; i < m->count; i++)
		set |= 1u << w.rcpts[m->first + i].dest;
	return (unsigned)__builtin_popcount(set);
}

/* One more start of msg at dest: it passes those who wait there. */
static void
count_start(unsigned msg, unsigned dest)
{
	waiting[msg][dest].seen = 0;
	for (unsigned a = 0; a < w.msg_count; a++) {
		uint8_t *n = &waiting[a][dest].starts[msg];

		if (a == msg || waiting[a][dest].seen < checks)
			continue;
		if (++*n > OVERTAKE_MAX + dest_count(&w.msgs[a]))
			q_fail("message %u had %u deliveries at destination %u "
			       "while %u waited for one",
			    msg, *n, dest, a);
	}
}

void
q_check_start(const struct sched_job *job)
{
	const struct sched_dest *d = job->dest;
	const struct gate *g = &w.q->gates[job->class];
	struct list_node *n = list_first(&job->rcpts);
	unsigned count = 0, msg = 0, dest = 0;

	for (; n != NULL; n = list_next(&job->rcpts, n), count++) {
		const struct rcpt *r = CONTAINER(n, struct rcpt, sched.node);
		unsigned i = q_rcpt_of(rcpt_orcpt(r));

		check_rcpt_start(i);
		msg = w.rcpts[i].msg;
		dest = w.rcpts[i].dest;
	}
	if (count == 0 || count != job->rcpt_count ||
	    count > d->transport->rcpts_max)
		q_fail("a delivery of %u recipients, said to be %u, at most %u",
		    count, job->rcpt_count, d->transport->rcpts_max);
	if (d->in_flight > d->window.size)
		q_fail("%u deliveries at a destination with a window of %u",
		    d->in_flight, d->window.size);
	if (g->in_use > g->limit - (job->msg->internal ? 0 : g->reserved))
		q_fail("gate %s: %u of %u, %u of them reserved", g->name,
		    g->in_use, g->limit, g->reserved);
	if (d->transport->rcpts_max > 1)
		count_start(msg, dest);
	q_stats.deliveries++;
}

/* ---- outcomes ---- */

/* Deleted, or it is being asked for. */
static bool
deleted(unsigned msg)
{
	return w.msgs[msg].gone ||
	       (w.control_id == msg + 1 && w.control_verb == CTL_VERB_DELETE);
}

void
q_note_outcome(const struct rcpt *x, const struct result *res)
{
	struct q_rcpt *r = &w.rcpts[q_rcpt_of(rcpt_orcpt(x))];
	struct q_msg *m = &w.msgs[r->msg];
	bool delivered = res->status == JOB_SENT || res->status == JOB_SENT_DSN;

	r->running = false;
	r->moved_ms = w.now_ms;
	seen(r->msg);
	if (x->msg->soon) /* an agent died in this pass */
		m->free_ms = w.now_ms;
	if (delivered || x->status == STORE_DONE) {
		r->done = true;
		r->done_ms = w.now_ms;
		r->again = false;
	}
	switch (x->status) {
	case STORE_WAITING:
		r->deferred_ms = w.now_ms;
		q_stats.deferrals++;
		break;
	case STORE_DONE:
		if (!delivered && !deleted(r->msg) && !m->twice_bounced &&
		    (r->notify == 0 || r->notify & NOTIFY_FAILURE))
			q_fail("recipient %u failed, and nobody is told",
			    (unsigned)(r - w.rcpts));
		r->over = true;
		break;
	default: r->owed = true; break;
	}
	/* By age, and not by what the clock says. */
	if (x->status == STORE_FAILED && res->status == JOB_DEFERRED &&
	    !x->msg->failing && !m->spared &&
	    w.now_ms - m->acked_ms < w.lifetime_ms - SLACK_MS)
		q_fail("message %u is given up after %lld ms of %lld", r->msg,
		    (long long)(w.now_ms - m->acked_ms),
		    (long long)w.lifetime_ms);
}

/* ---- between turns ---- */

/* The first recipient of an entry. */
static const struct q_rcpt *
peer_rcpt(const struct sched_peer *p)
{
	if (p->waiting_count == 0 || list_empty(&p->waiting))
		q_fail("an entry without recipients");
	return &w.rcpts[q_rcpt_of(rcpt_orcpt(
	    CONTAINER(list_first(&p->waiting), struct rcpt, sched.node)))];
}

static void
check_peer(const struct sched *s, const struct sched_peer *p)
{
	const struct sched_dest *d = p->dest;
	unsigned c = d->transport->class;
	const struct gate *g = s->gates[c];

	/* Short of memory, the next waits for those that run. */
	if (w.q->ladder.step == LADDER_PAUSE && w.q->jobs.count > 0)
		return;
	/* Whoever may start has started. */
	if (list_linked(&w.q->sched_task.node) || p->msg->parked || d->dead ||
	    w.q->draining || w.now_ms < s->stalled_until[c].ms ||
	    !gate_open(g, p->msg->internal))
		return;
	if (p->woken || d->in_flight < d->window.size)
		q_fail("a recipient of message %u waits although destination "
		       "%.*s has %u of %u and gate %s %u of %u (held %u)",
		    peer_rcpt(p)->msg, (int)d->nexthop_len, d->nexthop,
		    d->in_flight, d->window.size, g->name, g->in_use, g->limit,
		    d->woken);
}

static void
check_waits(const struct sched *s)
{
	checks++;
	for (uint32_t b = 0; b < s->peers.bucket_count; b++)
		for (struct hash_node *n = s->peers.buckets[b]; n != NULL;
		     n = n->next) {
			const struct sched_peer *p =
			    CONTAINER(n, struct sched_peer, hash);
			const struct q_rcpt *r = peer_rcpt(p);
			uint64_t *seen = &waiting[r->msg][r->dest].seen;

			check_peer(s, p);
			if (p->msg->parked)
				continue;
			if (*seen + 1 < checks)
				memset(waiting[r->msg][r->dest].starts, 0,
				    w.msg_count);
			*seen = checks;
		}
}

static void
check_dests(const struct sched *s)
{
	unsigned running = 0, used[SCHED_CLASS_COUNT] = { 0 };

	for (uint32_t b = 0; b < s->dests.bucket_count; b++)
		for (struct hash_node *n = s->dests.buckets[b]; n != NULL;
		     n = n->next) {
			const struct sched_dest *d =
			    CONTAINER(n, struct sched_dest, node);

			/* One that was quick may have had more. */
			if (d->peer_count > 1 && d->pace_us == 0 &&
			    d->peer_count > w.q->active_max / 2)
				q_fail("%u of %u messages wait for %.*s",
				    d->peer_count, w.q->active_max,
				    (int)d->nexthop_len, d->nexthop);
			running += d->in_flight + d->written;
			used[d->transport->class] += d->in_flight;
			if (d->window.size < 1 ||
			    (d->window.max > 0 &&
				d->window.size > d->window.max))
				q_fail("a window of %u, at most %u",
				    d->window.size, d->window.max);
		}
	if (running != w.q->jobs.count)
		q_fail("destinations count %u deliveries, %u run", running,
		    w.q->jobs.count);
	for (unsigned c = 0; c < SCHED_CLASS_COUNT; c++)
		if (used[c] != s->gates[c]->in_use)
			q_fail("gate %s counts %u, %u deliveries hold a slot",
			    s->gates[c]->name, s->gates[c]->in_use, used[c]);
}

/* Deferred mail leaves half to new mail; counted anew each time. */
static void
count_deferred(const struct list *msgs, unsigned *count, uint32_t *rcpts)
{
	struct list_node *n = list_first(msgs);

	for (; n != NULL; n = list_next(msgs, n)) {
		const struct msg *m = CONTAINER(n, struct msg, node);

		*count += m->from_disk;
		*rcpts += m->from_disk ? m->rcpt_count : 0;
	}
}

static void
check_shares(const struct queue *q)
{
	unsigned count = 0;
	uint32_t rcpts = 0;

	count_deferred(&q->active, &count, &rcpts);
	count_deferred(&q->ending, &count, &rcpts);
	if (count > (q->active_max + 1) / 2)
		q_fail("%u deferred messages are active, at most half of %u",
		    count, q->active_max);
	if (rcpts > (q->rcpt_max + 1) / 2)
		q_fail("%u recipients of deferred mail in memory, at most half "
		       "of %u",
		    rcpts, q->rcpt_max);
}

void
q_check(void)
{
	const struct queue *q = w.q;

	if (q == NULL || q->dead)
		return;
	if (q->active_count + q->ending_count > q->active_max)
		q_fail("%u messages are active, at most %u",
		    q->active_count + q->ending_count, q->active_max);
	if (q->rcpt_count > q->rcpt_max)
		q_fail("%u recipients in memory, at most %u", q->rcpt_count,
		    q->rcpt_max);
	check_shares(q);
	check_dests(&q->sched);
	check_waits(&q->sched);
	q_crowd_check();
}

static bool
lives(const struct q_rcpt *r)
{
	const struct q_msg *m = &w.msgs[r->msg];

	return m->acked && !m->gone && !r->over;
}

void
q_check_late(void)
{
	for (unsigned i = 0; i < w.rcpt_count; i++) {
		const struct q_rcpt *r = &w.rcpts[i];
		const struct q_msg *m = &w.msgs[r->msg];
		int64_t since = r->moved_ms, waits;

		if (since < w.restart_ms)
			since = w.restart_ms;
		if (since < w.pressed_ms)
			since = w.pressed_ms;
		if (since < m->free_ms)
			since = m->free_ms;
		waits = w.now_ms - since;
		if (!lives(r) || m->held || r->running)
			continue;
		if (waits > 0 && (uint64_t)waits > q_stats.wait_ms_max)
			q_stats.wait_ms_max = (uint64_t)waits;
		if (waits > Q_LATE_MS)
			q_fail("nothing happens to recipient %u of message %u "
			       "(%llu) since %lld",
			    i, r->msg, (unsigned long long)m->id,
			    (long long)since);
	}
}

void
q_check_end(void)
{
	uint64_t held = 0;

	for (unsigned i = 0; i < w.msg_count; i++)
		held += w.msgs[i].held;
	for (unsigned i = 0; i < w.rcpt_count; i++)
		if (lives(&w.rcpts[i]) && !w.msgs[w.rcpts[i].msg].held)
			q_fail("recipient %u of message %u is lost", i,
			    w.rcpts[i].msg);
	if (held == 0 && store_message_count(w.q->store) > 0)
		q_fail("%llu messages are left of %u",
		    (unsigned long long)store_message_count(w.q->store),
		    w.msg_count);
	if (w.q->jobs.count > 0 || w.q->active_count > 0)
		q_fail("%u deliveries, %u messages at the end", w.q->jobs.count,
		    w.q->active_count);
}
