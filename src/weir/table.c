#include "weir/table.h"

#include <stdarg.h>
#include <string.h>

#include "base/assert.h"

struct table_row {
	struct table_row *next;
	const char *cells[];
};

void
table_init(struct table *t, struct acct *a, const char *align)
{
	*t = (struct table){ .align = align, .columns = strlen(align) };
	ASSERT(t->columns > 0 && t->columns <= TABLE_COLUMNS_MAX);
	arena_init(&t->arena, a, 16384, TABLE_BYTES_MAX);
}

void
table_fini(struct table *t)
{
	arena_fini(&t->arena);
}

void
table_row(struct table *t, const char *const *cells)
{
	struct table_row *row = arena_alloc(&t->arena,
	    sizeof(*row) + t->columns * sizeof(row->cells[0]));

	if (row == NULL) {
		t->lost_count++;
		return;
	}
	for (size_t i = 0; i < t->columns; i++) {
		const char *cell = cells[i] == NULL ? "" : cells[i];
		size_t len = strlen(cell);

		row->cells[i] = arena_copy(&t->arena, cell, len);
		if (row->cells[i] == NULL) {
			t->lost_count++;
			return;
		}
		if (len > t->widths[i])
			t->widths[i] = len;
	}
	if (t->last == NULL)
		t->first = row;
	else
		t->last->next = row;
	t->last = row;
}

void
table_rowf(struct table *t, const char *fmt, ...)
{
	const char *cells[TABLE_COLUMNS_MAX] = { NULL };
	char text[2048];
	char *at = text;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	for (size_t i = 0; i < t->columns && at != NULL; i++) {
		cells[i] = at;
		at = strchr(at, '\t');
		if (at != NULL)
			*at++ = '\0';
	}
	table_row(t, cells);
}

/* No blanks at the end of a line. */
static size_t
last_filled(const struct table *t, const struct table_row *row)
{
	size_t n = t->columns;

	while (n > 1 && row->cells[n - 1][0] == '\0')
		n--;
	return n;
}

void
table_print(const struct table *t, FILE *to)
{
	for (const struct table_row *r = t->first; r != NULL; r = r->next) {
		size_t n = last_filled(t, r);

		for (size_t i = 0; i < n; i++) {
			int width = (int)t->widths[i];

			if (i > 0)
				fputs("  ", to);
			if (t->align[i] == 'r')
				fprintf(to, "%*s", width, r->cells[i]);
			else if (i + 1 < n)
				fprintf(to, "%-*s", width, r->cells[i]);
			else
				fputs(r->cells[i], to);
		}
		fputc('\n', to);
	}
	if (t->lost_count > 0)
		fprintf(to, "and %zu more rows\n", t->lost_count);
}
