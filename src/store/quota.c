/*
 * quota: reservations of disk space.
 */
#include "store/quota.h"

#include "base/assert.h"
#include "base/limits.h"
#include "store/store_int.h"

void
quota_init(struct store *s)
{
	struct quota *q = &s->quota;

	q->row_size = limits_row(LIMIT_QUOTA, "queue bytes", "queue_size_limit",
	    1, s->conf.size_limit_bytes);
	q->row_messages = limits_row(LIMIT_QUOTA, "queue messages",
	    "queue_message_limit", 0, s->conf.message_limit);
	q->row_free =
	    limits_row(LIMIT_GAUGE, "queue bytes free", "queue_minfree", 1, 0);
}

static void
refresh(struct store *s)
{
	struct quota *q = &s->quota;
	struct mono now = store_now(s);

	if (q->known && mono_sub(q->refresh_at, now) > 0)
		return;
	if (s->disk->ops->space(s->disk, &q->space) < 0) {
		/* Not to know is to have none. */
		q->space = (struct disk_space){ 0 };
	}
	q->known = true;
	q->refresh_at = mono_add(now, QUOTA_REFRESH_MS);
}

void
quota_changed(struct store *s)
{
	const struct segments *g = &s->segments;

	s->quota.known = false;
	s->quota.making_bytes = g->made_number != 0 ? g->made_bytes : 0;
}

/* Free bytes above queue_minfree. */
static uint64_t
free_above(const struct store *s)
{
	uint64_t free = s->quota.space.free_bytes;
	uint64_t keep = (uint64_t)s->conf.minfree_bytes;

	return free > keep ? free - keep : 0;
}

/* Segments that can be taken: ready ones, and those that fit into free. */
static uint64_t
free_segments(const struct store *s, uint64_t free)
{
	return segments_spare_free(s) + (s->segments.next != NULL) +
	       free / s->conf.segment_bytes;
}

bool
quota_may_take(struct store *s, enum log_use use)
{
	refresh(s);
	if (use == LOG_FOR_NEW)
		return free_segments(s, free_above(s)) >
		       s->conf.spare_count + 1;
	return free_segments(s, s->quota.space.free_bytes) > 0;
}

uint64_t
quota_segment_holds(uint64_t bytes)
{
	const uint64_t waste = SEGMENT_HEADER_BYTES + RECORD_BYTES_MAX +
			       2 * TABLE_BYTES_MAX + 2 * CHECKPOINT_BYTES +
			       END_BYTES;

	return bytes > waste ? bytes - waste : 0;
}

uint64_t
quota_log_holds(const struct store *s)
{
	uint64_t n = 0;

	for (uint32_t i = 0; i < s->segments.count; i++)
		if (!s->segments.list[i]->retired)
			n += quota_segment_holds(s->segments.list[i]->bytes);
	return n;
}

/* See quota.h. */
struct room {
	uint64_t left;	/* for reservations */
	uint64_t whole; /* what the log can hold, alive or not */
};

static uint64_t
less(uint64_t a, uint64_t b)
{
	return a > b ? a - b : 0;
}

static struct room
look(const struct store *s)
{
	const struct quota *q = &s->quota;
	const struct log *l = &s->log;
	uint64_t used = l->offset + l->fill->used + TABLE_BYTES_MAX;
	uint64_t holds = quota_segment_holds(s->conf.segment_bytes);
	uint64_t keep = s->conf.spare_count + 1;
	uint64_t free = free_segments(s, free_above(s) + q->making_bytes);
	uint64_t now, lives;
	struct room r;

	/* Can be written now, but for what others may yet write. */
	now = less(l->head->bytes, used) + less(free, keep) * holds;
	now = less(now, q->reserved_bytes - q->written_bytes);
	r.whole = less(quota_log_holds(s) + free * holds, keep * holds);
	/* Leaves room for moving when it lives. */
	lives = less(r.whole, s->track.bytes + q->reserved_bytes);
	r.left = now < lives ? now : lives;
	return r;
}

/* The part of it that unproven clients leave. */
static uint64_t
trusted_part(const struct room *r)
{
	return r->whole / 100 * (100 - QUOTA_UNPROVEN_PERCENT);
}

/* What this client leaves to those who are better known: a good message is
 * cheap, so one who is proven by it leaves half. */
static uint64_t
part_left(const struct room *r, const struct store_msg *m)
{
	uint64_t part = trusted_part(r);

	return m->unproven ? part : m->earned ? part / 2 : 0;
}

/* ERR_NOSPACE, and why. */
static enum err
may_take(struct store *s, uint64_t bytes, const struct store_msg *m)
{
	struct quota *q = &s->quota;
	uint64_t limit = (uint64_t)s->conf.size_limit_bytes;
	uint64_t need = bytes + QUOTA_MESSAGE_BYTES;
	struct room r;

	refresh(s);
	r = look(s);
	need += part_left(&r, m);
	if (s->conf.minfree_bytes > 0 && free_above(s) == 0)
		q->why = STORE_SHORT_MINFREE;
	else if (q->space.free_inodes < QUOTA_INODES_MIN)
		q->why = STORE_SHORT_INODES;
	else if (limit > 0 &&
		 s->track.bytes + q->reserved_bytes + bytes > limit)
		q->why = STORE_SHORT_SIZE;
	else if (bytes + QUOTA_MESSAGE_BYTES > r.left)
		q->why = STORE_SHORT_DISK;
	else if (need > r.left)
		q->why = STORE_SHORT_SHARE;
	else
		return OK;
	return ERR_NOSPACE;
}

