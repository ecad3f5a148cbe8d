/*
 * make: a new cdb or LMDB file beside an old one, and its place taken at once.
 *
 * The new file is PATH.tmp, locked while it is being made: two commands for
 * one table wait for each other, and what a killed one left behind is used
 * again.  It gets the permissions of the source, is synced and renamed, and
 * the directory is synced: a reader sees the old table or the new one.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/err.h"
#include "base/slice.h"

struct cdb_make;
struct MDB_env;
struct MDB_txn;

enum { MAKE_PATH_BYTES_MAX = 4096 };

enum make_kind { MAKE_CDB, MAKE_LMDB };

/* What becomes of a key that is there already. */
enum make_twice { MAKE_FIRST_HOLDS, MAKE_LAST_HOLDS };

struct make {
	enum make_kind kind;
	char path[MAKE_PATH_BYTES_MAX]; /* the finished file */
	char temp[MAKE_PATH_BYTES_MAX];
	int fd; /* temp; -1: none */
	struct cdb_make *cdb;
	struct MDB_env *env;
	struct MDB_txn *txn;
	unsigned dbi;
	unsigned pending_count; /* entries of txn */
	uint64_t map_bytes;	/* LMDB: how large the file may grow */
};

/* The kind of a table type, "cdb" or "lmdb"; false if it is neither. */
bool make_kind_of(struct slice type, enum make_kind *out);

/*
 * make_begin(m, kind, base, like, et):
 * Lock and empty the new file for the table base (".cdb" or ".lmdb" is
 * added unless it ends so).  like: its permissions and group; NULL: 0644.
 * Blocks while another command makes the same table.  ERR_CONFIG (path too
 * long), ERR_SYS and its kin.
 */
MUST_CHECK enum err make_begin(struct make *m, enum make_kind kind,
    const char *base, const struct stat *like, struct errtext *et);
/*
 * make_put(m, key, value, twice, was_there_out, et):
 * ERR_TOOBIG when the format cannot hold the key; ERR_FULL (LMDB) when the
 * file may not grow further: make_restart and put everything again.
 */
MUST_CHECK enum err make_put(struct make *m, struct slice key,
    struct slice value, enum make_twice twice, bool *was_there_out,
    struct errtext *et);
/* After ERR_FULL: empty again, with twice the room.  ERR_FULL past the
 * largest. */
MUST_CHECK enum err make_restart(struct make *m, struct errtext *et);
/* Sync, rename, sync the directory.  On an error the old file stands. */
MUST_CHECK enum err make_commit(struct make *m, struct errtext *et);
/* Give up; removes the new file.  Nothing after make_commit. */
void make_abort(struct make *m);

/*
 * make_each(kind, path, each, arg, et):
 * Call each for every entry of a finished file.  It returns false to end.
 * ERR_NOTFOUND when there is no such file; ERR_CORRUPT, ERR_IO.
 */
typedef bool make_each_fn(void *arg, struct slice key, struct slice value);
MUST_CHECK enum err make_each(enum make_kind kind, const char *path,
    make_each_fn *each, void *arg, struct errtext *et);

/* base with its suffix into path. */
MUST_CHECK enum err make_path(enum make_kind kind, const char *base,
    char path[static MAKE_PATH_BYTES_MAX], struct errtext *et);
