/*
 * fake_store: store.h in memory, for tests of the queue role.  The test says
 * when appends become durable, when there is no room, when the disk fails.
 * What it holds outlives store_close: a crash keeps what was durable.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "store/store.h"

/* Switches; the test sets them. */
extern struct fake_store {
	bool hold_sync;	   /* nothing becomes durable */
	bool batch_full;   /* appends answer ERR_AGAIN */
	unsigned again;	   /* so many loads answer ERR_AGAIN */
	uint32_t load_max; /* more recipients: ERR_NOMEM; 0: all */
	bool log_full;	   /* results answer ERR_NOSPACE */
	bool no_space;	   /* store_reserve answers ERR_NOSPACE */
	uint32_t spoilt;   /* index + 1 of a recipient that is torn */
	uint64_t aside;	   /* the last message set aside */
	unsigned page_max; /* rows of an answer; 0: as asked */
	/* Questions for mail never tried, none for all that is due between. */
	unsigned fresh_row, fresh_row_max;
	int64_t spread_ms;	   /* of the last store_due_all */
	unsigned runs;		   /* questions for the next due time */
	unsigned syncs;		   /* so far */
	unsigned commits, results; /* records so far */
	int64_t due_shift_ms;	   /* queries see this much of the future */
} fake;

void fake_reset(void);
/* Forget what is not durable, as a crash does.  The store is closed. */
void fake_crash(void);
/* The disk fails at the next sync. */
void fake_poison(void);
/* There is room again: on_room comes. */
void fake_room(void);
/* Messages that exist. */
unsigned fake_count(void);
/* Status of a recipient; STORE_STATUS_COUNT: no such message. */
enum store_status fake_rcpt(uint64_t id, uint32_t index, struct slice *text);
uint32_t fake_flags(uint64_t id);
uint64_t fake_dest(uint64_t id);
int64_t fake_due(uint64_t id);
