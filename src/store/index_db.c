/*
 * index_db: the index in SQLite.
 *
 * WAL with exclusive locking keeps SQLite's shared memory in its heap, so
 * nothing is mapped; the heap has a hard limit.  synchronous=NORMAL: after a
 * power failure the index may be older than it was, never torn; the position
 * in it is then older too.
 */
#include <malloc.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "store/index_sql.h"
#include "store/store_int.h"

static const char schema[] =
    "PRAGMA locking_mode=EXCLUSIVE;"
    "PRAGMA journal_mode=WAL;"
    "PRAGMA synchronous=NORMAL;"
    "PRAGMA mmap_size=0;"
    "PRAGMA temp_store=MEMORY;"
    "PRAGMA journal_size_limit=4194304;"
    "CREATE TABLE IF NOT EXISTS message(id INTEGER PRIMARY KEY,"
    " es INTEGER, eo INTEGER, el INTEGER, rs INTEGER, ro INTEGER, rl INTEGER,"
    " first INTEGER, dest INTEGER, bytes INTEGER, due INTEGER,"
    " flags INTEGER, state INTEGER);"
    "CREATE INDEX IF NOT EXISTS message_due ON message(due)"
    " WHERE state=0;"
    "CREATE INDEX IF NOT EXISTS message_fresh ON message(due)"
    " WHERE state=0 AND flags&2=0;"
    "CREATE INDEX IF NOT EXISTS message_first ON message(first);"
    "CREATE INDEX IF NOT EXISTS message_dest ON message(dest);"
    "CREATE INDEX IF NOT EXISTS message_busy ON message(state)"
    " WHERE state<>0;"
    "CREATE TABLE IF NOT EXISTS meta(k INTEGER PRIMARY KEY, version INTEGER,"
    " spool INTEGER, segment INTEGER, offset INTEGER);";

enum { INDEX_VERSION = 1 };

#define ROW_COLUMNS "id,es,eo,el,rs,ro,rl,first,dest,bytes,due,flags"
/* A page of the messages with such a key, from the index of the keys. */
#define WITH_DEST(key)                                                       \
	"SELECT * FROM (SELECT " ROW_COLUMNS " FROM message WHERE dest=" key \
	" AND id>?1 ORDER BY id LIMIT ?2)"
/* state: 0 waits, 1 active, 2 on hold */
#define STATE_OF "CASE WHEN state=1 THEN 1 WHEN ?2&1 THEN 2 ELSE 0 END"

static const char *const texts[SQL_COUNT] = {
	[SQL_BEGIN] = "BEGIN",
	[SQL_COMMIT] = "COMMIT",
	[SQL_PUT] = "INSERT OR REPLACE INTO message(" ROW_COLUMNS ",state)"
		    " VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13)",
	[SQL_RESULT] = "UPDATE message SET flags=?2,state=" STATE_OF
		       ",due=?3,rs=?4,ro=?5,rl=?6 WHERE id=?1",
	[SQL_FLAGS] = "UPDATE message SET flags=(flags&~1)|?2,state=" STATE_OF
		      " WHERE id=?1",
	[SQL_DUE] = "UPDATE message SET due=?2 WHERE id=?1",
	[SQL_DELETE] = "DELETE FROM message WHERE id=?1 RETURNING bytes",
	[SQL_REACHED] = "INSERT OR REPLACE INTO meta(k,version,spool,segment,"
			"offset) VALUES(1,?1,?2,?3,?4)",
	[SQL_MIN_FIRST] = "SELECT min(first) FROM message",
	[SQL_Q_DUE] = "SELECT " ROW_COLUMNS " FROM message"
		      " WHERE state=0 AND due<=?1 ORDER BY due LIMIT ?2",
	[SQL_Q_FRESH] = "SELECT " ROW_COLUMNS " FROM message"
			" WHERE state=0 AND flags&2=0 AND due<=?1"
			" ORDER BY due LIMIT ?2",
	[SQL_Q_FIND] = "SELECT " ROW_COLUMNS " FROM message WHERE id=?1"
		       " LIMIT ?2",
	[SQL_Q_LIST] = "SELECT " ROW_COLUMNS " FROM message WHERE id>?1"
		       " ORDER BY id LIMIT ?2",
	[SQL_Q_DEST] = WITH_DEST("0") " UNION ALL " WITH_DEST(
	    "?3") " ORDER BY id LIMIT ?2",
	[SQL_Q_OLD] = "SELECT " ROW_COLUMNS " FROM message WHERE first<=?1"
		      " ORDER BY first LIMIT ?2",
	/* Each from an index of its own: nothing here goes through all
	 * messages, however many wait. */
	[SQL_Q_COUNT] =
	    "SELECT (SELECT count(*) FROM message),"
	    "(SELECT count(*) FROM message WHERE state<>0 AND state=1),"
	    "(SELECT count(*) FROM message WHERE state<>0 AND state=2),"
	    "(SELECT count(*) FROM message WHERE state=0 AND flags&2=0),"
	    "(SELECT min(due) FROM message WHERE state=0),"
	    "(SELECT max(due) FROM message WHERE state=0)",
	[SQL_PIECE_END] = "SELECT max(id) FROM (SELECT id FROM message"
			  " WHERE id>?1 ORDER BY id LIMIT ?2)",
	/* In the order of ids: in that of what it changes SQLite would have
	 * to remember which rows it has seen. */
	[SQL_DUE_SOME] =
	    "UPDATE message SET due=min(due,?1+(id/64*40503&65535)*?2/65536)"
	    " WHERE id>?3 AND id<=?4 AND +state=0 AND +due>?1",
	[SQL_RELEASE] = "UPDATE message SET state=CASE WHEN flags&1 THEN 2"
			" ELSE 0 END WHERE state<>0 AND state=1",
	[SQL_SUM] = "SELECT count(*),coalesce(sum(bytes),0) FROM message",
};

