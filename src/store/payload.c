/*
 * payload: what is inside the records of the log.
 */
#include "store/record.h"

static void
pos_put(struct wr *w, struct store_pos p)
{
	wr_u64(w, p.segment);
	wr_u32(w, p.offset);
	wr_u32(w, p.length);
}

static struct store_pos
pos_get(struct rd *r)
{
	struct store_pos p;

	p.segment = rd_u64(r);
	p.offset = rd_u32(r);
	p.length = rd_u32(r);
	if (p.segment != 0 &&
	    (p.offset < SEGMENT_HEADER_BYTES ||
		p.length < RECORD_HEADER_BYTES || p.length > RECORD_BYTES_MAX ||
		p.offset % 8 != 0))
		r->bad = true;
	return p;
}

void
extent_list_put(struct wr *w, const struct store_extent *e, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		wr_u64(w, e[i].segment);
		wr_u32(w, e[i].offset);
		wr_u32(w, e[i].length);
	}
}

bool
extent_list_get(struct rd *r, struct store_extent *e)
{
	e->segment = rd_u64(r);
	e->offset = rd_u32(r);
	e->length = rd_u32(r);
	if (e->segment == 0 || e->length == 0 || e->length > RECORD_BYTES_MAX ||
	    e->offset < SEGMENT_HEADER_BYTES + RECORD_HEADER_BYTES)
		r->bad = true;
	return !r->bad;
}

void
rec_envelope_head_put(struct wr *w, const struct rec_envelope *e)
{
	wr_u64(w, (uint64_t)e->due_ms);
	wr_u32(w, e->flags);
	wr_u32(w, e->moved);
	wr_u64(w, e->dest);
	wr_u64(w, e->first_segment);
	wr_u64(w, e->bytes);
	pos_put(w, e->state);
	wr_u32(w, e->rcpt_total);
	wr_u32(w, e->extent_count);
	wr_u32(w, e->rcpt_extent_count);
}

void
rec_envelope_tail_put(struct wr *w, const struct rec_envelope *e)
{
	wr_blob(w, e->envelope, RECORD_BYTES_MAX);
	wr_u32(w, (uint32_t)e->rcpts.len);
}

bool
rec_envelope_get(struct slice payload, struct rec_envelope *e)
{
	struct rd r = rd_of(payload);
	uint32_t moved;

	e->due_ms = (int64_t)rd_u64(&r);
	e->flags = rd_u32(&r);
	moved = rd_u32(&r);
	e->moved = (uint8_t)moved;
	e->dest = rd_u64(&r);
	e->first_segment = rd_u64(&r);
	e->bytes = rd_u64(&r);
	e->state = pos_get(&r);
	e->rcpt_total = rd_u32(&r);
	e->extent_count = rd_u32(&r);
	e->rcpt_extent_count = rd_u32(&r);
	if (r.bad || moved > 1 || e->flags & ~STORE_FLAG_MASK ||
	    e->extent_count > STORE_EXTENTS_MAX ||
	    e->rcpt_extent_count > STORE_RCPT_EXTENTS_MAX ||
	    e->rcpt_total > STORE_RCPTS_MAX)
		return false;
	e->extents = rd_raw(&r, e->extent_count * EXTENT_BYTES);
	e->rcpt_extents = rd_raw(&r, e->rcpt_extent_count * EXTENT_BYTES);
	e->envelope = rd_blob(&r, RECORD_BYTES_MAX);
	e->rcpts = rd_blob(&r, STORE_RCPTS_INLINE_BYTES_MAX);
	return rd_done(&r);
}

void
rec_update_put(struct wr *w, const struct rec_update *u)
{
	wr_u64(w, (uint64_t)u->due_ms);
	wr_u32(w, u->flags);
	wr_u32(w, u->over);
	wr_u64(w, u->dest);
	pos_put(w, u->prev);
	wr_u32(w, u->result_count);
}

bool
rec_update_get(struct rd *r, struct rec_update *u)
{
	uint32_t over;

	u->due_ms = (int64_t)rd_u64(r);
	u->flags = rd_u32(r);
	over = rd_u32(r);
	u->over = (uint8_t)over;
	u->dest = rd_u64(r);
	u->prev = pos_get(r);
	u->result_count = rd_u32(r);
	if (over > 1 || u->flags & ~STORE_FLAG_MASK ||
	    u->result_count > STORE_RCPTS_MAX)
		r->bad = true;
	return !r->bad;
}

void
rec_result_put(struct wr *w, const struct store_result *r)
{
	wr_u32(w, r->index);
	wr_u8(w, r->status);
	wr_u16(w, r->attempts);
	wr_str(w, slice_sub(r->dsn, 0, STORE_DSN_BYTES_MAX),
	    STORE_DSN_BYTES_MAX);
	wr_str(w, slice_sub(r->relay, 0, STORE_RELAY_BYTES_MAX),
	    STORE_RELAY_BYTES_MAX);
	wr_str(w, slice_sub(r->text, 0, STORE_TEXT_BYTES_MAX),
	    STORE_TEXT_BYTES_MAX);
}

