/*
 * store: the queue on disk.  The log is the truth, the index is disposable.
 *
 * One process (the queue role) owns a spool directory:
 *   lock       held while it is open
 *   log/       segments: records, appended and synced in batches
 *   index      SQLite: which messages live, where and when they are due
 *   damaged/   what was set aside
 * Format: doc/format/log.md.
 *
 * The life of a message here:
 *   store_msg_open      an id; store_reserve: its disk space
 *   store_body_append   body octets as they come; store_rcpts_append
 *   store_commit        the envelope record: with it, once durable, the
 *                       message exists.  It is now "held": in the caller's
 *                       active set
 *   store_result_append what became of recipients; the last one ends it
 *   store_msg_close     out of the active set (or abandoned before commit)
 * and, deferred: store_due -> rows -> store_load (held again) -> results ->
 * store_msg_close.
 *
 * Everything but store_open, store_close and store_load is non-blocking.
 * Appends copy into a batch; store_turn decides when a batch is written; its
 * completion shows in store_poll.  A caller may answer for an append
 * (250, "removed") only when store_durable(its ticket).
 *
 * After a failed write or sync the log is poisoned: every append fails with
 * ERR_IO, no ticket becomes durable any more, on_poisoned was called; the
 * process logs and exits, recovery runs in the next.
 *
 * Not thread-safe: one thread calls.  The store's own threads (write and
 * sync, index, segments) never call back; callbacks come from store_poll.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/hash.h"
#include "base/slice.h"
#include "base/time.h"

struct acct;
struct arena;
struct disk;
struct store;

/* The simulator builds the store with every size divided by this, so that a
 * short run reaches each limit (test/sim). */
#ifndef STORE_SCALE
#define STORE_SCALE 1
#endif

enum {
	/* Most octets of one append of body or recipients. */
	STORE_PIECE_BYTES_MAX = 65536 / STORE_SCALE,
	/* Most pieces of a body; a body's frames that follow one another in
	 * one batch are one piece.  At the limit, ERR_FULL. */
	STORE_EXTENTS_MAX = 8192 / STORE_SCALE,
	/* Most pieces of recipients that went to disk before the commit. */
	STORE_RCPT_EXTENTS_MAX = 64,
	/* Recipients that store_commit takes itself. */
	STORE_RCPTS_INLINE_BYTES_MAX = 65536 / STORE_SCALE,
	STORE_RCPTS_MAX = 50000 / STORE_SCALE, /* of one message */
	/* One update, encoded (about the sum of its texts). */
	STORE_UPDATE_BYTES_MAX = 131072 / STORE_SCALE,
	/* So much of a body is verified by store_load; each piece when it is
	 * moved, all of it by weir-fsck. */
	STORE_VERIFY_BYTES_MAX = (1 << 20) / STORE_SCALE,
	STORE_TEXT_BYTES_MAX = 1000, /* longer texts are cut */
	STORE_RELAY_BYTES_MAX = 400,
	STORE_DSN_BYTES_MAX = 12,
	STORE_ROWS_MAX = 256,  /* of one answer */
	STORE_QUERIES_MAX = 8, /* outstanding */
	/* For fewer commits a batch does not wait: that is longer than a sync,
	 * and what comes while one runs goes together anyway. */
	STORE_COMPANY_MIN = 8,
};

/* When everything up to an append is durable. */
struct store_ticket {
	uint64_t serial; /* 0: durable already */
};

/* A piece of a stored body. */
struct store_extent {
	uint64_t segment; /* number of the segment */
	uint32_t offset;  /* bytes from its start */
	uint32_t length;  /* bytes, at least 1 */
};

/* Place of a record. */
struct store_pos {
	uint64_t segment; /* 0: none */
	uint32_t offset;
	uint32_t length; /* of the record, header included */
};

/* State of a recipient.  Only DONE needs nothing more. */
enum store_status {
	STORE_WAITING,	 /* not tried yet, or deferred */
	STORE_FAILED,	 /* for good; a report is owed */
	STORE_DELIVERED, /* a report of success is owed */
	STORE_DONE,
	STORE_STATUS_COUNT
};

enum store_flag {
	STORE_HOLD = 1,		/* not scheduled until released */
	STORE_TRIED = 2,	/* deferred at least once */
	STORE_DELAY_WARNED = 4, /* the sender was told of the delay */
	STORE_FLAG_MASK = 7,
};

