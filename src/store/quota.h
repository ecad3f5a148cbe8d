/*
 * quota: disk space, reserved before it is needed.
 *
 * The log grows by whole segments: those that are ready and those that the
 * file system still has room for are free.  New mail takes one only when
 * spare_count + 1 are left after it; results, removals and moving take any.
 * Moving leaves the last one to results (segments_may_copy), and by moving
 * there is room for results again, because what lives is bounded too, to one
 * segment less than the log then has:
 *
 *   living messages + reservations <= what is held by all segments
 *                                     but spare_count + 1
 *
 * A message is counted with the results that its recipients may have.
 * Reservations are of bodies, before they are read; queue_minfree and the
 * other quotas bind new mail only.
 *
 * What was written and is not alive is of no use until its segment is free
 * again, and bodies that are given up leave much of it.  So new mail gets no
 * more than can be written now, and an unproven client no more of it than
 * leaves the others their part, a fifth of all that the log can hold:
 *
 *   room = free segments but spare_count + 1, and the rest of the head,
 *          less what is reserved and not yet written
 *   after a reservation          0 <= room
 *   after one of the unproven    a fifth of what is held by all segments
 *                                but spare_count + 1 <= room
 *
 * Who is proven by a message only leaves half of that fifth to the trusted.
 * What unproven clients do later with what they have takes nothing from that
 * room: written, given up or committed, it was counted when they got it.
 * Nobody keeps account of who left what, so a restart forgets nothing.  Less
 * may be left for a while, by what is moved (quota_may_hold), by results and
 * by others who use the disk; then the unproven wait.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/time.h"
#include "store/disk.h"
#include "store/log_write.h"
#include "store/store.h"

struct limit_row;

enum {
	QUOTA_REFRESH_MS = 200,
	QUOTA_INODES_MIN = 64,	    /* below it, no new mail */
	QUOTA_MESSAGE_BYTES = 4096, /* for records about a message */
	/* The index: its own log, and a row. */
	QUOTA_INDEX_BYTES = 8 << 20,
	QUOTA_INDEX_ROW_BYTES = 512,
	QUOTA_RESULT_BYTES = 128, /* the last result of a recipient, about */
	QUOTA_EXTENT_BYTES = 64,  /* of a body besides its octets */
	QUOTA_UNPROVEN_PERCENT = 80,
	QUOTA_PLENTY = 32,
};

struct quota {
	enum store_short why;	 /* the last refusal */
	uint64_t reserved_bytes; /* of all transactions */
	uint64_t unproven_bytes; /* of these, of unproven clients */
	uint64_t written_bytes;	 /* of these, in the log already */
	uint64_t transactions;	 /* not yet committed */
	struct disk_space space;
	uint64_t making_bytes; /* written of the spare in the making */
	bool known;
	struct mono refresh_at;
	struct limit_row *row_size;
	struct limit_row *row_messages;
	struct limit_row *row_free;
};

/* The rows of the limits page; the disk is asked at the first use. */
void quota_init(struct store *s);
/* More bytes for m, which knows what it has.  ERR_NOSPACE. */
MUST_CHECK enum err quota_take(struct store *s, struct store_msg *m,
    uint64_t bytes);
/* So much of what m has reserved was appended to the log. */
void quota_wrote(struct store *s, struct store_msg *m, uint64_t bytes);
/* Back all that quota_take gave to m. */
void quota_give(struct store *s, struct store_msg *m);
/* Is there room for any message at all?  ERR_NOSPACE. */
MUST_CHECK enum err quota_any(struct store *s);
/* One more transaction?  ERR_NOSPACE: queue_message_limit. */
MUST_CHECK enum err quota_open(struct store *s);
/* Room for QUOTA_PLENTY messages of bytes each? */
bool quota_plenty(struct store *s, uint64_t bytes);
/* The transaction was committed or given up. */
void quota_close(struct store *s);
/* Files were made or removed: the disk is asked anew, or they would count
 * twice. */
void quota_changed(struct store *s);
/* May a segment be taken for this use? */
bool quota_may_take(struct store *s, enum log_use use);
/* May another segment be made? */
bool quota_may_grow(struct store *s);
/* Is the disk so short that moving messages must make room? */
bool quota_short(struct store *s);
/* Is little more left than the part of the trusted? */
bool quota_low(struct store *s);
/* May a segment be freed by copying while messages in it are held?  Until they
 * are let go they are there twice, which must not take from the part of the
 * trusted; where that is gone, moving goes on all the same. */
bool quota_may_hold(struct store *s);
/* Has the disk room for the index, which is in memory for want of it? */
bool quota_index_fits(struct store *s);
/* Bytes of records that the segments of the log hold at least when they are
 * closed. */
uint64_t quota_log_holds(const struct store *s);
/* What a segment of bytes holds at least: records are not cut. */
uint64_t quota_segment_holds(uint64_t bytes);
void quota_show(struct store *s);
