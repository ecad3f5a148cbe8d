/*
 * Results: what became of each recipient is logged, stored, and, when all
 * recipients of a pass have theirs, decides how the message goes on.
 *
 * Happy path: result_set notes the outcome; result_task writes what is
 * unwritten of each message as one record, the last one of a pass with the
 * next due time or with "over".  A message that is over waits until that is
 * durable, then it is "removed".
 *
 * Failure modes: the store has no room (ERR_AGAIN: the rest waits for
 * on_room); it is poisoned (the process leaves; what is not durable is tried
 * again by the next one).
 */
#include <inttypes.h>
#include <string.h>

#include "base/assert.h"
#include "queue/internal.h"

/* ---- one recipient ---- */

static bool
is_double_bounce(const struct queue *q, struct slice address)
{
	size_t at = slice_rfind(address, '@');

	return at < address.len &&
	       slice_eq_nocase(slice_sub(address, 0, at),
		   slice_str(q->conf->doublebounceto)) &&
	       slice_eq_nocase(slice_sub(address, at + 1, address.len),
		   slice_str(q->conf->doublebouncehost));
}

/* Is the sender, or for a report the postmaster, owed a report of failure? */
static bool
failure_owed(const struct queue *q, const struct rcpt *r)
{
	if (r->msg->gone)
		return false;
	if (!msg_is_null_sender(r->msg))
		return r->notify == 0 || (r->notify & NOTIFY_FAILURE) != 0;
	if (is_double_bounce(q, rcpt_address(r))) {
		log_message(r->msg->store.id,
		    "discarding: a report to <%.*s>"
		    " could not be delivered",
		    SLICE_ARGS(rcpt_address(r)));
		return false;
	}
	return (r->notify & NOTIFY_NEVER) == 0;
}

static uint8_t
final_status(const struct queue *q, const struct rcpt *r,
    enum job_status status)
{
	switch (status) {
	case JOB_SENT:
		return (r->notify & NOTIFY_SUCCESS) != 0 &&
			       !msg_is_null_sender(r->msg)
			   ? STORE_DELIVERED
			   : STORE_DONE;
	case JOB_SENT_DSN: return STORE_DONE;
	case JOB_FAILED: return failure_owed(q, r) ? STORE_FAILED : STORE_DONE;
	default: return STORE_WAITING;
	}
}

static int64_t
positive(int64_t v)
{
	return v > 0 ? v : 0;
}

static void
log_delivery(struct queue *q, const struct rcpt *r, const struct result *res,
    const char *prefix)
{
	static const char *const words[JOB_STATUS_COUNT] = {
		[JOB_SENT] = "sent",
		[JOB_DEFERRED] = "deferred",
		[JOB_FAILED] = "bounced",
		[JOB_SENT_DSN] = "sent",
	};
	const struct msg *m = r->msg;
	struct mono now = queue_mono(q);
	struct mono started = res->started.ms != 0 ? res->started : now;
	int64_t total = positive(queue_wall(q).ms - (int64_t)m->arrival_ms);
	int64_t active = positive(mono_sub(now, m->active_since));
	char d[5][16];
	struct log_line l;

	status_delay(d[0], sizeof(d[0]), total);
	status_delay(d[1], sizeof(d[1]), total - active);
	status_delay(d[2], sizeof(d[2]), mono_sub(started, m->active_since));
	status_delay(d[3], sizeof(d[3]), res->setup_ms);
	status_delay(d[4], sizeof(d[4]), res->transfer_ms);
	log_begin(&l, LOG_LEVEL_INFO, m->store.id, "delivery");
	log_field(&l, "to", "<%.*s>", SLICE_ARGS(rcpt_address(r)));
	if (r->original_len > 0 && !slice_eq(rcpt_original(r), rcpt_address(r)))
		log_field(&l, "orig_to", "<%.*s>",
		    SLICE_ARGS(rcpt_original(r)));
	if (res->relay.len > 0)
		log_field(&l, "relay", "%.*s", SLICE_ARGS(res->relay));
	else
		log_field(&l, "relay", "none");
	log_field(&l, "delay", "%s", d[0]);
	log_field(&l, "delays", "%s/%s/%s/%s", d[1], d[2], d[3], d[4]);
	log_field(&l, "dsn", "%.*s", SLICE_ARGS(res->dsn));
	log_field(&l, "status", "%s", words[res->status]);
	log_note(&l, "%s%.*s", prefix, SLICE_ARGS(res->text));
	log_end(&l);
}