/* What the index knows of a message. */
struct store_row {
	uint64_t id;
	struct store_pos envelope;
	struct store_pos result; /* last one after the envelope */
	uint64_t first_segment;	 /* oldest that the message lives in */
	uint64_t dest;		 /* as in struct store_commit */
	uint64_t bytes;		 /* of the log, about */
	int64_t due_ms;		 /* wall clock: next attempt */
	uint32_t flags;		 /* enum store_flag */
	bool held;		 /* in the caller's active set */
	uint64_t stamp;		 /* of the answer; a row grows stale */
};

/*
 * A message in the caller's hands: a transaction, or an active message.
 * Embedded by the caller, who may read id, row, extents and extent_count.
 * Its extents stay readable until store_msg_close, also when the message is
 * moved meanwhile.
 */
struct store_msg {
	struct hash_node node;
	struct store *store;
	uint64_t id;
	struct store_row row;	      /* once committed or loaded */
	struct store_extent *extents; /* of the body; charged to the store */
	uint32_t extent_count;
	uint32_t extent_size;
	struct store_extent *rcpt_extents; /* before the commit only */
	uint32_t rcpt_extent_count;
	bool committed;
	bool damaged;  /* its data went bad before the commit */
	bool over;     /* its last update ended it */
	bool unproven; /* set after store_msg_open: it leaves a share of the
			  disk to the others */
	bool earned;   /* likewise: half of that, to those who are trusted */
	uint64_t reserved_bytes;
	uint64_t stored_bytes; /* body and recipients so far */
	uint64_t pin_first;    /* segments pinned; 0: none */
	uint64_t pin_last;
};

/* One recipient as loaded. */
struct store_rcpt {
	uint32_t index; /* in the message, from 0 */
	uint8_t status; /* enum store_status; never DONE */
	uint16_t attempts;
	struct slice encoded; /* for envelope_rcpt_get() */
	struct slice dsn;     /* of the last attempt; empty: none */
	struct slice relay;
	struct slice text;
};

/* A message as loaded; slices live in the caller's arena. */
struct store_message {
	uint64_t id;
	struct slice envelope; /* for envelope_get() */
	uint32_t rcpt_total;   /* DONE ones included */
	struct store_rcpt *rcpts;
	uint32_t rcpt_count; /* in rcpts */
	uint32_t next_index; /* where to go on; rcpt_total: all were read */
	int64_t due_ms;
	uint32_t flags; /* enum store_flag */
};

struct store_result {
	uint32_t index;
	uint8_t status; /* enum store_status */
	uint16_t attempts;
	struct slice dsn, relay, text;
};

/* Something changed in a message. */
struct store_update {
	const struct store_result *results;
	uint32_t result_count;
	int64_t due_ms;
	uint32_t flags; /* enum store_flag; all of them, not a change */
	uint64_t dest;	/* that of the commit */
	bool over;	/* every recipient is DONE: the message ends */
};

struct store_counts {
	uint64_t message_count;	 /* all that live */
	uint64_t held_count;	 /* active */
	uint64_t deferred_count; /* not active, tried before */
	uint64_t waiting_count;	 /* not active, never tried */
	uint64_t hold_count;
	uint64_t bytes;
	int64_t next_due_ms; /* of those not active, also before the
			      * index knows; INT64_MAX: none */
	int64_t last_due_ms; /* the latest that the index knows; 0: none */
};

enum store_damage_kind {
	STORE_DAMAGE_RECORD,  /* a record that does not verify */
	STORE_DAMAGE_TABLE,   /* of a closed segment; it was scanned instead */
	STORE_DAMAGE_SEGMENT, /* header unreadable, or file missing */
	STORE_DAMAGE_TAIL,    /* torn end, cut: nothing acknowledged is lost */
	STORE_DAMAGE_MESSAGE, /* a message refers to something unreadable */
	STORE_DAMAGE_UNREADABLE, /* an I/O error: it is tried again at open */
};

struct store_damage {
	enum store_damage_kind kind;
	uint64_t segment;
	uint64_t offset;
	uint64_t length;  /* bytes; 0: not known */
	uint64_t id;	  /* message; 0: not known */
	const char *text; /* what is wrong, for people */
};

struct store_events {
	/* Tickets became durable: look at yours. */
	void (*on_durable)(void *arg);
	/* An append that got ERR_AGAIN may be tried again. */
	void (*on_room)(void *arg);
	/* A segment's file will be used anew: nobody may read it from its
	 * descriptor any more.  No held message lies in it. */
	void (*on_segment_drop)(void *arg, uint64_t number);
	/* Once; see above. */
	void (*on_poisoned)(void *arg, enum err e, const char *why);
	/* Found at open and later; one line of the log each. */
	void (*on_damage)(void *arg, const struct store_damage *d);
	/* The index broke and was made anew from the log, within the last
	 * turn, which took that long; why is static. */
	void (*on_index_made)(void *arg, const char *why, int64_t took_ms);
};

