/*
 * query: posting questions to LANE_INDEX and correcting the answers by what
 * changed since the last flush.
 *
 * A query and a flush run in the same lane and complete in its order, so
 * when an answer comes, the changes of a flush that it did not see are still
 * in the track.
 */
#include "store/query.h"

#include <string.h>

#include "base/assert.h"
#include "store/store_int.h"

static struct query *
query_new(struct store *s, enum query_kind kind)
{
	for (unsigned i = 0; i < STORE_QUERIES_MAX; i++) {
		struct query *q = &s->queries.slots[i];

		if (q->kind != QUERY_NONE)
			continue;
		memset(q, 0, sizeof(*q));
		q->kind = kind;
		q->store = s;
		s->queries.busy_count++;
		return q;
	}
	return NULL;
}

static void
query_free(struct query *q)
{
	mem_free(q->store->acct, q->rows);
	q->rows = NULL;
	q->kind = QUERY_NONE;
	q->store->queries.busy_count--;
}

static bool
is_due(const struct query *q)
{
	return q->sql == SQL_Q_DUE || q->sql == SQL_Q_FRESH;
}

/* Sorted by id, with what the index does not know yet. */
static bool
is_list(const struct query *q)
{
	return q->sql == SQL_Q_LIST || q->sql == SQL_Q_DEST;
}

/* Correct each row, drop what is gone; for due queries also what is active,
 * on hold or not due any more. */
static void
correct_rows(struct query *q)
{
	unsigned n = 0;

	for (unsigned i = 0; i < q->row_count; i++) {
		struct store_row *r = &q->rows[i];

		if (!track_correct(q->store, r))
			continue;
		if (is_due(q) &&
		    (r->held || r->flags & STORE_HOLD || r->due_ms > q->value))
			continue;
		if (q->sql == SQL_Q_FRESH && r->flags & STORE_TRIED)
			continue;
		r->stamp = q->store->index.flush_count;
		q->rows[n++] = *r;
	}
	q->row_count = n;
}

/* Put a row that only the track knows into an answer sorted by id. */
static void
insert_row(struct query *q, const struct store_row *row)
{
	unsigned at = q->row_count;

	while (at > 0 && q->rows[at - 1].id > row->id)
		at--;
	if (at > 0 && q->rows[at - 1].id == row->id)
		return;
	if (at == q->limit)
		return;
	if (q->row_count == q->limit)
		q->row_count--;
	memmove(q->rows + at + 1, q->rows + at,
	    (q->row_count - at) * sizeof(*row));
	q->rows[at] = *row;
	q->rows[at].stamp = q->store->index.flush_count;
	q->row_count++;
}

/* Rows up to an id: beyond a full page they come with a later one. */
static void
add_unindexed(struct query *q, struct list *l, uint64_t to)
{
	for (struct list_node *n = list_first(l); n != NULL;
	     n = list_next(l, n)) {
		struct change *c = CONTAINER(n, struct change, link);
		struct store_row row = { .id = c->row.id };

		if (!(c->mask & CHANGE_ROW) || c->mask & CHANGE_GONE)
			continue;
		if (q->sql == SQL_Q_FIND ? row.id != (uint64_t)q->value
					 : row.id <= (uint64_t)q->value)
			continue;
		if (row.id > to)
			continue;
		if (q->sql == SQL_Q_DEST && c->row.dest != q->dest &&
		    c->row.dest != 0)
			continue;
		if (track_correct(q->store, &row))
			insert_row(q, &row);
	}
}

static void
run_query(struct job *j)
{
	struct query *q = CONTAINER(j, struct query, job);
	struct index *ix = &q->store->index;

	if (q->kind == QUERY_ROWS)
		q->err = index_rows(ix, q->sql, q->value, q->dest, q->limit,
		    q->rows, &q->row_count);
	else if (q->kind == QUERY_COUNTS && !q->known)
		q->err = index_counts(ix, &q->counts);
	else if (q->kind == QUERY_COUNTS)
		q->err = OK;
	else
		q->err = index_due_some(ix, q->value, q->spread_ms, &q->after);
}

/* The least of due_ms and what waits in a list that the index does not know
 * yet; a little too early where the index will know better. */
