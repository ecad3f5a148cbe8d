/*
 * txn_open: DATA: envelope and recipients go to the queue role.
 *
 * Happy path: one was granted ahead (ahead.c), or OPEN and RCPT are sent and
 * TXN_READY gives id and credit; our trace field stands in front of the body.
 *
 * Failure modes: no memory, or no channel: refused (452, 451).  The channel has
 * no room: it waits in line; who comes later stands behind it.
 */
#include "base/assert.h"
#include "proto/envelope.h"
#include "proto/received.h"
#include "smtpd/handed.h"
#include "smtpd/txn.h"

enum { RCPT_FRAME_BYTES = 16384 };

static uint64_t
size_hint(const struct session *s)
{
	const struct txn *t = s->txn;
	uint64_t bytes = t->m.size_declared;

	/* A body in one chunk is as long as the chunk. */
	if (bytes == 0 && t->m.chunked && t->m.last)
		bytes = s->m.chunk_left;
	return bytes;
}

static enum err
send_open(struct session *s)
{
	static char buf[ENVELOPE_BYTES_MAX];
	struct txn *t = s->txn;
	struct wr w = wr_of(buf, sizeof(buf));
	char address[NET_ADDR_TEXT_BYTES];
	struct envelope e = {
		.flags = (t->m.utf8 ? ENVELOPE_UTF8 : 0) |
			 (t->body_8bitmime ? ENVELOPE_BODY_8BITMIME : 0),
		.origin = report_origin(s),
		.ret = t->ret,
		.arrival_ms = (uint64_t)clock_system.wall(&clock_system).ms,
		.uid = s->uid,
		.sender = t->sender,
		.envid = t->envid,
		.client_name = report_name(s),
		.helo = slice_str(s->helo),
		.protocol = report_protocol(s),
	};
	struct fr_txn_open f = {
		.size_hint_bytes = size_hint(s),
		.rcpt_count = t->rcpt_count,
		.unproven = client_page_is_unproven(&s->server->page, s->slot),
	};

	f.earned = !f.unproven && !s->trusted;

	report_address(s, address);
	e.client_address = slice_str(address);
	envelope_put(&w, &e);
	ASSERT(!w.full);
	f.envelope = wr_done(&w);
	if (f.size_hint_bytes > 0)
		f.size_hint_bytes += RECEIVED_BYTES_MAX;
	return send_txn_open(s->server->queue, t->tag, &f, -1);
}

static enum err
send_rcpts(struct session *s)
{
	static char buf[RCPT_FRAME_BYTES];
	struct wr w = wr_of(buf, sizeof(buf));
	struct fr_txn_rcpt f;
	enum err e;

	for (struct rcpt *r = s->txn->rcpts; r != NULL; r = r->next) {
		struct envelope_rcpt rcpt = {
			.notify = r->notify,
			.address = r->address,
			.orcpt = r->orcpt,
		};

		if (w.size - w.len < ENVELOPE_RCPT_BYTES_MAX) {
			f.rcpts = wr_done(&w);
			e = send_txn_rcpt(s->server->queue, s->txn->tag, &f,
			    -1);
			if (e != OK)
				return e;
			w = wr_of(buf, sizeof(buf));
		}
		envelope_rcpt_put(&w, &rcpt);
		ASSERT(!w.full);
	}
	f.rcpts = wr_done(&w);
	return send_txn_rcpt(s->server->queue, s->txn->tag, &f, -1);
}

/* Where it waits for room: strangers behind all others. */
static struct list *
line_of(const struct session *s)
{
	struct server *sv = s->server;

	return client_page_is_unproven(&sv->page, s->slot)
		   ? &sv->starved_strangers
		   : &sv->starved;
}

void
txn_starve(struct session *s)
{
	if (!list_linked(&s->starved))
		list_push_back(line_of(s), &s->starved);
}

enum err
txn_send_open(struct session *s)
{
	struct chan *queue = s->server->queue;
	enum err e;

	if (chan_room(queue) <= CHAN_RESERVE_BYTES) {
		txn_starve(s);
		chan_tell_room(queue);
		return ERR_AGAIN;
	}
	e = send_open(s);
	if (e != OK)
		return e;
	e = send_rcpts(s);
	if (e != OK)
		txn_abort(s);
	return e == ERR_FULL ? ERR_NOMEM : e;
}

/* RFC 5321 4.4: the trace field stands in front. */
static enum err
hold_trace(struct session *s)
{
	struct txn *t = s->txn;
	char text[RECEIVED_BYTES_MAX], address[NET_ADDR_TEXT_BYTES];
	struct received r = {
		.origin = report_origin(s),
		.helo = slice_str(s->helo),
		.client_name = report_name(s),
		.uid = s->uid,
		.hostname = s->server->smtps.hostname,
		.protocol = report_protocol(s),
		.id = t->id,
		.when = clock_system.wall(&clock_system),
	};

	report_address(s, address);
	r.client_address = slice_str(address);
	if (s->handed != NULL)
		r.client_info = s->handed->info;
	if (t->rcpt_count == 1)
		r.rcpt = t->rcpts->address;
	return buf_put(&t->hold, slice_of(text, received_put(&r, text)));
}

void
txn_opened(struct session *s)
{
	enum err e = hold_trace(s);

	if (e == OK) {
		report_accepted(s);
		smtps_opened(&s->m);
	} else {
		txn_abort(s);
		txn_refuse(s, e);
	}
}

void
txn_begin(struct session *s)
{
	struct txn *t = s->txn;
	enum err e;

	t->begin_due = false; /* what is aborted now was sent in part */
	e = txn_send_open(s);
	/* With many clients it is full because all of them send: that passes
	 * sooner than they would come back. */
	t->begin_due = e == ERR_AGAIN;
	if (e == OK || e == ERR_AGAIN)
		return;
	if (t->tag != TAG_NONE)
		txn_forget(s);
	/* A channel that was lost on the way has answered already. */
	txn_refuse(s, e);
}

void
txn_open(struct session *s)
{
	struct server *sv = s->server;
	struct txn *t = s->txn;

	if (sv->queue == NULL) {
		struct smtps_refusal why = smtps_why(SMTPS_REPLY_NO_QUEUE);

		smtps_refuse(&s->m, NULL, &why);
		return;
	}
	t->id = 0;
	t->sent = 0;
	t->open_due = ahead_take(s, size_hint(s));
	if (t->open_due) {
		txn_opened(s);
		return;
	}
	t->tag = tags_get(&sv->tags, s, 0);
	if (t->tag == TAG_NONE) {
		txn_refuse(s, ERR_FULL);
	} else if (list_empty(line_of(s))) {
		txn_begin(s);
	} else {
		/* Those who came before it, and bodies that are here. */
		t->begin_due = true;
		txn_starve(s);
	}
}
