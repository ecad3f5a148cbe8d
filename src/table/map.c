/*
 * table/map: sorted keys in one charged array.
 */
#include <string.h>

#include "table/impl.h"

enum { FIRST_SIZE = 16 };

void
map_init(struct map *m, struct acct *a)
{
	*m = (struct map){ .acct = a };
}

void
map_fini(struct map *m)
{
	mem_free(m->acct, m->entries);
	map_init(m, m->acct);
}

static enum err
resize(struct map *m, uint32_t size)
{
	struct map_entry *entries;

	entries = mem_alloc_array(m->acct, size, sizeof(*entries));
	if (entries == NULL)
		return ERR_NOMEM;
	if (m->count > 0)
		memcpy(entries, m->entries, m->count * sizeof(*entries));
	mem_free(m->acct, m->entries);
	m->entries = entries;
	m->size = size;
	return OK;
}

enum err
map_reserve(struct map *m, size_t count)
{
	if (count > TABLE_ENTRY_COUNT_MAX)
		return ERR_TOOBIG;
	return count > m->size ? resize(m, (uint32_t)count) : OK;
}

enum err
map_add(struct map *m, struct slice key, struct slice value, uint32_t line)
{
	enum err e;

	if (m->count == TABLE_ENTRY_COUNT_MAX)
		return ERR_TOOBIG;
	if (m->count == m->size) {
		e = resize(m, m->size == 0 ? FIRST_SIZE : m->size * 2);
		if (e != OK)
			return e;
	}
	m->entries[m->count++] = (struct map_entry){ key, value, line };
	return OK;
}

static int
compare_keys(struct slice a, struct slice b)
{
	size_t n = a.len < b.len ? a.len : b.len;
	int c = n > 0 ? memcmp(a.data, b.data, n) : 0;

	if (c != 0)
		return c;
	return (a.len > b.len) - (a.len < b.len);
}

static bool
is_less(const struct map_entry *a, const struct map_entry *b)
{
	int c = compare_keys(a->key, b->key);

	return c != 0 ? c < 0 : a->line < b->line;
}

static void
sift_down(struct map_entry *e, uint32_t root, uint32_t count)
{
	struct map_entry moved = e[root];
	uint32_t child;

	while ((child = 2 * root + 1) < count) {
		if (child + 1 < count && is_less(&e[child], &e[child + 1]))
			child++;
		if (!is_less(&moved, &e[child]))
			break;
		e[root] = e[child];
		root = child;
	}
	e[root] = moved;
}

/* Heap sort: in place, and never slower than n log n. */
void
map_sort(struct map *m)
{
	struct map_entry *e = m->entries, last;

	for (uint32_t i = m->count / 2; i-- > 0;)
		sift_down(e, i, m->count);
	for (uint32_t n = m->count; n > 1; n--) {
		last = e[n - 1];
		e[n - 1] = e[0];
		e[0] = last;
		sift_down(e, 0, n - 1);
	}
}

const struct map_entry *
map_find(const struct map *m, struct slice key)
{
	uint32_t low = 0, high = m->count;

	while (low < high) {
		uint32_t mid = low + (high - low) / 2;

		if (compare_keys(m->entries[mid].key, key) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	if (low < m->count && slice_eq(m->entries[low].key, key))
		return &m->entries[low];
	return NULL;
}
