/*
 * move_txn: carrying the pieces of an open transaction out of the oldest
 * segment, so that a slow client cannot keep the log from shrinking.  Nobody
 * else knows these pieces yet: they are copied and their extents replaced.
 */
#include "base/assert.h"
#include "store/move_int.h"
#include "store/store_int.h"

static struct store_msg *
find_txn(struct store *s, uint64_t segment)
{
	for (uint32_t i = 0; i < s->held.bucket_count; i++)
		for (struct hash_node *n = s->held.buckets[i]; n != NULL;
		     n = n->next) {
			struct store_msg *m =
			    CONTAINER(n, struct store_msg, node);

			if (!m->committed && m->pin_first != 0 &&
			    m->pin_first <= segment)
				return m;
		}
	return NULL;
}

/* Piece i: the body's, then the recipients'. */
static struct store_extent *
piece(struct store_msg *m, uint32_t i)
{
	return i < m->extent_count ? &m->extents[i]
				   : &m->rcpt_extents[i - m->extent_count];
}

/* All are out: pin what it has now. */
static void
repin(struct store *s, struct store_msg *m)
{
	uint64_t first = UINT64_MAX, last = 0;

	segment_unpin(s, m->pin_first, m->pin_last, true);
	m->pin_first = m->pin_last = 0;
	for (uint32_t i = 0; i < m->extent_count + m->rcpt_extent_count; i++) {
		uint64_t n = piece(m, i)->segment;

		first = n < first ? n : first;
		last = n > last ? n : last;
	}
	if (last == 0)
		return;
	segment_pin(s, first, last, true);
	m->pin_first = first;
	m->pin_last = last;
}

int64_t
mover_txn(struct store *s)
{
	struct mover *v = &s->mover;
	struct store_msg *m = v->txn;

	if (m == NULL) {
		m = v->txn = find_txn(s, v->segment);
		v->txn_index = 0;
	}
	if (m == NULL) {
		v->phase = MOVE_IDLE;
		s->index.want_flush = true;
		return MOVE_SOON_MS;
	}
	while (v->txn_index < m->extent_count + m->rcpt_extent_count) {
		struct store_extent *x = piece(m, v->txn_index);

		if (x->segment <= v->segment) {
			mover_read(s, *x,
			    v->txn_index < m->extent_count ? RECORD_BODY
							   : RECORD_RCPTS,
			    m->id, MOVE_TXN_WRITE);
			return 0;
		}
		v->txn_index++;
	}
	repin(s, m);
	v->txn = NULL;
	return 0;
}

int64_t
mover_txn_write(struct store *s)
{
	struct mover *v = &s->mover;
	struct store_msg *m = v->txn;
	struct store_extent *x;
	struct store_pos pos;

	if (m == NULL) {
		v->phase = MOVE_TXN;
		return 0;
	}
	/* The list may have grown, and recipients may have moved in it. */
	x = v->piece_type == RECORD_BODY ? &m->extents[v->txn_index]
					 : piece(m, v->txn_index);
	if (x->segment != v->piece.segment || x->offset != v->piece.offset) {
		v->txn_index = 0;
		v->phase = MOVE_TXN;
		return 0;
	}
	if (v->err != OK && v->err != ERR_CORRUPT)
		return mover_unreadable(s);
	if (v->err != OK) {
		/* Its commit would be of a damaged body: fail it there. */
		m->damaged = true;
		v->txn_index++;
		v->phase = MOVE_TXN;
		return 0;
	}
	if (log_room(s, LOG_FOR_OLD, record_bytes(v->payload.len), 0) != OK)
		return MOVE_SOON_MS;
	pos = log_put(s, v->piece_type, 0, m->id, &v->payload, 1, LOG_BODY);
	x->segment = pos.segment;
	x->offset = pos.offset + RECORD_HEADER_BYTES;
	mover_paid(s, pos.length);
	v->phase = MOVE_TXN;
	return 0;
}
