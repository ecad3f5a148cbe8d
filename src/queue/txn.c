/*
 * Transactions: messages on their way in, from smtpd, bounce and pickup.
 *
 * Happy path: TXN_OPEN takes a place and an id, TXN_RCPT brings recipients
 * until all have come, disk space is reserved, TXN_READY invites the body;
 * its frames go to the store's batch as they come; TXN_COMMIT writes the
 * envelope record; when that is durable TXN_DONE says so and the message
 * becomes active.
 *
 * Failure modes: no place, no memory, no disk (refused with its error, before
 * the body if possible); the batch is full (ERR_AGAIN: the transaction waits
 * in q->stalled, all senders of bodies are paused); the peer goes away, or
 * TXN_ABORT (forgotten, unless it was committed); the log is poisoned (every
 * transaction is answered with ERR_IO).  A peer that breaks the rules of the
 * frames is closed as malformed.
 */
#include <string.h>

#include "base/assert.h"
#include "queue/internal.h"

enum {
	RCPTS_BYTES_MIN = 256,
	BODY_BYTES_MIN = 4096,
	/* A body that was invited or active so lately may end any moment: a
	 * small one comes whole, with its end. */
	ENDING_MS = 3,
};

/* Whoever counts up to the one never breaks the other. */
_Static_assert((int)STORE_RCPTS_MAX >= (int)ENVELOPE_RCPTS_MAX / STORE_SCALE,
    "every message that may come in can be kept");

static uint64_t
txn_hash(const struct peer *p, uint32_t tag)
{
	return hash_u64((uintptr_t)p * 31 + tag);
}

struct txn *
txn_find(struct peer *p, uint32_t tag)
{
	struct hash_node *n = hash_first(&p->q->txns, txn_hash(p, tag));

	for (; n != NULL; n = hash_next(n)) {
		struct txn *t = CONTAINER(n, struct txn, node);

		if (t->peer == p && t->tag == tag)
			return t;
	}
	return NULL;
}

void
txn_free(struct queue *q, struct txn *t)
{
	if (t->report != NULL)
		t->report->txn = NULL;
	if (t->state == TXN_AHEAD)
		txn_granted_over(q, t);
	if (t->peer != NULL) {
		hash_remove(&q->txns, &t->node);
		list_remove(&t->peer_node);
	}
	list_remove(&t->recent);
	list_remove(&t->stalled);
	list_remove(&t->waiting);
	mem_free(&t->acct, t->envelope);
	buf_fini(&t->rcpts);
	buf_fini(&t->body);
	acct_fini(&t->acct);
	pool_put(&q->txn_pool, t);
	limit_set_in_use(q->txn_row, q->txn_pool.in_use);
	queue_check_drained(q);
}

void
txn_answer(struct txn *t, enum err e)
{
	struct fr_txn_done f = { .error = (uint8_t)e, .id = t->msg->store.id };

	if (t->peer == NULL)
		return;
	if (send_txn_done(t->peer->chan, t->tag, &f, -1) != OK)
		peer_stuck(t->peer, ERR_FULL);
	else if (t->commit.ahead != 0)
		txn_grant(t->peer, t->commit.ahead, e);
}

void
txn_fail(struct queue *q, struct txn *t, enum err e)
{
	struct msg *m = t->msg;

	if (e == ERR_NOSPACE)
		shortage_refused(q);
	txn_answer(t, e);
	txn_free(q, t);
	msg_free(q, m);
}

void
txn_stall(struct queue *q, struct txn *t)
{
	if (!list_linked(&t->stalled))
		list_push_back(&q->stalled, &t->stalled);
	peers_pause_body(q, true);
}

/* ---- begin ---- */

/* Reports and what is local find places that clients may not take, and proven
 * clients find some that strangers may not. */
static bool
txn_place(const struct queue *q, const struct peer *p, bool unproven)
{
	unsigned max = q->txn_pool.count_max;

	if (p->role == ROLE_SMTPD)
		max -= TXNS_RESERVED;
	if (unproven)
		max = max / 100 * UNPROVEN_PERCENT;
	return q->txn_pool.in_use < max;
}

