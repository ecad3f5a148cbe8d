/*
 * move: which segment is freed, and when.  Moving one message: move_msg.c.
 */
#include "store/move.h"

#include <string.h>

#include "base/assert.h"
#include "store/move_int.h"
#include "store/store_int.h"

enum err
mover_init(struct store *s)
{
	struct mover *v = &s->mover;

	v->store = s;
	v->buf = mem_alloc(s->acct, RECORD_BYTES_MAX);
	return v->buf == NULL ? ERR_NOMEM : OK;
}

void
mover_fini(struct store *s)
{
	mover_drop(s);
	mem_free(s->acct, s->mover.buf);
}

void
mover_changed(struct store *s, uint64_t id)
{
	if (s->mover.phase != MOVE_IDLE && s->mover.row.id == id)
		s->mover.stale = true;
}

void
mover_forget(struct store *s, struct store_msg *m)
{
	if (s->mover.txn == m)
		s->mover.txn = NULL;
	mover_changed(s, m->id);
}

/* Nothing that lives, and nothing that will, lies in it. */
static bool
is_dead(struct store *s, const struct segment *g)
{
	return s->index.reached.segment > g->number &&
	       s->index.min_first > g->number && g->open_pins == 0 &&
	       !track_lives_in(s, g->number);
}

bool
mover_retire(struct store *s)
{
	struct segment *g = segment_oldest(s);

	if (s->mover.phase != MOVE_IDLE || s->index.broken || g == NULL ||
	    g == s->log.head || s->segments.unreadable || !is_dead(s, g))
		return false;
	return segment_retire(s, g);
}

/* Is it worth copying what lives in the oldest segment?  What was reserved
 * and is not yet written does not lie in the log. */
static bool
want_copy(struct store *s)
{
	uint64_t log_bytes = segments_live_count(s) * s->conf.segment_bytes;
	uint64_t alive = s->track.bytes + s->quota.written_bytes;

	if (segments_live_count(s) >= MOVE_SEGMENTS_MIN &&
	    (alive < log_bytes / 2 ||
		(alive < log_bytes / 4 * 3 && quota_low(s))))
		return true;
	/* A whole segment can be gained. */
	return quota_short(s) &&
	       alive + quota_segment_holds(s->conf.segment_bytes) <=
		   quota_log_holds(s);
}

static void
on_rows(void *arg, enum err e, const struct store_row *rows, unsigned count)
{
	struct store *s = arg;
	struct mover *v = &s->mover;

	ASSERT(v->phase == MOVE_ASK && count <= MOVE_ROWS_MAX);
	v->row_count = v->row_next = 0;
	if (e == OK && count > 0) {
		memcpy(v->rows, rows, count * sizeof(*rows));
		v->row_count = count;
		v->phase = MOVE_BEGIN;
		return;
	}
	v->phase = e == OK ? MOVE_TXN : MOVE_IDLE;
	v->txn = NULL;
}

static int64_t
turn_idle(struct store *s)
{
	struct mover *v = &s->mover;
	struct segment *g = segment_oldest(s);

	/* Nothing can be gained by copying, either. */
	if (g == NULL || g == s->log.head || s->segments.unreadable)
		return INT64_MAX;
	if (s->index.reached.segment <= g->number) {
		/* The index must get beyond it first. */
		if (s->log.durable_segment > g->number)
			s->index.want_flush = true;
		return MOVE_IDLE_MS;
	}
	if (is_dead(s, g)) {
		(void)segment_retire(s, g);
		return MOVE_SOON_MS;
	}
	if (!want_copy(s) || !segments_may_copy(s, g, 0) ||
	    mono_sub(v->retry_at, store_now(s)) > 0)
		return MOVE_IDLE_MS;
	v->segment = g->number;
	v->phase = MOVE_ASK;
	if (query_old(s, g->number, MOVE_ROWS_MAX, on_rows, s) != OK) {
		v->phase = MOVE_IDLE;
		return MOVE_SOON_MS;
	}
	return INT64_MAX;
}

/* ms to wait before more may be copied; 0: now. */
static int64_t
rate_wait(struct store *s)
{
	struct mover *v = &s->mover;
	struct mono now = store_now(s);
	int64_t ahead = mono_sub(v->paid_at, now);

	if (ahead <= 0)
		v->paid_at = now;
	return ahead > 0 && !quota_short(s) ? ahead : 0;
}

void
mover_paid(struct store *s, uint64_t bytes)
{
	struct mover *v = &s->mover;

	v->moved_bytes += bytes;
	v->paid_at = mono_add(v->paid_at,
	    (int64_t)(bytes * 1000 / MOVE_BYTES_PER_SECOND));
}

/* About what the rows that are left cost in the head; any number when there
 * are more than were asked for. */
static uint64_t
rows_cost(const struct mover *v)
{
	uint64_t bytes = 0;

	if (v->row_count == MOVE_ROWS_MAX)
		return UINT64_MAX;
	for (unsigned i = v->row_next; i < v->row_count; i++)
		bytes += v->rows[i].bytes + MOVE_ROW_BYTES;
	return bytes;
}

static int64_t
turn_begin(struct store *s)
{
	struct mover *v = &s->mover;
	int64_t wait = rate_wait(s);

	if (wait > 0)
		return wait;
	if (v->row_next == v->row_count ||
	    !segments_may_copy(s, segment_oldest(s), rows_cost(v))) {
		/* Those that were moved show in the next answer. */
		v->phase = MOVE_IDLE;
		s->index.want_flush = true;
		return MOVE_SOON_MS;
	}
	mover_begin(s, &v->rows[v->row_next++]);
	return 0;
}

int64_t
mover_turn(struct store *s)
{
	struct mover *v = &s->mover;
	int64_t wait;

	if (s->log.poisoned || s->index.broken)
		return INT64_MAX;
	/* One piece a turn, at most: serving comes first. */
	switch (v->phase) {
	case MOVE_IDLE: wait = turn_idle(s); break;
	case MOVE_BEGIN: wait = turn_begin(s); break;
	case MOVE_WRITE: wait = mover_write(s); break;
	case MOVE_STATE: wait = mover_state(s); break;
	case MOVE_TXN:
		wait = rate_wait(s);
		wait = wait > 0 ? wait : mover_txn(s);
		break;
	case MOVE_TXN_WRITE: wait = mover_txn_write(s); break;
	default: wait = INT64_MAX; break; /* a job or a query runs */
	}
	return wait;
}
