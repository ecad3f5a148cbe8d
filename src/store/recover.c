/*
 * recover: the order of the steps; see recover.h.
 */
#include "store/recover.h"

#include "store/scan.h"
#include "store/store_int.h"

enum { INDEX_TRIES_MAX = 3 };

/* Wait until the log can take so much. */
static enum err
wait_room(struct store *s)
{
	enum err e;

	while ((e = log_room(s, LOG_FOR_OLD, 0, 0)) == ERR_AGAIN) {
		if (s->log.flight != NULL || s->log.sync.job.busy)
			log_wait(s);
		else if (s->segments.job.busy)
			work_wait_next(s->work);
		else
			return s->segments.last_error != OK
				   ? s->segments.last_error
				   : ERR_NOSPACE;
	}
	return e;
}

/* Begin or go on in a segment without records. */
static enum err
new_head(struct store *s, struct errtext *et)
{
	if (s->spool_id == 0)
		s->spool_id = random_u64() >> 1 | 1;
	segments_want_next(s);
	while (s->segments.next == NULL) {
		if (!s->segments.job.busy)
			return err_set(et,
			    s->segments.last_error != OK
				? s->segments.last_error
				: ERR_NOSPACE,
			    "no space for a segment of %llu bytes",
			    (unsigned long long)s->segments.make_bytes);
		/* Not for the job: it may be at the next file already. */
		work_wait_next(s->work);
	}
	if (!segments_can_take_next(s))
		return ERR_NOMEM;
	log_start(s, segments_take_next(s), SEGMENT_HEADER_BYTES);
	log_table_reset(s);
	return OK;
}

/* The first segment of a new spool (or of one that lost all). */
static enum err
first_head(struct store *s, struct errtext *et)
{
	if (s->conf.segment_bytes > SEGMENT_FIRST_BYTES)
		s->segments.make_bytes = SEGMENT_FIRST_BYTES;
	return new_head(s, et);
}

/* Of a segment that cannot be copied: what only the page cache has goes to
 * the disk if it can.  None of it was acknowledged. */
static void
sync_as_it_is(struct store *s, struct segment *g)
{
	int fd = segment_write_fd(s, g);

	if (fd >= 0)
		(void)s->disk->ops->datasync(s->disk, fd);
	segment_end_write(s, g);
}

/* A file that is shorter than it was made: what lay behind is not known, but
 * that it is gone is said. */
static void
look_for_cut(struct store *s, struct scan *scan, struct segment *last)
{
	uint64_t size;

	if (s->disk->ops->size(s->disk, scan->fd, &size) == 0 &&
	    size < last->bytes)
		recover_damage(s, scan, (uint32_t)size, (uint32_t)last->bytes,
		    STORE_DAMAGE_TAIL);
}

/* Steps 2 and 3 for a log that has records. */
static enum err
settle_tail(struct store *s, struct scan *scan, struct segment *last,
    struct tail *t, struct errtext *et)
{
	struct store_pos p = s->index.reached;
	enum err e;

	e = recover_scan_open(s, scan, last, et);
	if (e != OK)
		return e;
	/* Its header, for one, which a copy needs, too. */
	if (last->unreadable) {
		scan->unreadable = true;
		scan->unreadable_to = SEGMENT_HEADER_BYTES;
	}
	tail_examine(scan, p.segment == last->number ? p.offset : 0, t);
	for (unsigned i = 0; i < t->bad_count; i++)
		recover_damage(s, scan, t->bad[i].from, t->bad[i].to,
		    STORE_DAMAGE_RECORD);
	look_for_cut(s, scan, last);
	if (t->torn_to > t->end)
		recover_damage(s, scan, t->end, t->torn_to, STORE_DAMAGE_TAIL);
	if (t->id_ceiling > s->id_ceiling)
		s->id_ceiling = t->id_ceiling;
	if (t->unreadable_bytes > 0)
		sync_as_it_is(s, last);
	if (t->clean || t->unreadable_bytes > 0)
		return OK;
	return tail_secure(s, last, scan, t, et);
}

/* The index must lie within the log, or it is of no use. */
static enum err
check_index(struct store *s, struct segment *last, uint32_t end,
    struct errtext *et)
{
	struct store_pos p = s->index.reached;

	if (p.segment != 0 && segment_find(s, p.segment) != NULL &&
	    !(p.segment == last->number && p.offset > end))
		return OK;
	if (s->index.empty)
		return OK;
	return index_reset(s, et);
}

/* Ids: never one that may have been given out before. */
static void
settle_ids(struct store *s, const struct tail *t)
{
	if (t->clean && t->next_id >= s->next_id)
		s->next_id = t->next_id;
	else if (s->id_ceiling > s->next_id)
		s->next_id = s->id_ceiling;
	if (s->next_id == 0)
		s->next_id = 1;
	/* As many as checkpoints that were not read may have reserved. */
	if (t->unreadable_bytes > 0)
		s->next_id +=
		    (t->unreadable_bytes / CHECKPOINT_BYTES + 2) * IDS_AHEAD;
	s->id_ceiling = s->next_id; /* none until the checkpoint is durable */
	s->id_ceiling_next = s->next_id;
}

static enum err
first_checkpoint(struct store *s)
{
	enum err e = wait_room(s);

	if (e != OK)
		return e;
	ids_turn(s);
	return log_sync(s);
}

/* Step 4; an index that fails on the way is replaced by a new one, and by one
 * in another place where there is no room for it. */