/* Text for the log on disk and for a report; NULL: no memory for it. */
static struct outcome *
outcome_new(struct queue *q, const struct result *res, const char *prefix)
{
	size_t before = strlen(prefix), relay = res->relay.len;
	size_t text = res->text.len;
	struct outcome *o;

	if (relay > JOB_RELAY_BYTES_MAX)
		relay = JOB_RELAY_BYTES_MAX;
	if (text + before > JOB_TEXT_BYTES_MAX)
		text = JOB_TEXT_BYTES_MAX - before;
	o = mem_alloc(&q->msg_acct, sizeof(*o) + relay + before + text);
	if (o == NULL)
		return NULL;
	if (!slice_copy(res->dsn, o->dsn, sizeof(o->dsn)))
		slice_copy(SLICE_LIT("4.0.0"), o->dsn, sizeof(o->dsn));
	o->relay_len = (uint16_t)relay;
	o->text_len = (uint16_t)(before + text);
	if (relay > 0)
		memcpy(o->bytes, res->relay.data, relay);
	if (before > 0)
		memcpy(o->bytes + relay, prefix, before);
	if (text > 0)
		memcpy(o->bytes + relay + before, res->text.data, text);
	return o;
}

void
result_loaded(struct queue *q, struct rcpt *r, const struct store_rcpt *s)
{
	struct result res = { .dsn = s->dsn,
		.relay = s->relay,
		.text = s->text };

	r->attempts = s->attempts;
	if (s->status != STORE_FAILED && s->status != STORE_DELIVERED)
		return;
	r->status = s->status;
	r->state = RCPT_OVER;
	r->msg->busy--;
	r->outcome = outcome_new(q, &res, "");
}

/* r has no more to do in this pass. */
static void
rcpt_over(struct queue *q, struct rcpt *r)
{
	ASSERT(r->state != RCPT_OVER && r->msg->busy > 0);
	r->state = RCPT_OVER;
	r->msg->busy--;
	result_mark(q, r->msg);
}

void
result_set(struct queue *q, struct rcpt *r, const struct result *res)
{
	struct result as = *res;
	struct msg *m = r->msg;
	const char *prefix = "";
	char dsn[JOB_DSN_BYTES_MAX + 1];

	if (r->attempts < UINT16_MAX)
		r->attempts++;
	if (!slice_copy(res->dsn, dsn, sizeof(dsn)) || dsn[0] == '\0')
		slice_copy(slice_str(res->status == JOB_FAILED	   ? "5.0.0"
				     : res->status == JOB_DEFERRED ? "4.0.0"
								   : "2.0.0"),
		    dsn, sizeof(dsn));
	if (as.status == JOB_FAILED && q->conf->soft_bounce && !m->failing) {
		as.status = JOB_DEFERRED;
		dsn[0] = '4';
	}
	if (as.status == JOB_DEFERRED && !m->gone &&
	    retry_expired(&q->retry,
		retry_age_ms(&q->clock, m->arrival_ms, queue_wall(q)),
		r->attempts, msg_is_null_sender(m))) {
		as.status = JOB_FAILED;
		slice_copy(SLICE_LIT("5.4.7"), dsn, sizeof(dsn));
		prefix = "delivery time expired: ";
	}
	as.dsn = slice_str(dsn);
	log_delivery(q, r, &as, prefix);
	r->status = final_status(q, r, as.status);
	r->unwritten = true;
	mem_free(&q->msg_acct, r->outcome);
	r->outcome = outcome_new(q, &as, prefix);
	if (as.status == JOB_DEFERRED) {
		m->deferred++;
		m->remote_left |= r->remote;
	}
	rcpt_over(q, r);
}

void
result_put_back(struct queue *q, struct rcpt *r)
{
	r->put_back = true;
	r->msg->put_back++;
	rcpt_over(q, r);
}

/* ---- messages ---- */

void
result_mark(struct queue *q, struct msg *m)
{
	if (m->state == MSG_ACTIVE && !list_linked(&m->dirty))
		list_push_back(&q->dirty, &m->dirty);
	if (!q->store_full)
		ev_defer(q->loop, &q->write_task);
}

int64_t
result_due_ms(struct queue *q, const struct msg *m)
{
	struct wall now = queue_wall(q);
	int64_t delay_ms = retry_delay_ms(&q->retry,
	    retry_age_ms(&q->clock, m->arrival_ms, now), !m->remote_left,
	    random_u64());

	/* Without a deferred recipient it matters after a crash only. */
	if (m->deferred == 0)
		return now.ms +
		       (m->put_back > 0 && !q->closing ? PUT_BACK_MS : 0);
	if (m->soon && delay_ms > q->conf->transport_retry_time_ms)
		delay_ms = q->conf->transport_retry_time_ms;
	return now.ms + delay_ms;
}

/* The record that is about to be written of m. */
struct record {
	struct store_update u;
	struct store_result results[RESULTS_PER_RECORD];
	struct rcpt *rcpts[RESULTS_PER_RECORD];
	bool all; /* nothing unwritten is left after it */
};

