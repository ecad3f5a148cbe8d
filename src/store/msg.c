/*
 * msg: messages from the first octet to the last result.
 */
#include <string.h>

#include "base/assert.h"
#include "store/load.h"
#include "store/store_int.h"

enum { EXTENTS_FIRST = 4 };

/* ---- ids ---- */

enum { IDS_LOW = 1024 / STORE_SCALE };

/* Reserve more ids with the next checkpoint when few are left. */
void
ids_turn(struct store *s)
{
	if (s->next_id + IDS_LOW <= s->id_ceiling_next ||
	    log_room(s, LOG_FOR_OLD, 0, 0) != OK)
		return;
	s->id_ceiling_next = s->next_id + IDS_AHEAD;
	store_hurry(s);
}

static enum err
id_take(struct store *s, uint64_t *id_out)
{
	ids_turn(s);
	if (s->next_id >= s->id_ceiling) {
		store_hurry(s);
		s->want_room = true;
		return ERR_AGAIN;
	}
	*id_out = s->next_id++;
	return OK;
}

/* ---- held messages ---- */

static enum err
held_add(struct store *s, struct store_msg *m)
{
	if (s->held_count >= s->conf.held_max)
		return ERR_FULL;
	m->store = s;
	hash_add(&s->held, &m->node, hash_u64(m->id));
	s->held_count++;
	return OK;
}

struct store_msg *
store_held(struct store *s, uint64_t id)
{
	for (struct hash_node *n = hash_first(&s->held, hash_u64(id));
	     n != NULL; n = hash_next(n)) {
		struct store_msg *m = CONTAINER(n, struct store_msg, node);

		if (m->id == id)
			return m;
	}
	return NULL;
}

enum err
store_msg_hold(struct store *s, const struct store_row *row,
    struct store_msg *m)
{
	enum err e;

	memset(m, 0, sizeof(*m));
	m->id = row->id;
	m->row = *row;
	m->row.held = true;
	m->committed = true;
	e = held_add(s, m);
	if (e != OK)
		memset(m, 0, sizeof(*m));
	return e;
}

enum err
store_msg_open(struct store *s, struct store_msg *m)
{
	uint64_t id;
	enum err e;

	memset(m, 0, sizeof(*m));
	if (s->log.poisoned)
		return ERR_IO;
	e = id_take(s, &id);
	if (e != OK)
		return e;
	e = quota_open(s);
	if (e != OK)
		return e;
	m->id = id;
	e = held_add(s, m);
	if (e != OK) {
		quota_close(s);
		memset(m, 0, sizeof(*m));
	}
	return e;
}

static void
extents_free(struct store *s, struct store_msg *m)
{
	mem_free(s->acct, m->extents);
	mem_free(s->acct, m->rcpt_extents);
	m->extents = m->rcpt_extents = NULL;
	m->extent_count = m->extent_size = m->rcpt_extent_count = 0;
}

/* The transaction's own holdings go back. */
static void
txn_end(struct store *s, struct store_msg *m)
{
	quota_give(s, m);
	quota_close(s);
	mem_free(s->acct, m->rcpt_extents);
	m->rcpt_extents = NULL;
	m->rcpt_extent_count = 0;
}

void
store_msg_drop(struct store *s, struct store_msg *m)
{
	hash_remove(&s->held, &m->node);
	s->held_count--;
	extents_free(s, m);
	memset(m, 0, sizeof(*m));
}

void
store_msg_close(struct store *s, struct store_msg *m)
{
	if (m->store == NULL)
		return;
	ASSERT(m->store == s);
	mover_forget(s, m);
	hash_remove(&s->held, &m->node);
	s->held_count--;
	if (!m->committed)
		txn_end(s, m);
	if (m->pin_first != 0)
		segment_unpin(s, m->pin_first, m->pin_last, !m->committed);
	if (m->committed && !m->over) {
		struct change *c = track_get(s, m->id);

		m->row.held = false;
		track_row(s, &m->row, false, (struct store_pos){ 0 },
		    c == NULL ? 0 : c->serial);
	}
	extents_free(s, m);
	memset(m, 0, sizeof(*m));
	if (s->want_room)
		store_room(s);
}

/* ---- body and recipients ---- */

/* Extents lie in the order of the log, so the range of pins only grows. */
static void
pin_more(struct store *s, struct store_msg *m, uint64_t segment)
{
	if (m->pin_first == 0) {
		segment_pin(s, segment, segment, true);
		m->pin_first = m->pin_last = segment;
	} else if (segment > m->pin_last) {
		segment_pin(s, m->pin_last + 1, segment, true);
		m->pin_last = segment;
	}
}