static enum err
fill_index(struct store *s, struct scan *scan, uint32_t end, struct errtext *et)
{
	struct store_pos from = s->index.reached;
	enum err e = OK;

	for (unsigned i = 0; i < INDEX_TRIES_MAX; i++) {
		log_table_reset(s);
		e = recover_replay(s, scan, from, end, true, et);
		if (e == OK)
			e = index_flush_now(s, true);
		if (e == OK)
			e = index_settle(s);
		if (e == OK || !s->index.broken)
			return e;
		if (s->index.full || s->index.in_memory)
			index_move(s);
		track_clear(s);
		if (index_reset(s, et) != OK)
			break;
		from = (struct store_pos){ 0 };
	}
	return err_set(et, e, "index cannot be built: %s", err_text(e));
}

static enum err
recover_with(struct store *s, struct scan *scan, struct errtext *et)
{
	struct tail t = { 0 };
	struct segment *last;
	enum err e;

	e = recover_list(s, scan, &last, et);
	if (e == OK && last == NULL)
		e = first_head(s, et);
	if (e == OK)
		e = index_open(s, et);
	if (e == OK && last != NULL)
		e = settle_tail(s, scan, last, &t, et);
	if (e == OK && last != NULL)
		e = check_index(s, last, t.end, et);
	if (e != OK)
		return e;
	if (last != NULL)
		log_start(s, last, t.end);
	e = fill_index(s, scan, last == NULL ? SEGMENT_HEADER_BYTES : t.end,
	    et);
	if (e != OK)
		return e;
	settle_ids(s, &t);
	if (t.unreadable_bytes > 0)
		e = new_head(s, et);
	return e == OK ? first_checkpoint(s) : e;
}

enum err
recover(struct store *s, struct errtext *et)
{
	struct scan scan = { 0 };
	enum err e;

	scan.buf = mem_alloc(s->acct, SCAN_BUFFER_BYTES);
	if (scan.buf == NULL)
		return err_set(et, ERR_NOMEM, "memory for recovery");
	e = recover_with(s, &scan, et);
	mem_free(s->acct, scan.buf);
	return e;
}

/* Steps 1, 2 and 4 without a trace. */
static enum err
read_with(struct store *s, struct scan *scan, struct errtext *et)
{
	struct tail t = { 0 };
	struct segment *last;
	enum err e;

	e = recover_list(s, scan, &last, et);
	if (e == OK)
		e = index_open(s, et);
	if (e != OK || last == NULL)
		return e;
	e = recover_scan_open(s, scan, last, et);
	if (e != OK)
		return e;
	tail_examine(scan, 0, &t);
	look_for_cut(s, scan, last);
	if (t.torn_to > t.end)
		recover_damage(s, scan, t.end, t.torn_to, STORE_DAMAGE_TAIL);
	s->inspect_end = t.end;
	s->log.written = (struct store_pos){ UINT64_MAX, 0, 0 };
	e = recover_replay(s, scan, (struct store_pos){ 0 }, t.end, false, et);
	if (e == OK)
		e = index_flush_now(s, true);
	if (e == OK)
		e = index_settle(s);
	return e;
}

enum err
recover_read(struct store *s, struct errtext *et)
{
	struct scan scan = { .buf = mem_alloc(s->acct, SCAN_BUFFER_BYTES) };
	enum err e;

	if (scan.buf == NULL)
		return err_set(et, ERR_NOMEM, "memory");
	e = read_with(s, &scan, et);
	mem_free(s->acct, scan.buf);
	return e;
}

/* Drop what the index would have been told, tell it everything. */
static enum err
rebuild(struct store *s, struct scan *scan, struct errtext *et)
{
	enum err e;

	e = log_sync(s);
	if (e != OK)
		return e;
	e = index_reset(s, et);
	if (e != OK)
		return e;
	track_clear(s);
	e = recover_replay(s, scan, (struct store_pos){ 0 }, s->log.offset,
	    false, et);
	if (e == OK)
		e = index_flush_now(s, true);
	if (e == OK)
		e = index_settle(s);
	if (e != OK)
		return e;
	for (uint32_t i = 0; i < s->held.bucket_count; i++)
		for (struct hash_node *n = s->held.buckets[i]; n != NULL;
		     n = n->next) {
			struct store_msg *m =
			    CONTAINER(n, struct store_msg, node);

			if (m->committed && !m->over)
				track_row(s, &m->row, false,
				    (struct store_pos){ 0 }, 0);
		}
	return OK;
}

int64_t
index_rebuild_turn(struct store *s)
{
	struct index *ix = &s->index;
	struct scan scan = { 0 };
	struct errtext et = { 0 };
	struct mono began = store_now(s);
	int64_t left = mono_sub(ix->retry_at, began);
	const char *why = ix->broken_why;
	enum err e;

	if (index_busy(s))
		return INT64_MAX; /* their completion comes here again */
	if (left > 0)
		return left;
	ix->retry_at = mono_add(began, INDEX_RETRY_MS);
	scan.buf = mem_alloc(s->acct, SCAN_BUFFER_BYTES);
	if (scan.buf == NULL)
		return INDEX_RETRY_MS;
	if (ix->full || (ix->in_memory && ix->broken))
		index_move(s);
	e = rebuild(s, &scan, &et);
	mem_free(s->acct, scan.buf);
	if (e != OK) {
		ix->broken = true;
		return INDEX_RETRY_MS;
	}
	if (s->conf.events != NULL && s->conf.events->on_index_made != NULL)
		s->conf.events->on_index_made(s->conf.arg,
		    why == NULL ? "it was lost" : why,
		    mono_sub(store_now(s), began));
	if (s->want_room)
		store_room(s);
	return 0;
}
