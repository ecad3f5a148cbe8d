/*
 * load: reading messages back; for load.c, aside.c and the mover.
 */
#pragma once

#include "base/err.h"
#include "store/record.h"

struct store;

/* The RESULT and STATE records of a message, newest first. */
struct chain {
	struct store *store;
	uint64_t id;
	struct store_pos next; /* segment 0: the end */
	unsigned char *buf;    /* RECORD_BYTES_MAX, borrowed */
};

/*
 * The next record: its head, and a reader over its results, valid until the
 * next call.  False with *e OK: the end; with another *e: damage.
 */
bool chain_next(struct chain *c, struct rec_update *head, struct rd *results,
    enum err *e, struct errtext *et);

/* Take a message into the table of held ones; m is zeroed first. */
MUST_CHECK enum err store_msg_hold(struct store *s, const struct store_row *row,
    struct store_msg *m);
/* Out of the table, memory freed, nothing else (the store is abandoned). */
void store_msg_drop(struct store *s, struct store_msg *m);
/* Make room for one more extent in a list that doubles up to max. */
MUST_CHECK enum err store_extents_grow(struct store *s,
    struct store_extent **list, uint32_t *size, uint32_t count, uint32_t max);