enum err
store_extents_grow(struct store *s, struct store_extent **list, uint32_t *size,
    uint32_t count, uint32_t max)
{
	struct store_extent *bigger;
	uint32_t n = *size == 0 ? EXTENTS_FIRST : *size * 2;

	if (count < *size)
		return OK;
	if (count >= max)
		return ERR_FULL;
	bigger = mem_alloc_array(s->acct, n, sizeof(*bigger));
	if (bigger == NULL)
		return ERR_NOMEM;
	if (*size > 0)
		memcpy(bigger, *list, *size * sizeof(*bigger));
	mem_free(s->acct, *list);
	*list = bigger;
	*size = n;
	return OK;
}

/* What is stored must have been reserved; a message may grow past it while
 * there is room. */
static enum err
cover(struct store *s, struct store_msg *m, size_t more)
{
	uint64_t need = m->stored_bytes + more;

	if (need <= m->reserved_bytes)
		return OK;
	return store_reserve(s, m, need + (need >> 3));
}

enum err
store_reserve(struct store *s, struct store_msg *m, uint64_t bytes)
{
	if (m == NULL)
		return quota_any(s);
	return quota_take(s, m,
	    bytes > m->reserved_bytes ? bytes - m->reserved_bytes : 0);
}

bool
store_has_plenty(struct store *s, uint64_t bytes)
{
	return quota_plenty(s, bytes);
}

enum store_short
store_why_short(const struct store *s, const char **name, int64_t *value)
{
	const struct store_conf *c = &s->conf;

	*value = 0;
	switch (s->quota.why) {
	case STORE_SHORT_MINFREE:
		*name = "queue_minfree";
		*value = c->minfree_bytes;
		break;
	case STORE_SHORT_SIZE:
		*name = "queue_size_limit";
		*value = c->size_limit_bytes;
		break;
	case STORE_SHORT_MESSAGES:
		*name = "queue_message_limit";
		*value = c->message_limit;
		break;
	case STORE_SHORT_INODES:
		*name = "inodes of the disk";
		*value = (int64_t)s->quota.space.free_inodes;
		break;
	case STORE_SHORT_SHARE:
		*name = "space on the disk for clients without trust";
		*value = (int64_t)s->quota.space.free_bytes;
		break;
	case STORE_SHORT_DISK:
	case STORE_SHORT_COUNT:
		*name = "space on the disk";
		*value = (int64_t)s->quota.space.free_bytes;
		break;
	}
	return s->quota.why;
}

enum err
store_body_append(struct store *s, struct store_msg *m, struct slice data)
{
	struct store_extent x;
	bool grown;
	enum err e;

	ASSERT(m->store == s && !m->committed);
	if (data.len == 0)
		return OK;
	if (data.len > STORE_PIECE_BYTES_MAX)
		return ERR_TOOBIG;
	e = cover(s, m, data.len);
	if (e != OK)
		return e;
	e = store_extents_grow(s, &m->extents, &m->extent_size, m->extent_count,
	    STORE_EXTENTS_MAX);
	if (e != OK)
		return e;
	e = log_put_body(s, m->id, data, &x, &grown);
	if (e != OK)
		return e;
	if (grown) {
		ASSERT(m->extent_count > 0);
		m->extents[m->extent_count - 1] = x;
	} else {
		m->extents[m->extent_count++] = x;
	}
	pin_more(s, m, x.segment);
	quota_wrote(s, m, data.len);
	return OK;
}

enum err
store_rcpts_append(struct store *s, struct store_msg *m, struct slice rcpts)
{
	struct store_pos pos;
	enum err e;

	ASSERT(m->store == s && !m->committed);
	if (rcpts.len == 0)
		return OK;
	if (rcpts.len > STORE_PIECE_BYTES_MAX)
		return ERR_TOOBIG;
	if (m->rcpt_extent_count >= STORE_RCPT_EXTENTS_MAX)
		return ERR_FULL;
	e = cover(s, m, rcpts.len);
	if (e != OK)
		return e;
	if (m->rcpt_extents == NULL)
		m->rcpt_extents = mem_alloc_array(s->acct,
		    STORE_RCPT_EXTENTS_MAX, sizeof(*m->rcpt_extents));
	if (m->rcpt_extents == NULL)
		return ERR_NOMEM;
	e = log_room(s, LOG_FOR_NEW, record_bytes(rcpts.len), 0);
	if (e != OK)
		return e;
	pos = log_put(s, RECORD_RCPTS, 0, m->id, &rcpts, 1, LOG_BODY);
	m->rcpt_extents[m->rcpt_extent_count++] =
	    (struct store_extent){ pos.segment,
		    pos.offset + RECORD_HEADER_BYTES, (uint32_t)rcpts.len };
	pin_more(s, m, pos.segment);
	quota_wrote(s, m, rcpts.len);
	return OK;
}
