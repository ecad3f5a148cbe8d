/*
 * queue: a transaction's part with the queue role.
 *
 * Happy path: txn_open sends the envelope and the recipients; TXN_READY gives
 * the id and a credit; our trace field goes in front of the body, which is
 * passed on as it comes; TXN_COMMIT, TXN_DONE.  A message that fits into one
 * window is on its way in one batch of frames.
 *
 * Failure modes: the queue refuses (452, 451); its channel is lost (451, the
 * session goes on); it has no credit or its channel no room (what the machine
 * yielded is held, the client is not read; what is not begun waits).  Frames
 * with a tag that is not in use any more are answers to transactions that were
 * given up.
 */
#include <inttypes.h>

#include "base/assert.h"
#include "proto/envelope.h"
#include "proto/received.h"
#include "smtpd/handed.h"

enum {
	RCPT_FRAME_BYTES = 16384,
	RCPT_COST_BYTES = ENVELOPE_RCPT_BYTES_MAX, /* of one in the arena */
	REFUSAL_COST_BYTES = 512,
	BEGIN_BYTES_MIN = 128, /* in the queue's channel, headers and all */
	GATHER_BYTES = 512,    /* fewer wait for more: chunks of one octet */
	HOLD_BYTES_MAX = 2 * READ_BYTES_MAX + RECEIVED_BYTES_MAX,
};

/* ---- life ---- */

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
	pool_put(&s->server->txns, t);
}

/* The queue has nothing of it any more. */
static void
forget(struct session *s)
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
	forget(s);
}

/* The transaction fails, unless it has already. */
static void
refuse(struct session *s, enum err e)
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

/* ---- begin ---- */

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

/* The queue's channel has no room: go on when it has. */
static void
starve(struct session *s)
{
	if (!list_linked(&s->starved))
		list_push_back(line_of(s), &s->starved);
}

/* Envelope and recipients.  ERR_AGAIN: the channel has no room, s waits for
 * it; ERR_FULL: no memory; nothing was sent then. */