/* One statement, prepared when first used; NULL: broken. */
static sqlite3_stmt *
statement(struct index *ix, enum index_sql which)
{
	sqlite3_stmt *st = ix->sql[which];

	if (st != NULL)
		return st;
	if (ix->db == NULL ||
	    sqlite3_prepare_v3(ix->db, texts[which], -1,
		SQLITE_PREPARE_PERSISTENT, &st, NULL) != SQLITE_OK) {
		index_break(ix, ix->db == NULL
				    ? "it is closed"
				    : sqlite3_errstr(sqlite3_errcode(ix->db)));
		return NULL;
	}
	ix->sql[which] = st;
	return st;
}

enum err
index_step(struct index *ix, sqlite3_stmt *st, bool *row_out)
{
	int rc = st == NULL ? SQLITE_ERROR : sqlite3_step(st);

	if (row_out != NULL)
		*row_out = rc == SQLITE_ROW;
	if (rc == SQLITE_ROW)
		return OK;
	if (st != NULL)
		sqlite3_reset(st);
	if (rc == SQLITE_DONE)
		return OK;
	/* Without a statement it is broken already. */
	if (st != NULL)
		index_break(ix, sqlite3_errstr(rc));
	if (rc == SQLITE_FULL)
		ix->full = true;
	return rc == SQLITE_FULL    ? ERR_NOSPACE
	       : rc == SQLITE_NOMEM ? ERR_NOMEM
				    : ERR_IO;
}

/* Run a statement whose rows do not matter. */
static enum err
step_reset(struct index *ix, sqlite3_stmt *st)
{
	enum err e = index_step(ix, st, NULL);

	if (st != NULL)
		sqlite3_reset(st);
	return e;
}

sqlite3_stmt *
index_bind(struct index *ix, enum index_sql which, const int64_t *values,
    int count)
{
	sqlite3_stmt *st = statement(ix, which);

	for (int i = 0; st != NULL && i < count; i++)
		sqlite3_bind_int64(st, i + 1, values[i]);
	return st;
}

enum err
index_run(struct index *ix, enum index_sql which, const int64_t *values,
    int count)
{
	return step_reset(ix, index_bind(ix, which, values, count));
}

static bool
index_path(const struct store *s, const char *suffix,
    char path[static INDEX_PATH_BYTES])
{
	int n;

	if (s->conf.index_dir == NULL || s->index.in_memory) {
		snprintf(path, INDEX_PATH_BYTES, ":memory:");
		return true;
	}
	n = snprintf(path, INDEX_PATH_BYTES, "%s/index%s", s->conf.index_dir,
	    suffix);
	return n > 0 && n < INDEX_PATH_BYTES;
}