/* The share of queue_size_limit for those who have proved nothing, of what is
 * not yet used; one of them alone is in nobody's way. */
static enum err
may_share(struct store *s, const struct store_msg *m, uint64_t bytes)
{
	struct quota *q = &s->quota;
	uint64_t others = q->unproven_bytes - m->reserved_bytes;
	uint64_t limit = (uint64_t)s->conf.size_limit_bytes;

	if (limit == 0 || others == 0)
		return OK;
	q->why = STORE_SHORT_SIZE;
	return q->unproven_bytes + bytes <= less(limit, s->track.bytes) / 100 *
						QUOTA_UNPROVEN_PERCENT
		   ? OK
		   : ERR_NOSPACE;
}

static void
count_short(struct store *s)
{
	struct quota *q = &s->quota;

	limit_refused(q->why == STORE_SHORT_SIZE       ? q->row_size
		      : q->why == STORE_SHORT_MESSAGES ? q->row_messages
						       : q->row_free);
}

enum err
quota_take(struct store *s, struct store_msg *m, uint64_t bytes)
{
	struct quota *q = &s->quota;
	enum err e = may_take(s, bytes, m);

	if (e == OK && m->unproven)
		e = may_share(s, m, bytes);
	if (e == OK) {
		q->reserved_bytes += bytes;
		m->reserved_bytes += bytes;
		if (m->unproven)
			q->unproven_bytes += bytes;
	} else {
		count_short(s);
	}
	return e;
}

static bool
messages_full(const struct store *s)
{
	uint64_t limit = (uint64_t)s->conf.message_limit;

	return limit > 0 && s->track.count + s->quota.transactions >= limit;
}

enum err
quota_any(struct store *s)
{
	const struct store_msg trusted = { 0 };

	if (!messages_full(s))
		return may_take(s, 0, &trusted);
	s->quota.why = STORE_SHORT_MESSAGES;
	return ERR_NOSPACE;
}

bool
quota_plenty(struct store *s, uint64_t bytes)
{
	uint64_t limit = (uint64_t)s->conf.message_limit;
	const struct store_msg stranger = { .unproven = true };
	enum store_short why = s->quota.why;
	bool plenty;

	if (limit > 0 &&
	    s->track.count + s->quota.transactions + QUOTA_PLENTY > limit)
		return false;
	plenty = may_take(s, bytes * QUOTA_PLENTY, &stranger) == OK;
	s->quota.why = why; /* nobody was refused */
	return plenty;
}

void
quota_wrote(struct store *s, struct store_msg *m, uint64_t bytes)
{
	m->stored_bytes += bytes;
	s->quota.written_bytes += bytes;
	ASSERT(m->stored_bytes <= m->reserved_bytes);
}

void
quota_give(struct store *s, struct store_msg *m)
{
	struct quota *q = &s->quota;

	ASSERT(q->reserved_bytes >= m->reserved_bytes);
	ASSERT(q->written_bytes >= m->stored_bytes);
	q->reserved_bytes -= m->reserved_bytes;
	q->written_bytes -= m->stored_bytes;
	if (m->unproven) {
		ASSERT(q->unproven_bytes >= m->reserved_bytes);
		q->unproven_bytes -= m->reserved_bytes;
	}
	m->reserved_bytes = 0;
}

enum err
quota_open(struct store *s)
{
	struct quota *q = &s->quota;

	if (messages_full(s)) {
		q->why = STORE_SHORT_MESSAGES;
		limit_refused(q->row_messages);
		return ERR_NOSPACE;
	}
	q->transactions++;
	return OK;
}

void
quota_close(struct store *s)
{
	ASSERT(s->quota.transactions > 0);
	s->quota.transactions--;
}

bool
quota_may_grow(struct store *s)
{
	uint64_t seg = s->conf.segment_bytes;

	refresh(s);
	if (s->quota.space.free_inodes < 2)
		return false;
	/* The reserve may go below queue_minfree, the rest may not. */
	if (s->segments.spare_count <= s->conf.spare_count ||
	    s->segments.want_next)
		return s->quota.space.free_bytes >= seg;
	return free_above(s) >= seg;
}

bool
quota_short(struct store *s)
{
	return !quota_may_take(s, LOG_FOR_NEW);
}

bool
quota_low(struct store *s)
{
	struct room r;

	refresh(s);
	r = look(s);
	return r.left < 2 * trusted_part(&r);
}

bool
quota_may_hold(struct store *s)
{
	struct room r;

	if (quota_short(s))
		return true;
	r = look(s);
	return r.left >= trusted_part(&r) + 2 * s->conf.segment_bytes;
}

bool
quota_index_fits(struct store *s)
{
	refresh(s);
	return s->quota.space.free_inodes >= QUOTA_INODES_MIN &&
	       free_above(s) >= QUOTA_INDEX_BYTES +
				    s->track.count * QUOTA_INDEX_ROW_BYTES +
				    2 * s->conf.segment_bytes;
}

void
quota_show(struct store *s)
{
	struct quota *q = &s->quota;

	limit_set_in_use(q->row_size, (int64_t)s->track.bytes);
	limit_set_in_use(q->row_messages, (int64_t)s->track.count);
	limit_set_in_use(q->row_free, (int64_t)q->space.free_bytes);
	limit_set_limit(q->row_size, s->conf.size_limit_bytes);
	limit_set_limit(q->row_messages, s->conf.message_limit);
}
