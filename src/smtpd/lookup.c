/*
 * lookup: who is a recipient.
 *
 * Each RCPT is asked of the lookup role, unless it just answered for the whole
 * domain; several may be outstanding, and those for whom the channel has no
 * room wait for their turn.  An address of another domain is
 * accepted from clients that may relay.
 */
#include "base/assert.h"
#include "ipc/domain_cache.h"
#include "smtpd/handed.h"

static void
refuse(struct session *s, unsigned slot, enum smtps_reply r)
{
	struct smtps_refusal why = smtps_why(r);

	smtps_rcpt_refuse(&s->m, slot, &why);
}

/* The recipient in the transaction's memory.  One without a domain is one of
 * ours; postmaster stays as it is (RFC 5321 4.5.1: whatever our domains
 * are).  NULL: no memory. */
static struct rcpt *
keep(struct session *s, const struct smtp_rcpt *in)
{
	struct arena *ar = &s->txn->arena;
	struct rcpt *r = arena_alloc(ar, sizeof(*r));
	struct slice local = in->rcpt.text;
	const char *origin = "";
	char *text, relayed[ADDRESS_BYTES_MAX];
	size_t len = local.len;
	bool bare = in->rcpt.domain.len == 0;

	if (s->handed != NULL && s->handed->relay.len > 0) {
		if (!handover_rcpt(local, s->handed->relay, relayed, &len))
			return NULL;
		local = slice_of(relayed, len);
		bare = slice_rfind(local, '@') == len;
	}
	if (bare && !slice_eq_nocase(local, SLICE_LIT("postmaster")))
		origin = s->server->conf->myorigin;
	if (origin[0] != '\0')
		len += 1 + strlen(origin);
	text = arena_alloc(ar, len + in->orcpt.len + 1);
	if (r == NULL || text == NULL || len > ADDRESS_BYTES_MAX)
		return NULL;
	memcpy(text, local.data, local.len);
	if (origin[0] != '\0') {
		text[local.len] = '@';
		memcpy(text + local.len + 1, origin, strlen(origin));
	}
	if (in->orcpt.len > 0)
		memcpy(text + len, in->orcpt.data, in->orcpt.len);
	r->address = slice_of(text, len);
	r->orcpt = slice_of(text + len, in->orcpt.len);
	r->notify = in->notify;
	return r;
}

static void
accept_rcpt(struct session *s, unsigned slot)
{
	struct txn *t = s->txn;
	struct rcpt *r = t->asked[slot];

	if (t->last_rcpt == NULL)
		t->rcpts = r;
	else
		t->last_rcpt->next = r;
	t->last_rcpt = r;
	t->rcpt_count++;
	smtps_rcpt_accept(&s->m, slot);
}

/* A refusal of lookup: its text is complete. */
static void
refuse_as_told(struct session *s, unsigned slot, const struct fr_resolved *f)
{
	struct slice text = slice_sub(f->text, 0, SMTPS_TEXT_BYTES);
	char *copy = arena_copy(&s->txn->arena, text.data, text.len);
	struct smtps_refusal why;

	if (copy == NULL) {
		refuse(s, slot, SMTPS_REPLY_LOOKUP);
		return;
	}
	why = smtps_why_text(f->code, f->status, slice_of(copy, text.len));
	smtps_rcpt_refuse(&s->m, slot, &why);
}

static bool
may_relay(const struct session *s)
{
	return s->handed != NULL ? s->handed->relays : s->trusted;
}

/* What follows from an answer. */
static void
decide(struct session *s, unsigned slot, const struct fr_resolved *f)
{
	switch ((enum resolve_verdict)f->verdict) {
	case RESOLVE_OK: accept_rcpt(s, slot); break;
	case RESOLVE_REMOTE:
		/* Never an open relay: RFC 5321 3.6.2. */
		if (may_relay(s))
			accept_rcpt(s, slot);
		else
			refuse(s, slot, SMTPS_REPLY_RELAY);
		break;
	default: refuse_as_told(s, slot, f); break;
	}
	s->txn->asked[slot] = NULL;
}

/* Ask for the recipient in slot.  ERR_FULL: the channel has no room now. */
static enum err
ask(struct session *s, unsigned slot)
{
	struct server *sv = s->server;
	struct txn *t = s->txn;
	struct fr_resolve f = { .purpose = RESOLVE_RCPT,
		.sender = t->sender,
		.address = t->asked[slot]->address };
	enum err e = ERR_CLOSED;

	ASSERT(t->ask_tags[slot] == TAG_NONE);
	if (sv->lookup == NULL)
		return e;
	t->ask_tags[slot] = tags_get(&sv->tags, s, (uint16_t)slot);
	if (t->ask_tags[slot] == TAG_NONE)
		return e;
	e = send_resolve(sv->lookup, t->ask_tags[slot], &f, -1);
	if (e != OK) {
		tags_put(&sv->tags, t->ask_tags[slot]);
		t->ask_tags[slot] = TAG_NONE;
	}
	return e;
}