static enum err
begin(struct session *s)
{
	struct chan *queue = s->server->queue;
	enum err e;

	if (chan_room(queue) <= CHAN_RESERVE_BYTES) {
		starve(s);
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

/* The queue has a place for it. */
static void
opened(struct session *s)
{
	enum err e = hold_trace(s);

	if (e == OK) {
		report_accepted(s);
		smtps_opened(&s->m);
	} else {
		txn_abort(s);
		refuse(s, e);
	}
}

void
txn_begin(struct session *s)
{
	struct txn *t = s->txn;
	enum err e;

	t->begin_due = false; /* what begin aborts was sent in part */
	e = begin(s);
	/* With many clients it is full because all of them send: that passes
	 * sooner than they would come back. */
	t->begin_due = e == ERR_AGAIN;
	if (e == OK || e == ERR_AGAIN)
		return;
	if (t->tag != TAG_NONE)
		forget(s);
	/* A channel that was lost on the way has answered already. */
	refuse(s, e);
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
		opened(s);
		return;
	}
	t->tag = tags_get(&sv->tags, s, 0);
	if (t->tag == TAG_NONE) {
		refuse(s, ERR_FULL);
	} else if (list_empty(line_of(s))) {
		txn_begin(s);
	} else {
		/* Those who came before it, and bodies that are here. */
		t->begin_due = true;
		starve(s);
	}
}

/* ---- body ---- */

size_t
txn_room(const struct session *s)
{
	const struct txn *t = s->txn;
	size_t room;

	if (t->tag == TAG_NONE || s->server->queue == NULL)
		return READ_BYTES_MAX; /* it is dropped anyway */
	if (t->credit <= (int64_t)t->hold.len)
		return 0;
	room = (size_t)t->credit - t->hold.len;
	/* Normalising may double it; what is too much is held. */
	return room < READ_BYTES_MAX ? room : READ_BYTES_MAX;
}

/* As much of data as there is credit and room for. */
static enum err
pass_on(struct session *s, struct slice *data)
{
	struct server *sv = s->server;
	struct txn *t = s->txn;

	if (t->open_due) {
		enum err e = begin(s);

		if (e == ERR_FULL) {
			starve(s);
			return ERR_AGAIN;
		}
		if (e != OK)
			return e;
		t->open_due = false;
	}
	while (data->len > 0) {
		size_t n =
		    data->len < READ_BYTES_MAX ? data->len : READ_BYTES_MAX;
		struct fr_txn_body f;
		enum err e;

		if ((int64_t)n > t->credit)
			n = t->credit > 0 ? (size_t)t->credit : 0;
		if (n == 0)
			return ERR_AGAIN;
		f.data = slice_sub(*data, 0, n);
		e = send_txn_body(sv->queue, t->tag, &f, -1);
		if (e == ERR_FULL) {
			starve(s);
			return ERR_AGAIN;
		}
		if (e != OK)
			return e;
		t->credit -= (int64_t)n;
		t->sent += n;
		*data = slice_sub(*data, n, data->len);
	}
	return OK;
}

static void
fail(struct session *s, enum err e)
{
	txn_abort(s);
	refuse(s, e);
}

void
txn_body(struct session *s, struct slice body)
{
	struct txn *t = s->txn;
	enum err e = OK;

	if (t->tag == TAG_NONE || t->m.failed)
		return;
	if (t->hold.len == 0 && body.len >= GATHER_BYTES)
		e = pass_on(s, &body);
	if (e == OK || e == ERR_AGAIN)
		e = buf_put(&t->hold, body);
	if (e != OK)
		fail(s, e);
}

bool
txn_gathers(const struct session *s)
{
	return s->txn != NULL && s->txn->hold.len < GATHER_BYTES;
}

bool
txn_send_held(struct session *s)
{
	struct txn *t = s->txn;
	struct slice data;
	size_t before;
	enum err e;

	if (t == NULL || t->tag == TAG_NONE || t->hold.len == 0)
		return true;
	data = buf_data(&t->hold);
	before = data.len;
	e = pass_on(s, &data);
	buf_take(&t->hold, before - data.len);
	buf_release(&t->hold);
	if (e == ERR_AGAIN)
		return false;
	if (e != OK)
		fail(s, e);
	return true;
}

void
txn_commit(struct session *s)
{
	struct server *sv = s->server;
	struct txn *t = s->txn;
	const struct body_scan *b = &t->m.body;
	struct fr_txn_commit f = {
		.flags = (b->flags & BODY_8BIT ? ENVELOPE_8BIT : 0) |
			 (b->flags & BODY_DOT_LINE ? ENVELOPE_DOT_LINE : 0) |
			 (t->m.header.cut ? ENVELOPE_HEADER_CUT : 0) |
			 (body_scan_lacks_eol(b) ? ENVELOPE_NO_FINAL_EOL : 0),
		.longest_line_bytes = b->longest_line_bytes < UINT32_MAX
					  ? (uint32_t)b->longest_line_bytes
					  : UINT32_MAX,
	};
	enum err e;

	/* An empty body has not carried the trace field out. */
	t->commit_due = !txn_send_held(s);
	if (t->commit_due)
		return;
	if (t->m.failed)
		return;
	f.body_bytes = t->sent;
	f.ahead = ahead_ask(sv);
	e = send_txn_commit(sv->queue, t->tag, &f, -1);
	if (e != OK)
		ahead_unask(sv, f.ahead);
	if (e == ERR_FULL) {
		t->commit_due = true;
		starve(s);
		return;
	}
	if (e != OK) {
		fail(s, e);
		return;
	}
	t->committed = true;
	report_message_id(s);
	if (t->m.header.cut) {
		limit_refused(sv->rows[ROW_FIELD]);
		log_message(t->id,
		    "a header was cut at header_size_limit (%" PRId64 ")",
		    sv->conf->header_size_limit_bytes);
	}
}

/* ---- frames ---- */

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
		opened(s);
	} else {
		forget(s);
		refuse(s, e);
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
	forget(s);
	if (e == OK) {
		smtps_committed(&s->m, t->id);
		clients_prove(s->server, s);
	} else {
		refuse(s, e);
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
		forget(s);
		refuse(s, ERR_IO);
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