/* What it reflects: nothing, if it is not ours or not of this version. */
static void
read_meta(struct store *s)
{
	struct index *ix = &s->index;
	sqlite3_stmt *st = NULL;

	if (sqlite3_prepare_v2(ix->db,
		"SELECT version,spool,segment,offset FROM meta WHERE k=1", -1,
		&st, NULL) != SQLITE_OK)
		return;
	if (sqlite3_step(st) == SQLITE_ROW &&
	    sqlite3_column_int64(st, 0) == INDEX_VERSION &&
	    sqlite3_column_int64(st, 1) == (int64_t)s->spool_id) {
		ix->reached.segment = (uint64_t)sqlite3_column_int64(st, 2);
		ix->reached.offset = (uint32_t)sqlite3_column_int64(st, 3);
	}
	sqlite3_finalize(st);
}

/* An index in memory may begin with the bytes of an older one. */
static void
load_image(struct store *s)
{
	const struct store_image *im = s->conf.index_image;
	unsigned char *copy;

	if (s->conf.index_dir != NULL || im == NULL || im->len == 0)
		return;
	copy = sqlite3_malloc64(im->len);
	if (copy == NULL)
		return;
	memcpy(copy, im->data, im->len);
	/* SQLite owns copy from here on, also when it fails. */
	(void)sqlite3_deserialize(s->index.db, "main", copy,
	    (sqlite3_int64)im->len, (sqlite3_int64)im->len,
	    SQLITE_DESERIALIZE_FREEONCLOSE | SQLITE_DESERIALIZE_RESIZEABLE);
}

enum err
index_db_open(struct store *s, struct errtext *et)
{
	struct index *ix = &s->index;
	char path[INDEX_PATH_BYTES], cache[64];
	char *message = NULL;
	int rc;

	ix->broken = false;
	ix->full = false;
	ix->reached = (struct store_pos){ 0 };
	if (!index_path(s, "", path))
		return err_set(et, ERR_CONFIG, "path of the index too long");
	/* Process-wide; one store is open in a process. */
	sqlite3_hard_heap_limit64((sqlite3_int64)s->conf.index_heap_bytes);
	rc = sqlite3_open_v2(path, &ix->db,
	    SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
	    NULL);
	if (rc != SQLITE_OK || ix->db == NULL)
		return err_set(et, ERR_IO, "%s: %s", path, sqlite3_errstr(rc));
	if (ix->want_image)
		load_image(s);
	ix->want_image = false;
	snprintf(cache, sizeof(cache), "PRAGMA cache_size=-%zu",
	    s->conf.index_heap_bytes / 2 / 1024);
	/* The size of the cache comes last: it reads the file, and before the
	 * lock is exclusive that maps shared memory. */
	if (sqlite3_exec(ix->db, schema, NULL, NULL, &message) != SQLITE_OK ||
	    sqlite3_exec(ix->db, cache, NULL, NULL, &message) != SQLITE_OK) {
		enum err e = err_set(et, ERR_IO, "%s: %s", path,
		    message == NULL ? "failed" : message);

		sqlite3_free(message);
		return e;
	}
	read_meta(s);
	return OK;
}

bool
index_snapshot(struct store *s, void *buf, size_t size, size_t *len_out)
{
	sqlite3_int64 len = 0;
	unsigned char *bytes;

	if (s->index.db == NULL || index_busy(s))
		return false;
	bytes = sqlite3_serialize(s->index.db, "main", &len, 0);
	if (bytes == NULL || len <= 0 || (uint64_t)len > size) {
		sqlite3_free(bytes);
		return false;
	}
	memcpy(buf, bytes, (size_t)len);
	*len_out = (size_t)len;
	sqlite3_free(bytes);
	return true;
}

void
index_db_close(struct store *s)
{
	struct index *ix = &s->index;

	for (unsigned i = 0; i < SQL_COUNT; i++) {
		sqlite3_finalize(ix->sql[i]);
		ix->sql[i] = NULL;
	}
	sqlite3_close(ix->db);
	ix->db = NULL;
}

