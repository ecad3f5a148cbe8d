/*
 * Reports to senders (RFC 3464): the queue says what is to be reported, the
 * bounce role composes it and hands it in as a transaction whose tag is the
 * report's.
 *
 * Happy path: a message whose pass is over and that owes a report waits in
 * q->owed; report_task gives it a slot and sends the segments, the extents,
 * the recipients and REPORT; the transaction comes back (txn.c), its commit
 * and "reported" of the original are one commit; report_done lets the
 * original go on.
 *
 * Failure modes: no bounce role (the master is asked for one); it dies, hangs
 * or cannot compose (tried again; the third time without the original, in
 * case it is the original that kills it; after the fifth the message waits on
 * disk for transport_retry_time).  What is owed is in the log: nothing is
 * forgotten by a restart.
 */
#include "alias/sender.h"
#include "base/assert.h"
#include "queue/internal.h"

enum { TRIES_WITH_ORIGINAL = 2, TRIES_MAX = 5, REST_MS = 1000 };

/* ---- what is owed ---- */

static bool
delay_owed(const struct queue *q, const struct rcpt *r)
{
	return r->status == STORE_WAITING && !r->put_back &&
	       (r->notify == 0 || (r->notify & NOTIFY_DELAY) != 0) &&
	       q->retry.delay_warning_ms > 0;
}

static bool
concerns(const struct queue *q, const struct rcpt *r, enum report_kind kind)
{
	switch (kind) {
	case REPORT_FAILED:
	case REPORT_DOUBLE: return r->status == STORE_FAILED;
	case REPORT_DELIVERED: return r->status == STORE_DELIVERED;
	default: return delay_owed(q, r);
	}
}

static bool
warn_now(struct queue *q, const struct msg *m)
{
	return q->retry.delay_warning_ms > 0 && !msg_is_null_sender(m) &&
	       (m->store.row.flags & STORE_DELAY_WARNED) == 0 &&
	       queue_age_ms(q, m->arrival_ms) >= q->retry.delay_warning_ms;
}

bool
report_needed(struct queue *q, struct msg *m, enum report_kind *kind_out)
{
	bool failed = false, delivered = false, delayed = false;
	struct list_node *n = list_first(&m->rcpts);

	if (m->gone || m->store.over)
		return false;
	for (; n != NULL; n = list_next(&m->rcpts, n)) {
		const struct rcpt *r = CONTAINER(n, struct rcpt, node);

		failed |= r->status == STORE_FAILED;
		delivered |= r->status == STORE_DELIVERED;
		delayed |= delay_owed(q, r);
	}
	if (failed)
		*kind_out =
		    msg_is_null_sender(m) ? REPORT_DOUBLE : REPORT_FAILED;
	else if (delivered)
		*kind_out = REPORT_DELIVERED;
	else if (delayed && warn_now(q, m))
		*kind_out = REPORT_DELAYED;
	else
		return false;
	return true;
}

/* The next recipient that r is about, after from; NULL: no more. */
static struct rcpt *
next_rcpt(struct queue *q, const struct report *r, struct rcpt *from)
{
	struct list_node *n = from == NULL
				  ? list_first(&r->msg->rcpts)
				  : list_next(&r->msg->rcpts, &from->node);

	for (; n != NULL; n = list_next(&r->msg->rcpts, n)) {
		struct rcpt *x = CONTAINER(n, struct rcpt, node);

		if (concerns(q, x, r->kind))
			return x;
	}
	return NULL;
}

void
report_queue(struct queue *q, struct msg *m)
{
	ASSERT(m->busy == 0 && !list_linked(&m->dirty));
	m->state = MSG_REPORTING;
	list_push_back(&q->owed, &m->dirty);
	ev_defer(q->loop, &q->report_task);
}

/* ---- sending ---- */

static enum err
send_rcpts(struct queue *q, struct report *r)
{
	struct fr_report_rcpts f;
	struct rcpt *x = next_rcpt(q, r, r->next), *last = r->next;
	struct wr w = wr_of(q->scratch, 49152);
	unsigned sent = 0;
	enum err e;

	for (; x != NULL && r->sent_count + sent < r->rcpt_count &&
	       w.size - w.len >= JOB_RESULT_BYTES_MAX;
	     x = next_rcpt(q, r, x)) {
		const struct outcome *o = x->outcome;
		struct job_result j = {
			.index = x->index,
			.status = x->status == STORE_FAILED	 ? JOB_FAILED
				  : x->status == STORE_DELIVERED ? JOB_SENT
								 : JOB_DEFERRED,
			.dsn =
			    o == NULL ? SLICE_LIT("4.0.0") : slice_str(o->dsn),
			.relay = o == NULL ? SLICE_NONE
					   : slice_of(o->bytes, o->relay_len),
			.text = o == NULL ? SLICE_NONE
					  : slice_of(o->bytes + o->relay_len,
						o->text_len),
			/* As the sender wrote it; where it led is in the
			 * text. */
			.address = rcpt_stored_address(x),
			.orcpt = rcpt_orcpt(x),
		};

		job_result_put(&w, &j);
		last = x;
		sent++;
	}
	ASSERT(!w.full && sent > 0);
	f.rcpts = wr_done(&w);
	e = send_report_rcpts(r->agent->chan, r->tag, &f, -1);
	if (e != OK)
		return e;
	r->next = last;
	r->sent_count += sent;
	return OK;
}

