/*
 * ahead: transactions that the queue granted before a client wants them.
 *
 * Who has the server nearly alone waits for each of its steps: with DATA he
 * would wait for two more processes to be woken.  So, while there are few
 * transactions, or few of those whom we trust, each commit of theirs asks for
 * the next one; DATA finds it granted, and envelope, recipients and body go to
 * the queue together.  With many clients none is asked for: the queue then has
 * more to write at once if it knows of each body when it is invited.
 *
 * It holds what any transaction holds, so it is given back when nobody wants it
 * for AHEAD_IDLE_MS, and as soon as the queue, or this role, is short of
 * anything.
 */
#include "base/assert.h"
#include "smtpd/session.h"

enum { AHEAD_IDLE_MS = 1000 };

/* May any be held now? */
static bool
wanted(const struct server *sv)
{
	return sv->queue != NULL && sv->queue_state == OK && !sv->draining &&
	       sv->ladder.step == LADDER_CALM;
}

/* Does this transaction belong to few?  Strangers are many in a siege, and
 * take nothing from those whom we trust. */
static bool
is_of_few(const struct session *s)
{
	const struct server *sv = s->server;

	return (s->txn->trusted ? sv->trusted_txns : sv->txns.in_use) <=
	       AHEAD_MAX;
}

uint32_t
ahead_ask(struct session *s)
{
	struct server *sv = s->server;

	if (!wanted(sv) || !is_of_few(s))
		return TAG_NONE;
	for (unsigned i = 0; i < AHEAD_MAX; i++) {
		struct ahead *a = &sv->ahead[i];

		if (a->tag != TAG_NONE)
			continue;
		*a = (struct ahead){
			.tag = tags_get(&sv->tags, sv->ahead, (uint16_t)i),
		};
		return a->tag;
	}
	return TAG_NONE;
}

static void
forget(struct server *sv, struct ahead *a)
{
	tags_put(&sv->tags, a->tag);
	a->tag = TAG_NONE;
}

void
ahead_unask(struct server *sv, uint32_t tag)
{
	for (unsigned i = 0; i < AHEAD_MAX && tag != TAG_NONE; i++)
		if (sv->ahead[i].tag == tag)
			forget(sv, &sv->ahead[i]);
}

bool
ahead_take(struct session *s, uint64_t size_hint_bytes)
{
	struct server *sv = s->server;
	struct txn *t = s->txn;

	/* That much was reserved. */
	if (t->rcpt_count > TXN_AHEAD_RCPTS_MAX ||
	    size_hint_bytes > (uint64_t)sv->conf->message_size_limit_bytes ||
	    client_page_is_unproven(&sv->page, s->slot) || !is_of_few(s))
		return false;
	for (unsigned i = 0; i < AHEAD_MAX; i++) {
		struct ahead *a = &sv->ahead[i];

		if (a->tag == TAG_NONE || a->id == 0)
			continue;
		t->tag = a->tag;
		t->id = a->id;
		t->credit = a->credit;
		tags_give(&sv->tags, a->tag, s);
		a->tag = TAG_NONE;
		return true;
	}
	return false;
}

static void
give_back(struct server *sv, struct ahead *a)
{
	struct fr_txn_abort f = { 0 };

	if (send_txn_abort(sv->queue, a->tag, &f, -1) == ERR_FULL)
		txn_abort_later(sv, a->tag);
	else
		tags_put(&sv->tags, a->tag);
	a->tag = TAG_NONE;
}

void
ahead_on_frame(struct server *sv, unsigned i, struct frame *f)
{
	struct ahead *a = &sv->ahead[i];
	struct fr_txn_ready ready;
	struct fr_txn_done done;

	ASSERT(i < AHEAD_MAX && a->tag == f->tag);
	if (f->type == FRAME_TXN_READY && a->id == 0 &&
	    get_txn_ready(f, &ready) && (ready.error != OK || ready.id != 0)) {
		if (ready.error != OK) {
			forget(sv, a);
			return;
		}
		a->id = ready.id;
		a->credit = ready.credit_bytes;
		a->since = ev_now(sv->loop);
		if (!wanted(sv))
			give_back(sv, a);
	} else if (f->type == FRAME_TXN_DONE && get_txn_done(f, &done) &&
		   done.error != OK) {
		forget(sv, a);
	} else {
		chan_bad(sv->queue, "not an answer to what was asked ahead");
	}
}

static void
return_since(struct server *sv, struct mono at_latest)
{
	for (unsigned i = 0; i < AHEAD_MAX && sv->queue != NULL; i++) {
		struct ahead *a = &sv->ahead[i];

		if (a->tag != TAG_NONE && a->id != 0 &&
		    mono_sub(at_latest, a->since) >= 0)
			give_back(sv, a);
	}
}

void
ahead_return_all(struct server *sv)
{
	return_since(sv, ev_now(sv->loop));
}

void
ahead_each_second(struct server *sv)
{
	if (wanted(sv))
		return_since(sv, mono_add(ev_now(sv->loop), -AHEAD_IDLE_MS));
	else
		ahead_return_all(sv);
}

void
ahead_on_lost(struct server *sv)
{
	for (unsigned i = 0; i < AHEAD_MAX; i++)
		forget(sv, &sv->ahead[i]);
}
