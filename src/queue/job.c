/*
 * Deliveries: what the scheduler starts goes to an agent, least busy first.
 *
 * Happy path: job_task takes deliveries from the scheduler; job_send sends
 * the segments' descriptors that the agent does not have yet, the extents of
 * the body, the recipients, and JOB.  The agent may say that the job is
 * written and waits for the disk alone, so that others can be started to wait
 * with it; it answers with results of recipients and ends with JOB_DONE; then
 * each recipient has its outcome and the destination's window learns.
 *
 * Failure modes: the agent's channel is full (sending goes on in on_room,
 * from where it stopped); the agent dies (recipients without a result are
 * deferred for transport_retry_time, its class rests until it has an agent
 * again); it answers nonsense (its channel is closed, as if it had died).
 */
#include <string.h>

#include "alias/sender.h"
#include "base/assert.h"
#include "base/limits.h"
#include "queue/internal.h"

enum { RESULTS_BYTES_MAX = 256 << 10, RESULTS_BYTES_MIN = 512 };

static enum role
agent_of(enum sched_class c)
{
	return c == SCHED_LOCAL ? ROLE_LOCAL : ROLE_SMTP;
}

/* Least busy; in turn among equals. */
static struct peer *
find_agent(struct queue *q, enum sched_class c)
{
	struct peer *best = NULL;

	for (unsigned i = 0; i < PEERS_MAX; i++) {
		struct peer *p = q->peers[(q->agent_next + i) % PEERS_MAX];

		if (p == NULL || p->chan == NULL || p->role != agent_of(c))
			continue;
		if (best == NULL || p->job_count < best->job_count)
			best = p;
	}
	if (best != NULL)
		q->agent_next = (q->agent_next + 1) % PEERS_MAX;
	return best;
}

/* ---- sending ---- */

static struct list_node *
next_rcpt(struct job *j)
{
	if (j->next == NULL)
		return list_first(&j->sched.rcpts);
	return list_next(&j->sched.rcpts, &j->next->sched.node);
}

/* As many recipients as a frame holds. */
static enum err
send_rcpts(struct queue *q, struct job *j)
{
	struct fr_job_rcpts f;
	struct list_node *n;
	struct rcpt *last;
	struct wr w;
	enum err e;

	while ((n = next_rcpt(j)) != NULL) {
		w = wr_of(q->scratch, 49152);
		last = j->next;
		for (; n != NULL; n = list_next(&j->sched.rcpts, n)) {
			struct rcpt *r = CONTAINER(n, struct rcpt, sched.node);
			struct job_rcpt x = {
				.index = r->index,
				.notify = r->notify,
				.address = rcpt_address(r),
				.orcpt = rcpt_orcpt(r),
				.original = rcpt_original(r),
				.mailbox = rcpt_mailbox(r),
				.uid = r->uid,
				.gid = r->gid,
			};

			if (w.size - w.len < JOB_RCPT_BYTES_MAX)
				break;
			job_rcpt_put(&w, &x);
			last = r;
		}
		ASSERT(!w.full);
		f.rcpts = wr_done(&w);
		e = send_job_rcpts(j->agent->chan, j->tag, &f, -1);
		if (e != OK)
			return e;
		j->next = last;
	}
	j->rcpts_sent = true;
	return OK;
}

/* The envelope of m; of a list with VERP it tells from whom the delivery's
 * only recipient gets the message.  May lie in q->scratch. */
static struct slice
envelope_for(struct queue *q, const struct job *j, const struct msg *m)
{
	struct slice whole = slice_of(m->envelope, m->envelope_len);
	struct wr w = wr_of(q->scratch, ENVELOPE_BYTES_MAX);
	struct rd rd = rd_of(whole);
	char sender[ADDRESS_BYTES_MAX];
	struct envelope e;
	struct out out;

	if (!m->sched.singly)
		return whole;
	if (!envelope_get(&rd, &e))
		ASSERT(!"the envelope decoded before");
	out_init(&out, sender, sizeof(sender));
	sender_verp(e.sender,
	    rcpt_address(CONTAINER(list_first(&j->sched.rcpts), struct rcpt,
		sched.node)),
	    &out);
	/* Too long for an address: reports go to the list as a whole. */
	e.sender = out.full ? sender_bounce_to(e.sender) : out_text(&out);
	envelope_put(&w, &e);
	ASSERT(!w.full);
	return wr_done(&w);
}

