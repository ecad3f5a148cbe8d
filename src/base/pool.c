/*
 * pool: objects of one size, cut from slabs, free ones in a list.
 */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/poison.h"

enum { ALIGN = 16, SLAB_BYTES = 16384 };

struct pool_slab {
	struct pool_slab *next;
	size_t free_count; /* of its objects, while pool_trim counts */
};
_Static_assert(sizeof(struct pool_slab) == ALIGN, "alignment");

/* A free object. */
struct free_object {
	struct free_object *next;
	size_t mark; /* FREE_MARK: an object is put back twice */
};
#define FREE_MARK ((size_t)0x667265656f626a21)

static size_t
object_size(size_t bytes)
{
	if (bytes < sizeof(struct free_object))
		bytes = sizeof(struct free_object);
	return (bytes + ALIGN - 1) & ~(size_t)(ALIGN - 1);
}

/* Objects per slab: slabs of about SLAB_BYTES, so that a pool that is used
 * little stays small, and of at least one object. */
static unsigned
objects_per_slab(size_t bytes, unsigned count_max)
{
	size_t n = SLAB_BYTES / object_size(bytes);

	if (n == 0)
		n = 1;
	return n < count_max ? (unsigned)n : count_max;
}

void
pool_init(struct pool *p, struct acct *a, const char *name,
    const char *parameter, size_t object_bytes, unsigned count_max)
{
	ASSERT(object_bytes > 0);
	ASSERT(count_max > 0);
	*p = (struct pool){
		.acct = a,
		.name = name,
		.object_bytes = object_size(object_bytes),
		.slab_count = objects_per_slab(object_bytes, count_max),
		.count_max = count_max,
		.row = limits_row(LIMIT_POOL, name, parameter,
		    object_size(object_bytes), count_max),
	};
}

void
pool_set_max(struct pool *p, unsigned count_max)
{
	ASSERT(count_max > 0);
	p->count_max = count_max;
	limit_set_limit(p->row, count_max);
}

static size_t
slab_bytes(const struct pool *p)
{
	return sizeof(struct pool_slab) + p->slab_count * p->object_bytes;
}

void
pool_fini(struct pool *p)
{
	ASSERT(p->in_use == 0);
	while (p->slabs != NULL) {
		struct pool_slab *s = p->slabs;

		p->slabs = s->next;
		UNPOISON(s, slab_bytes(p));
		mem_free(p->acct, s);
	}
	p->free_list = NULL;
	p->made = 0;
}

static void
give(struct pool *p, void *object)
{
	struct free_object *f = object;

	f->next = p->free_list;
	f->mark = FREE_MARK;
	p->free_list = f;
	POISON(f + 1, p->object_bytes - sizeof(*f));
}

static enum err
slab_add(struct pool *p)
{
	struct pool_slab *s = mem_alloc(p->acct, slab_bytes(p));
	char *at;

	if (s == NULL)
		return ERR_FULL;
	s->next = p->slabs;
	p->slabs = s;
	at = (char *)(s + 1);
	/* Backwards, so that the first object taken is the first in memory. */
	for (unsigned i = p->slab_count; i-- > 0;)
		give(p, at + i * p->object_bytes);
	p->made += p->slab_count;
	return OK;
}

enum err
pool_prealloc(struct pool *p)
{
	while (p->made < p->count_max) {
		enum err e = slab_add(p);

		if (e != OK)
			return e;
	}
	return OK;
}

void *
pool_get(struct pool *p)
{
	struct free_object *f;

	if (p->in_use >= p->count_max ||
	    (p->free_list == NULL && slab_add(p) != OK)) {
		limit_refused(p->row);
		return NULL;
	}
	f = p->free_list;
	ASSERT(f->mark == FREE_MARK);
	p->free_list = f->next;
	UNPOISON(f, p->object_bytes);
	memset(f, 0, p->object_bytes);
	p->in_use++;
	limit_set_in_use(p->row, p->in_use);
	return f;
}

void
pool_put(struct pool *p, void *object)
{
	struct free_object *f = object;

	ASSERT(f != NULL);
	ASSERT(p->in_use > 0);
	ASSERT(f->mark != FREE_MARK);
	p->in_use--;
	limit_set_in_use(p->row, p->in_use);
	give(p, f);
}

/* ---- giving back ---- */

static int
by_address(const void *a, const void *b)
{
	uintptr_t x = (uintptr_t) * (struct pool_slab *const *)a;
	uintptr_t y = (uintptr_t) * (struct pool_slab *const *)b;

	return x < y ? -1 : x > y;
}

/* The slab of an object: the last of the sorted that begins before it. */
static struct pool_slab *
slab_of(struct pool_slab **sorted, size_t count, const void *object)
{
	size_t low = 0;

	while (count - low > 1) {
		size_t middle = low + (count - low) / 2;

		if ((uintptr_t)sorted[middle] <= (uintptr_t)object)
			low = middle;
		else
			count = middle;
	}
	return sorted[low];
}

/* Count the free objects of each slab; take those of slabs that are to go
 * (free_count beyond any) out of the list. */
static void
count_free(struct pool *p, struct pool_slab **sorted, size_t count)
{
	for (struct free_object *f = p->free_list; f != NULL; f = f->next)
		slab_of(sorted, count, f)->free_count++;
}

static void
unlist_free(struct pool *p, struct pool_slab **sorted, size_t count)
{
	void **at = &p->free_list;

	while (*at != NULL) {
		struct free_object *f = *at;

		if (slab_of(sorted, count, f)->free_count == SIZE_MAX)
			*at = f->next;
		else
			at = (void **)&f->next;
	}
}

static void
drop_marked(struct pool *p)
{
	struct pool_slab **at = &p->slabs;

	while (*at != NULL) {
		struct pool_slab *s = *at;

		if (s->free_count != SIZE_MAX) {
			s->free_count = 0;
			at = &s->next;
			continue;
		}
		*at = s->next;
		UNPOISON(s, slab_bytes(p));
		mem_free(p->acct, s);
	}
}

size_t
pool_spare_bytes(const struct pool *p)
{
	return (size_t)(p->made - p->in_use) * p->object_bytes;
}

bool
pool_trim(struct pool *p)
{
	unsigned keep = p->in_use + p->in_use / 2 + p->slab_count;
	struct pool_slab **sorted;
	size_t count = 0, gone = 0;

	if (p->made < keep + p->slab_count)
		return false;
	sorted =
	    mem_alloc_array(p->acct, p->made / p->slab_count, sizeof(*sorted));
	if (sorted == NULL)
		return false;
	for (struct pool_slab *s = p->slabs; s != NULL; s = s->next)
		sorted[count++] = s;
	qsort(sorted, count, sizeof(*sorted), by_address);
	count_free(p, sorted, count);
	for (size_t i = 0; i < count; i++) {
		if (sorted[i]->free_count < p->slab_count ||
		    p->made < keep + p->slab_count)
			continue;
		sorted[i]->free_count = SIZE_MAX;
		p->made -= p->slab_count;
		gone++;
	}
	if (gone > 0)
		unlist_free(p, sorted, count);
	drop_marked(p);
	mem_free(p->acct, sorted);
	return gone > 0;
}

size_t
pool_cost(size_t object_bytes, unsigned count)
{
	size_t per_slab, slabs;

	if (count == 0)
		return 0;
	per_slab = objects_per_slab(object_bytes, count);
	slabs = (count + per_slab - 1) / per_slab;
	return slabs * mem_cost(sizeof(struct pool_slab) +
				per_slab * object_size(object_bytes));
}
