/*
 * quota: disk space, reserved before it is needed.
 *
 * A body may be written into what is left of the head, into the next
 * segment, into spares beyond the reserved ones, and into new segments that
 * the file system has room for above queue_minfree.  The sum of all
 * reservations stays below that.  Results, removals and moves need no
 * reservation: the reserved spares are theirs.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/time.h"
#include "store/disk.h"
#include "store/store.h"

struct limit_row;

enum {
	QUOTA_REFRESH_MS = 200,
	QUOTA_INODES_MIN = 64,	    /* below it, no new mail */
	QUOTA_MESSAGE_BYTES = 4096, /* for records about a message */
	/* The index: its own log, and a row. */
	QUOTA_INDEX_BYTES = 8 << 20,
	QUOTA_INDEX_ROW_BYTES = 512,
};

struct quota {
	enum store_short why;	 /* the last refusal */
	uint64_t reserved_bytes; /* of all transactions */
	uint64_t transactions;	 /* not yet committed */
	struct disk_space space;
	bool known;
	struct mono refresh_at;
	struct limit_row *row_size;
	struct limit_row *row_messages;
	struct limit_row *row_free;
};

/* The rows of the limits page; the disk is asked at the first use. */
void quota_init(struct store *s);
/* More bytes for a message.  ERR_NOSPACE. */
MUST_CHECK enum err quota_take(struct store *s, uint64_t bytes);
/* Back what quota_take gave. */
void quota_give(struct store *s, uint64_t bytes);
/* Is there room for any message at all?  ERR_NOSPACE. */
MUST_CHECK enum err quota_any(struct store *s);
/* One more transaction?  ERR_NOSPACE: queue_message_limit. */
MUST_CHECK enum err quota_open(struct store *s);
/* The transaction was committed or given up. */
void quota_close(struct store *s);
/* May another segment be made? */
bool quota_may_grow(struct store *s);
/* Is the disk so short that moving messages must make room? */
bool quota_short(struct store *s);
/* Has the disk room for the index, which is in memory for want of it? */
bool quota_index_fits(struct store *s);
void quota_show(struct store *s);