static enum err
send_steps(struct queue *q, struct job *j)
{
	struct msg *m = CONTAINER(j->sched.msg, struct msg, sched);
	struct fr_job f = {
		.id = m->store.id,
		.rcpt_count = j->sched.rcpt_count,
		.extent_count = m->store.extent_count,
		.transport = slice_str(sched_job_transport(&j->sched)->name),
		.nexthop = sched_job_nexthop(&j->sched),
	};
	enum err e;

	e = segments_use(j->agent, m->store.extents, m->store.extent_count,
	    &j->segments_used);
	if (e == OK)
		e = segments_send_extents(j->agent, j->tag, &m->store,
		    &j->extents_sent);
	if (e == OK && !j->rcpts_sent)
		e = send_rcpts(q, j);
	f.envelope = envelope_for(q, j, m);
	if (e == OK)
		e = send_job(j->agent->chan, j->tag, &f, -1);
	return e;
}

static void
job_send(struct queue *q, struct job *j)
{
	enum err e = send_steps(q, j);

	switch (e) {
	case OK: list_remove(&j->sending); break;
	case ERR_FULL: /* on_room */
		if (!list_linked(&j->sending))
			list_push_back(&j->agent->sending, &j->sending);
		break;
	case ERR_CLOSED: /* on_closed */ break;
	default:
		/* A segment that is gone, or no memory: the agent has seen
		 * only parts, which nothing follows. */
		job_end(q, j, SITE_NEUTRAL, SLICE_LIT("4.3.0"),
		    slice_str(err_text(e)), 0, 0);
		break;
	}
}

void
job_agent_room(struct peer *p)
{
	struct list_node *n;

	while ((n = list_first(&p->sending)) != NULL) {
		struct job *j = CONTAINER(n, struct job, sending);

		job_send(p->q, j);
		if (list_first(&p->sending) == n)
			return;
	}
}

/* ---- starting ---- */

static void
suspended_task(struct queue *q)
{
	struct sched_suspended s;

	while (sched_next_suspended(&q->sched, &s)) {
		char text[SCHED_REASON_BYTES + 40];
		struct list_node *n;
		struct result res = { .status = JOB_DEFERRED,
			.dsn = SLICE_LIT("4.4.1"),
			.relay = SLICE_LIT("none") };

		snprintf(text, sizeof(text),
		    "delivery temporarily suspended: %.*s",
		    SLICE_ARGS(s.reason));
		res.text = slice_str(text);
		while ((n = list_pop_front(&s.rcpts)) != NULL)
			result_set(q, CONTAINER(n, struct rcpt, sched.node),
			    &res);
	}
}

static void
rcpt_starts(struct queue *q, struct rcpt *r)
{
	r->state = RCPT_RUNNING;
	qlog_started(q, r);
}

static bool
job_start(struct queue *q)
{
	struct job *j = pool_get(&q->job_pool);
	struct mono now = queue_mono(q);
	struct list_node *n;

	if (j == NULL)
		return false; /* one that ends makes room */
	if (!sched_next(&q->sched, now, mono_add(now, JOB_DEADLINE_MS),
		&j->sched)) {
		pool_put(&q->job_pool, j);
		return false;
	}
	for (n = list_first(&j->sched.rcpts); n != NULL;
	     n = list_next(&j->sched.rcpts, n))
		rcpt_starts(q, CONTAINER(n, struct rcpt, sched.node));
	buf_init(&j->results, &q->msg_acct, RESULTS_BYTES_MIN,
	    RESULTS_BYTES_MAX);
	j->tag = ++q->job_tag;
	j->started = now;
	j->agent = find_agent(q, j->sched.class);
	ASSERT(j->agent != NULL); /* else the class is stalled */
	hash_add(&q->jobs, &j->hash, hash_u64(j->tag));
	list_push_back(&j->agent->jobs, &j->node);
	j->agent->job_count++;
	job_send(q, j);
	status_changed(q);
	return true;
}