/* A transaction that was not begun is refused under its tag. */
void
txn_refuse(struct peer *p, uint32_t tag, enum err e)
{
	struct fr_txn_ready f = { .error = (uint8_t)e };

	e = send_txn_ready(p->chan, tag, &f, -1);
	if (e != OK)
		peer_stuck(p, e);
}

struct txn *
txn_new(struct peer *p, uint32_t tag, const struct fr_txn_open *f)
{
	struct queue *q = p->q;
	struct txn *t = NULL;

	if (txn_place(q, p, f->unproven))
		t = pool_get(&q->txn_pool);

	if (t == NULL)
		return NULL;
	acct_init(&t->acct, f->unproven ? &q->txn_unproven_acct : &q->txn_acct,
	    "transaction", TXN_ACCOUNT_BYTES_MAX, false, "");
	buf_init(&t->rcpts, &t->acct, RCPTS_BYTES_MIN,
	    STORE_RCPTS_INLINE_BYTES_MAX);
	buf_init(&t->body, f->unproven ? &q->body_unproven_acct : &q->body_acct,
	    BODY_BYTES_MIN, TXN_CREDIT_BYTES);
	t->msg = msg_new(q, false);
	t->envelope = mem_alloc(&t->acct, f->envelope.len + 1);
	if (t->msg == NULL || t->envelope == NULL) {
		if (t->msg != NULL)
			msg_free(q, t->msg);
		txn_free(q, t);
		return NULL;
	}
	memcpy(t->envelope, f->envelope.data, f->envelope.len);
	t->envelope_len = f->envelope.len;
	t->unproven = f->unproven;
	t->earned = f->earned;
	t->rcpts_expected = f->rcpt_count;
	t->size_hint_bytes = f->size_hint_bytes;
	t->peer = p;
	t->tag = tag;
	hash_add(&q->txns, &t->node, txn_hash(p, tag));
	list_push_back(&p->txns, &t->peer_node);
	limit_set_in_use(q->txn_row, q->txn_pool.in_use);
	return t;
}

static void
on_open(struct peer *p, struct frame *f)
{
	struct queue *q = p->q;
	struct fr_txn_open open;
	struct envelope e;
	struct report *r = NULL;
	struct txn *t;
	struct rd rd;

	if (!get_txn_open(f, &open) || open.rcpt_count == 0 ||
	    open.rcpt_count > STORE_RCPTS_MAX) {
		peer_bad(p, "TXN_OPEN");
		return;
	}
	rd = rd_of(open.envelope);
	if (!envelope_get(&rd, &e) || !rd_done(&rd)) {
		peer_bad(p, "an envelope that does not decode");
		return;
	}
	t = txn_find(p, f->tag);
	if (t != NULL) {
		if (!txn_begin_granted(t, &open))
			peer_bad(p, "TXN_OPEN under a tag in use");
		return;
	}
	if (p->role == ROLE_BOUNCE) {
		r = report_find(q, f->tag);
		if (r == NULL || e.sender.len > 0) {
			peer_bad(p, "a report that nobody asked for");
			return;
		}
	}
	t = q->draining && r == NULL ? NULL : txn_new(p, f->tag, &open);
	if (t == NULL) {
		txn_refuse(p, f->tag, q->draining ? ERR_AGAIN : ERR_FULL);
		return;
	}
	if (r != NULL) {
		t->report = r;
		r->txn = t;
	}
	txn_advance(q, t);
}

/* Refuse what has all that it may send before it is invited. */
static void
txn_fail_early(struct queue *q, struct txn *t, enum err e)
{
	struct msg *m = t->msg;

	if (t->ahead) {
		txn_fail(q, t, e);
		return;
	}
	if (e == ERR_NOSPACE)
		shortage_refused(q);
	txn_refuse(t->peer, t->tag, e);
	txn_free(q, t);
	msg_free(q, m);
}

