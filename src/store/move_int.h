/*
 * move_int: between move.c, move_msg.c and move_txn.c only.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "store/store.h"

struct store;

enum { MOVE_SOON_MS = 10, MOVE_RETRY_MS = 10000 };

/* Begin with a message, or skip it; sets the phase. */
void mover_begin(struct store *s, const struct store_row *row);
/* Give up on the message at hand, if any. */
void mover_drop(struct store *s);
/* So much was copied. */
void mover_paid(struct store *s, uint64_t bytes);
/* Something could not be read now: idle, and try again later. */
int64_t mover_unreadable(struct store *s);
/* Read a piece (extent) into buf in LANE_FILES, then go on in next. */
void mover_read(struct store *s, struct store_extent x, unsigned type,
    uint64_t id, int next);

/* One step of a phase; ms to wait before the next. */
int64_t mover_write(struct store *s);
int64_t mover_state(struct store *s);
int64_t mover_txn(struct store *s);
int64_t mover_txn_write(struct store *s);
