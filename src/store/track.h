/*
 * track: what the index does not know yet.
 *
 * Every change of a message since the last flush, one struct change a
 * message, net: a message that came and went between two flushes never
 * touches SQLite.  Answers of the index are corrected by it.  Recovery feeds
 * the log through it, so both ways lead to the same rows.
 *
 * A change is given to a flush once its last append is durable.  The log
 * position stored with the flush is that of the earliest append that was
 * not.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/hash.h"
#include "base/list.h"
#include "base/mem.h"
#include "store/record.h"
#include "store/store.h"

/* Which fields of a change's row count. */
enum change_mask {
	CHANGE_ROW = 1,	   /* all: insert or replace */
	CHANGE_RESULT = 2, /* result, due_ms, flags, dest */
	CHANGE_FLAGS = 4,  /* the HOLD bit of flags */
	CHANGE_DUE = 8,	   /* due_ms */
	CHANGE_GONE = 16,  /* delete */
};

struct change {
	struct hash_node node;
	struct list_node link;
	uint64_t serial;	/* ticket of the last append */
	struct store_pos first; /* of the first append; segment 0: none */
	uint8_t mask;
	bool fresh; /* certainly not in the index */
	bool flushing;
	struct store_row row;
};

struct track {
	struct pool pool;
	struct hash map;     /* by id; while a flush runs, up to two of one */
	struct list changes; /* in the order of their first append */
	struct list flushing;
	unsigned used_max; /* for appends; the rest is for closings */
	unsigned used;	   /* in changes and flushing */
	uint64_t count;	   /* messages that live */
	uint64_t bytes;
};

struct store;

/* Nothing is tracked; room for conf.unindexed_max changes and one more for
 * each held message.  ERR_NOMEM. */
MUST_CHECK enum err track_init(struct store *s);
/* Changes not yet in the index are forgotten: the log has them. */
void track_fini(struct store *s);

/* Room for so many more changes?  Else a flush is begun: ERR_AGAIN. */
MUST_CHECK enum err track_room(struct store *s, unsigned count);

/* The newest change of a message; NULL: none. */
struct change *track_get(struct store *s, uint64_t id);
/*
 * The change of a message, made if need be.  pos and serial: of the append
 * behind it (segment 0: the index only).  NULL: no memory; the index
 * will be made anew from the log.
 */
struct change *track_touch(struct store *s, uint64_t id, struct store_pos pos,
    uint64_t serial);
/* The whole row of a message changed. */
void track_row(struct store *s, const struct store_row *row, bool fresh,
    struct store_pos pos, uint64_t serial);
/* It ended. */
void track_gone(struct store *s, uint64_t id, struct store_pos pos,
    uint64_t serial);
/* One record of the log, from recovery. */
MUST_CHECK enum err track_replay(struct store *s, const struct log_entry *e,
    bool index_empty);

/*
 * Correct a row of the index.  False: the message is gone.
 */
bool track_correct(struct store *s, struct store_row *row);

/* Move what is durable to the list flushing; the position that the flush
 * will have reached.  all: durable or not (recovery, which reads what is). */
struct store_pos track_flush_begin(struct store *s, bool all);
/* The flush ended: forget them.  (After a failed one the index is built
 * anew from the log, where all of them are.) */
void track_flush_end(struct store *s);

/* Forget every change (the log is about to be read anew). */
void track_clear(struct store *s);
/* Does a change know a message in this segment or an older one? */
bool track_lives_in(struct store *s, uint64_t segment);

/* Order of places in the log. */
static inline bool
pos_before(struct store_pos a, struct store_pos b)
{
	return a.segment < b.segment ||
	       (a.segment == b.segment && a.offset < b.offset);
}