static int64_t
next_due(struct store *s, struct list *l, int64_t due_ms)
{
	for (struct list_node *n = list_first(l); n != NULL;
	     n = list_next(l, n)) {
		struct change *c = CONTAINER(n, struct change, link);

		if (c->mask & CHANGE_GONE ||
		    !(c->mask & (CHANGE_ROW | CHANGE_RESULT | CHANGE_DUE)) ||
		    c->row.due_ms >= due_ms || c->row.held ||
		    c->row.flags & STORE_HOLD ||
		    store_held(s, c->row.id) != NULL)
			continue;
		due_ms = c->row.due_ms;
	}
	return due_ms;
}

static void
answer_counts(struct query *q)
{
	struct store *s = q->store;
	struct store_counts *c = &q->counts;

	if (q->err == OK && !q->known) {
		s->index.counts = *c;
		s->index.counted = s->index.flush_count == q->flush_count;
	}
	c->next_due_ms = next_due(s, &s->track.changes, c->next_due_ms);
	c->next_due_ms = next_due(s, &s->track.flushing, c->next_due_ms);
	c->message_count = s->track.count;
	c->bytes = s->track.bytes;
	c->held_count = s->held_count - s->quota.transactions;
	q->counts_fn(q->arg, q->err, c);
}

/*
 * A full page of which nothing is left: go on after it (list), or, for due
 * rows that became active since the last flush, flush and ask again.  False:
 * answer with what there is.
 */
static bool
ask_again(struct query *q, uint64_t last)
{
	struct store *s = q->store;

	if (q->row_count > 0 || q->again_count >= QUERY_AGAIN_MAX)
		return false;
	if (is_list(q)) {
		q->value = (int64_t)last;
	} else if (is_due(q)) {
		s->index.want_flush = true;
		(void)index_turn(s);
	} else {
		return false;
	}
	q->again_count++;
	work_post(s->work, LANE_INDEX, &q->job);
	return true;
}

/* True: answered or failed; false: asked again. */
static bool
answer_rows(struct query *q)
{
	struct track *t = &q->store->track;
	bool full = q->row_count == q->limit;
	uint64_t last = 0;

	if (q->err != OK) {
		q->row_count = 0;
	} else {
		if (q->row_count > 0)
			last = q->rows[q->row_count - 1].id;
		correct_rows(q);
		if (is_list(q) || q->sql == SQL_Q_FIND) {
			uint64_t to = is_list(q) && full ? last : UINT64_MAX;

			add_unindexed(q, &t->changes, to);
			add_unindexed(q, &t->flushing, to);
		}
		if (full && ask_again(q, last))
			return false;
		if (full && q->row_count == 0 && (is_due(q) || is_list(q)))
			q->err = ERR_AGAIN;
	}
	q->rows_fn(q->arg, q->err, q->rows, q->row_count);
	return true;
}

static void
on_query_done(struct job *j)
{
	struct query *q = CONTAINER(j, struct query, job);

	if (q->silent) {
		query_free(q);
		return;
	}
	/* A broken index is rebuilt; the caller asks again. */
	if (q->err != OK)
		q->err = ERR_AGAIN;
	if (!q->known)
		index_used(q->store);
	if (q->kind == QUERY_DUE_ALL) {
		q->store->index.counted = false;
		if (q->err == OK && q->after != 0) {
			/* In pieces: the lane is not kept from others. */
			work_post(q->store->work, LANE_INDEX, &q->job);
			return;
		}
	}
	if (q->kind == QUERY_ROWS) {
		if (!answer_rows(q))
			return;
	} else if (q->kind == QUERY_COUNTS) {
		answer_counts(q);
	}
	query_free(q);
}

void
query_silence(struct query *q)
{
	q->silent = true;
}

static enum err
ask_rows_dest(struct store *s, enum index_sql sql, int64_t value, uint64_t dest,
    unsigned limit, store_rows_fn *fn, void *arg)
{
	struct query *q;

	ASSERT(limit >= 1 && limit <= STORE_ROWS_MAX);
	q = query_new(s, QUERY_ROWS);
	if (q == NULL)
		return ERR_AGAIN;
	q->rows = mem_alloc_array(s->acct, limit, sizeof(*q->rows));
	if (q->rows == NULL) {
		query_free(q);
		return ERR_AGAIN;
	}
	q->sql = sql;
	q->value = value;
	q->dest = dest;
	q->limit = limit;
	q->rows_fn = fn;
	q->arg = arg;
	q->job.run = run_query;
	q->job.done = on_query_done;
	work_post(s->work, LANE_INDEX, &q->job);
	return OK;
}

