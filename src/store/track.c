/*
 * track: the changes that the index does not know yet.
 */
#include "store/track.h"

#include "base/assert.h"
#include "store/store_int.h"

enum err
track_init(struct store *s)
{
	struct track *t = &s->track;

	list_init(&t->changes);
	list_init(&t->flushing);
	t->used_max = s->conf.unindexed_max;
	/* A held message may need one more when it is closed. */
	pool_init(&t->pool, s->acct, "unindexed changes", "",
	    sizeof(struct change), s->conf.unindexed_max + s->conf.held_max);
	return hash_init(&t->map, s->acct, s->conf.unindexed_max);
}

static void
drop(struct track *t, struct change *c)
{
	list_remove(&c->link);
	hash_remove(&t->map, &c->node);
	pool_put(&t->pool, c);
	t->used--;
}

static struct change *
first_of(struct list *l)
{
	struct list_node *n = list_first(l);

	return n == NULL ? NULL : CONTAINER(n, struct change, link);
}

void
track_clear(struct store *s)
{
	struct track *t = &s->track;
	struct change *c;

	while ((c = first_of(&t->changes)) != NULL)
		drop(t, c);
	while ((c = first_of(&t->flushing)) != NULL)
		drop(t, c);
}

/* An end that is not durable is none: without it the message lives again. */
static bool
list_lives_in(struct store *s, struct list *l, uint64_t segment)
{
	for (struct list_node *n = list_first(l); n != NULL;
	     n = list_next(l, n)) {
		struct change *c = CONTAINER(n, struct change, link);
		bool over =
		    c->mask & CHANGE_GONE && c->serial <= s->log.durable_serial;

		if (c->mask & CHANGE_ROW && !over &&
		    c->row.first_segment <= segment)
			return true;
	}
	return false;
}

bool
track_lives_in(struct store *s, uint64_t segment)
{
	return list_lives_in(s, &s->track.changes, segment) ||
	       list_lives_in(s, &s->track.flushing, segment);
}

void
track_fini(struct store *s)
{
	struct track *t = &s->track;

	track_clear(s);
	pool_fini(&t->pool);
	hash_fini(&t->map);
}

enum err
track_room(struct store *s, unsigned count)
{
	struct track *t = &s->track;

	if (t->used + count <= t->used_max)
		return OK;
	s->want_room = true;
	s->index.want_flush = true;
	store_hurry(s); /* only what is written can be flushed */
	return ERR_AGAIN;
}

/* Of two with one id, the one that is not being flushed is newer. */
struct change *
track_get(struct store *s, uint64_t id)
{
	struct change *found = NULL;

	for (struct hash_node *n = hash_first(&s->track.map, hash_u64(id));
	     n != NULL; n = hash_next(n)) {
		struct change *c = CONTAINER(n, struct change, node);

		if (c->row.id != id)
			continue;
		if (!c->flushing)
			return c;
		found = c;
	}
	return found;
}

struct change *
track_touch(struct store *s, uint64_t id, struct store_pos pos, uint64_t serial)
{
	struct track *t = &s->track;
	struct change *old = track_get(s, id), *c = old;

	if (c == NULL || c->flushing) {
		c = pool_get(&t->pool);
		if (c == NULL) {
			/* No memory: the index would never hear of it.  It is
			 * made anew from the log, which has it. */
			index_break(&s->index, "no memory for a change");
			return NULL;
		}
		if (old != NULL) {
			/* What is being flushed still corrects answers. */
			c->row = old->row;
			c->mask = old->mask;
		}
		c->row.id = id;
		c->first = pos;
		hash_add(&t->map, &c->node, hash_u64(id));
		list_push_back(&t->changes, &c->link);
		t->used++;
	} else if (c->first.segment == 0) {
		c->first = pos;
	}
	if (serial != 0)
		c->serial = serial;
	return c;
}

void
track_row(struct store *s, const struct store_row *row, bool fresh,
    struct store_pos pos, uint64_t serial)
{
	struct change *c = track_touch(s, row->id, pos, serial);

	if (c == NULL)
		return;
	c->row = *row;
	c->mask = CHANGE_ROW;
	if (fresh)
		c->fresh = true;
}

void
track_gone(struct store *s, uint64_t id, struct store_pos pos, uint64_t serial)
{
	struct change *c = track_touch(s, id, pos, serial);

	if (c != NULL)
		c->mask = (uint8_t)(CHANGE_GONE | (c->mask & CHANGE_ROW));
}

