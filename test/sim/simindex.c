/*
 * simindex: the index without SQLite, in the place of index_db.c and
 * index_query.c: rows in an array, sorted by id.  Nine tenths of the time of
 * a simulated run went into SQLite; sim_store_full runs with it.
 */
#include <stdlib.h>
#include <string.h>

#include "store/index.h"
#include "store/store_int.h"

enum { ROWS_MAX = 600, STATE_WAITS = 0, STATE_ACTIVE = 1, STATE_HOLD = 2 };

struct sim_row {
	struct store_row row;
	unsigned state;
};

struct sim_index {
	uint64_t spool_id; /* 0: new */
	struct store_pos reached;
	unsigned count;
	struct sim_row rows[ROWS_MAX];
};

static struct sim_index *
rows_of(struct index *ix)
{
	return (struct sim_index *)(void *)ix->db;
}

static size_t
bytes_of(const struct sim_index *d)
{
	return offsetof(struct sim_index, rows) +
	       d->count * sizeof(struct sim_row);
}

enum err
index_db_open(struct store *s, struct errtext *et)
{
	const struct store_image *im = s->conf.index_image;
	struct index *ix = &s->index;
	struct sim_index *d = malloc(sizeof(*d));

	(void)et;
	if (d == NULL)
		return ERR_NOMEM;
	memset(d, 0, offsetof(struct sim_index, rows));
	if (ix->want_image && im != NULL && im->len > 0)
		memcpy(d, im->data, im->len);
	ix->want_image = false;
	ix->broken = ix->full = false;
	ix->reached =
	    d->spool_id == s->spool_id ? d->reached : (struct store_pos){ 0 };
	if (ix->reached.segment == 0)
		d->count = 0;
	ix->db = (struct sqlite3 *)(void *)d;
	return OK;
}

void
index_db_close(struct store *s)
{
	free(s->index.db);
	s->index.db = NULL;
}

void
index_db_remove(struct store *s)
{
	(void)s;
}

bool
index_snapshot(struct store *s, void *buf, size_t size, size_t *len_out)
{
	struct sim_index *d = rows_of(&s->index);

	if (d == NULL || index_busy(s) || bytes_of(d) > size)
		return false;
	*len_out = bytes_of(d);
	memcpy(buf, d, *len_out);
	return true;
}

