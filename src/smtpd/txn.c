/*
 * txn: the life of a transaction, from MAIL to its end, whichever it is.
 *
 * txn_open.c and txn_body.c say what goes to the queue role meanwhile, queue.c
 * what comes back.
 */
#include "smtpd/txn.h"

#include "proto/envelope.h"
#include "proto/received.h"

enum {
	RCPT_COST_BYTES = ENVELOPE_RCPT_BYTES_MAX, /* of one in the arena */
	REFUSAL_COST_BYTES = 512,
	HOLD_BYTES_MAX = 2 * READ_BYTES_MAX + RECEIVED_BYTES_MAX,
};

struct txn *
txn_new(struct session *s, const struct smtp_mail *mail)
{
	struct server *sv = s->server;
	struct txn *t = pool_get(&sv->txns);
	struct slice sender = mail->sender.text;
	const char *origin = "";
	char *text;
	size_t len;

	if (t == NULL)
		return NULL;
	t->trusted = s->trusted;
	sv->trusted_txns += t->trusted;
	acct_init(&t->acct, s->acct, "transaction", 0, false, "");
	arena_init(&t->arena, &t->acct, TXN_CHUNK_BYTES,
	    TXN_CHUNK_BYTES + (size_t)s->m.conf->rcpt_max * RCPT_COST_BYTES +
		SMTPS_OVERSHOOT * REFUSAL_COST_BYTES);
	buf_init(&t->hold, &t->acct, 1024, HOLD_BYTES_MAX);
	/* A sender without a domain is one of ours. */
	if (sender.len > 0 && mail->sender.domain.len == 0)
		origin = sv->conf->myorigin;
	len = sender.len + (origin[0] != '\0' ? 1 + strlen(origin) : 0);
	text = arena_alloc(&t->arena, len + mail->envid.len + 1);
	s->txn = t;
	if (text == NULL || len > ADDRESS_BYTES_MAX) {
		txn_free(s);
		return NULL;
	}
	memcpy(text, sender.data, sender.len);
	if (origin[0] != '\0') {
		text[sender.len] = '@';
		memcpy(text + sender.len + 1, origin, strlen(origin));
	}
	if (mail->envid.len > 0)
		memcpy(text + len, mail->envid.data, mail->envid.len);
	t->sender = slice_of(text, len);
	t->envid = slice_of(text + len, mail->envid.len);
	t->ret = mail->ret;
	t->body_8bitmime = mail->body_8bitmime;
	return t;
}

void
txn_free(struct session *s)
{
	struct txn *t = s->txn;

	if (t == NULL)
		return;
	rcpt_forget(s);
	txn_abort(s);
	buf_fini(&t->hold);
	arena_fini(&t->arena);
	acct_fini(&t->acct);
	s->txn = NULL;
	s->m.txn = NULL;
	list_remove(&s->starved);
	s->server->trusted_txns -= t->trusted;
	pool_put(&s->server->txns, t);
}

void
txn_forget(struct session *s)
{
	struct txn *t = s->txn;

	tags_put(&s->server->tags, t->tag);
	t->tag = TAG_NONE;
	t->credit = 0;
	t->begin_due = t->commit_due = false;
	buf_take(&t->hold, t->hold.len);
	buf_release(&t->hold);
}

/* What finds no room now is sent later, under the server's name. */
void
txn_abort_later(struct server *sv, uint32_t tag)
{
	tags_give(&sv->tags, tag, sv);
	sv->aborts_due++;
}

void
txn_abort(struct session *s)
{
	struct server *sv = s->server;
	struct fr_txn_abort f = { 0 };
	struct txn *t = s->txn;

	if (t->tag == TAG_NONE)
		return;
	if (!t->committed && !t->begin_due && sv->queue != NULL &&
	    send_txn_abort(sv->queue, t->tag, &f, -1) == ERR_FULL) {
		txn_abort_later(sv, t->tag);
		t->tag = TAG_NONE;
	}
	txn_forget(s);
}

void
txn_refuse(struct session *s, enum err e)
{
	struct smtps_refusal why;

	if (s->m.txn == NULL || s->m.txn->failed)
		return;
	switch (e) {
	case ERR_FULL:
	case ERR_NOMEM:
	case ERR_NOFD: why = smtps_why(SMTPS_REPLY_FULL); break;
	case ERR_NOSPACE: why = smtps_why(SMTPS_REPLY_STORAGE); break;
	case ERR_TOOBIG: why = smtps_why(SMTPS_REPLY_BODY_SIZE); break;
	default: why = smtps_why(SMTPS_REPLY_QUEUE); break;
	}
	smtps_refuse(&s->m, NULL, &why);
}
