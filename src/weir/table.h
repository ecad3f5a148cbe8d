/*
 * table: rows of text, printed in columns as wide as their widest cell.
 */
#pragma once

#include <stddef.h>
#include <stdio.h>

#include "base/err.h"
#include "base/mem.h"

enum { TABLE_COLUMNS_MAX = 16, TABLE_BYTES_MAX = 16 << 20 };

struct table_row;

struct table {
	const char *align; /* one letter per column: l or r */
	size_t columns;
	size_t widths[TABLE_COLUMNS_MAX];
	struct table_row *first, *last;
	struct arena arena;
	size_t lost_count; /* rows for which there was no memory */
};

/* An empty table, charged to a; align is a static string. */
void table_init(struct table *t, struct acct *a, const char *align);
void table_fini(struct table *t);
/* One row; cells are copied.  As many as columns; a NULL is empty. */
void table_row(struct table *t, const char *const *cells);
/* The same from one text whose cells are parted by tabs. */
void table_rowf(struct table *t, const char *fmt, ...) PRINTF(2, 3);
void table_print(const struct table *t, FILE *to);