/* Bytes of an index in memory (simulator): see index_snapshot(). */
struct store_image {
	const void *data;
	size_t len;
};

struct store_conf {
	struct disk *disk; /* rooted at the spool directory */
	/* Path of the spool for SQLite, which opens its file itself.  NULL:
	 * the index lives in memory (simulator, weir-fsck). */
	const char *index_dir;
	const struct store_image *index_image; /* NULL: begin empty */
	struct clock *clock;
	struct acct *acct;
	const struct store_events *events;
	void *arg;
	bool threads;		 /* false: work is done inside store_poll */
	uint64_t segment_bytes;	 /* queue_segment_size */
	unsigned spare_count;	 /* segments that only results, removals and
				    moves may use */
	size_t batch_bytes;	 /* of each of two */
	unsigned unindexed_max;	 /* changes between two index flushes */
	unsigned held_max;	 /* transactions and active messages */
	size_t index_heap_bytes; /* SQLite's hard limit */
	unsigned commit_delay_ms;
	int64_t minfree_bytes;	  /* queue_minfree; 0: no restriction */
	int64_t size_limit_bytes; /* queue_size_limit; 0: none */
	int64_t message_limit;	  /* queue_message_limit; 0: none */
};

/* Defaults for everything but disk, index_dir, acct, events and arg. */
void store_conf_default(struct store_conf *c);
/* Bytes that a store with c charges to its account, for the plan. */
size_t store_cost(const struct store_conf *c);

/*
 * store_open(c, out, et):
 * Lock the spool, recover it, start the threads.  Blocks, with bounded
 * memory.  c is copied, what it points to is borrowed until store_close.
 *
 * ERR_BUSY: another process has the spool.  ERR_VERSION: a newer Weir wrote
 * it.  ERR_NOSPACE, ERR_IO, ERR_SYS, ERR_NOMEM: nothing was lost; try again
 * later.  Damage is no error: on_damage tells.
 */
MUST_CHECK enum err store_open(const struct store_conf *c, struct store **out,
    struct errtext *et);

/*
 * store_close(s):
 * Commit what was appended, flush the index, mark the log as cleanly ended,
 * free everything.  All messages must have been closed.  Outstanding queries
 * are dropped without answer.  Blocks.  NULL is allowed.  A poisoned log:
 * the error that poisoned it.
 */
enum err store_close(struct store *s);

/* Free everything and write nothing more, as if the process had died: for
 * tests, and for a process that exits after poisoning.  NULL is allowed. */
void store_abandon(struct store *s);

/* Take over what may change in a running store: commit_delay_ms, the three
 * quotas, spare_count. */
void store_reconf(struct store *s, const struct store_conf *c);

/* Readable when store_poll has something to do (eventfd); -1 without
 * threads. */
int store_fd(const struct store *s);
/* Take completions and call back.  Without threads: do one unit of pending
 * work first; false when there was nothing to do. */
bool store_poll(struct store *s);

/*
 * store_turn(s, ending_count):
 * At the end of each turn of the loop: decide whether to write the batch,
 * flush the index, move messages.  Returns after how many ms it wants to be
 * called at the latest (INT64_MAX: only after the next append).
 *
 * ending_count  transactions whose commit is likely within a millisecond or
 *               two (the body's end is on its way); from STORE_COMPANY_MIN on,
 * a commit waits up to commit_delay_ms for company.
 */
int64_t store_turn(struct store *s, unsigned ending_count);
/* The batch is written as soon as the disk is free, whatever is in it. */
void store_hurry(struct store *s);
/* Give back memory that a burst left unused; see pool_trim. */
bool store_trim(struct store *s);

/* Was everything up to t written and synced?  And did a write or sync of the
 * log ever fail?  Then nothing more becomes durable in this process. */
bool store_durable(const struct store *s, struct store_ticket t);
bool store_poisoned(const struct store *s);

/* ---- messages ---- */

/*
 * store_msg_open(s, m):
 * A new message with an id that was never used; m is zeroed here.
 * ERR_FULL: held_max, or queue_message_limit (as ERR_NOSPACE).  ERR_AGAIN:
 * no reserved id is durable yet (on_room follows).
 */
MUST_CHECK enum err store_msg_open(struct store *s, struct store_msg *m);

