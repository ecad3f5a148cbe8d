/*
 * commit: the records that change what exists: envelopes, results, holds
 * and removals.
 */
#include <string.h>

#include "base/assert.h"
#include "store/commit.h"
#include "store/store_int.h"

enum {
	/* A RESULT's payload without its results. */
	UPDATE_HEAD_BYTES = 64,
	RESULT_HEAD_BYTES = 4 + 1 + 2 + 3 * 2,
	/* An ENVELOPE's payload without lists, envelope and recipients. */
	ENVELOPE_HEAD_BYTES = 128,
};

static size_t
update_bytes(const struct store_update *u)
{
	size_t n = UPDATE_HEAD_BYTES;

	for (uint32_t i = 0; i < u->result_count; i++) {
		const struct store_result *r = &u->results[i];

		n += RESULT_HEAD_BYTES;
		n += r->dsn.len < STORE_DSN_BYTES_MAX ? r->dsn.len
						      : STORE_DSN_BYTES_MAX;
		n += r->relay.len < STORE_RELAY_BYTES_MAX
			 ? r->relay.len
			 : STORE_RELAY_BYTES_MAX;
		n += r->text.len < STORE_TEXT_BYTES_MAX ? r->text.len
							: STORE_TEXT_BYTES_MAX;
	}
	return n;
}

struct store_pos
commit_put_update(struct store *s, unsigned type, uint64_t id,
    const struct store_update *u, struct store_pos prev)
{
	unsigned char *at = log_put_begin(s);
	struct wr w = wr_of(at, STORE_UPDATE_BYTES_MAX);
	struct rec_update head = {
		.due_ms = u->due_ms,
		.flags = u->flags & STORE_FLAG_MASK,
		.dest = u->dest,
		.over = u->over,
		.prev = prev,
		.result_count = u->result_count,
	};

	rec_update_put(&w, &head);
	for (uint32_t i = 0; i < u->result_count; i++)
		rec_result_put(&w, &u->results[i]);
	ASSERT(!w.full);
	return log_put_end(s, type, 0, id, w.len, LOG_RESULT);
}

/* The message ended: its bytes are no longer alive. */
static void
ended(struct store *s, const struct store_row *row, struct store_pos pos)
{
	struct track *t = &s->track;

	if (t->count > 0)
		t->count--;
	t->bytes -= row->bytes < t->bytes ? row->bytes : t->bytes;
	track_row(s, row, false, pos, log_serial(s));
	track_gone(s, row->id, pos, log_serial(s));
	mover_changed(s, row->id);
}

/* After the RESULT record at pos: the message's row and the index. */
static void
apply_update(struct store *s, struct store_msg *m, const struct store_update *u,
    struct store_pos pos)
{
	struct log_entry entry = {
		.type = RECORD_RESULT,
		.over = u->over,
		.flags = u->flags & STORE_FLAG_MASK,
		.id = m->id,
		.pos = pos,
		.due_ms = u->due_ms,
		.dest = u->dest,
	};

	m->row.result = pos;
	m->row.due_ms = u->due_ms;
	m->row.flags = entry.flags;
	m->row.dest = u->dest;
	if (u->over) {
		m->over = true;
		ended(s, &m->row, pos);
	} else {
		track_row(s, &m->row, false, pos, log_serial(s));
	}
	log_table_add(s, &entry);
}

enum err
store_result_append(struct store *s, struct store_msg *m,
    const struct store_update *u, struct store_ticket *ticket_out)
{
	size_t bytes = update_bytes(u);
	struct store_pos pos;
	enum err e;

	ASSERT(m->store == s && m->committed && !m->over);
	if (bytes > STORE_UPDATE_BYTES_MAX || u->result_count > STORE_RCPTS_MAX)
		return ERR_TOOBIG;
	e = track_room(s, 1);
	if (e == OK)
		e = log_room(s, LOG_FOR_OLD, record_bytes(bytes), 1);
	if (e != OK)
		return e;
	if (ticket_out != NULL)
		ticket_out->serial = log_serial(s);
	pos = commit_put_update(s, RECORD_RESULT, m->id, u, m->row.result);
	apply_update(s, m, u, pos);
	return OK;
}

/* ---- envelopes ---- */

static size_t
envelope_bytes(const struct commit_envelope *c)
{
	return ENVELOPE_HEAD_BYTES +
	       ((size_t)c->extent_count + c->rcpt_extent_count) * EXTENT_BYTES +
	       c->envelope.len + c->rcpts.len;
}