static struct slice
report_to(struct queue *q, const struct report *r, char *buf, size_t size)
{
	int len;

	if (r->kind != REPORT_DOUBLE)
		return sender_bounce_to(r->msg->sender);
	len = snprintf(buf, size, "%s@%s", q->conf->doublebounceto,
	    q->conf->doublebouncehost);
	return slice_of(buf, len > 0 && (size_t)len < size ? (size_t)len : 0);
}

static enum err
report_send(struct queue *q, struct report *r)
{
	struct msg *m = r->msg;
	char to[ADDRESS_BYTES_MAX];
	bool original = m->report_tries < TRIES_WITH_ORIGINAL;
	struct fr_report f = {
		.kind = r->kind,
		.id = m->store.id,
		.arrival_ms = m->arrival_ms,
		.expires_ms =
		    m->arrival_ms + (uint64_t)(msg_is_null_sender(m)
						   ? q->retry.bounce_lifetime_ms
						   : q->retry.lifetime_ms),
		.rcpt_count = r->rcpt_count,
		.extent_count = original ? m->store.extent_count : 0,
		.report_to = report_to(q, r, to, sizeof(to)),
		.envelope = slice_of(m->envelope, m->envelope_len),
	};
	enum err e = OK;

	if (original) {
		e = segments_use(r->agent, m->store.extents,
		    m->store.extent_count, &r->segments_used);
		if (e == OK)
			e = segments_send_extents(r->agent, r->tag, &m->store,
			    &r->extents_sent);
	}
	while (e == OK && r->sent_count < r->rcpt_count)
		e = send_rcpts(q, r);
	if (e == OK)
		e = send_report(r->agent->chan, r->tag, &f, -1);
	return e;
}

static void
report_free(struct report *r)
{
	if (r->agent != NULL)
		segments_unuse(r->agent, r->msg->store.extents,
		    r->segments_used);
	if (r->txn != NULL)
		r->txn->report = NULL;
	*r = (struct report){ 0 };
}

static void
report_failed(struct queue *q, struct report *r)
{
	struct store_update u = { .dest = r->msg->store.row.dest };
	struct msg *m = r->msg;

	report_free(r);
	q->reports_rest = mono_add(queue_mono(q), REST_MS);
	if (++m->report_tries < TRIES_MAX) {
		list_push_back(&q->owed, &m->dirty);
		return;
	}
	log_error("the report on message %llu cannot be made now; it will be"
		  " tried again",
	    (unsigned long long)m->store.id);
	m->state = MSG_ACTIVE;
	u.due_ms = queue_wall(q).ms + q->conf->transport_retry_time_ms;
	u.flags = m->store.row.flags;
	/* Refused: then it is due at the time that was written last. */
	if (store_result_append(q->store, &m->store, &u, NULL) != OK)
		u.due_ms = m->store.row.due_ms;
	due_at(q, u.due_ms);
	msg_free(q, m);
}

static struct report *
free_slot(struct queue *q)
{
	for (unsigned i = 0; i < REPORTS_MAX; i++)
		if (q->report_slots[i].msg == NULL)
			return &q->report_slots[i];
	return NULL;
}

static void
report_begin(struct queue *q, struct report *r, struct msg *m,
    enum report_kind kind)
{
	struct rcpt *x = NULL;

	*r = (struct report){ .msg = m,
		.kind = (uint8_t)kind,
		.tag = ++q->report_tag,
		.agent = q->bounce,
		.deadline = mono_add(queue_mono(q), REPORT_TIMEOUT_MS) };
	while (r->rcpt_count < REPORT_RCPTS_MAX &&
	       (x = next_rcpt(q, r, x)) != NULL)
		r->rcpt_count++;
}

/* Go on with those that are not sent; false: the channel is full. */
static bool
send_all(struct queue *q)
{
	for (unsigned i = 0; i < REPORTS_MAX; i++) {
		struct report *r = &q->report_slots[i];
		enum err e;

		if (r->msg == NULL || r->sent || r->agent == NULL)
			continue;
		e = report_send(q, r);
		if (e == ERR_FULL || e == ERR_CLOSED)
			return false;
		if (e != OK)
			report_failed(q, r);
		else
			r->sent = true;
	}
	return true;
}

void
report_task(void *arg, struct ev_task *t)
{
	struct queue *q = arg;
	struct list_node *n;
	struct report *r;

	(void)t;
	if (!q->running || q->draining || q->dead)
		return;
	if (q->bounce == NULL) {
		if (!list_empty(&q->owed))
			q->env.want(q->env.arg, ROLE_BOUNCE);
		return;
	}
	while (send_all(q) && (r = free_slot(q)) != NULL &&
	       mono_sub(queue_mono(q), q->reports_rest) >= 0 &&
	       (n = list_pop_front(&q->owed)) != NULL) {
		struct msg *m = CONTAINER(n, struct msg, dirty);
		enum report_kind kind;

		if (report_needed(q, m, &kind)) {
			report_begin(q, r, m, kind);
		} else {
			m->state = MSG_ACTIVE;
			if (m->failing)
				result_give_up(q, m);
			result_mark(q, m);
		}
	}
}

