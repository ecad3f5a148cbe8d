/*
 * recover: from whatever is on the disk to a store that goes on.
 *
 * 1. List the segments, read their headers, check that none is missing.
 * 2. Find the last one with records and how far it can be trusted (tail.c).
 * 3. What is not proven durable is copied, with all before it, to a spare
 *    that takes the segment's place: after a failed sync the pages read back
 *    clean although they never reached the disk.
 * 4. Replay what the index does not know: tables of closed segments, the
 *    records of the last.
 * 5. Write and sync a first checkpoint, alone in its batch.
 *
 * Failure modes: damage in a segment costs the messages it hits; it is told,
 * and the bytes are copied to damaged/.  What can not be read (an I/O error)
 * may be sound: its segment is kept (segment_keep), what reads is served, and
 * the index's file names no place, so that the next open tries again.  When
 * it is the last segment, that is closed as it is, without an END, and the
 * log goes on in a new one.  No space, no memory, an I/O error elsewhere: the
 * store does not open, and nothing was changed that matters.
 */
#pragma once

#include "base/err.h"
#include "store/record.h"

struct scan;
struct segment;
struct store;

enum { TAIL_REGIONS_MAX = 64 };

/* What is known of the last segment. */
struct tail {
	uint32_t end;	 /* after the last record to be trusted */
	uint32_t proven; /* everything before it was synced */
	/* Bytes around all read errors; 0: none.  Where the log ends can not
	 * be decided then: all that verifies counts, up to the segment's end,
	 * and nothing is appended to it. */
	uint64_t unreadable_bytes;
	bool clean;	  /* it was ended on purpose at end */
	uint64_t next_id; /* of a clean end */
	uint64_t id_ceiling;
	struct {
		uint32_t from, to;
	} bad[TAIL_REGIONS_MAX]; /* damaged, in the proven part */
	unsigned bad_count;
	uint32_t torn_to; /* end of what was cut off; end: nothing */
};

/* Examine the last segment; proven_min: known from the index (0: nothing). */
void tail_examine(struct scan *s, uint32_t proven_min, struct tail *t);
/* Put [0, end) into a spare that takes the segment's place, or, without a
 * spare, write it again in place. */
MUST_CHECK enum err tail_secure(struct store *s, struct segment *g,
    struct scan *scan, const struct tail *t, struct errtext *et);

/* Open: steps 1 to 5. */
MUST_CHECK enum err recover(struct store *s, struct errtext *et);
/* The same for reading only: nothing is written, the index is built. */
MUST_CHECK enum err recover_read(struct store *s, struct errtext *et);
/*
 * recover_list(s, scan, last_out, et):
 * Steps 1 and 2, up to the end of the last segment: list, drop what was never
 * used (not when reading only), check the order.  *last_out is the newest
 * segment with records; NULL: none has any.  Blocks.  ERR_NOTFOUND: there is
 * no spool.
 */
MUST_CHECK enum err recover_list(struct store *s, struct scan *scan,
    struct segment **last_out, struct errtext *et);
/* Point scan, which has its buffer, at a segment.  The class of errno. */
MUST_CHECK enum err recover_scan_open(struct store *s, struct scan *scan,
    struct segment *g, struct errtext *et);
/*
 * Give the index every record from position from on.  end: of the last
 * segment; adopt: the last segment's table goes on (open), else not.
 */
MUST_CHECK enum err recover_replay(struct store *s, struct scan *scan,
    struct store_pos from, uint32_t end, bool adopt, struct errtext *et);
/* Copy a damaged stretch to damaged/, if it is not there yet, and tell. */
void recover_damage(struct store *s, struct scan *scan, uint32_t from,
    uint32_t to, enum store_damage_kind kind);
