/*
 * index_sql: between index_db.c and index_query.c only.
 */
#pragma once

#include <stdint.h>

#include "base/err.h"
#include "store/index.h"

/* A statement with its values bound; NULL: broken. */
struct sqlite3_stmt *index_bind(struct index *ix, enum index_sql which,
    const int64_t *values, int count);
/* One step; row_out: a row is there.  Without a row it was reset.  An error
 * marks the index as broken. */
MUST_CHECK enum err index_step(struct index *ix, struct sqlite3_stmt *st,
    bool *row_out);
/* Bind, run, reset. */
MUST_CHECK enum err index_run(struct index *ix, enum index_sql which,
    const int64_t *values, int count);