/* ---- ending ---- */

struct report *
report_find(struct queue *q, uint32_t tag)
{
	for (unsigned i = 0; i < REPORTS_MAX; i++) {
		struct report *r = &q->report_slots[i];

		if (r->msg != NULL && r->tag == tag && r->sent &&
		    r->txn == NULL)
			return r;
	}
	return NULL;
}

void
report_on_frame(struct peer *p, struct frame *f)
{
	struct queue *q = p->q;
	struct fr_report_failed in;
	struct report *r = report_find(q, f->tag);

	if (!get_report_failed(f, &in) || r == NULL) {
		peer_bad(p, "REPORT_FAILED");
		return;
	}
	log_warning("the report on message %llu failed: %.*s",
	    (unsigned long long)r->msg->store.id, SLICE_ARGS(in.text));
	report_failed(q, r);
	ev_defer(q->loop, &q->report_task);
}

/* Does anything of m need more than this report? */
static bool
is_last(const struct report *r)
{
	const struct msg *m = r->msg;
	struct list_node *n = list_first(&m->rcpts);
	unsigned owed = 0;

	if (m->deferred > 0 || m->put_back > 0 || m->next_index < m->rcpt_total)
		return false;
	for (; n != NULL; n = list_next(&m->rcpts, n))
		owed += CONTAINER(n, struct rcpt, node)->status != STORE_DONE;
	return r->kind != REPORT_DELAYED && owed == r->rcpt_count;
}

void
report_update(struct queue *q, struct report *r, struct store_result *results,
    struct store_update *u)
{
	struct msg *m = r->msg;
	struct rcpt *x = NULL;
	unsigned count = 0;

	*u = (struct store_update){ .results = results,
		.dest = m->store.row.dest,
		.due_ms = result_due_ms(q, m),
		.flags = m->store.row.flags,
		.over = is_last(r) };
	if (m->deferred > 0)
		u->flags |= STORE_TRIED;
	if (r->kind == REPORT_DELAYED) {
		u->flags |= STORE_DELAY_WARNED;
		return;
	}
	while (count < r->rcpt_count && (x = next_rcpt(q, r, x)) != NULL)
		results[count++] = (struct store_result){ .index = x->index,
			.status = STORE_DONE,
			.attempts = x->attempts };
	u->result_count = count;
}

void
report_done(struct queue *q, struct report *r)
{
	struct msg *m = r->msg;
	struct rcpt *x = NULL;

	for (unsigned i = 0; r->kind != REPORT_DELAYED && i < r->rcpt_count &&
			     (x = next_rcpt(q, r, NULL)) != NULL;
	     i++) {
		x->status = STORE_DONE;
		mem_free(msg_acct(q, m), x->outcome);
		x->outcome = NULL;
	}
	report_free(r);
	m->report_tries = 0;
	m->state = MSG_ACTIVE;
	if (m->failing) /* the administrator came meanwhile */
		result_give_up(q, m);
	result_mark(q, m);
	ev_defer(q->loop, &q->report_task);
}

void
report_closed(struct queue *q, struct peer *p)
{
	for (unsigned i = 0; i < REPORTS_MAX; i++) {
		struct report *r = &q->report_slots[i];

		if (r->msg == NULL || r->agent != p)
			continue;
		segments_unuse(p, r->msg->store.extents, r->segments_used);
		r->agent = NULL;
		/* Already committed: it will be durable without the peer. */
		if (r->txn == NULL)
			report_failed(q, r);
	}
	if (!list_empty(&q->owed))
		ev_defer(q->loop, &q->report_task);
}

void
report_tick(struct queue *q)
{
	struct mono now = queue_mono(q);

	for (unsigned i = 0; i < REPORTS_MAX; i++) {
		struct report *r = &q->report_slots[i];

		if (r->msg == NULL || mono_sub(now, r->deadline) < 0)
			continue;
		if (r->txn == NULL) {
			report_failed(q, r);
		} else if (r->txn->state != TXN_COMMIT && r->agent != NULL) {
			/* What it began goes with it; the others, too. */
			peer_bad(r->agent, "a report that does not end");
			break;
		}
	}
	if (!list_empty(&q->owed))
		ev_defer(q->loop, &q->report_task);
}

void
report_forget(struct queue *q, struct msg *m)
{
	for (unsigned i = 0; i < REPORTS_MAX; i++)
		if (q->report_slots[i].msg == m)
			report_free(&q->report_slots[i]);
}

unsigned
report_running(const struct queue *q)
{
	unsigned count = 0;

	for (unsigned i = 0; i < REPORTS_MAX; i++)
		count += q->report_slots[i].msg != NULL;
	return count;
}
