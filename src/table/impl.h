/*
 * table/impl: what the kinds of tables share.
 */
#pragma once

#include <stdbool.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "base/time.h"
#include "table/table.h"

/* ---- map.c: keys and values in memory, sorted ---- */

struct map_entry {
	struct slice key; /* ASCII lower case */
	struct slice value;
	uint32_t line;
};

/* Owned by its account; the texts belong to whoever filled it. */
struct map {
	struct acct *acct;
	struct map_entry *entries;
	uint32_t count;
	uint32_t size;
};

/* Empty; its entries will be of account a. */
void map_init(struct map *m, struct acct *a);
/* Empty again; pointers into it are void, the texts are not touched. */
void map_fini(struct map *m);
/* Room for count entries in all.  ERR_TOOBIG past TABLE_ENTRY_COUNT_MAX,
 * ERR_NOMEM. */
MUST_CHECK enum err map_reserve(struct map *m, size_t count);
/* Errors as map_reserve. */
MUST_CHECK enum err map_add(struct map *m, struct slice key, struct slice value,
    uint32_t line);
/* After the last map_add: of equal keys the first line holds. */
void map_sort(struct map *m);
/* key in ASCII lower case; NULL: not there. */
const struct map_entry *map_find(const struct map *m, struct slice key);

/* ---- entry.c: one entry of a text ---- */

enum entry_fault {
	ENTRY_GOOD,
	ENTRY_NO_VALUE, /* a key alone, or none */
	ENTRY_QUOTES,	/* a quote is missing */
	ENTRY_KEY_LONG,
	ENTRY_VALUE_LONG,
};

/*
 * entry_split(data, len, syntax, fold, key_out, value_out):
 * A whole entry, continued lines joined.  The key loses its quotes and, with
 * fold, its capitals, in place.  key_out and value_out lie in data; set only
 * on ENTRY_GOOD.
 */
MUST_CHECK enum entry_fault entry_split(char *data, size_t len,
    enum table_syntax syntax, bool fold, struct slice *key_out,
    struct slice *value_out);
/* Space, tab, CR. */
bool entry_is_blank(char c);

/* ---- text.c: the syntax of text tables ---- */

/*
 * text_parse(m, data, len, syntax, bad_line_out):
 * Add the lines of data to m; continued lines are joined and keys lowered
 * in place, so that m borrows data.  A line without a value, or longer than
 * a key and a value may be, is left out; the number of the first such line
 * is given, 0 if there is none.  Errors of map_add.
 */
MUST_CHECK enum err text_parse(struct map *m, char *data, size_t len,
    enum table_syntax syntax, uint32_t *bad_line_out);

/* "{ k = v, { k = v } }" likewise; ERR_CONFIG with et. */
MUST_CHECK enum err inline_parse(struct map *m, char *data, size_t len,
    struct errtext *et);

/* ASCII letters to lower case, in place. */
void lower(char *data, size_t len);

/* ---- file.c: a file that may change under us ---- */

struct table_file {
	const char *path; /* borrowed, terminated */
	struct stat seen; /* when it was opened last */
	bool valid;	  /* seen is of what is loaded */
	bool settled;	  /* nothing can have been written since unseen */
};

/*
 * file_open_changed(f, fd_out, et):
 * OK with *fd_out -1 when it is what it was; with a descriptor, to be read
 * and closed by the caller, when it is new.  ERR_LOOKUP with et when it
 * cannot be opened; then it counts as changed until it can.
 */
MUST_CHECK enum err file_open_changed(struct table_file *f, int *fd_out,
    struct errtext *et);

/* ---- lmdb.c: reading an LMDB file without mapping it ---- */

struct lmdb {
	int fd;		   /* the caller's */
	struct acct *acct; /* of page */
	char *page;	   /* one page; NULL: not begun */
	uint32_t page_bytes;
};

/*
 * lmdb_begin(db, a, fd, et):
 * Look at the first page.  fd is borrowed until lmdb_end.  ERR_CORRUPT when
 * this is no LMDB file, ERR_IO, ERR_NOMEM.
 */
MUST_CHECK enum err lmdb_begin(struct lmdb *db, struct acct *a, int fd,
    struct errtext *et);
void lmdb_end(struct lmdb *db);
/*
 * lmdb_find(db, key, value, value_max, len_out, et):
 * Read the value of key into value.  ERR_NOTFOUND; ERR_TOOBIG when it is
 * longer than value_max; ERR_CORRUPT for damage of any kind; ERR_AGAIN when
 * the file was written to again and again meanwhile; ERR_IO.
 */
MUST_CHECK enum err lmdb_find(struct lmdb *db, struct slice key, char *value,
    size_t value_max, size_t *len_out, struct errtext *et);