static enum err
ask_rows(struct store *s, enum index_sql sql, int64_t value, unsigned limit,
    store_rows_fn *fn, void *arg)
{
	return ask_rows_dest(s, sql, value, 0, limit, fn, arg);
}

enum err
store_due(struct store *s, struct wall now, bool fresh, unsigned limit,
    store_rows_fn *fn, void *arg)
{
	return ask_rows(s, fresh ? SQL_Q_FRESH : SQL_Q_DUE, now.ms, limit, fn,
	    arg);
}

enum err
store_find(struct store *s, uint64_t id, store_rows_fn *fn, void *arg)
{
	return ask_rows(s, SQL_Q_FIND, (int64_t)id, 1, fn, arg);
}

enum err
store_list(struct store *s, uint64_t after_id, unsigned limit,
    store_rows_fn *fn, void *arg)
{
	return ask_rows(s, SQL_Q_LIST, (int64_t)after_id, limit, fn, arg);
}

enum err
store_list_dest(struct store *s, uint64_t after_id, uint64_t dest,
    unsigned limit, store_rows_fn *fn, void *arg)
{
	return ask_rows_dest(s, SQL_Q_DEST, (int64_t)after_id, dest, limit, fn,
	    arg);
}

enum err
query_old(struct store *s, uint64_t segment, unsigned limit, store_rows_fn *fn,
    void *arg)
{
	return ask_rows(s, SQL_Q_OLD, (int64_t)segment, limit, fn, arg);
}

enum err
store_count(struct store *s, store_counts_fn *fn, void *arg)
{
	struct query *q = query_new(s, QUERY_COUNTS);

	if (q == NULL)
		return ERR_AGAIN;
	q->counts_fn = fn;
	q->arg = arg;
	q->flush_count = s->index.flush_count;
	/* A queue that rests is not counted again and again. */
	q->known = s->index.counted && !s->index.job.busy;
	if (q->known)
		q->counts = s->index.counts;
	q->job.run = run_query;
	q->job.done = on_query_done;
	work_post(s->work, LANE_INDEX, &q->job);
	return OK;
}

int64_t
index_due_part(uint64_t id, int64_t spread_ms)
{
	uint64_t group = id / INDEX_DUE_GROUP;

	return (int64_t)(group * 40503 & 65535) * spread_ms / 65536;
}

enum err
store_due_all(struct store *s, struct wall now, int64_t spread_ms)
{
	struct query *q = query_new(s, QUERY_DUE_ALL);

	if (q == NULL)
		return ERR_AGAIN;
	s->index.counted = false;
	/* What the track holds waits for its own flush. */
	for (struct list_node *n = list_first(&s->track.changes); n != NULL;
	     n = list_next(&s->track.changes, n)) {
		struct change *c = CONTAINER(n, struct change, link);
		int64_t due_ms = now.ms + index_due_part(c->row.id, spread_ms);

		if (c->row.due_ms > due_ms && !c->row.held)
			c->row.due_ms = due_ms;
	}
	q->value = now.ms;
	q->spread_ms = spread_ms;
	q->after = 0;
	q->job.run = run_query;
	q->job.done = on_query_done;
	work_post(s->work, LANE_INDEX, &q->job);
	return OK;
}

enum err
store_due_set(struct store *s, uint64_t id, struct wall due)
{
	struct store_msg *m = store_held(s, id);
	struct change *c;
	enum err e = track_room(s, 1);

	if (e != OK)
		return e;
	if (m != NULL)
		m->row.due_ms = due.ms;
	c = track_touch(s, id, (struct store_pos){ 0 }, 0);
	if (c == NULL)
		return ERR_AGAIN;
	c->row.due_ms = due.ms;
	c->mask |= CHANGE_DUE;
	return OK;
}
