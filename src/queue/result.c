/*
 * Results: what became of the recipients of a message is stored, and, when all
 * recipients of a pass have theirs, decides how the message goes on.
 *
 * Happy path: result_set (outcome.c) notes the outcome; result_task writes what
 * is unwritten of each message as one record, the last one of a pass with the
 * next due time or with "over".  A message that is over waits until that is
 * durable, then it is "removed".
 *
 * Failure modes: the store has no room, or the disk (the rest waits for
 * on_room); it is poisoned (the process leaves; what is not durable is tried
 * again by the next one).
 */
#include "base/assert.h"
#include "queue/internal.h"

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
	    queue_age_ms(q, m->arrival_ms), !m->remote_left, random_u64());

	/* Without a deferred recipient it matters after a crash only. */
	if (m->deferred == 0)
		return now.ms +
		       (m->put_back > 0 && !q->closing ? m->put_back_ms : 0);
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
		.dest = m->store.row.dest,
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
			mem_free(msg_acct(q, r->msg), r->outcome);
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
		if (err_class(e) == ERR_CLASS_FULL || e == ERR_AGAIN)
			return false; /* on_room; it is not forgotten */
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
		qlog_over(q, m->store.id);
		msg_free(q, m);
	}
}
