/*
 * index_query: what is read from the index.
 */
#include <sqlite3.h>

#include "store/index_sql.h"
#include "store/store_int.h"

static void
row_of(sqlite3_stmt *st, struct store_row *r)
{
	int64_t v[12];

	for (int i = 0; i < 12; i++)
		v[i] = sqlite3_column_int64(st, i);
	*r = (struct store_row){
		.id = (uint64_t)v[0],
		.envelope = { (uint64_t)v[1], (uint32_t)v[2], (uint32_t)v[3] },
		.result = { (uint64_t)v[4], (uint32_t)v[5], (uint32_t)v[6] },
		.first_segment = (uint64_t)v[7],
		.dest = (uint64_t)v[8],
		.bytes = (uint64_t)v[9],
		.due_ms = v[10],
		.flags = (uint32_t)v[11] & STORE_FLAG_MASK,
	};
}

enum err
index_rows(struct index *ix, enum index_sql q, int64_t a, uint64_t dest,
    unsigned limit, struct store_row *rows, unsigned *count_out)
{
	sqlite3_stmt *st;
	unsigned n = 0;
	bool more;
	enum err e;

	*count_out = 0;
	if (ix->db == NULL || ix->broken)
		return ERR_AGAIN;
	st = index_bind(ix, q, (int64_t[]){ a, limit, (int64_t)dest },
	    q == SQL_Q_DEST ? 3 : 2);
	while ((e = index_step(ix, st, &more)) == OK && more && n < limit)
		row_of(st, &rows[n++]);
	if (st != NULL)
		sqlite3_reset(st);
	*count_out = n;
	return e;
}

enum err
index_counts(struct index *ix, struct store_counts *c)
{
	sqlite3_stmt *st;
	uint64_t all;
	bool row;
	enum err e;

	*c = (struct store_counts){ .next_due_ms = INT64_MAX };
	if (ix->db == NULL || ix->broken)
		return ERR_AGAIN;
	st = index_bind(ix, SQL_Q_COUNT, NULL, 0);
	e = index_step(ix, st, &row);
	if (e != OK || !row)
		return e;
	all = (uint64_t)sqlite3_column_int64(st, 0);
	c->held_count = (uint64_t)sqlite3_column_int64(st, 1);
	c->hold_count = (uint64_t)sqlite3_column_int64(st, 2);
	c->waiting_count = (uint64_t)sqlite3_column_int64(st, 3);
	c->deferred_count =
	    all - c->held_count - c->hold_count - c->waiting_count;
	if (sqlite3_column_type(st, 4) != SQLITE_NULL)
		c->next_due_ms = sqlite3_column_int64(st, 4);
	c->last_due_ms = sqlite3_column_int64(st, 5); /* NULL: 0 */
	sqlite3_reset(st);
	return OK;
}

enum err
index_due_some(struct index *ix, int64_t due_ms, int64_t spread_ms,
    uint64_t *after)
{
	int64_t values[] = { due_ms, spread_ms, (int64_t)*after, 0 };
	sqlite3_stmt *st;
	enum err e;
	bool row;

	if (ix->db == NULL || ix->broken)
		return ERR_AGAIN;
	st = index_bind(ix, SQL_PIECE_END,
	    (int64_t[]){ (int64_t)*after, INDEX_PIECE_ROWS }, 2);
	e = index_step(ix, st, &row);
	if (e != OK || !row)
		return e;
	*after = (uint64_t)sqlite3_column_int64(st, 0); /* NULL: 0 */
	sqlite3_reset(st);
	if (*after == 0)
		return OK;
	values[3] = (int64_t)*after;
	return index_run(ix, SQL_DUE_SOME, values, 4);
}

enum err
index_settle(struct store *s)
{
	struct index *ix = &s->index;
	sqlite3_stmt *st;
	bool row;
	enum err e;

	e = index_run(ix, SQL_RELEASE, NULL, 0);
	if (e != OK)
		return e;
	st = index_bind(ix, SQL_SUM, NULL, 0);
	e = index_step(ix, st, &row);
	if (e != OK || !row)
		return e;
	s->track.count = (uint64_t)sqlite3_column_int64(st, 0);
	s->track.bytes = (uint64_t)sqlite3_column_int64(st, 1);
	sqlite3_reset(st);
	index_used(s);
	return OK;
}
