/*
 * move_msg: copying one message to the head.
 *
 * First the pieces of the body and of the recipients, as they are; then, in
 * one go where the batch allows it, the state of the recipients and the
 * envelope.  Until that envelope is written the copy is nothing, so giving
 * up at any point costs only the space.  A change of the message by others
 * in the meantime makes it begin anew.
 */
#include <errno.h>
#include <string.h>

#include "base/assert.h"
#include "store/commit.h"
#include "store/load.h"
#include "store/move_int.h"
#include "store/store_int.h"

void
mover_drop(struct store *s)
{
	struct mover *v = &s->mover;

	if (v->pin_first != 0)
		segment_unpin(s, v->pin_first, v->pin_last, false);
	v->pin_first = v->pin_last = 0;
	mem_free(s->acct, v->from);
	mem_free(s->acct, v->to);
	v->from = v->to = NULL;
	v->body_count = v->rcpt_count = v->done_count = 0;
	v->row = (struct store_row){ 0 };
	v->stale = false;
}

static int64_t
next_message(struct store *s)
{
	mover_drop(s);
	s->mover.phase = MOVE_BEGIN;
	return 0;
}

/* It cannot be read: out of the queue with what is left of it, unless its
 * holder is about to find out. */
static int64_t
damaged(struct store *s, const char *what)
{
	struct mover *v = &s->mover;
	struct store_row row = v->row;
	struct errtext et = { 0 };

	store_damage(s,
	    &(struct store_damage){ STORE_DAMAGE_MESSAGE, row.envelope.segment,
		row.envelope.offset, row.envelope.length, row.id, what });
	mover_drop(s);
	v->phase = MOVE_BEGIN;
	row.stamp = s->index.flush_count;
	if (store_held(s, row.id) == NULL &&
	    store_set_aside(s, &row, &et) != OK)
		return MOVE_SOON_MS; /* it stays, and comes again */
	return 0;
}

/* A read failed.  That proves nothing about the message: it stays where it
 * is, its segment is not freed, and it is tried again. */
int64_t
mover_unreadable(struct store *s)
{
	struct mover *v = &s->mover;

	mover_drop(s);
	v->txn = NULL;
	v->phase = MOVE_IDLE;
	v->retry_at = mono_add(store_now(s), MOVE_RETRY_MS);
	return MOVE_RETRY_MS;
}

/* ---- pieces ---- */

static void
run_read(struct job *j)
{
	struct mover *v = CONTAINER(j, struct mover, job);
	size_t len = record_bytes(v->piece.length);
	struct record r;

	v->err = disk_read_all(v->store->disk, v->fd, v->buf, len,
	    v->piece.offset - RECORD_HEADER_BYTES, NULL);
	if (v->err == OK &&
	    (!record_verify(slice_of(v->buf, len), v->piece.segment, &r,
		 &v->payload) ||
		r.id != v->piece_id || r.type != v->piece_type ||
		r.payload_bytes != v->piece.length))
		v->err = ERR_CORRUPT;
}

static void
on_read(struct job *j)
{
	struct mover *v = CONTAINER(j, struct mover, job);

	v->phase = (enum move_phase)v->next;
	if (v->store->want_room)
		return;
	store_room(v->store);
}

void
mover_read(struct store *s, struct store_extent x, unsigned type, uint64_t id,
    int next)
{
	struct mover *v = &s->mover;
	struct segment *g = segment_find(s, x.segment);

	v->piece = x;
	v->piece_type = type;
	v->piece_id = id;
	v->next = next;
	v->fd = g == NULL ? -1 : segment_fd(s, g);
	if (v->fd < 0 || record_bytes(x.length) > RECORD_BYTES_MAX) {
		v->err = g == NULL || g->fd >= 0 ? ERR_CORRUPT : ERR_IO;
		v->phase = (enum move_phase)next;
		return;
	}
	v->phase = MOVE_READ;
	v->job.run = run_read;
	v->job.done = on_read;
	work_post(s->work, LANE_FILES, &v->job);
}

