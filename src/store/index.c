/*
 * index: when the index is opened, flushed, thrown away and built anew.  The
 * database itself: index_db.c.
 *
 * Where its file cannot be made or grown (a full disk) the index is made in
 * memory, within the same heap, until there is room: what is queued goes on.
 */
#include "store/index.h"

#include "base/assert.h"
#include "store/store_int.h"

enum err
index_reset(struct store *s, struct errtext *et)
{
	struct index *ix = &s->index;
	enum err e;

	s->index.counted = false;
	index_db_close(s);
	index_db_remove(s);
	e = index_db_open(s, et);
	if (e != OK && s->conf.index_dir != NULL && !ix->in_memory) {
		index_db_close(s);
		index_move(s);
		e = index_db_open(s, et);
	}
	if (e != OK)
		index_db_close(s);
	ix->empty = true;
	return e;
}

void
index_move(struct store *s)
{
	struct index *ix = &s->index;

	ix->in_memory = s->conf.index_dir != NULL && !ix->in_memory;
	if (!ix->in_memory)
		(void)segments_drop_spare(s);
	ix->retry_at = mono_add(store_now(s), INDEX_RETRY_MS);
}

enum err
index_open(struct store *s, struct errtext *et)
{
	s->index.store = s;
	s->index.min_first = UINT64_MAX;
	s->index.want_image = true;
	if (index_db_open(s, et) == OK && s->index.reached.segment != 0)
		return OK;
	return index_reset(s, et);
}

struct store_pos
index_place(const struct index *ix)
{
	return ix->incomplete ? (struct store_pos){ 0 } : ix->job_reached;
}

void
index_close(struct store *s)
{
	index_db_close(s);
}

void
index_break(struct index *ix, const char *why)
{
	ix->broken_why = why;
	ix->broken = true;
}

/* ---- flush ---- */

static void
run_flush(struct job *j)
{
	struct index *ix = CONTAINER(j, struct index, job);

	if (index_db_flush(ix) != OK && !ix->broken)
		index_break(ix, "it cannot be written");
}

static void
on_flush_done(struct job *j)
{
	struct index *ix = CONTAINER(j, struct index, job);
	struct store *s = ix->store;
	unsigned used = s->track.used;

	track_flush_end(s);
	ix->flush_count++;
	ix->counted = false;
	ix->empty = false;
	index_used(s);
	if (ix->broken)
		return; /* index_turn builds it anew */
	ix->reached = ix->job_reached;
	ix->min_first = ix->job_min_first;
	s->track.bytes -= ix->job_gone_bytes < s->track.bytes
			      ? ix->job_gone_bytes
			      : s->track.bytes;
	/* It may have taken nothing, for want of anything written: the log
	 * calls when something is. */
	if (s->want_room && s->track.used < used)
		store_room(s);
}

static void
flush_prepare(struct store *s, bool all)
{
	struct index *ix = &s->index;

	ix->want_flush = false;
	ix->flush_at = mono_add(store_now(s), INDEX_FLUSH_MS);
	ix->job_reached = track_flush_begin(s, all);
	ix->job_list = &s->track.flushing;
	ix->job.run = run_flush;
	ix->job.done = on_flush_done;
}

enum err
index_flush_now(struct store *s, bool all)
{
	struct index *ix = &s->index;

	ASSERT(!ix->job.busy);
	if (ix->db == NULL || ix->broken)
		return ERR_IO;
	flush_prepare(s, all);
	run_flush(&ix->job);
	on_flush_done(&ix->job);
	return ix->broken ? (ix->full ? ERR_NOSPACE : ERR_IO) : OK;
}

bool
index_busy(const struct store *s)
{
	return s->index.job.busy || s->queries.busy_count > 0;
}

/* ---- rest ---- */

void
index_used(struct store *s)
{
	s->index.used = true;
	s->index.rest_at = mono_add(store_now(s), INDEX_REST_MS);
}

/* What was read of a long queue is in the system's cache anyway. */
static void
run_rest(struct job *j)
{
	index_shrink(CONTAINER(j, struct index, job));
}

static void
on_rest_done(struct job *j)
{
	(void)j;
}

/* ms until it has rested long enough. */
static int64_t
rest_turn(struct store *s)
{
	struct index *ix = &s->index;
	int64_t left = mono_sub(ix->rest_at, store_now(s));

	/* Without threads (simulator, tools) nothing is long idle. */
	if (!ix->used || !s->conf.threads || s->queries.busy_count > 0)
		return INT64_MAX;
	if (left > 0)
		return left;
	ix->used = false;
	ix->job.run = run_rest;
	ix->job.done = on_rest_done;
	work_post(s->work, LANE_INDEX, &ix->job);
	return INT64_MAX;
}

int64_t
index_turn(struct store *s)
{
	struct index *ix = &s->index;
	int64_t left;

	if (ix->job.busy || s->log.poisoned)
		return INT64_MAX;
	if (ix->in_memory && mono_sub(ix->retry_at, store_now(s)) <= 0 &&
	    quota_index_fits(s)) {
		ix->in_memory = false;
		index_break(ix, "there is room on the disk again");
	}
	if (ix->broken || ix->db == NULL)
		return index_rebuild_turn(s);
	left = mono_sub(ix->flush_at, store_now(s));
	if (list_empty(&s->track.changes) && !ix->want_flush)
		return rest_turn(s);
	if (left > 0 && !ix->want_flush)
		return left;
	flush_prepare(s, false);
	work_post(s->work, LANE_INDEX, &ix->job);
	return INDEX_FLUSH_MS;
}
