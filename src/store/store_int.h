/*
 * store_int: the parts of a store, for the files of this folder only.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/hash.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/slice.h"
#include "base/time.h"
#include "store/disk.h"
#include "store/index.h"
#include "store/log_write.h"
#include "store/move.h"
#include "store/query.h"
#include "store/quota.h"
#include "store/segment.h"
#include "store/store.h"
#include "store/track.h"
#include "store/work.h"

/* Ids that a checkpoint reserves. */
enum { IDS_AHEAD = 4096 / STORE_SCALE };

struct store {
	struct store_conf conf;
	struct disk *disk;
	struct acct *acct;
	struct work *work;
	int lock_fd;
	uint64_t spool_id;
	bool read_only;	      /* weir-fsck: nothing is written */
	uint32_t inspect_end; /* read only: where the last segment ends */
	uint64_t inspect_damage_count;

	uint64_t next_id;
	uint64_t id_ceiling;	  /* durable: ids below may be given out */
	uint64_t id_ceiling_next; /* in the next checkpoint */

	struct log log;
	struct segments segments;
	struct track track;
	struct index index;
	struct quota quota;
	struct mover mover;
	struct queries queries;

	struct hash held; /* struct store_msg by id, committed or not */
	uint32_t held_count;
	bool want_room; /* somebody got ERR_AGAIN */
	bool room_came; /* on_room at the end of this poll */
	bool heap_charged;
	struct mono show_at;

	unsigned char *load_buf;  /* RECORD_BYTES_MAX, of the caller's thread */
	unsigned char *load_buf2; /* likewise, for a second record */
	uint8_t *status_buf;	  /* STORE_RCPTS_MAX */
};

static inline struct mono
store_now(struct store *s)
{
	return s->conf.clock->mono(s->conf.clock);
}

/* A store with memory, threads and tables, nothing of the disk yet. */
MUST_CHECK enum err store_open_parts(const struct store_conf *c,
    struct store **out, struct errtext *et);
/* Tell of damage, if somebody listens. */
void store_damage(struct store *s, const struct store_damage *d);
/* Somebody waits for room: tell after this completion. */
void store_room(struct store *s);

/* Ids: more of them are to be reserved. */
void ids_turn(struct store *s);

/* Read and verify the record at pos into buf (RECORD_BYTES_MAX). */
MUST_CHECK enum err store_read_record(struct store *s, struct store_pos pos,
    unsigned type, uint64_t id, unsigned char *buf, struct slice *payload_out,
    struct errtext *et);