static void
gather(struct msg *m, struct record *rec)
{
	struct list_node *n = list_first(&m->rcpts);
	unsigned count = 0;

	rec->all = true;
	for (; n != NULL; n = list_next(&m->rcpts, n)) {
		struct rcpt *r = CONTAINER(n, struct rcpt, node);
		const struct outcome *o = r->outcome;

		if (!r->unwritten)
			continue;
		if (count == RESULTS_PER_RECORD) {
			rec->all = false;
			break;
		}
		rec->rcpts[count] = r;
		rec->results[count++] = (struct store_result){
			.index = r->index,
			.status = r->status,
			.attempts = r->attempts,
			.dsn = o == NULL ? SLICE_NONE : slice_str(o->dsn),
			.relay = o == NULL ? SLICE_NONE
					   : slice_of(o->bytes, o->relay_len),
			.text =
			    o == NULL
				? SLICE_LIT("(the text was lost: no memory)")
				: slice_of(o->bytes + o->relay_len,
				      o->text_len),
		};
	}
	rec->u = (struct store_update){ .results = rec->results,
		.result_count = count,
		.dest = m->dest,
		.flags = m->store.row.flags };
	if (m->deferred > 0)
		rec->u.flags |= STORE_TRIED;
}

/* Texts that nobody will ask for any more. */
static void
written(struct queue *q, struct record *rec)
{
	for (unsigned i = 0; i < rec->u.result_count; i++) {
		struct rcpt *r = rec->rcpts[i];

		r->unwritten = false;
		if (r->status == STORE_DONE ||
		    (r->status == STORE_WAITING &&
			q->retry.delay_warning_ms == 0)) {
			mem_free(&q->msg_acct, r->outcome);
			r->outcome = NULL;
		}
	}
}

static bool
parts_left(const struct msg *m)
{
	return m->next_index < m->rcpt_total && !m->suspended;
}

/* The pass is over and nothing is owed: the message ends, or waits. */
static void
leave(struct queue *q, struct msg *m, const struct store_update *u)
{
	if (u->over) {
		m->state = MSG_ENDING;
		list_remove(&m->node);
		list_push_back(&q->ending, &m->node);
		q->active_count--;
		q->ending_count++;
		msg_free_rcpts(q, m);
		return;
	}
	due_at(q, u->due_ms);
	msg_free(q, m);
}

static void
next_part(struct queue *q, struct msg *m, const struct store_update *u)
{
	enum err e = due_load_part(q, m);

	if (e == OK)
		msg_route(q, m);
	else if (e == ERR_AGAIN)
		list_push_back(&q->parts_wait, &m->dirty);
	else
		leave(q, m, u);
}

void
result_parts(struct queue *q)
{
	struct list_node *n;

	while ((n = list_pop_front(&q->parts_wait)) != NULL) {
		list_push_back(&q->dirty, n);
		ev_defer(q->loop, &q->write_task);
	}
}

/* Write what m has; then, if its pass is over, see what is next.  False: the
 * store has no room. */
static bool
settle(struct queue *q, struct msg *m)
{
	struct record *rec = q->record;
	enum report_kind kind;
	bool pass_over, report;
	enum err e = OK;

	do {
		gather(m, rec);
		pass_over = m->busy == 0 && rec->all;
		report = pass_over && report_needed(q, m, &kind);
		rec->u.due_ms = result_due_ms(q, m);
		rec->u.over = pass_over && !report && !parts_left(m) &&
			      m->deferred == 0 && m->put_back == 0 &&
			      m->next_index >= m->rcpt_total;
		if (m->store.over) /* deleted, or its report ended it */
			rec->u.over = true;
		else if (rec->u.result_count > 0 ||
			 (pass_over && !report && !parts_left(m)))
			e = store_result_append(q->store, &m->store, &rec->u,
			    &m->ticket);
		if (e == ERR_AGAIN)
			return false;
		if (e != OK) {
			queue_store_failed(q, e);
			return false;
		}
		written(q, rec);
	} while (!rec->all);
	list_remove(&m->dirty);
	if (!pass_over)
		return true;
	if (report && !m->store.over) {
		report_queue(q, m);
	} else if (parts_left(m) && !m->store.over) {
		msg_free_rcpts(q, m);
		next_part(q, m, &rec->u);
	} else {
		leave(q, m, &rec->u);
	}
	return true;
}

void
result_task(void *arg, struct ev_task *t)
{
	struct queue *q = arg;
	struct list_node *n;

	(void)t;
	while (!q->dead && (n = list_first(&q->dirty)) != NULL)
		if (!settle(q, CONTAINER(n, struct msg, dirty))) {
			q->store_full = true;
			return;
		}
	if (!q->dead)
		result_on_durable(q); /* what a report's commit ended */
}

enum err
result_init(struct queue *q)
{
	list_init(&q->dirty);
	list_init(&q->parts_wait);
	list_init(&q->ending);
	ev_task_init(&q->write_task, result_task, q);
	q->record = mem_alloc(q->env.acct, sizeof(*q->record));
	return q->record == NULL ? ERR_NOMEM : OK;
}

void
result_fini(struct queue *q)
{
	ev_task_cancel(&q->write_task);
	mem_free(q->env.acct, q->record);
}

void
result_on_durable(struct queue *q)
{
	struct list_node *n;

	while ((n = list_first(&q->ending)) != NULL) {
		struct msg *m = CONTAINER(n, struct msg, node);

		if (!store_durable(q->store, m->ticket))
			return;
		log_message(m->store.id, "removed");
		msg_free(q, m);
	}
}