bool
commit_envelope_fits(const struct commit_envelope *c, size_t *bytes_out)
{
	*bytes_out = envelope_bytes(c);
	return c->rcpts.len <= STORE_RCPTS_INLINE_BYTES_MAX &&
	       record_bytes(*bytes_out) <= RECORD_BYTES_MAX;
}

/* Oldest segment that the message lives in. */
static uint64_t
first_segment(const struct commit_envelope *c, uint64_t here)
{
	uint64_t first = here;

	if (c->row.result.segment != 0 && c->row.result.segment < first)
		first = c->row.result.segment;
	if (c->state_segment != 0 && c->state_segment < first)
		first = c->state_segment;
	for (uint32_t i = 0; i < c->extent_count; i++)
		if (c->extents[i].segment < first)
			first = c->extents[i].segment;
	for (uint32_t i = 0; i < c->rcpt_extent_count; i++)
		if (c->rcpt_extents[i].segment < first)
			first = c->rcpt_extents[i].segment;
	return first;
}

void
commit_put_envelope(struct store *s, struct commit_envelope *c, bool joined)
{
	unsigned char *at = log_put_begin(s);
	struct wr w = wr_of(at, RECORD_BYTES_MAX - RECORD_HEADER_BYTES);
	struct store_row *row = &c->row;
	struct rec_envelope rec = {
		.due_ms = row->due_ms,
		.flags = row->flags,
		.moved = c->moved,
		.dest = row->dest,
		.bytes = row->bytes,
		.rcpt_total = c->rcpt_total,
		.state = row->result,
		.extent_count = c->extent_count,
		.rcpt_extent_count = c->rcpt_extent_count,
		.envelope = c->envelope,
		.rcpts = c->rcpts,
	};
	size_t head;

	row->first_segment = first_segment(c, log_head_pos(s).segment);
	rec.first_segment = row->first_segment;
	/* The lists go straight from memory into the payload. */
	rec_envelope_head_put(&w, &rec);
	extent_list_put(&w, c->extents, c->extent_count);
	extent_list_put(&w, c->rcpt_extents, c->rcpt_extent_count);
	rec_envelope_tail_put(&w, &rec);
	head = w.len;
	ASSERT(!w.full);
	memcpy(at + head, c->rcpts.data == NULL ? "" : c->rcpts.data,
	    c->rcpts.len);
	row->envelope =
	    log_put_end(s, RECORD_ENVELOPE, joined ? RECORD_JOINED : 0, row->id,
		head + c->rcpts.len, c->moved ? LOG_RESULT : LOG_COMMIT);
}

void
commit_enter_envelope(struct store *s, const struct commit_envelope *c)
{
	struct log_entry entry = {
		.type = RECORD_ENVELOPE,
		.moved = c->moved,
		.flags = c->row.flags,
		.id = c->row.id,
		.pos = c->row.envelope,
		.state = c->row.result,
		.due_ms = c->row.due_ms,
		.dest = c->row.dest,
		.first_segment = c->row.first_segment,
		.bytes = c->row.bytes,
	};

	track_row(s, &c->row, !c->moved, c->row.envelope, log_serial(s));
	log_table_add(s, &entry);
}

static void
begin_envelope(const struct store_msg *m, const struct store_commit *c,
    struct commit_envelope *out)
{
	*out = (struct commit_envelope){
		.envelope = c->envelope,
		.rcpts = c->rcpts,
		.rcpt_total = c->rcpt_count,
		.extents = m->extents,
		.extent_count = m->extent_count,
		.rcpt_extents = m->rcpt_extents,
		.rcpt_extent_count = m->rcpt_extent_count,
		.row = {
			.id = m->id,
			.dest = c->dest,
			.bytes = m->stored_bytes + c->envelope.len +
			    c->rcpts.len + QUOTA_MESSAGE_BYTES / 8 +
			    (uint64_t)c->rcpt_count * QUOTA_RESULT_BYTES +
			    (uint64_t)m->extent_count * QUOTA_EXTENT_BYTES,
			.due_ms = c->due_ms,
			.flags = c->flags & STORE_FLAG_MASK,
			.held = true,
		},
	};
}

