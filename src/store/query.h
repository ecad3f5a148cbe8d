/*
 * query: questions to the index, answered from store_poll.
 */
#pragma once

#include <stdbool.h>

#include "store/index.h"
#include "store/store.h"
#include "store/work.h"

enum query_kind {
	QUERY_NONE,
	QUERY_ROWS,
	QUERY_COUNTS,
	QUERY_DUE_ALL,
};

enum { QUERY_AGAIN_MAX = 8 };

struct query {
	struct job job;
	struct store *store;
	enum query_kind kind;
	bool silent;
	enum index_sql sql;
	int64_t value, spread_ms;
	uint64_t after; /* QUERY_DUE_ALL: the last message that was set */
	uint64_t dest;	/* of SQL_Q_DEST */
	unsigned limit;
	struct store_row *rows;
	unsigned row_count;
	unsigned again_count;
	struct store_counts counts;
	bool known;	      /* the counts need not be asked for */
	uint64_t flush_count; /* when it was asked */
	enum err err;
	store_rows_fn *rows_fn;
	store_counts_fn *counts_fn;
	void *arg;
};

struct queries {
	struct query slots[STORE_QUERIES_MAX];
	unsigned busy_count;
};

/* The store closes: do not call back. */
void query_silence(struct query *q);
/* Rows with first_segment <= segment, for the mover; as store_list. */
MUST_CHECK enum err query_old(struct store *s, uint64_t segment, unsigned limit,
    store_rows_fn *fn, void *arg);