static void
replay_envelope(struct store *s, const struct log_entry *e, bool index_empty)
{
	struct change *old = track_get(s, e->id);
	struct store_row row = {
		.id = e->id,
		.envelope = e->pos,
		.result = e->state,
		.first_segment = e->first_segment,
		.dest = e->dest,
		.bytes = e->bytes,
		.due_ms = e->due_ms,
		.flags = e->flags,
	};

	track_row(s, &row, old == NULL && index_empty && !e->moved, e->pos, 0);
}

static void
replay_result(struct store *s, const struct log_entry *e)
{
	struct change *c = track_touch(s, e->id, e->pos, 0);

	if (c == NULL || c->mask & CHANGE_GONE)
		return;
	c->row.result = e->pos;
	c->row.due_ms = e->due_ms;
	c->row.dest = e->dest;
	c->row.flags = e->flags;
	c->mask |= CHANGE_RESULT;
}

static void
replay_hold(struct store *s, const struct log_entry *e)
{
	struct change *c = track_touch(s, e->id, e->pos, 0);

	if (c == NULL || c->mask & CHANGE_GONE)
		return;
	c->row.flags &= ~(uint32_t)STORE_HOLD;
	if (e->type == RECORD_HOLD)
		c->row.flags |= STORE_HOLD;
	c->mask |= CHANGE_FLAGS;
}

enum err
track_replay(struct store *s, const struct log_entry *e, bool index_empty)
{
	struct change *c;

	if (s->track.used >= s->track.used_max)
		return ERR_FULL;
	switch (e->type) {
	case RECORD_ENVELOPE: replay_envelope(s, e, index_empty); break;
	case RECORD_RESULT:
		if (e->over)
			track_gone(s, e->id, e->pos, 0);
		else
			replay_result(s, e);
		break;
	case RECORD_REMOVE: track_gone(s, e->id, e->pos, 0); break;
	default: replay_hold(s, e); break;
	}
	c = track_get(s, e->id);
	if (c != NULL && c->fresh && c->mask & CHANGE_GONE && !c->flushing)
		drop(&s->track, c);
	return OK;
}

bool
track_correct(struct store *s, struct store_row *row)
{
	struct change *c = track_get(s, row->id);
	struct store_msg *m = store_held(s, row->id);

	if (c != NULL) {
		if (c->mask & CHANGE_GONE)
			return false;
		if (c->mask & CHANGE_ROW) {
			*row = c->row;
		} else {
			if (c->mask & CHANGE_RESULT) {
				row->result = c->row.result;
				row->dest = c->row.dest;
			}
			if (c->mask & CHANGE_RESULT)
				row->flags = c->row.flags;
			else if (c->mask & CHANGE_FLAGS)
				row->flags =
				    (row->flags & ~(uint32_t)STORE_HOLD) |
				    (c->row.flags & STORE_HOLD);
			if (c->mask & (CHANGE_RESULT | CHANGE_DUE))
				row->due_ms = c->row.due_ms;
		}
	}
	/* Over, but not yet closed: its change may be flushed already. */
	if (m != NULL && m->over)
		return false;
	if (m != NULL && m->committed)
		*row = m->row;
	row->held = m != NULL;
	return true;
}

struct store_pos
track_flush_begin(struct store *s, bool all)
{
	struct track *t = &s->track;
	struct store_pos reached = { s->log.durable_segment,
		s->log.durable_offset, 0 };
	struct list_node *n = list_first(&t->changes), *next;

	ASSERT(list_empty(&t->flushing));
	for (; n != NULL; n = next) {
		struct change *c = CONTAINER(n, struct change, link);

		next = list_next(&t->changes, n);
		if (!all && c->serial > s->log.durable_serial) {
			if (c->first.segment != 0 &&
			    pos_before(c->first, reached))
				reached = c->first;
			continue;
		}
		if (c->fresh && c->mask & CHANGE_GONE) {
			drop(t, c);
			continue;
		}
		c->flushing = true;
		list_remove(n);
		list_push_back(&t->flushing, n);
	}
	return reached;
}

void
track_flush_end(struct store *s)
{
	struct change *c;

	while ((c = first_of(&s->track.flushing)) != NULL)
		drop(&s->track, c);
}
