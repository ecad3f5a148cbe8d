/*
 * move: making the oldest segment free.
 *
 * Segments are freed strictly oldest first, so a record that ends a message
 * is never gone before the record that began it.  What still lives in the
 * oldest one is copied to the head: the pieces of body and recipients that
 * lie in it, state, and at last a new envelope record, which makes the copy
 * count.  Then the segment is retired.
 *
 * A segment is retired when the index, whose position is beyond it, knows no
 * message in it, and no transaction has data in it.  Messages held by the
 * caller keep reading the old place: the file is reused when they let go.
 *
 * Copying happens when less than half of the log is alive, or less than three
 * quarters and little is left for unproven clients (quota.h), at
 * MOVE_BYTES_PER_SECOND; and when the disk is short and a segment can be
 * gained, at any rate.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/time.h"
#include "store/record.h"
#include "store/work.h"

struct segment;
struct store;
struct store_msg;

enum {
	MOVE_BYTES_PER_SECOND = 16 << 20,
	MOVE_ROWS_MAX = 32,
	MOVE_ROW_BYTES = 512, /* of a message, besides what it counts */
	MOVE_IDLE_MS = 1000,
	MOVE_SEGMENTS_MIN = 4, /* below it nothing is copied for tidiness */
};

enum move_phase {
	MOVE_IDLE,
	MOVE_ASK,   /* for rows in the oldest segment */
	MOVE_BEGIN, /* the next row */
	MOVE_READ,  /* a piece of the body is being read */
	MOVE_WRITE, /* and waits for room in the batch */
	MOVE_STATE, /* STATE records, then the envelope */
	MOVE_TXN,   /* a piece of an open transaction is being read */
	MOVE_TXN_WRITE,
};

struct mover {
	enum move_phase phase;
	uint64_t segment; /* being freed */
	struct store_row rows[MOVE_ROWS_MAX];
	unsigned row_count, row_next;

	/* The message that is being moved. */
	struct store_row row;
	bool stale;		   /* changed meanwhile: begin anew later */
	struct store_extent *from; /* body, then pieces of recipients */
	struct store_extent *to;
	uint32_t body_count, rcpt_count, done_count;
	uint64_t pin_first, pin_last;
	struct store_pos chain_next;	       /* STATE: where the copying is */
	struct store_pos chain_from;	       /* it began at this result */
	struct store_pos state_last;	       /* last STATE written */
	uint64_t state_segment;		       /* of the first; 0: none */
	uint8_t seen[STORE_RCPTS_MAX / 8 + 1]; /* recipients with a state */
	struct store_msg *txn;
	uint32_t txn_index; /* of the piece: body, then recipients */

	/* The piece. */
	struct job job;
	struct store *store;
	int next; /* enum move_phase after the read */
	int fd;
	struct store_extent piece;
	unsigned piece_type;
	uint64_t piece_id;
	unsigned char *buf; /* RECORD_BYTES_MAX */
	struct slice payload;
	enum err err;

	struct mono paid_at;  /* the rate: bytes moved are paid up to here */
	struct mono retry_at; /* after a read that failed */
	uint64_t moved_messages;
	uint64_t moved_bytes;
};

/* The buffer for one piece, of s->acct.  ERR_NOMEM. */
MUST_CHECK enum err mover_init(struct store *s);
/* A move under way is given up; nothing of it counts without its ENVELOPE. */
void mover_fini(struct store *s);
/* Do what can be done now; ms until it wants to be called. */
int64_t mover_turn(struct store *s);
/* Retire the oldest segment if nothing lives in it; false: something does, or
 * this is not the time. */
bool mover_retire(struct store *s);
/* A message by id changed other than by its holder. */
void mover_changed(struct store *s, uint64_t id);
/* A held message or transaction changes its nature. */
void mover_forget(struct store *s, struct store_msg *m);