/* The transaction became a message. */
static void
commit_done(struct store *s, struct store_msg *m, const struct store_row *row)
{
	mover_forget(s, m);
	m->row = *row;
	quota_give(s, m);
	quota_close(s);
	mem_free(s->acct, m->rcpt_extents);
	m->rcpt_extents = NULL;
	m->rcpt_extent_count = 0;
	if (m->pin_first != 0) {
		segment_pin(s, m->pin_first, m->pin_last, false);
		segment_unpin(s, m->pin_first, m->pin_last, true);
	}
	m->committed = true;
	s->track.count++;
	s->track.bytes += row->bytes;
}

enum err
store_commit(struct store *s, struct store_msg *m, const struct store_commit *c,
    struct store_ticket *ticket_out)
{
	const struct store_update *u = c->also == NULL ? NULL : c->also_update;
	struct commit_envelope env;
	struct store_pos pos = { 0 };
	size_t bytes, also = 0;
	enum err e;

	ASSERT(m->store == s && !m->committed);
	if (m->damaged)
		return ERR_IO;
	begin_envelope(m, c, &env);
	if (!commit_envelope_fits(&env, &bytes) ||
	    c->rcpt_count > STORE_RCPTS_MAX)
		return ERR_TOOBIG;
	if (u != NULL) {
		ASSERT(c->also->committed && !c->also->over);
		also = update_bytes(u);
		if (also > STORE_UPDATE_BYTES_MAX)
			return ERR_TOOBIG;
		also = record_bytes(also);
	}
	e = track_room(s, 2);
	if (e == OK)
		e = log_room(s, LOG_FOR_NEW, record_bytes(bytes) + also, 2);
	if (e != OK)
		return e;
	ticket_out->serial = log_serial(s);
	commit_put_envelope(s, &env, u != NULL);
	/* Joined records must lie next to each other: tables come after. */
	if (u != NULL)
		pos = commit_put_update(s, RECORD_RESULT, c->also->id, u,
		    c->also->row.result);
	commit_enter_envelope(s, &env);
	if (u != NULL)
		apply_update(s, c->also, u, pos);
	commit_done(s, m, &env.row);
	return OK;
}

/* ---- by id ---- */

static enum err
put_mark(struct store *s, unsigned type, uint64_t id, struct store_pos *pos_out,
    struct store_ticket *ticket_out)
{
	enum err e = track_room(s, 1);

	if (e == OK)
		e = log_room(s, LOG_FOR_OLD, record_bytes(0), 1);
	if (e != OK)
		return e;
	if (ticket_out != NULL)
		ticket_out->serial = log_serial(s);
	*pos_out = log_put(s, type, 0, id, NULL, 0, LOG_RESULT);
	return OK;
}

enum err
store_hold_append(struct store *s, uint64_t id, bool hold,
    struct store_ticket *ticket_out)
{
	struct log_entry entry = { .id = id };
	struct store_msg *m = store_held(s, id);
	struct change *c;
	enum err e;

	entry.type = hold ? RECORD_HOLD : RECORD_RELEASE;
	e = put_mark(s, entry.type, id, &entry.pos, ticket_out);
	if (e != OK)
		return e;
	if (m != NULL) {
		m->row.flags &= ~(uint32_t)STORE_HOLD;
		m->row.flags |= hold ? STORE_HOLD : 0;
		track_row(s, &m->row, false, entry.pos, log_serial(s));
	} else {
		c = track_touch(s, id, entry.pos, log_serial(s));
		if (c != NULL) {
			c->row.flags &= ~(uint32_t)STORE_HOLD;
			c->row.flags |= hold ? STORE_HOLD : 0;
			c->mask |= CHANGE_FLAGS;
		}
	}
	mover_changed(s, id);
	log_table_add(s, &entry);
	return OK;
}

enum err
store_remove_append(struct store *s, uint64_t id,
    struct store_ticket *ticket_out)
{
	struct log_entry entry = { .type = RECORD_REMOVE, .id = id };
	struct store_msg *m = store_held(s, id);
	struct change *c;
	enum err e;

	ASSERT(m == NULL || (m->committed && !m->over));
	e = put_mark(s, RECORD_REMOVE, id, &entry.pos, ticket_out);
	if (e != OK)
		return e;
	c = track_get(s, id);
	if (m != NULL) {
		m->over = true;
		ended(s, &m->row, entry.pos);
	} else if (c != NULL && c->mask & CHANGE_ROW) {
		struct store_row row = c->row;

		ended(s, &row, entry.pos);
	} else {
		/* Its bytes are known when the index deletes it. */
		s->track.count -= s->track.count > 0;
		track_gone(s, id, entry.pos, log_serial(s));
	}
	mover_changed(s, id);
	log_table_add(s, &entry);
	return OK;
}
