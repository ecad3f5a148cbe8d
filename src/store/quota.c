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

/* Free bytes above queue_minfree. */
static uint64_t
free_above(const struct store *s)
{
	uint64_t free = s->quota.space.free_bytes;
	uint64_t keep = (uint64_t)s->conf.minfree_bytes;

	return free > keep ? free - keep : 0;
}

static uint64_t
capacity(struct store *s)
{
	const struct log *l = &s->log;
	uint64_t seg = s->conf.segment_bytes, n;
	uint64_t used = l->offset + l->fill->used + TABLE_BYTES_MAX;

	n = l->head->bytes > used ? l->head->bytes - used : 0;
	if (s->segments.next != NULL)
		n += seg;
	n += segments_spare_free(s) * seg;
	n += free_above(s) / seg * seg;
	return n;
}

/* ERR_NOSPACE, and why. */
static enum err
may_take(struct store *s, uint64_t bytes)
{
	struct quota *q = &s->quota;
	uint64_t limit = (uint64_t)s->conf.size_limit_bytes;

	refresh(s);
	if (s->conf.minfree_bytes > 0 && free_above(s) == 0)
		q->why = STORE_SHORT_MINFREE;
	else if (q->space.free_inodes < QUOTA_INODES_MIN)
		q->why = STORE_SHORT_INODES;
	else if (limit > 0 &&
		 s->track.bytes + q->reserved_bytes + bytes > limit)
		q->why = STORE_SHORT_SIZE;
	else if (q->reserved_bytes + bytes + QUOTA_MESSAGE_BYTES > capacity(s))
		q->why = STORE_SHORT_DISK;
	else
		return OK;
	return ERR_NOSPACE;
}

enum err
quota_take(struct store *s, uint64_t bytes)
{
	struct quota *q = &s->quota;
	enum err e = may_take(s, bytes);

	if (e == OK)
		q->reserved_bytes += bytes;
	else if (q->why == STORE_SHORT_SIZE)
		limit_refused(q->row_size);
	else
		limit_refused(q->row_free);
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
	if (!messages_full(s))
		return may_take(s, 0);
	s->quota.why = STORE_SHORT_MESSAGES;
	return ERR_NOSPACE;
}

void
quota_give(struct store *s, uint64_t bytes)
{
	ASSERT(s->quota.reserved_bytes >= bytes);
	s->quota.reserved_bytes -= bytes;
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
	if (s->segments.spare_count < s->conf.spare_count ||
	    s->segments.want_next)
		return s->quota.space.free_bytes >= seg;
	return free_above(s) >= seg;
}

bool
quota_short(struct store *s)
{
	refresh(s);
	return free_above(s) < 2 * s->conf.segment_bytes &&
	       segments_spare_free(s) == 0;
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
