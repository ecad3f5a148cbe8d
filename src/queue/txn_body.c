/*
 * The second half of a transaction: the body, the commit, and what follows
 * when it is durable.  See txn.c.
 */
#include "base/assert.h"
#include "queue/internal.h"

/* ---- commit ---- */

/* The envelope with what is known at the end; into q->scratch. */
static struct slice
final_envelope(struct queue *q, struct txn *t)
{
	struct rd rd = rd_of(slice_of(t->envelope, t->envelope_len));
	struct wr w = wr_of(q->scratch, ENVELOPE_BYTES_MAX);
	struct envelope e;
	int64_t now_ms = queue_wall(q).ms;

	if (!envelope_get(&rd, &e))
		ASSERT(!"the envelope decoded before");
	e.flags = t->commit.flags;
	e.body_bytes = t->body_bytes;
	e.longest_line_bytes = t->commit.longest_line_bytes;
	if (t->report != NULL)
		e.origin = ORIGIN_REPORT;
	if (e.arrival_ms == 0 || e.arrival_ms > (uint64_t)now_ms)
		e.arrival_ms = (uint64_t)now_ms;
	envelope_put(&w, &e);
	return w.full ? SLICE_NONE : wr_done(&w);
}

static enum err
txn_commit(struct queue *q, struct txn *t)
{
	struct store_result results[REPORT_RCPTS_MAX];
	struct store_update also;
	struct store_commit c = {
		.envelope = final_envelope(q, t),
		.rcpts = buf_data(&t->rcpts),
		.rcpt_count = t->rcpts_got,
		.due_ms = queue_wall(q).ms,
		.dest = t->dest,
	};
	struct msg *m = t->msg;
	enum err e;

	if (c.envelope.len == 0)
		return ERR_TOOBIG;
	if (t->report != NULL) {
		report_update(q, t->report, results, &also);
		c.also = &t->report->msg->store;
		c.also_update = &also;
	}
	if (m->envelope == NULL) {
		e = msg_set_envelope(q, m, c.envelope);
		if (e == ERR_FULL)
			return e;
		ASSERT(e == OK);
	}
	e = store_commit(q->store, &m->store, &c, &t->ticket);
	if (e != OK)
		return e;
	t->state = TXN_COMMIT;
	m->rcpt_total = t->rcpts_got;
	list_push_back(&q->committing, &t->waiting);
	if (t->report != NULL)
		t->report->msg->ticket = t->ticket;
	return OK;
}

/* ---- body ---- */

static void
txn_credit(struct txn *t)
{
	struct fr_txn_credit f = { .bytes = t->credit_owed };
	enum err e;

	if (t->credit_owed < TXN_CREDIT_STEP_BYTES || t->peer == NULL)
		return;
	t->credit_left += t->credit_owed;
	t->credit_owed = 0;
	e = send_txn_credit(t->peer->chan, t->tag, &f, -1);
	if (e != OK)
		peer_stuck(t->peer, e);
}

enum err
txn_write(struct queue *q, struct txn *t)
{
	while (t->body.len > 0) {
		struct slice data = buf_data(&t->body);
		enum err e;

		data = slice_sub(data, 0, STORE_PIECE_BYTES_MAX);
		e = store_body_append(q->store, &t->msg->store, data);
		if (e != OK)
			return e;
		buf_take(&t->body, data.len);
		t->credit_owed += (uint32_t)data.len;
	}
	buf_release(&t->body);
	if (!t->ended) {
		txn_credit(t);
		return OK;
	}
	return txn_commit(q, t);
}

void
txn_on_body(struct peer *p, struct txn *t, struct frame *f)
{
	struct queue *q = p->q;
	struct fr_txn_body in;
	enum err e = ERR_AGAIN;

	if (!get_txn_body(f, &in) || t->state != TXN_BODY || t->ended ||
	    in.data.len > t->credit_left) {
		peer_bad(p, "TXN_BODY");
		return;
	}
	t->credit_left -= (uint32_t)in.data.len;
	t->body_bytes += in.data.len;
	txn_active(q, t);
	if (t->body.len == 0)
		e = store_body_append(q->store, &t->msg->store, in.data);
	if (e == OK) {
		t->credit_owed += (uint32_t)in.data.len;
		txn_credit(t);
		return;
	}
	if (e == ERR_AGAIN)
		e = buf_put(&t->body, in.data);
	if (e == OK)
		txn_stall(q, t);
	else
		txn_fail(q, t, e);
}

void
txn_on_commit(struct peer *p, struct txn *t, struct frame *f)
{
	if (!get_txn_commit(f, &t->commit) || t->state != TXN_BODY ||
	    t->ended || t->commit.body_bytes != t->body_bytes ||
	    (t->commit.ahead != 0 &&
		(p->role != ROLE_SMTPD || t->commit.ahead == t->tag ||
		    txn_find(p, t->commit.ahead) != NULL))) {
		peer_bad(p, "TXN_COMMIT");
		return;
	}
	t->ended = true;
	list_remove(&t->recent);
	txn_advance(p->q, t);
}

/* ---- durable ---- */

/* Recipients from memory into the active set; false: from disk, later. */
static bool
txn_activate(struct queue *q, struct txn *t)
{
	struct msg *m = t->msg;
	struct rd rd = rd_of(buf_data(&t->rcpts));
	uint32_t skip = m->rcpt_total;

	if (q->draining)
		return false;
	if (!msg_room(q, false)) {
		msg_say_no_room(q, false, m->store.id);
		return false;
	}
	msg_activate(q, m);
	/* The first recipients of a large message went to the log. */
	if (t->rcpts_spilled)
		return due_load_part(q, m) == OK;
	for (uint32_t i = 0; i < skip && q->rcpt_count < q->rcpt_max; i++) {
		const unsigned char *from = rd.at;
		struct envelope_rcpt e;
		struct rcpt *r;

		if (!envelope_rcpt_get(&rd, &e) ||
		    msg_add_rcpt(q, m, i,
			slice_of(from, (size_t)(rd.at - from)), &r) != OK)
			break;
		m->next_index = i + 1;
	}
	if (m->next_index < skip)
		msg_say_no_room(q, false, m->store.id);
	return m->rcpt_count > 0;
}

static void
txn_durable(struct queue *q, struct txn *t)
{
	struct msg *m = t->msg;
	struct report *r = t->report;

	txn_answer(t, OK);
	if (r != NULL) {
		t->report = NULL;
		r->txn = NULL;
		if (r->kind == REPORT_FAILED || r->kind == REPORT_DOUBLE)
			qlog_bounced(q, r->msg, m);
		report_done(q, r);
	}
	qlog_new(q, m);
	if (txn_activate(q, t)) {
		txn_free(q, t);
		msg_begin(q, m);
		return;
	}
	txn_free(q, t);
	due_at(q, queue_wall(q).ms);
	msg_free(q, m);
}

void
txn_on_durable(struct queue *q)
{
	struct list_node *n;

	while ((n = list_first(&q->committing)) != NULL) {
		struct txn *t = CONTAINER(n, struct txn, waiting);

		if (!store_durable(q->store, t->ticket))
			return;
		txn_durable(q, t);
	}
}