/*
 * store_reserve(s, m, bytes):
 * Reserve disk space for the message so that bytes in all are reserved (0:
 * only ask whether there is room at all; m may then be NULL).  ERR_NOSPACE:
 * see store_why_short.  What is reserved goes back at the commit or close.
 * An unproven message leaves a fifth of all that the log can hold, an earned
 * one a tenth, so that strangers who announce much, or leave much unfinished,
 * keep nobody else out; and of queue_size_limit all unproven messages together
 * get 80 % of what is left, one alone all of it.
 */
MUST_CHECK enum err store_reserve(struct store *s, struct store_msg *m,
    uint64_t bytes);

/* Whether there is room for many messages of bytes each: what is then held for
 * nobody in particular keeps nobody out. */
bool store_has_plenty(struct store *s, uint64_t bytes);

/* What stood in the way when ERR_NOSPACE was said last. */
enum store_short {
	STORE_SHORT_MINFREE,  /* queue_minfree */
	STORE_SHORT_SIZE,     /* queue_size_limit */
	STORE_SHORT_MESSAGES, /* queue_message_limit */
	STORE_SHORT_INODES,
	STORE_SHORT_DISK,
	STORE_SHORT_SHARE, /* what is left is for clients better known */
	STORE_SHORT_COUNT
};

/* Which that is, its name for the log (static) and its value: the limit, or
 * what is left. */
enum store_short store_why_short(const struct store *s, const char **name,
    int64_t *value);

/*
 * store_body_append(s, m, data):
 * The next octets of the body, at most STORE_PIECE_BYTES_MAX; copied.
 * ERR_AGAIN: the batch is full, on_room follows.  ERR_FULL:
 * STORE_EXTENTS_MAX.  ERR_NOSPACE: more than was reserved, and there is no
 * more.  ERR_IO: poisoned.
 */
MUST_CHECK enum err store_body_append(struct store *s, struct store_msg *m,
    struct slice data);
/* A run of encoded recipients that would be too much to keep in memory until
 * the commit.  Errors likewise. */
MUST_CHECK enum err store_rcpts_append(struct store *s, struct store_msg *m,
    struct slice rcpts);

/* Everything about a message that begins to exist. */
struct store_commit {
	struct slice envelope; /* encoded, body_bytes and flags final */
	struct slice rcpts;    /* encoded; after those already appended */
	uint32_t rcpt_count;   /* in all */
	int64_t due_ms;
	uint32_t flags; /* enum store_flag */
	/* store_dest_key() of the domain of all recipients; 0: they have
	 * several, or nobody knows.  It stays with the message. */
	uint64_t dest;
	/* A delivery report: this update of another held message becomes
	 * durable together with the new message or not at all. */
	struct store_msg *also;
	const struct store_update *also_update;
};

/*
 * store_commit(s, m, c, ticket_out):
 * The envelope record.  When the ticket is durable the message exists and
 * survives everything; before, it may vanish in a crash.  m is held from now
 * on.  ERR_AGAIN, ERR_IO as above; ERR_TOOBIG for a caller that exceeds a
 * limit above.
 */
MUST_CHECK enum err store_commit(struct store *s, struct store_msg *m,
    const struct store_commit *c, struct store_ticket *ticket_out);

/*
 * store_result_append(s, m, u, ticket_out):
 * Results of recipients and the message's next due time.  Durable with the
 * next commit, at the latest after 100 ms (store_turn).  With u->over the
 * message ends: after it only store_msg_close.  ticket_out may be NULL.
 */
MUST_CHECK enum err store_result_append(struct store *s, struct store_msg *m,
    const struct store_update *u, struct store_ticket *ticket_out);

/*
 * store_msg_close(s, m):
 * No longer held: an uncommitted message is forgotten, a committed one waits
 * on disk until row.due_ms.  Never fails; no-op on a zeroed m.
 */
void store_msg_close(struct store *s, struct store_msg *m);

/*
 * store_load(s, row, m, ar, rcpt_from, rcpt_max, out, et):
 * Take a message (a row of a query) into the active set, read its envelope
 * and the unfinished recipients from index rcpt_from on, at most rcpt_max.
 * m was zeroed by the caller; if m is held already (m->store == s) row is
 * not used and only the reading is done, for the next recipients.
 * Reads from the disk, usually from the cache.
 *
 * ERR_NOTFOUND: it is finished or held by another m.  ERR_AGAIN: the row is
 * too old (use it in the callback that gave it: then it never is), or the
 * changes since the last index flush are too many.  ERR_CORRUPT: it does
 * not verify (store_set_aside is the way out).  ERR_FULL, ERR_NOMEM: arena
 * or held_max.  ERR_IO, ERR_SYS; ERR_IO in place of ERR_CORRUPT while some of
 * the log cannot be read.  On error m is not held, unless it was.
 */