void
job_task(void *arg, struct ev_task *t)
{
	struct queue *q = arg;

	(void)t;
	if (!q->running || q->draining || q->dead)
		return;
	/* What runs gives memory back at its end, and then more is started:
	 * so this never waits for itself. */
	while ((q->ladder.step < LADDER_PAUSE || q->jobs.count == 0) &&
	       job_start(q))
		continue;
	suspended_task(q);
	status_changed(q);
}

/* ---- ending ---- */

static struct rcpt *
job_rcpt_find(struct job *j, uint32_t index)
{
	struct list_node *n = list_first(&j->sched.rcpts);

	/* Results come in the order of the recipients, mostly. */
	for (; n != NULL; n = list_next(&j->sched.rcpts, n)) {
		struct rcpt *r = CONTAINER(n, struct rcpt, sched.node);

		if (r->index == index)
			return r;
	}
	return NULL;
}

/* Take the results in data; false: they make no sense. */
static bool
take_results(struct queue *q, struct job *j, struct slice data,
    uint32_t setup_ms, uint32_t transfer_ms)
{
	struct rd rd = rd_of(data);

	while (rd.left > 0) {
		struct job_result x;
		struct result res;
		struct rcpt *r;

		if (!job_result_get(&rd, &x))
			return false;
		r = job_rcpt_find(j, x.index);
		if (r == NULL)
			return false;
		res = (struct result){ .status = x.status,
			.dsn = x.dsn,
			.relay = x.relay,
			.text = x.text,
			.setup_ms = setup_ms,
			.transfer_ms = transfer_ms,
			.started = j->started };
		list_remove(&r->sched.node);
		result_set(q, r, &res);
	}
	return true;
}

/* Why the destination failed: what the agent says of it, or of a recipient. */
static struct slice
reason_of(struct job *j, struct slice text)
{
	struct rd rd = rd_of(buf_data(&j->results));
	struct job_result x;

	while (text.len == 0 && rd.left > 0 && job_result_get(&rd, &x))
		if (x.status == JOB_DEFERRED)
			text = x.text;
	return text;
}

void
job_end(struct queue *q, struct job *j, enum job_site site, struct slice dsn,
    struct slice text, uint32_t setup_ms, uint32_t transfer_ms)
{
	struct msg *m = CONTAINER(j->sched.msg, struct msg, sched);
	struct result res = { .status = JOB_DEFERRED,
		.dsn = dsn,
		.relay = SLICE_LIT("none"),
		.text = text,
		.setup_ms = setup_ms,
		.transfer_ms = transfer_ms,
		.started = j->started };
	struct list_node *n;

	/* Checked when they came. */
	if (!take_results(q, j, buf_data(&j->results), setup_ms, transfer_ms))
		ASSERT(!"results");
	while ((n = list_pop_front(&j->sched.rcpts)) != NULL)
		result_set(q, CONTAINER(n, struct rcpt, sched.node), &res);
	if (j->sched.written)
		limit_set_in_use(q->written_row, --q->written_count);
	sched_done(&q->sched, &j->sched, site, reason_of(j, text),
	    queue_mono(q));
	segments_unuse(j->agent, m->store.extents, j->segments_used);
	buf_fini(&j->results);
	list_remove(&j->node);
	list_remove(&j->sending);
	j->agent->job_count--;
	hash_remove(&q->jobs, &j->hash);
	pool_put(&q->job_pool, j);
	ev_defer(q->loop, &q->sched_task);
	status_changed(q);
	queue_check_drained(q);
}

static struct job *
job_find(struct peer *p, uint32_t tag)
{
	struct hash_node *n = hash_first(&p->q->jobs, hash_u64(tag));

	for (; n != NULL; n = hash_next(n)) {
		struct job *j = CONTAINER(n, struct job, hash);

		if (j->tag == tag && j->agent == p && !list_linked(&j->sending))
			return j;
	}
	return NULL;
}

/* Every record decodes and is about a recipient of the job that has no other
 * result yet (marked by its state). */
static bool
results_valid(struct job *j, struct slice data)
{
	struct rd rd = rd_of(data);

	while (rd.left > 0) {
		struct job_result x;
		struct rcpt *r;

		if (!job_result_get(&rd, &x) || x.status >= JOB_STATUS_COUNT)
			return false;
		r = job_rcpt_find(j, x.index);
		if (r == NULL || r->answered)
			return false;
		r->answered = true;
	}
	return true;
}