static void
say_filter_full(struct queue *q, const struct txn *t)
{
	char who[32];
	int len = snprintf(who, sizeof(who), "message %llu",
	    (unsigned long long)t->msg->store.id);

	limit_refused(q->filter_row);
	log_limit_row(&q->filter_site, queue_mono(q), q->filter_row,
	    slice_of(who, (size_t)len), "further recipients may get it twice");
}

/* Among those that are in memory, once; more: others follow, with which they
 * are not compared. */
static void
rcpts_unique(struct queue *q, struct txn *t, bool more)
{
	uint32_t limit = (uint32_t)q->conf->duplicate_filter_limit, gone;
	bool full;

	if (t->rcpts_unique)
		return;
	gone = duplicates_drop(&t->rcpts, t->rcpts_got, limit, &full);
	t->rcpts_got -= gone;
	t->rcpts_expected -= gone;
	if (full || (more && limit > 0))
		say_filter_full(q, t);
	t->rcpts_unique = true;
}

/* Recipients beyond what is kept in memory go to the log at once. */
static enum err
rcpts_spill(struct queue *q, struct txn *t)
{
	enum err e;

	if (!t->opened)
		return ERR_AGAIN;
	rcpts_unique(q, t, true);
	e = store_rcpts_append(q->store, &t->msg->store, buf_data(&t->rcpts));
	if (e == OK) {
		buf_take(&t->rcpts, buf_data(&t->rcpts).len);
		t->rcpts_spilled = true;
	}
	return e;
}

/* Another recipient's domain: the same as before, or there are several. */
static void
note_domain(struct txn *t, struct slice address)
{
	size_t at = slice_rfind(address, '@');
	uint64_t key = 0;

	if (at < address.len)
		key = store_dest_key(slice_sub(address, at + 1, address.len));
	t->dest = t->rcpts_got == 0 || t->dest == key ? key : 0;
}

static void
on_rcpt(struct peer *p, struct txn *t, struct frame *f)
{
	struct queue *q = p->q;
	struct fr_txn_rcpt in;
	struct envelope_rcpt r;
	struct rd rd;
	enum err e;

	if (!get_txn_rcpt(f, &in) || t->state != TXN_RCPTS) {
		peer_bad(p, "TXN_RCPT");
		return;
	}
	for (rd = rd_of(in.rcpts); rd.left > 0; t->rcpts_got++) {
		if (!envelope_rcpt_get(&rd, &r) ||
		    t->rcpts_got == t->rcpts_expected) {
			peer_bad(p, "recipients that do not decode");
			return;
		}
		note_domain(t, r.address);
	}
	e = buf_put(&t->rcpts, in.rcpts);
	if (e == ERR_TOOBIG) {
		e = rcpts_spill(q, t);
		if (e == OK)
			e = buf_put(&t->rcpts, in.rcpts);
		else if (e == ERR_AGAIN)
			e = ERR_FULL; /* the client tries again */
	}
	if (e == OK)
		txn_advance(q, t);
	else
		txn_fail_early(q, t, e);
}

/* Disk space: what the client announced, else the most that it may send. */
static uint64_t
reservation(const struct queue *q, const struct txn *t)
{
	uint64_t bytes = t->size_hint_bytes;

	if (bytes == 0)
		bytes = (uint64_t)q->conf->message_size_limit_bytes;
	return bytes + t->envelope_len + buf_data(&t->rcpts).len;
}

/* Open it in the store, and when all recipients are here, invite the body. */
static enum err
txn_begin(struct queue *q, struct txn *t)
{
	struct fr_txn_ready f = { .credit_bytes = TXN_CREDIT_BYTES };
	uint64_t need;
	enum err e;

	if (!t->opened) {
		e = store_msg_open(q->store, &t->msg->store);
		if (e != OK)
			return e;
		t->opened = true;
		t->msg->store.unproven = t->unproven;
		t->msg->store.earned = t->earned;
	}
	if (t->rcpts_got < t->rcpts_expected)
		return OK;
	rcpts_unique(q, t, false);
	need = reservation(q, t);
	if (!t->ahead || need > t->msg->store.reserved_bytes) {
		e = store_reserve(q->store, &t->msg->store, need);
		if (e != OK)
			return e;
	}
	t->state = TXN_BODY;
	t->credit_left = TXN_CREDIT_BYTES;
	txn_active(q, t);
	if (t->ahead)
		return OK; /* it was told */
	f.id = t->msg->store.id;
	e = send_txn_ready(t->peer->chan, t->tag, &f, -1);
	if (e != OK)
		peer_stuck(t->peer, e);
	return OK;
}