void
index_db_remove(struct store *s)
{
	static const char *const suffixes[] = { "", "-wal", "-shm",
		"-journal" };
	char path[INDEX_PATH_BYTES];
	bool in_memory = s->index.in_memory;

	if (s->conf.index_dir == NULL)
		return;
	s->index.in_memory = false;
	for (unsigned i = 0; i < ARRAY_LEN(suffixes); i++)
		if (index_path(s, suffixes[i], path))
			(void)unlink(path);
	s->index.in_memory = in_memory;
}

/* ---- flush ---- */

static enum err
put_row(struct index *ix, const struct store_row *r)
{
	int64_t state = r->held ? 1 : r->flags & STORE_HOLD ? 2 : 0;
	int64_t v[] = { (int64_t)r->id, (int64_t)r->envelope.segment,
		r->envelope.offset, r->envelope.length,
		(int64_t)r->result.segment, r->result.offset, r->result.length,
		(int64_t)r->first_segment, (int64_t)r->dest, (int64_t)r->bytes,
		r->due_ms, r->flags, state };

	return index_run(ix, SQL_PUT, v, ARRAY_LEN(v));
}

static enum err
put_gone(struct index *ix, const struct change *c)
{
	int64_t id = (int64_t)c->row.id;
	sqlite3_stmt *st = index_bind(ix, SQL_DELETE, &id, 1);
	bool row;
	enum err e = index_step(ix, st, &row);

	if (e == OK && row) {
		/* The caller has subtracted it where it knew the row. */
		if (!(c->mask & CHANGE_ROW))
			ix->job_gone_bytes +=
			    (uint64_t)sqlite3_column_int64(st, 0);
		e = step_reset(ix, st);
	}
	return e;
}

static enum err
put_change(struct index *ix, const struct change *c)
{
	const struct store_row *r = &c->row;
	int64_t id = (int64_t)r->id;
	enum err e = OK;

	if (c->mask & CHANGE_GONE)
		return put_gone(ix, c);
	if (c->mask & CHANGE_ROW)
		return put_row(ix, r);
	if (c->mask & CHANGE_RESULT) {
		int64_t v[] = { id, r->flags, r->due_ms,
			(int64_t)r->result.segment, r->result.offset,
			r->result.length };

		return index_run(ix, SQL_RESULT, v, ARRAY_LEN(v));
	}
	if (c->mask & CHANGE_FLAGS)
		e = index_run(ix, SQL_FLAGS,
		    (int64_t[]){ id, r->flags & STORE_HOLD }, 2);
	if (e == OK && c->mask & CHANGE_DUE)
		e = index_run(ix, SQL_DUE, (int64_t[]){ id, r->due_ms }, 2);
	return e;
}

static enum err
read_min_first(struct index *ix)
{
	sqlite3_stmt *st = index_bind(ix, SQL_MIN_FIRST, NULL, 0);
	bool row;
	enum err e = index_step(ix, st, &row);

	ix->job_min_first = UINT64_MAX;
	if (e != OK || !row)
		return e;
	if (sqlite3_column_type(st, 0) != SQLITE_NULL)
		ix->job_min_first = (uint64_t)sqlite3_column_int64(st, 0);
	return step_reset(ix, st);
}

enum err
index_db_flush(struct index *ix)
{
	struct store_pos place = index_place(ix);
	int64_t meta[] = { INDEX_VERSION, (int64_t)ix->store->spool_id,
		(int64_t)place.segment, place.offset };
	enum err e;

	ix->job_gone_bytes = 0;
	e = index_run(ix, SQL_BEGIN, NULL, 0);
	for (struct list_node *n = list_first(ix->job_list);
	     e == OK && n != NULL; n = list_next(ix->job_list, n))
		e = put_change(ix, CONTAINER(n, struct change, link));
	if (e == OK)
		e = index_run(ix, SQL_REACHED, meta, ARRAY_LEN(meta));
	if (e == OK)
		e = index_run(ix, SQL_COMMIT, NULL, 0);
	return e == OK ? read_min_first(ix) : e;
}

void
index_shrink(struct index *ix)
{
	(void)sqlite3_db_release_memory(ix->db);
	malloc_trim(0);
}