static void
on_results(struct peer *p, struct job *j, struct slice data)
{
	struct queue *q = p->q;

	if (!results_valid(j, data)) {
		peer_bad(p, "results that make no sense");
		return;
	}
	/* They wait for JOB_DONE, which knows the times; without room for
	 * that the log does without. */
	if (buf_put(&j->results, data) == OK)
		return;
	if (!take_results(q, j, buf_data(&j->results), 0, 0) ||
	    !take_results(q, j, data, 0, 0))
		ASSERT(!"results");
	buf_take(&j->results, buf_data(&j->results).len);
	buf_release(&j->results);
}

/* Those that wait for the disk alone make room for others, as many as the
 * agent is sure to take. */
static void
on_written(struct queue *q, struct job *j)
{
	if (q->written_count >= JOBS_WRITTEN_MAX || j->sched.written)
		return;
	q->written_count++;
	limit_set_in_use(q->written_row, q->written_count);
	sched_written(&q->sched, &j->sched);
	ev_defer(q->loop, &q->sched_task);
}

void
job_on_frame(struct peer *p, struct frame *f)
{
	struct fr_job_results results;
	struct fr_job_done done;
	struct fr_job_written written;
	struct job *j = job_find(p, f->tag);

	if (j == NULL) {
		peer_bad(p, "a job that it does not have");
		return;
	}
	if (f->type == FRAME_JOB_RESULTS && get_job_results(f, &results))
		on_results(p, j, results.results);
	else if (f->type == FRAME_JOB_WRITTEN && get_job_written(f, &written))
		on_written(p->q, j);
	else if (f->type == FRAME_JOB_DONE && get_job_done(f, &done) &&
		 done.site < SITE_COUNT)
		job_end(p->q, j, done.site, SLICE_LIT("4.4.0"), done.text,
		    done.setup_ms, done.transfer_ms);
	else
		peer_bad(p, "a malformed result");
}

/* ---- agents ---- */

static void
class_agents(struct queue *q, enum role role)
{
	struct mono when = { INT64_MIN };
	enum sched_class c = role == ROLE_LOCAL ? SCHED_LOCAL : SCHED_REMOTE;

	if (find_agent(q, c) == NULL)
		when.ms = INT64_MAX; /* until the master sends a channel */
	sched_stall(&q->sched, c, when);
	ev_defer(q->loop, &q->sched_task);
}

void
job_agent_opened(struct peer *p)
{
	class_agents(p->q, p->role);
}

static void
say_rest(struct peer *p, const struct msg *m)
{
	struct queue *q = p->q;
	char who[64];
	int len = snprintf(who, sizeof(who), "message %llu, its %s agent died",
	    (unsigned long long)m->store.id, role_name(p->role));

	limit_waited(q->agent_row);
	log_limit_row(&q->agent_site, queue_mono(q), q->agent_row,
	    slice_of(who, (size_t)len), "tried again after that time");
}

void
job_agent_closed(struct peer *p)
{
	struct list_node *n;

	class_agents(p->q, p->role);
	while ((n = list_first(&p->jobs)) != NULL) {
		struct job *j = CONTAINER(n, struct job, node);
		struct msg *m = CONTAINER(j->sched.msg, struct msg, sched);

		m->soon = true;
		if (!p->q->closing)
			say_rest(p, m);
		job_end(p->q, j, SITE_NEUTRAL, SLICE_LIT("4.3.0"),
		    p->q->closing ? SLICE_LIT("interrupted by a stop")
				  : SLICE_LIT("delivery agent died"),
		    0, 0);
	}
}

unsigned
job_running(const struct queue *q)
{
	return q->jobs.count;
}

/* At the start no class has an agent. */
void
job_init(struct queue *q)
{
	q->written_row = limits_row(LIMIT_COUNT, "deliveries written", "",
	    sizeof(struct job), JOBS_WRITTEN_MAX);
	class_agents(q, ROLE_LOCAL);
	class_agents(q, ROLE_SMTP);
}