/* Where id is, or belongs. */
static unsigned
place(const struct sim_index *d, uint64_t id)
{
	unsigned low = 0, high = d->count;

	while (low < high) {
		unsigned mid = low + (high - low) / 2;

		if (d->rows[mid].row.id < id)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static struct sim_row *
find(struct sim_index *d, uint64_t id)
{
	unsigned at = place(d, id);

	return at < d->count && d->rows[at].row.id == id ? &d->rows[at] : NULL;
}

static enum err
put(struct sim_index *d, const struct store_row *row)
{
	unsigned at = place(d, row->id);
	struct sim_row *r = &d->rows[at];

	if (at == d->count || r->row.id != row->id) {
		if (d->count == ROWS_MAX)
			return ERR_NOSPACE;
		memmove(r + 1, r, (d->count - at) * sizeof(*r));
		d->count++;
	}
	r->row = *row;
	r->row.held = false;
	r->state = row->held		     ? STATE_ACTIVE
		   : row->flags & STORE_HOLD ? STATE_HOLD
					     : STATE_WAITS;
	return OK;
}

static void
set_flags(struct sim_row *r, uint32_t flags)
{
	r->row.flags = flags;
	if (r->state != STATE_ACTIVE)
		r->state = flags & STORE_HOLD ? STATE_HOLD : STATE_WAITS;
}

static enum err
change(struct index *ix, struct sim_index *d, const struct change *c)
{
	struct sim_row *r;

	if (c->mask & CHANGE_ROW && !(c->mask & CHANGE_GONE))
		return put(d, &c->row);
	r = find(d, c->row.id);
	if (r == NULL)
		return OK;
	if (c->mask & CHANGE_GONE) {
		if (!(c->mask & CHANGE_ROW))
			ix->job_gone_bytes += r->row.bytes;
		d->count--;
		memmove(r, r + 1,
		    (size_t)(d->rows + d->count - r) * sizeof(*r));
		return OK;
	}
	if (c->mask & CHANGE_RESULT) {
		r->row.result = c->row.result;
		r->row.due_ms = c->row.due_ms;
		r->row.dest = c->row.dest;
		set_flags(r, c->row.flags);
		return OK;
	}
	if (c->mask & CHANGE_FLAGS)
		set_flags(r, (r->row.flags & ~(uint32_t)STORE_HOLD) |
				 (c->row.flags & STORE_HOLD));
	if (c->mask & CHANGE_DUE)
		r->row.due_ms = c->row.due_ms;
	return OK;
}

enum err
index_db_flush(struct index *ix)
{
	struct sim_index *d = rows_of(ix);
	enum err e = OK;

	if (d == NULL || ix->broken)
		return ERR_IO;
	ix->job_gone_bytes = 0;
	for (struct list_node *n = list_first(ix->job_list);
	     e == OK && n != NULL; n = list_next(ix->job_list, n))
		e = change(ix, d, CONTAINER(n, struct change, link));
	d->spool_id = ix->store->spool_id;
	d->reached = index_place(ix);
	ix->job_min_first = UINT64_MAX;
	for (unsigned i = 0; i < d->count; i++)
		if (d->rows[i].row.first_segment < ix->job_min_first)
			ix->job_min_first = d->rows[i].row.first_segment;
	return e;
}

/* ---- queries ---- */

static bool
matches(const struct sim_row *r, enum index_sql q, int64_t a, uint64_t dest)
{
	const struct store_row *row = &r->row;

	switch (q) {
	case SQL_Q_DUE: return r->state == STATE_WAITS && row->due_ms <= a;
	case SQL_Q_FRESH:
		return r->state == STATE_WAITS && row->due_ms <= a &&
		       !(row->flags & STORE_TRIED);
	case SQL_Q_FIND: return row->id == (uint64_t)a;
	case SQL_Q_LIST: return row->id > (uint64_t)a;
	case SQL_Q_DEST:
		return row->id > (uint64_t)a &&
		       (row->dest == dest || row->dest == 0);
	default: return row->first_segment <= (uint64_t)a;
	}
}

/* The key that an answer is sorted by. */
static int64_t
key(const struct store_row *row, enum index_sql q)
{
	return q == SQL_Q_DUE || q == SQL_Q_FRESH ? row->due_ms
	       : q == SQL_Q_OLD			  ? (int64_t)row->first_segment
						  : (int64_t)row->id;
}

enum err
index_rows(struct index *ix, enum index_sql q, int64_t a, uint64_t dest,
    unsigned limit, struct store_row *rows, unsigned *count_out)
{
	struct sim_index *d = rows_of(ix);
	unsigned n = 0, at;

	*count_out = 0;
	if (d == NULL || ix->broken)
		return ERR_AGAIN;
	for (unsigned i = 0; i < d->count; i++) {
		const struct store_row *row = &d->rows[i].row;

		if (!matches(&d->rows[i], q, a, dest))
			continue;
		for (at = n; at > 0 && key(&rows[at - 1], q) > key(row, q);)
			at--;
		if (at == limit)
			continue;
		n -= n == limit;
		memmove(rows + at + 1, rows + at, (n - at) * sizeof(*rows));
		rows[at] = *row;
		n++;
	}
	*count_out = n;
	return OK;
}

enum err
index_counts(struct index *ix, struct store_counts *c)
{
	struct sim_index *d = rows_of(ix);

	*c = (struct store_counts){ .next_due_ms = INT64_MAX };
	if (d == NULL || ix->broken)
		return ERR_AGAIN;
	for (unsigned i = 0; i < d->count; i++) {
		const struct sim_row *r = &d->rows[i];

		c->held_count += r->state == STATE_ACTIVE;
		c->hold_count += r->state == STATE_HOLD;
		if (r->state != STATE_WAITS)
			continue;
		if (r->row.flags & STORE_TRIED)
			c->deferred_count++;
		else
			c->waiting_count++;
		if (r->row.due_ms < c->next_due_ms)
			c->next_due_ms = r->row.due_ms;
		if (r->row.due_ms > c->last_due_ms)
			c->last_due_ms = r->row.due_ms;
	}
	return OK;
}

enum err
index_due_some(struct index *ix, int64_t due_ms, int64_t spread_ms,
    uint64_t *after)
{
	struct sim_index *d = rows_of(ix);
	uint64_t from = *after;
	unsigned n = 0;
	int64_t part_ms;

	if (d == NULL || ix->broken)
		return ERR_AGAIN;
	*after = 0;
	for (unsigned i = 0; i < d->count; i++) {
		if (d->rows[i].row.id <= from)
			continue;
		if (n++ == INDEX_PIECE_ROWS)
			return OK;
		*after = d->rows[i].row.id;
		part_ms = index_due_part(d->rows[i].row.id, spread_ms);
		if (d->rows[i].state == STATE_WAITS &&
		    d->rows[i].row.due_ms > due_ms + part_ms)
			d->rows[i].row.due_ms = due_ms + part_ms;
	}
	return OK;
}

enum err
index_settle(struct store *s)
{
	struct sim_index *d = rows_of(&s->index);

	s->track.count = d->count;
	s->track.bytes = 0;
	for (unsigned i = 0; i < d->count; i++) {
		s->track.bytes += d->rows[i].row.bytes;
		if (d->rows[i].state == STATE_ACTIVE) {
			d->rows[i].state = STATE_WAITS;
			set_flags(&d->rows[i], d->rows[i].row.flags);
		}
	}
	return OK;
}

/* It keeps nothing that could be given back. */
void
index_shrink(struct index *ix)
{
	(void)ix;
}
