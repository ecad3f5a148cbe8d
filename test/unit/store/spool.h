/*
 * spool: a store in a directory of its own, for the tests of this folder.
 */
#pragma once

#include <stdbool.h>

#include "base/mem.h"
#include "store/disk.h"
#include "store/store.h"

struct spool {
	char dir[64];
	struct acct acct;
	struct disk_posix disk;
	struct store_conf conf;
	struct store_events events;
	struct store *store;
	unsigned durable_count;
	unsigned room_count; /* of a test that asks for on_room */
	unsigned damage_count;
	struct store_damage damage; /* the last */
	bool poisoned;
	uint64_t dest; /* of what spool_add makes */
	/* Answer of the last query. */
	bool answered;
	enum err err;
	struct store_row rows[STORE_ROWS_MAX];
	unsigned row_count;
	struct store_counts counts;
};

/* An empty directory; the store is not open yet. */
void spool_init(struct spool *sp, bool threads);
void spool_open(struct spool *sp);
void spool_close(struct spool *sp);
/* Leave without closing, as a killed process does. */
void spool_kill(struct spool *sp);
/* While it is closed: the next open makes the index from the log. */
void spool_remove_index(struct spool *sp);
/* Close what is open and remove the directory; checks the account. */
void spool_fini(struct spool *sp);

/* Turn and poll until nothing more happens. */
void spool_settle(struct spool *sp);
/* Until the ticket is durable. */
void spool_wait(struct spool *sp, struct store_ticket t);
/* Until the query that was asked last is answered. */
void spool_answer(struct spool *sp);
void spool_on_rows(void *arg, enum err e, const struct store_row *rows,
    unsigned row_count);
void spool_on_counts(void *arg, enum err e, const struct store_counts *c);
/* All messages: the rows of store_list from the beginning (one page). */
unsigned spool_list(struct spool *sp);
/* The row of a message; false: there is none. */
bool spool_find(struct spool *sp, uint64_t id, struct store_row *row_out);

/*
 * A message with rcpt_count recipients u0@example.test, ... and a body of
 * body_bytes, made from its id; committed, not yet durable.
 */
struct store_ticket spool_add(struct spool *sp, struct store_msg *m,
    unsigned rcpt_count, size_t body_bytes, int64_t due_ms);
/* The octet at a place of the body of such a message. */
char spool_body_at(uint64_t id, size_t at);
/* Compare a message's extents with what its body must be. */
void spool_check_body(struct spool *sp, uint64_t id,
    const struct store_extent *x, unsigned count, size_t body_bytes);