MUST_CHECK enum err store_load(struct store *s, const struct store_row *row,
    struct store_msg *m, struct arena *ar, uint32_t rcpt_from,
    uint32_t rcpt_max, struct store_message *out, struct errtext *et);

/* Is the message of a row still what the row says?  ERR_NOTFOUND: it ended
 * meanwhile.  ERR_AGAIN: the row is too old to say. */
MUST_CHECK enum err store_row_check(struct store *s,
    const struct store_row *row);

/* Like store_load, but the message is only looked at: nothing is held, and
 * its extents are given in the arena.  rcpt_max 0: only the envelope, which is
 * one read; what is not of the envelope is not set. */
MUST_CHECK enum err store_peek(struct store *s, const struct store_row *row,
    struct arena *ar, uint32_t rcpt_from, uint32_t rcpt_max,
    struct store_message *out, struct store_extent **extents_out,
    uint32_t *extent_count_out, struct errtext *et);

/*
 * store_set_aside(s, row, et):
 * Copy what can be read of a damaged message into damaged/ID.* (synced) and
 * take it out of the queue.  Blocks.  Not of a held message.
 */
MUST_CHECK enum err store_set_aside(struct store *s,
    const struct store_row *row, struct errtext *et);

/*
 * Changes by id, of any living message, held or not; the caller has a row
 * (store_find) that store_row_check passes, and so knows that it exists.  A
 * held message's flags change too (m->row.flags).  Errors as
 * store_body_append.
 */
MUST_CHECK enum err store_hold_append(struct store *s, uint64_t id, bool hold,
    struct store_ticket *ticket_out);
/* The message ends, whatever its recipients' state; a held one is over. */
MUST_CHECK enum err store_remove_append(struct store *s, uint64_t id,
    struct store_ticket *ticket_out);

/* The held message with this id; NULL: none. */
struct store_msg *store_held(struct store *s, uint64_t id);

/*
 * Read-only descriptor of a segment, for agents; owned by the store, valid
 * until on_segment_drop.  -1: no such segment.
 */
int store_segment_fd(struct store *s, uint64_t number);

/* ---- queries of the index: asynchronous, answered from store_poll ----
 *
 * Return ERR_AGAIN when STORE_QUERIES_MAX are outstanding.  The answer
 * reflects everything appended up to now, except that a message may appear
 * among the due ones up to a second late.
 */

/* e != OK: no answer (the index is being rebuilt; ask again).  rows are
 * valid during the call. */
typedef void store_rows_fn(void *arg, enum err e, const struct store_row *rows,
    unsigned row_count);

/* Not active, not on hold, due at or before now; earliest first; at most
 * limit (<= STORE_ROWS_MAX).  fresh: only those that were never tried (without
 * STORE_TRIED), so that new mail does not stand behind deferred mail. */
MUST_CHECK enum err store_due(struct store *s, struct wall now, bool fresh,
    unsigned limit, store_rows_fn *fn, void *arg);
/* One message; no row: it does not exist. */
MUST_CHECK enum err store_find(struct store *s, uint64_t id, store_rows_fn *fn,
    void *arg);
/* Messages with an id above after_id, by id; active ones too.  Go on with the
 * last id until no row comes. */
MUST_CHECK enum err store_list(struct store *s, uint64_t after_id,
    unsigned limit, store_rows_fn *fn, void *arg);
/* As store_list, but only those whose dest is this one or 0, however many
 * others there are. */
MUST_CHECK enum err store_list_dest(struct store *s, uint64_t after_id,
    uint64_t dest, unsigned limit, store_rows_fn *fn, void *arg);

typedef void store_counts_fn(void *arg, enum err e,
    const struct store_counts *c);
/* How many messages live, by state, and their bytes. */
MUST_CHECK enum err store_count(struct store *s, store_counts_fn *fn,
    void *arg);

/* Everything not active is due within spread_ms from now (ALRM), evenly and in
 * no order, or one message is due then.  Kept in the index only.  Errors:
 * ERR_AGAIN. */
MUST_CHECK enum err store_due_all(struct store *s, struct wall now,
    int64_t spread_ms);
MUST_CHECK enum err store_due_set(struct store *s, uint64_t id,
    struct wall due);

/* A stable key of a domain, case folded. */
uint64_t store_dest_key(struct slice name);

/* Living messages now (transactions not counted), and bytes of them. */
uint64_t store_message_count(const struct store *s);
uint64_t store_bytes(const struct store *s);
