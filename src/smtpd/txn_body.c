/*
 * txn_body: the body goes to the queue role as it comes, then TXN_COMMIT.
 *
 * Failure modes: there is no credit, or the channel has no room: what the
 * machine yielded is held and the client is not read.
 */
#include <inttypes.h>

#include "smtpd/txn.h"

enum { GATHER_BYTES = 512 }; /* fewer wait for more: chunks of one octet */

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
		enum err e = txn_send_open(s);

		if (e == ERR_FULL) {
			txn_starve(s);
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
			txn_starve(s);
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
	txn_refuse(s, e);
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
	char who[CLIENT_TEXT_BYTES];
	enum err e;

	/* An empty body has not carried the trace field out. */
	t->commit_due = !txn_send_held(s);
	if (t->commit_due)
		return;
	if (t->m.failed)
		return;
	f.body_bytes = t->sent;
	f.ahead = ahead_ask(s);
	e = send_txn_commit(sv->queue, t->tag, &f, -1);
	if (e != OK)
		ahead_unask(sv, f.ahead);
	if (e == ERR_FULL) {
		t->commit_due = true;
		txn_starve(s);
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
		report_client(s, who);
		log_message(t->id,
		    "a header was cut at header_size_limit (%" PRId64
		    "), from %s",
		    sv->conf->header_size_limit_bytes, who);
	}
}
