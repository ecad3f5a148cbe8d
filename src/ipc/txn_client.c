/*
 * txn_client: see txn_client.h.
 *
 * Happy path: NONE -> OPENING (open) -> BODY (READY) -> COMMITTING (commit) ->
 * NONE (DONE).
 *
 * Failure modes: READY or DONE with an error, at any moment, end it in NONE;
 * so does an abort.  An answer that comes after that is ignored, since it was
 * on its way.
 */
#include "ipc/txn_client.h"

#include "base/assert.h"
#include "ipc/frames.h"

enum { BODY_FRAME_BYTES = 65536 };

enum err
txn_client_open(struct txn_client *t, struct chan *chan, uint32_t tag,
    const struct fr_txn_open *open)
{
	enum err e;

	ASSERT(t->state == TXN_CLIENT_NONE);
	*t = (struct txn_client){ .chan = chan, .tag = tag };
	e = send_txn_open(chan, tag, open, -1);
	if (e == OK)
		t->state = TXN_CLIENT_OPENING;
	return e;
}

enum err
txn_client_rcpts(struct txn_client *t, struct slice rcpts)
{
	struct fr_txn_rcpt f = { .rcpts = rcpts };

	ASSERT(t->state == TXN_CLIENT_OPENING);
	return send_txn_rcpt(t->chan, t->tag, &f, -1);
}

enum err
txn_client_body(struct txn_client *t, struct slice data, size_t *sent_out)
{
	struct fr_txn_body f = { .data = slice_sub(data, 0, BODY_FRAME_BYTES) };
	enum err e;

	ASSERT(t->state == TXN_CLIENT_BODY);
	*sent_out = 0;
	if (data.len == 0)
		return OK;
	f.data = slice_sub(f.data, 0, t->credit_bytes);
	if (f.data.len == 0)
		return ERR_AGAIN;
	e = send_txn_body(t->chan, t->tag, &f, -1);
	if (e != OK)
		return e;
	t->credit_bytes -= (uint32_t)f.data.len;
	t->body_bytes += f.data.len;
	*sent_out = f.data.len;
	return OK;
}

enum err
txn_client_commit(struct txn_client *t, uint32_t flags,
    uint32_t longest_line_bytes)
{
	struct fr_txn_commit f = {
		.body_bytes = t->body_bytes,
		.flags = flags,
		.longest_line_bytes = longest_line_bytes,
	};
	enum err e;

	ASSERT(t->state == TXN_CLIENT_BODY);
	e = send_txn_commit(t->chan, t->tag, &f, -1);
	if (e == OK)
		t->state = TXN_CLIENT_COMMITTING;
	return e;
}

void
txn_client_abort(struct txn_client *t)
{
	struct fr_txn_abort f = { 0 };

	if (t->state == TXN_CLIENT_NONE)
		return;
	t->state = TXN_CLIENT_NONE;
	if (send_txn_abort(t->chan, t->tag, &f, -1) == ERR_FULL)
		chan_bad(t->chan, "does not read what it is sent");
}

static enum txn_client_event
refused(struct txn_client *t, uint8_t error)
{
	t->state = TXN_CLIENT_NONE;
	t->error = error < ERR_COUNT ? (enum err)error : ERR_SYS;
	return TXN_CLIENT_REFUSED;
}

static enum txn_client_event
on_ready(struct txn_client *t, const struct fr_txn_ready *f)
{
	if (t->state != TXN_CLIENT_OPENING)
		return TXN_CLIENT_BAD;
	if (f->error != OK)
		return refused(t, f->error);
	t->state = TXN_CLIENT_BODY;
	t->id = f->id;
	t->credit_bytes = f->credit_bytes;
	return TXN_CLIENT_READY;
}

static enum txn_client_event
on_credit(struct txn_client *t, const struct fr_txn_credit *f)
{
	if (t->state != TXN_CLIENT_BODY && t->state != TXN_CLIENT_COMMITTING)
		return TXN_CLIENT_BAD;
	if (f->bytes > UINT32_MAX - t->credit_bytes)
		return TXN_CLIENT_BAD;
	t->credit_bytes += f->bytes;
	return TXN_CLIENT_CREDIT;
}

static enum txn_client_event
on_done(struct txn_client *t, const struct fr_txn_done *f)
{
	if (f->error != OK)
		return refused(t, f->error);
	if (t->state != TXN_CLIENT_COMMITTING)
		return TXN_CLIENT_BAD;
	t->state = TXN_CLIENT_NONE;
	return TXN_CLIENT_DONE;
}

enum txn_client_event
txn_client_on_frame(struct txn_client *t, const struct frame *f)
{
	struct fr_txn_ready ready;
	struct fr_txn_credit credit;
	struct fr_txn_done done;

	if (t->state == TXN_CLIENT_NONE || f->tag != t->tag)
		return TXN_CLIENT_IGNORE;
	if (f->type == FRAME_TXN_READY && get_txn_ready(f, &ready))
		return on_ready(t, &ready);
	if (f->type == FRAME_TXN_CREDIT && get_txn_credit(f, &credit))
		return on_credit(t, &credit);
	if (f->type == FRAME_TXN_DONE && get_txn_done(f, &done))
		return on_done(t, &done);
	return TXN_CLIENT_BAD;
}