static void
read_next(struct store *s)
{
	struct mover *v = &s->mover;
	uint32_t count = v->body_count + v->rcpt_count;

	/* What lies in newer segments stays there. */
	for (; v->done_count < count &&
	       v->from[v->done_count].segment > v->segment;
	     v->done_count++)
		v->to[v->done_count] = v->from[v->done_count];
	if (v->done_count == count) {
		v->chain_from = (struct store_pos){ UINT64_MAX, 0, 0 };
		v->phase = MOVE_STATE;
		return;
	}
	mover_read(s, v->from[v->done_count],
	    v->done_count < v->body_count ? RECORD_BODY : RECORD_RCPTS,
	    v->row.id, MOVE_WRITE);
}

/* Decode both lists of the envelope, pin what they name. */
static enum err
take_lists(struct store *s, const struct rec_envelope *rec)
{
	struct mover *v = &s->mover;
	uint32_t n = rec->extent_count + rec->rcpt_extent_count;
	struct rd body = rd_of(rec->extents);
	struct rd rcpts = rd_of(rec->rcpt_extents);

	v->body_count = rec->extent_count;
	v->rcpt_count = rec->rcpt_extent_count;
	v->done_count = 0;
	if (n == 0)
		return OK;
	v->from = mem_alloc_array(s->acct, n, sizeof(*v->from));
	v->to = mem_alloc_array(s->acct, n, sizeof(*v->to));
	if (v->from == NULL || v->to == NULL)
		return ERR_NOMEM;
	for (uint32_t i = 0; i < n; i++) {
		struct store_extent *x = &v->from[i];

		if (!extent_list_get(i < v->body_count ? &body : &rcpts, x) ||
		    segment_find(s, x->segment) == NULL)
			return ERR_CORRUPT;
		if (v->pin_first == 0 || x->segment < v->pin_first)
			v->pin_first = x->segment;
		if (x->segment > v->pin_last)
			v->pin_last = x->segment;
	}
	segment_pin(s, v->pin_first, v->pin_last, false);
	return OK;
}

void
mover_begin(struct store *s, const struct store_row *row)
{
	struct mover *v = &s->mover;
	struct rec_envelope rec;
	struct slice payload;
	enum err e;

	mover_drop(s);
	v->row = *row;
	if (row->stamp != s->index.flush_count) {
		v->phase = MOVE_IDLE; /* ask again */
		v->row = (struct store_row){ 0 };
		return;
	}
	if (!track_correct(s, &v->row) || v->row.first_segment > v->segment) {
		v->row = (struct store_row){ 0 };
		return; /* finished, or moved already */
	}
	e = store_read_record(s, v->row.envelope, RECORD_ENVELOPE, v->row.id,
	    s->load_buf, &payload, NULL);
	if (e == OK && !rec_envelope_get(payload, &rec))
		e = ERR_CORRUPT;
	if (e == OK)
		e = take_lists(s, &rec);
	if (e == ERR_CORRUPT) {
		v->pin_first = 0; /* take_lists pins last */
		(void)damaged(s, "envelope does not verify");
		return;
	}
	if (e != OK) {
		v->pin_first = 0;
		(void)mover_unreadable(s);
		return;
	}
	read_next(s);
}

int64_t
mover_write(struct store *s)
{
	struct mover *v = &s->mover;
	struct store_pos pos;
	enum err e;

	if (v->stale)
		return next_message(s);
	if (v->err == ERR_CORRUPT)
		return damaged(s, "body does not verify");
	if (v->err != OK)
		return mover_unreadable(s);
	e = log_room(s, LOG_FOR_OLD, record_bytes(v->payload.len), 0);
	if (e != OK)
		return MOVE_SOON_MS;
	pos = log_put(s, v->piece_type, 0, v->row.id, &v->payload, 1, LOG_BODY);
	v->to[v->done_count++] = (struct store_extent){ pos.segment,
		pos.offset + RECORD_HEADER_BYTES, v->piece.length };
	mover_paid(s, pos.length);
	read_next(s);
	return 0;
}

/* ---- state and envelope ---- */

/* Copy of one RESULT or STATE without what newer ones said. */
static void
put_state(struct store *s, const struct rec_update *old, struct rd *rd,
    enum err *e)
{
	struct mover *v = &s->mover;
	unsigned char *at = log_put_begin(s);
	struct wr w = wr_of(at, RECORD_BYTES_MAX - RECORD_HEADER_BYTES - 8);
	struct rec_update head = { .prev = v->state_last };
	struct store_result r;

