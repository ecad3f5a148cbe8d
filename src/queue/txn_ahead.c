/*
 * Transactions granted ahead.
 *
 * An smtpd with little to do asks, as it commits a message, for the next
 * transaction.  When that commit is durable it is granted: place, memory, id
 * and disk space are taken as for one that was opened, for the largest message
 * with a few recipients.  So the client's DATA is answered at once, and
 * envelope, recipients, body and commit come together.
 *
 * Failure modes: there is not plenty of everything, or the server drains: not
 * granted, smtpd opens one in the ordinary way; it is not used: smtpd gives it
 * back (TXN_ABORT) after a second, or when it is told that something is
 * short; the channel is lost: freed with all others.
 */
#include "proto/received.h"
#include "queue/internal.h"

enum {
	RCPTS_BYTES = TXN_AHEAD_RCPTS_MAX * ENVELOPE_RCPT_BYTES_MAX,
};

/* Nobody who opens one in the ordinary way may be refused because of it. */
static bool
has_plenty(const struct queue *q, uint64_t bytes)
{
	return !q->draining && !q->short_of_disk &&
	       q->ladder.step == LADDER_CALM &&
	       q->ahead_count < TXNS_AHEAD_MAX &&
	       q->txn_pool.in_use < q->txn_pool.count_max / 2 &&
	       acct_room(&q->txn_acct) > q->txn_acct.max_bytes / 2 &&
	       list_empty(&q->stalled) && store_has_plenty(q->store, bytes);
}

/* Everything that txn_begin and the frames until then may need. */
static enum err
grant(struct peer *p, uint32_t tag)
{
	struct queue *q = p->q;
	struct fr_txn_open open = {
		.envelope = slice_of(q->scratch, ENVELOPE_BYTES_MAX),
	};
	uint64_t bytes = (uint64_t)q->conf->message_size_limit_bytes +
			 RECEIVED_BYTES_MAX + ENVELOPE_BYTES_MAX + RCPTS_BYTES;
	struct fr_txn_ready f = { .credit_bytes = TXN_CREDIT_BYTES };
	struct msg *m;
	struct txn *t;
	size_t room;
	char *at;
	enum err e;

	if (!has_plenty(q, bytes))
		return ERR_FULL;
	t = txn_new(p, tag, &open);
	if (t == NULL)
		return ERR_FULL;
	m = t->msg;
	e = buf_room(&t->rcpts, RCPTS_BYTES, &at, &room);
	if (e == OK)
		e = store_msg_open(q->store, &m->store);
	if (e == OK)
		e = store_reserve(q->store, &m->store, bytes);
	if (e != OK) {
		txn_free(q, t);
		msg_free(q, m);
		return e;
	}
	t->state = TXN_AHEAD;
	t->ahead = t->opened = true;
	limit_set_in_use(q->ahead_row, ++q->ahead_count);
	f.id = m->store.id;
	if (send_txn_ready(p->chan, tag, &f, -1) != OK)
		peer_stuck(p, ERR_FULL);
	return OK;
}

void
txn_grant(struct peer *p, uint32_t tag, enum err e)
{
	if (e == OK)
		e = grant(p, tag);
	if (e != OK)
		txn_refuse(p, tag, e);
}

void
txn_granted_over(struct queue *q, struct txn *t)
{
	t->state = TXN_RCPTS;
	limit_set_in_use(q->ahead_row, --q->ahead_count);
}

bool
txn_begin_granted(struct txn *t, const struct fr_txn_open *open)
{
	if (t->state != TXN_AHEAD || open->unproven ||
	    open->rcpt_count > TXN_AHEAD_RCPTS_MAX)
		return false;
	txn_granted_over(t->peer->q, t);
	memcpy(t->envelope, open->envelope.data, open->envelope.len);
	t->envelope_len = open->envelope.len;
	t->rcpts_expected = open->rcpt_count;
	t->size_hint_bytes = open->size_hint_bytes;
	t->msg->store.earned = open->earned;
	return true;
}
