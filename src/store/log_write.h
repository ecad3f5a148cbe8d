/*
 * log_write: the end of the log: batches, their commit, closing a segment.
 *
 * Happy path: appends fill a batch in memory and know their position at
 * once; log_turn gives it to LANE_LOG, which writes and syncs it while the
 * other batch is filled; its completion makes its tickets durable.  One
 * batch is under way at a time, so what is not proven durable after a crash
 * is at most the last one and body data before it that was not synced.
 *
 * Failure modes: batch full, or no next segment: ERR_AGAIN.  No segment is
 * left for this use (quota.h): ERR_NOSPACE.  A failed write or sync: the log
 * is poisoned for the life of the process.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"
#include "base/time.h"
#include "store/record.h"
#include "store/work.h"

struct segment;
struct store;

enum {
	LOG_BATCH_BYTES_MIN = 2 * RECORD_BYTES_MAX,
	LOG_RESULT_DELAY_MS = 100,
	LOG_BODY_DELAY_MS = 100,
	LOG_CROWD_MS = 10,   /* so long the last batch says what comes next */
	LOG_PROVE_MS = 1000, /* idle: a checkpoint proves the last batch */
};

/* What an append is for decides how many free segments it leaves. */
enum log_use {
	LOG_FOR_NEW, /* new mail: leaves the whole reserve */
	LOG_FOR_OLD, /* results, removals, ids, moving: takes any */
};

/* What a batch holds decides how long it may wait. */
enum log_urgency {
	LOG_BODY,   /* nobody waits */
	LOG_RESULT, /* at most LOG_RESULT_DELAY_MS */
	LOG_COMMIT, /* somebody waits for it */
};

struct batch {
	struct job job;
	struct store *store;
	unsigned char *buf;
	size_t used; /* 0: not begun */
	uint64_t serial;
	struct segment *segment;
	int fd;
	uint32_t base; /* offset in the segment */
	bool has[LOG_COMMIT + 1];
	struct mono since[LOG_COMMIT + 1]; /* when the first of each came */
	uint32_t commit_count;		   /* records that somebody waits for */
	bool closing;
	bool sync;  /* it needs one */
	bool apart; /* which is not part of the job: see struct log_sync */
	uint64_t id_ceiling;
	unsigned char end[END_BYTES];

	/* The last record, when it is a body that may still grow. */
	size_t body_at; /* in buf; 0: none */
	uint64_t body_id;
	uint32_t body_bytes;
	uint32_t body_crc;

	enum err err;
	struct errtext et;
};

/* The end of a batch that was written and needs a sync; its segment is pinned
 * meanwhile. */
struct log_point {
	uint64_t serial; /* 0: none */
	uint64_t segment;
	uint32_t offset;
	int fd;
	uint64_t id_ceiling;
	bool closing; /* nothing more comes to the segment */
};

/* A sync by itself, in LANE_SYNC: what comes meanwhile is written. */
struct log_sync {
	struct job job;
	struct store *store;
	struct log_point at;
	enum err err;
	struct errtext et;
};

struct log {
	struct batch batches[2];
	struct batch *fill;   /* takes appends */
	struct batch *flight; /* being written; NULL: none */
	struct log_sync sync;
	struct log_point due; /* to be synced when that is over */
	struct segment *head;
	uint32_t offset;      /* in head, where fill begins */
	uint64_t serial_last; /* of fill */
	uint64_t durable_serial;
	uint64_t durable_segment; /* everything before is synced */
	uint32_t durable_offset;
	struct store_pos written; /* everything before is in the files */
	bool want_close;	  /* close the head with the next batch */
	bool hurry;
	bool finishing; /* the next checkpoint says the log ends cleanly */
	bool
	    unproven; /* no checkpoint after the last batch says it is synced */
	struct mono synced_at;
	uint32_t crowd; /* commit_count of the last batch that was synced */
	bool poisoned;
	enum err poison;

	/* Entries since the last table of the head. */
	unsigned char *table; /* TABLE_BYTES_MAX - RECORD_HEADER_BYTES */
	uint32_t entry_count;
	uint32_t last_table;
	uint32_t table_count;
	bool table_void; /* incomplete: END says so, readers scan instead */

	uint64_t sync_count; /* for the figures */
	uint64_t batch_count;
};

/* Memory for both batches and the table, of s->acct.  ERR_NOMEM: log_fini
 * frees what there is. */
MUST_CHECK enum err log_init(struct store *s);
/* No batch may be in flight; what was not written is lost. */
void log_fini(struct store *s);
/* Begin or go on at offset of a segment in the list. */
void log_start(struct store *s, struct segment *head, uint32_t offset);

/*
 * log_room(s, use, bytes, entries):
 * Make sure that records of bytes in all (record_bytes each) with so many
 * table entries can be put now.  ERR_AGAIN, ERR_NOSPACE, ERR_IO.
 */
MUST_CHECK enum err log_room(struct store *s, enum log_use use, size_t bytes,
    unsigned entries);
/* Append; log_room was asked.  parts are copied one after the other. */
struct store_pos log_put(struct store *s, unsigned type, unsigned flags,
    uint64_t id, const struct slice *parts, unsigned part_count,
    enum log_urgency urgency);
/* A payload written in place: up to room bytes are at the pointer returned;
 * log_put_end says how many were used. */
unsigned char *log_put_begin(struct store *s);
struct store_pos log_put_end(struct store *s, unsigned type, unsigned flags,
    uint64_t id, size_t payload_bytes, enum log_urgency urgency);
/* Body octets: grows the last record where it can.  grown_out: whether. */
MUST_CHECK enum err log_put_body(struct store *s, uint64_t id,
    struct slice data, struct store_extent *extent_out, bool *grown_out);
/* Recovery begins to read the head. */
void log_table_reset(struct store *s);
/* Recovery found this record in the head: its table goes on after it. */
void log_table_found(struct store *s, const struct log_entry *e);
void log_table_found_table(struct store *s, uint32_t offset);
/* Enter a record into the table of the head, right after it was put. */
void log_table_add(struct store *s, const struct log_entry *e);

/* Serial of the batch that takes appends now. */
uint64_t log_serial(const struct store *s);
/* Where the next record would go. */
struct store_pos log_head_pos(const struct store *s);
/* Decide whether to write; ms until it wants to be asked again. */
int64_t log_turn(struct store *s, unsigned ending_count);
/* Wait for what is being written or synced. */
void log_wait(struct store *s);
/* Write everything and wait for it. */
MUST_CHECK enum err log_sync(struct store *s);
/* A checkpoint that says the log ends here; then log_sync. */
MUST_CHECK enum err log_finish(struct store *s);
