/*
 * queue: what the queue role says, and room in the channel to it.
 *
 * Happy path of a transaction: txn_open sends the envelope and the recipients;
 * TXN_READY gives the id and a credit; our trace field goes in front of the
 * body, which is passed on as it comes; TXN_COMMIT, TXN_DONE.  A message that
 * fits into one window is on its way in one batch of frames.
 *
 * Failure modes: the queue refuses (452, 451); its channel is lost (451, the
 * session goes on).  Frames with a tag that is not in use any more are answers
 * to transactions that were given up.
 */
#include "base/assert.h"
#include "smtpd/txn.h"

/* Of what waits, in the queue's channel, headers and all. */
enum { BEGIN_BYTES_MIN = 128 };

static void
on_ready(struct session *s, const struct fr_txn_ready *f)
{
	struct txn *t = s->txn;
	enum err e = f->error < ERR_COUNT ? (enum err)f->error : ERR_PROTOCOL;

	if (s->m.state != SMTPS_OPENING || t->id != 0 || (e == OK && !f->id)) {
		chan_bad(s->server->queue, "TXN_READY out of place");
		return;
	}
	if (e == OK) {
		t->id = f->id;
		t->credit = f->credit_bytes;
		txn_opened(s);
	} else {
		txn_forget(s);
		txn_refuse(s, e);
	}
	session_wake(s);
}

static void
on_done(struct session *s, const struct fr_txn_done *f)
{
	struct txn *t = s->txn;
	enum err e = f->error < ERR_COUNT ? (enum err)f->error : ERR_PROTOCOL;

	if (e == OK && (!t->committed || f->id != t->id)) {
		chan_bad(s->server->queue, "TXN_DONE out of place");
		return;
	}
	txn_forget(s);
	if (e == OK) {
		limit_count(s->server->rows[ROW_TAKEN]);
		smtps_committed(&s->m, t->id);
		clients_prove(s->server, s);
	} else {
		txn_refuse(s, e);
	}
	session_wake(s);
}

static void
on_state(struct server *sv, struct frame *f)
{
	struct fr_queue_state state;

	if (!get_queue_state(f, &state) || state.error >= ERR_COUNT) {
		chan_bad(sv->queue, "QUEUE_STATE");
		return;
	}
	sv->queue_state = (enum err)state.error;
	sv->short_value = (int64_t)state.value;
	if (!slice_copy(state.limit, sv->short_of, sizeof(sv->short_of)) ||
	    sv->short_of[0] == '\0')
		slice_copy(SLICE_LIT("space on the disk"), sv->short_of,
		    sizeof(sv->short_of));
	if (sv->queue_state != OK)
		ahead_return_all(sv);
}

void
queue_on_frame(struct server *sv, struct frame *f)
{
	union {
		struct fr_txn_ready ready;
		struct fr_txn_credit credit;
		struct fr_txn_done done;
	} u;
	uint16_t what;
	struct session *s = tags_find(&sv->tags, f->tag, &what);
	bool good;

	if (f->type == FRAME_QUEUE_STATE) {
		on_state(sv, f);
		return;
	}
	/* A tag of a lookup or a name is none of the queue's, and one of the
	 * server only waits to be aborted. */
	if ((void *)s == sv)
		s = NULL;
	if ((void *)s == sv->ahead) {
		ahead_on_frame(sv, what, f);
		return;
	}
	if (s != NULL && (s->txn == NULL || s->txn->tag != f->tag))
		s = NULL;
	switch (f->type) {
	case FRAME_TXN_READY:
		good = get_txn_ready(f, &u.ready);
		if (good && s != NULL)
			on_ready(s, &u.ready);
		break;
	case FRAME_TXN_DONE:
		good = get_txn_done(f, &u.done);
		if (good && s != NULL)
			on_done(s, &u.done);
		break;
	case FRAME_TXN_CREDIT:
		good = get_txn_credit(f, &u.credit);
		if (!good || s == NULL)
			break;
		s->txn->credit += u.credit.bytes;
		if (s->wait == WAIT_CREDIT || s->txn->commit_due)
			session_wake(s);
		break;
	default: good = false; break;
	}
	if (!good)
		chan_bad(sv->queue, "a frame that does not decode");
}

/* The role died: what it had of transactions that were not durable is gone. */
void
queue_on_lost(struct server *sv)
{
	struct list_node *n = list_first(&sv->open_sessions);

	for (; n != NULL; n = list_next(&sv->open_sessions, n)) {
		struct session *s = CONTAINER(n, struct session, node);

		if (s->txn == NULL || s->txn->tag == TAG_NONE)
			continue;
		txn_forget(s);
		txn_refuse(s, ERR_IO);
		session_wake(s);
	}
	tags_put_all(&sv->tags, sv);
	sv->aborts_due = 0;
	ahead_on_lost(sv);
}

/* Send the aborts that found no room. */
static void
send_aborts(struct server *sv)
{
	struct fr_txn_abort f = { 0 };
	uint32_t tag;

	while (sv->aborts_due > 0 && sv->queue != NULL) {
		tag = tags_first(&sv->tags, sv);
		ASSERT(tag != TAG_NONE);
		if (send_txn_abort(sv->queue, tag, &f, -1) == ERR_FULL)
			return;
		tags_put(&sv->tags, tag);
		sv->aborts_due--;
	}
}

/* Who waits next. */
static struct session *
first_starved(struct server *sv)
{
	struct list_node *n = list_pop_front(&sv->starved);

	if (n == NULL)
		n = list_pop_front(&sv->starved_strangers);
	return n != NULL ? CONTAINER(n, struct session, starved) : NULL;
}

/* As many as may find room, then those behind them: with thousands in line each
 * would be woken for every few that are served.  Only with memory for all that
 * the channel may hold is it room that they wait for. */
void
queue_on_room(struct server *sv)
{
	size_t room = sv->queue != NULL ? chan_room(sv->queue) : 0;
	bool by_room = acct_room(sv->acct) > 2 * (int64_t)CHAN_QUEUE_BYTES;
	struct session *s;

	send_aborts(sv);
	while ((room > 0 || !by_room) && (s = first_starved(sv)) != NULL) {
		size_t least = BEGIN_BYTES_MIN + s->txn->hold.len;

		session_wake(s);
		room = least < room ? room - least : 0;
	}
	if (room == 0 && by_room && sv->queue != NULL)
		chan_tell_room(sv->queue);
}