	rec_update_put(&w, &head);
	for (uint32_t i = 0; i < old->result_count; i++) {
		if (!rec_result_get(rd, &r) || r.index >= STORE_RCPTS_MAX) {
			*e = ERR_CORRUPT;
			return;
		}
		if (v->seen[r.index / 8] & 1u << r.index % 8)
			continue;
		v->seen[r.index / 8] |= (uint8_t)(1u << r.index % 8);
		rec_result_put(&w, &r);
		head.result_count++;
	}
	if (head.result_count == 0)
		return;
	ASSERT(!w.full);
	struct wr again = wr_of(at, w.len);
	rec_update_put(&again, &head);
	v->state_last =
	    log_put_end(s, RECORD_STATE, 0, v->row.id, w.len, LOG_BODY);
	if (v->state_segment == 0)
		v->state_segment = v->state_last.segment;
}

/* All states that are not written yet.  ERR_AGAIN: go on later. */
static enum err
put_states(struct store *s, const struct store_row *row)
{
	struct mover *v = &s->mover;
	struct rec_update head;
	struct chain c;
	struct rd rd;
	enum err e;

	if (memcmp(&v->chain_from, &row->result, sizeof(row->result)) != 0) {
		/* First, or results came meanwhile. */
		memset(v->seen, 0, sizeof(v->seen));
		v->state_last = (struct store_pos){ 0 };
		v->state_segment = 0;
		v->chain_from = v->chain_next = row->result;
	}
	for (;;) {
		if (v->chain_next.segment == 0)
			return OK;
		e = log_room(s, LOG_FOR_OLD, v->chain_next.length + 64, 0);
		if (e != OK)
			return e;
		c = (struct chain){ s, row->id, v->chain_next, s->load_buf2 };
		if (!chain_next(&c, &head, &rd, &e, NULL))
			return e;
		put_state(s, &head, &rd, &e);
		if (e != OK)
			return e;
		v->chain_next = c.next;
	}
}

static enum err
put_envelope(struct store *s, const struct store_row *row)
{
	struct mover *v = &s->mover;
	struct store_msg *m = store_held(s, row->id);
	struct commit_envelope env = { .moved = true, .row = *row };
	struct rec_envelope rec;
	struct slice payload;
	size_t bytes;
	enum err e;

	e = store_read_record(s, row->envelope, RECORD_ENVELOPE, row->id,
	    s->load_buf, &payload, NULL);
	if (e == OK && (!rec_envelope_get(payload, &rec) ||
			   rec.extent_count != v->body_count ||
			   rec.rcpt_extent_count != v->rcpt_count))
		e = ERR_CORRUPT;
	if (e != OK)
		return e;
	env.envelope = rec.envelope;
	env.rcpts = rec.rcpts;
	env.rcpt_total = rec.rcpt_total;
	env.extents = v->to;
	env.extent_count = v->body_count;
	env.rcpt_extents = v->to == NULL ? NULL : v->to + v->body_count;
	env.rcpt_extent_count = v->rcpt_count;
	env.row.result = v->state_last;
	env.state_segment = v->state_segment;
	if (!commit_envelope_fits(&env, &bytes))
		return ERR_CORRUPT;
	e = track_room(s, 1);
	if (e == OK)
		e = log_room(s, LOG_FOR_OLD, record_bytes(bytes), 1);
	if (e != OK)
		return e;
	commit_put_envelope(s, &env, false);
	commit_enter_envelope(s, &env);
	if (m != NULL)
		m->row = env.row;
	mover_paid(s, env.row.envelope.length);
	v->moved_messages++;
	return OK;
}

int64_t
mover_state(struct store *s)
{
	struct mover *v = &s->mover;
	struct store_row row = v->row;
	enum err e;

	if (v->stale || !track_correct(s, &row))
		return next_message(s);
	e = put_states(s, &row);
	if (e == OK)
		e = put_envelope(s, &row);
	if (e == ERR_CORRUPT)
		return damaged(s, "state does not verify");
	if (e == OK || e == ERR_AGAIN || e == ERR_NOSPACE)
		return e == OK ? next_message(s) : MOVE_SOON_MS;
	return mover_unreadable(s);
}