bool
rec_result_get(struct rd *r, struct store_result *out)
{
	out->index = rd_u32(r);
	out->status = rd_u8(r);
	out->attempts = rd_u16(r);
	out->dsn = rd_str(r, STORE_DSN_BYTES_MAX);
	out->relay = rd_str(r, STORE_RELAY_BYTES_MAX);
	out->text = rd_str(r, STORE_TEXT_BYTES_MAX);
	if (out->status >= STORE_STATUS_COUNT)
		r->bad = true;
	return !r->bad;
}

void
rec_checkpoint_put(struct wr *w, const struct rec_checkpoint *c)
{
	wr_u64(w, c->durable_segment);
	wr_u32(w, c->durable_offset);
	wr_u32(w, c->clean);
	wr_u64(w, c->next_id);
	wr_u64(w, c->id_ceiling);
	wr_u64(w, (uint64_t)c->wall_ms);
	wr_u64(w, 0);
}

bool
rec_checkpoint_get(struct slice payload, struct rec_checkpoint *c)
{
	struct rd r = rd_of(payload);

	c->durable_segment = rd_u64(&r);
	c->durable_offset = rd_u32(&r);
	c->clean = (uint8_t)rd_u32(&r);
	c->next_id = rd_u64(&r);
	c->id_ceiling = rd_u64(&r);
	c->wall_ms = (int64_t)rd_u64(&r);
	(void)rd_u64(&r);
	return rd_done(&r) && c->clean <= 1;
}

void
rec_end_put(struct wr *w, const struct rec_end *e)
{
	wr_u32(w, e->last_table);
	wr_u32(w, e->end);
	wr_u32(w, e->table_count);
	wr_u32(w, 0);
	wr_u64(w, e->id_ceiling);
	wr_u64(w, 0);
}

bool
rec_end_get(struct slice payload, struct rec_end *e)
{
	struct rd r = rd_of(payload);

	e->last_table = rd_u32(&r);
	e->end = rd_u32(&r);
	e->table_count = rd_u32(&r);
	(void)rd_u32(&r);
	e->id_ceiling = rd_u64(&r);
	(void)rd_u64(&r);
	return rd_done(&r);
}

void
log_entry_put(struct wr *w, const struct log_entry *e)
{
	wr_u8(w, e->type);
	wr_u8(w, e->over);
	wr_u8(w, e->moved);
	wr_u8(w, 0);
	wr_u32(w, e->flags);
	wr_u64(w, e->id);
	wr_u32(w, e->pos.offset);
	wr_u32(w, e->pos.length);
	pos_put(w, e->state);
	wr_u64(w, (uint64_t)e->due_ms);
	wr_u64(w, e->dest);
	wr_u64(w, e->first_segment);
	wr_u64(w, e->bytes);
	wr_u64(w, 0);
}

bool
log_entry_get(struct rd *r, uint64_t segment, struct log_entry *e)
{
	e->type = rd_u8(r);
	e->over = rd_u8(r);
	e->moved = rd_u8(r);
	(void)rd_u8(r);
	e->flags = rd_u32(r);
	e->id = rd_u64(r);
	e->pos.segment = segment;
	e->pos.offset = rd_u32(r);
	e->pos.length = rd_u32(r);
	e->state = pos_get(r);
	e->due_ms = (int64_t)rd_u64(r);
	e->dest = rd_u64(r);
	e->first_segment = rd_u64(r);
	e->bytes = rd_u64(r);
	(void)rd_u64(r);
	return !r->bad;
}

static bool
entry_of_envelope(struct slice payload, struct log_entry *e)
{
	struct rec_envelope env;

	if (!rec_envelope_get(payload, &env))
		return false;
	e->moved = env.moved;
	e->flags = env.flags;
	e->state = env.state;
	e->due_ms = env.due_ms;
	e->dest = env.dest;
	e->first_segment = env.first_segment;
	e->bytes = env.bytes;
	return true;
}

static bool
entry_of_result(struct slice payload, struct log_entry *e)
{
	struct rd rd = rd_of(payload);
	struct rec_update u;

	if (!rec_update_get(&rd, &u))
		return false;
	e->over = u.over;
	e->flags = u.flags;
	e->due_ms = u.due_ms;
	e->dest = u.dest;
	return true;
}

bool
log_entry_of(const struct record *r, struct slice payload, struct store_pos pos,
    struct log_entry *e)
{
	*e = (struct log_entry){ .type = r->type, .id = r->id, .pos = pos };
	switch (r->type) {
	case RECORD_ENVELOPE: return entry_of_envelope(payload, e);
	case RECORD_RESULT: return entry_of_result(payload, e);
	case RECORD_HOLD:
	case RECORD_RELEASE:
	case RECORD_REMOVE: return true;
	default: return false;
	}
}