void
rcpt_ask(struct session *s, const struct smtp_rcpt *rcpt, unsigned slot)
{
	struct server *sv = s->server;
	struct txn *t = s->txn;
	struct rcpt *r = keep(s, rcpt);
	struct fr_resolved known;
	enum err e;

	if (r == NULL) {
		refuse(s, slot, SMTPS_REPLY_FULL);
		return;
	}
	smtps_rcpt_keep(&s->m, slot, r->address);
	t->asked[slot] = r;
	if (domain_cache_find(sv->domains, ev_now(sv->loop), r->address,
		&known)) {
		decide(s, slot, &known);
		return;
	}
	/* Behind those who wait already. */
	e = list_empty(&sv->asking) ? ask(s, slot) : ERR_FULL;
	if (e == ERR_FULL) {
		if (!list_linked(&s->asking))
			list_push_back(&sv->asking, &s->asking);
	} else if (e != OK) {
		t->asked[slot] = NULL;
		refuse(s, slot, SMTPS_REPLY_LOOKUP);
	}
}

void
lookup_on_room(struct server *sv)
{
	struct list_node *n;

	while ((n = list_first(&sv->asking)) != NULL) {
		struct session *s = CONTAINER(n, struct session, asking);

		for (unsigned i = 0; i < SMTPS_PENDING_MAX; i++)
			if (s->txn->asked[i] != NULL &&
			    s->txn->ask_tags[i] == TAG_NONE && ask(s, i) != OK)
				return; /* again later, or lookup is lost */
		list_remove(n);
	}
}

void
rcpt_refuse(struct session *s, const struct smtp_rcpt *rcpt, unsigned slot,
    enum smtps_reply why)
{
	struct rcpt *r = keep(s, rcpt);

	/* Its address, for the log. */
	if (r != NULL)
		smtps_rcpt_keep(&s->m, slot, r->address);
	refuse(s, slot, why);
}

static void
on_resolved(struct session *s, unsigned slot, const struct fr_resolved *f)
{
	struct server *sv = s->server;
	struct txn *t = s->txn;

	tags_put(&sv->tags, t->ask_tags[slot]);
	t->ask_tags[slot] = TAG_NONE;
	domain_cache_keep(sv->domains, ev_now(sv->loop),
	    t->asked[slot]->address, f);
	decide(s, slot, f);
	session_wake(s);
}

void
lookup_on_frame(struct server *sv, struct frame *f)
{
	struct fr_resolved r;
	uint16_t slot;
	struct session *s = tags_find(&sv->tags, f->tag, &slot);

	if (f->type != FRAME_RESOLVED || !get_resolved(f, &r) ||
	    r.verdict >= RESOLVE_VERDICT_COUNT) {
		chan_bad(sv->lookup, "RESOLVED");
		return;
	}
	/* A tag of the server's own (an abort that waits) is no session's. */
	if (s != NULL && !server_owns_tag(sv, s) && s->txn != NULL &&
	    slot < SMTPS_PENDING_MAX && s->txn->ask_tags[slot] == f->tag)
		on_resolved(s, slot, &r);
}

void
rcpt_forget(struct session *s)
{
	for (unsigned i = 0; i < SMTPS_PENDING_MAX; i++) {
		tags_put(&s->server->tags, s->txn->ask_tags[i]);
		s->txn->ask_tags[i] = TAG_NONE;
		s->txn->asked[i] = NULL;
	}
	list_remove(&s->asking);
}

void
rcpt_give_up(struct session *s)
{
	for (unsigned i = 0; i < SMTPS_PENDING_MAX; i++) {
		if (s->txn == NULL || s->txn->asked[i] == NULL)
			continue;
		tags_put(&s->server->tags, s->txn->ask_tags[i]);
		s->txn->ask_tags[i] = TAG_NONE;
		s->txn->asked[i] = NULL;
		refuse(s, i, SMTPS_REPLY_LOOKUP);
	}
	list_remove(&s->asking);
}

void
lookup_on_lost(struct server *sv)
{
	struct list_node *n = list_first(&sv->open_sessions);

	domain_cache_clear(sv->domains);
	for (; n != NULL; n = list_next(&sv->open_sessions, n)) {
		struct session *s = CONTAINER(n, struct session, node);

		rcpt_give_up(s);
		session_wake(s);
	}
}
