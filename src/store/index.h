/*
 * index: where the living messages are and when they are due.  Disposable.
 *
 * SQLite, used by LANE_INDEX only (by the caller's thread while that lane is
 * idle: open, close, rebuild).  Any error makes it broken; index_turn then
 * discards it and builds it again from the log, which is the truth.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/list.h"
#include "base/time.h"
#include "store/store.h"
#include "store/work.h"

struct sqlite3;
struct sqlite3_stmt;
struct store;

enum index_sql {
	SQL_BEGIN,
	SQL_COMMIT,
	SQL_PUT,
	SQL_RESULT,
	SQL_FLAGS,
	SQL_DUE,
	SQL_DELETE,
	SQL_REACHED,
	SQL_MIN_FIRST,
	SQL_Q_DUE,
	SQL_Q_FRESH,
	SQL_Q_FIND,
	SQL_Q_LIST,
	SQL_Q_DEST,
	SQL_Q_OLD,
	SQL_Q_COUNT,
	SQL_PIECE_END,
	SQL_DUE_SOME,
	SQL_RELEASE,
	SQL_SUM,
	SQL_COUNT
};

enum {
	INDEX_FLUSH_MS = 1000,
	INDEX_REST_MS = 1500,	/* unused for so long: its memory goes back */
	INDEX_RETRY_MS = 10000, /* after a rebuild that failed */
	INDEX_PATH_BYTES = 4096,
	INDEX_DUE_GROUP = 64,		       /* as in SQL_DUE_SOME */
	INDEX_PIECE_ROWS = 1000 / STORE_SCALE, /* written at once */
};

struct index {
	bool want_image;    /* the next open_db begins with conf.index_image */
	struct sqlite3 *db; /* NULL: there is none now */
	struct sqlite3_stmt *sql[SQL_COUNT];
	struct store_pos reached; /* everything before is in the index */
	uint64_t flush_count;	  /* completed ones */
	uint64_t min_first;	  /* oldest segment in use; UINT64_MAX: none */
	bool want_flush;
	_Atomic bool broken; /* set in the lane */
	/* The last reason, a static text. */
	const char *_Atomic broken_why;
	_Atomic bool full; /* broken for want of disk space */
	bool in_memory;	   /* there is no room for it on the disk */
	bool empty;	   /* just made: nothing in it */
	bool was_empty;	   /* when the replay began */
	struct mono flush_at;
	struct mono retry_at; /* no rebuild, no return to disk before */
	struct mono rest_at;
	bool used; /* since its memory went back */

	/* The last counts, good while nothing was written since. */
	struct store_counts counts;
	bool counted;

	/* The flush, or giving memory back, that runs. */
	struct job job;
	struct store *store;
	struct store_pos job_reached;
	/* It lacks something before reached: a replay is under way, or could
	 * not read all.  Then its file names no place, and the next open
	 * makes it anew. */
	bool incomplete;
	uint64_t job_min_first;
	uint64_t job_gone_bytes;
	struct list *job_list;
};

struct store_row;

/*
 * Open or make it.  After it, index.reached is what it reflects (segment 0:
 * nothing, replay everything).  Never fails for a damaged file: that is
 * discarded.  ERR_NOMEM, ERR_NOSPACE, ERR_IO: not even a new one works.
 */
MUST_CHECK enum err index_open(struct store *s, struct errtext *et);
void index_close(struct store *s);
/* Throw it away and make an empty one. */
MUST_CHECK enum err index_reset(struct store *s, struct errtext *et);
/* Where it was, it cannot be: the next one is made in memory; or, where that
 * was too little, on the disk, which gets back a spare segment. */
void index_move(struct store *s);
/* Flush here and now; the lane is idle. */
MUST_CHECK enum err index_flush_now(struct store *s, bool all);
/* Start a flush when it is time; ms until the next. */
int64_t index_turn(struct store *s);
/* In recover.c: build it anew from the log when it is time. */
int64_t index_rebuild_turn(struct store *s);
/* It cannot be used any more; why is static.  In the lane, too. */
void index_break(struct index *ix, const char *why);
/* Something used it: its memory is given back when it rests. */
void index_used(struct store *s);
/* Is a flush or query under way? */
bool index_busy(const struct store *s);

/* ---- the database ----
 *
 * index_db.c and index_query.c; the simulator has a simpler one of its own.
 * Called in the lane, or while it is idle.  An error makes the index
 * broken.
 */

/* Open or make it; s->index.reached is what it reflects (segment 0: nothing
 * that could be used).  ERR_IO, ERR_CONFIG: it cannot be used. */
MUST_CHECK enum err index_db_open(struct store *s, struct errtext *et);
void index_db_close(struct store *s);
/* The place that the file may name. */
struct store_pos index_place(const struct index *ix);
/* Remove its files. */
void index_db_remove(struct store *s);
/* Write the changes of job_list and index_place; sets job_gone_bytes and
 * job_min_first. */
MUST_CHECK enum err index_db_flush(struct index *ix);
/* Bytes of the index as it is (simulator); false: busy, or too big. */
bool index_snapshot(struct store *s, void *buf, size_t size, size_t *len_out);
/* After replay at open: nothing is held; count and bytes of what lives. */
MUST_CHECK enum err index_settle(struct store *s);

/* Run one of the row queries; rows have room for limit.  dest: of SQL_Q_DEST
 * only. */
MUST_CHECK enum err index_rows(struct index *ix, enum index_sql q, int64_t a,
    uint64_t dest, unsigned limit, struct store_row *rows, unsigned *count_out);
MUST_CHECK enum err index_counts(struct index *ix, struct store_counts *c);
/* Give back what SQLite keeps only to be faster. */
void index_shrink(struct index *ix);
/* Which part of spread_ms message id gets: consecutive groups are far apart,
 * and those of a group together, as their rows are in the index.  The same
 * arithmetic is in SQL_DUE_SOME. */
int64_t index_due_part(uint64_t id, int64_t spread_ms);
/* The next INDEX_PIECE_ROWS messages after *after are due by then; *after is
 * the last of them, 0: there are no more. */
MUST_CHECK enum err index_due_some(struct index *ix, int64_t due_ms,
    int64_t spread_ms, uint64_t *after);