/* ---- driving ---- */

void
txn_advance(struct queue *q, struct txn *t)
{
	enum err e = OK;

	if (t->state == TXN_RCPTS)
		e = txn_begin(q, t);
	else if (t->state == TXN_BODY)
		e = txn_write(q, t);
	if (e == OK) {
		list_remove(&t->stalled);
	} else if (e == ERR_AGAIN) {
		txn_stall(q, t);
	} else if (t->state == TXN_RCPTS) {
		txn_fail_early(q, t, e);
	} else {
		txn_fail(q, t, e);
	}
}

void
txn_on_room(struct queue *q)
{
	struct list_node *n;

	while ((n = list_first(&q->stalled)) != NULL) {
		txn_advance(q, CONTAINER(n, struct txn, stalled));
		if (list_first(&q->stalled) == n)
			return; /* full again */
	}
	peers_pause_body(q, false);
}

void
txn_on_frame(struct peer *p, struct frame *f)
{
	struct txn *t;

	if (f->type == FRAME_TXN_OPEN) {
		on_open(p, f);
		return;
	}
	t = txn_find(p, f->tag);
	/* What was refused may still be followed by what was on its way. */
	if (t == NULL)
		return;
	switch (f->type) {
	case FRAME_TXN_RCPT: on_rcpt(p, t, f); break;
	case FRAME_TXN_BODY: txn_on_body(p, t, f); break;
	case FRAME_TXN_COMMIT: txn_on_commit(p, t, f); break;
	case FRAME_TXN_ABORT:
		if (t->state != TXN_COMMIT) {
			struct msg *m = t->msg;

			txn_free(p->q, t);
			msg_free(p->q, m);
		}
		break;
	default: peer_bad(p, "not a frame of a transaction"); break;
	}
}

void
txn_peer_closed(struct peer *p)
{
	struct list_node *n;

	while ((n = list_first(&p->txns)) != NULL) {
		struct txn *t = CONTAINER(n, struct txn, peer_node);
		struct msg *m = t->msg;

		if (t->state == TXN_COMMIT) {
			/* It exists, or will; nobody is to be told. */
			hash_remove(&p->q->txns, &t->node);
			list_remove(&t->peer_node);
			t->peer = NULL;
			continue;
		}
		txn_free(p->q, t);
		msg_free(p->q, m);
	}
}

void
txn_drop(struct queue *q, struct txn *t)
{
	struct msg *m = t->msg;

	txn_free(q, t);
	msg_free(q, m);
}

void
txn_fail_all(struct queue *q, enum err e)
{
	for (unsigned i = 0; i < PEERS_MAX; i++) {
		struct peer *p = q->peers[i];
		struct list_node *n;

		if (p == NULL || p->chan == NULL)
			continue;
		for (n = list_first(&p->txns); n != NULL;
		     n = list_next(&p->txns, n)) {
			struct txn *t = CONTAINER(n, struct txn, peer_node);

			if (t->state == TXN_RCPTS && !t->ahead)
				txn_refuse(p, t->tag, e);
			else
				txn_answer(t, e);
		}
		chan_flush(p->chan);
	}
}

void
txn_active(struct queue *q, struct txn *t)
{
	t->active = ev_now(q->loop);
	list_remove(&t->recent);
	list_push_back(&q->recent, &t->recent);
}

unsigned
txn_ending(struct queue *q)
{
	struct mono now = ev_now(q->loop);
	struct list_node *n = q->recent.head.prev;
	unsigned count = 0;

	while (n != &q->recent.head && count < STORE_COMPANY_MIN &&
	       mono_sub(now, CONTAINER(n, struct txn, recent)->active) <=
		   ENDING_MS) {
		count++;
		n = n->prev;
	}
	return count;
}
