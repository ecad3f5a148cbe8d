/*
 * acct: the tree of accounts, and the allocation that is charged to it.
 */
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/limits.h"
#include "base/mem.h"

void
acct_init(struct acct *a, struct acct *parent, const char *name,
    int64_t max_bytes, bool shown, const char *parameter)
{
	ASSERT(max_bytes >= 0);
	*a = (struct acct){
		.parent = parent,
		.name = name,
		.max_bytes = max_bytes,
	};
	if (shown)
		a->row =
		    limits_row(LIMIT_ACCOUNT, name, parameter, 0, max_bytes);
}

void
acct_fini(struct acct *a)
{
	ASSERT(a->used_bytes == 0);
	a->parent = NULL;
}

static bool
fits(const struct acct *a, int64_t bytes)
{
	return a->max_bytes == 0 || bytes <= a->max_bytes - a->used_bytes;
}

enum err
acct_charge(struct acct *a, int64_t bytes)
{
	ASSERT(bytes >= 0);
	for (struct acct *at = a; at != NULL; at = at->parent) {
		if (fits(at, bytes))
			continue;
		/* Counted where the limit is, not where it was felt. */
		at->refused_count++;
		if (at->row != NULL)
			limit_refused(at->row);
		return ERR_FULL;
	}
	for (struct acct *at = a; at != NULL; at = at->parent) {
		at->used_bytes += bytes;
		if (at->used_bytes > at->peak_bytes)
			at->peak_bytes = at->used_bytes;
		if (at->row != NULL)
			limit_set_in_use(at->row, at->used_bytes);
	}
	return OK;
}

void
acct_release(struct acct *a, int64_t bytes)
{
	ASSERT(bytes >= 0);
	for (struct acct *at = a; at != NULL; at = at->parent) {
		ASSERT(at->used_bytes >= bytes);
		at->used_bytes -= bytes;
		if (at->row != NULL)
			limit_set_in_use(at->row, at->used_bytes);
	}
}

int64_t
acct_room(const struct acct *a)
{
	int64_t room = INT64_MAX;

	for (; a != NULL; a = a->parent) {
		int64_t here;

		if (a->max_bytes == 0)
			continue;
		here = a->max_bytes - a->used_bytes;
		if (here < room)
			room = here;
	}
	return room < 0 ? 0 : room;
}

void
acct_set_max(struct acct *a, int64_t max_bytes)
{
	ASSERT(max_bytes >= 0);
	a->max_bytes = max_bytes;
	if (a->row != NULL)
		limit_set_limit(a->row, max_bytes);
}

/* In front of every block; keeps it aligned for any type. */
struct block {
	size_t cost;
	size_t guard; /* address and MEM_GUARD: catches foreign pointers */
};
_Static_assert(sizeof(struct block) == 16, "keeps malloc's alignment");

enum { MALLOC_OVERHEAD = 8, MALLOC_GRAIN = 16 };
#define MEM_GUARD     ((size_t)0x57656972626c6f63)
#define MEM_BYTES_MAX ((size_t)1 << 40)

static unsigned fail_after;

size_t
mem_cost(size_t bytes)
{
	size_t whole = sizeof(struct block) + bytes + MALLOC_OVERHEAD;

	return (whole + MALLOC_GRAIN - 1) & ~(size_t)(MALLOC_GRAIN - 1);
}

unsigned
mem_fail_after(unsigned n)
{
	unsigned left = fail_after;

	fail_after = n;
	return left;
}

static bool
must_fail(void)
{
	return fail_after > 0 && --fail_after == 0;
}

void *
mem_alloc(struct acct *a, size_t bytes)
{
	size_t cost;
	struct block *b;

	ASSERT(a != NULL);
	if (must_fail() || bytes > MEM_BYTES_MAX)
		return NULL;
	cost = mem_cost(bytes);
	if (acct_charge(a, (int64_t)cost) != OK)
		return NULL;
	b = calloc(1, sizeof(*b) + bytes);
	if (b == NULL) {
		acct_release(a, (int64_t)cost);
		return NULL;
	}
	b->cost = cost;
	b->guard = (size_t)b ^ MEM_GUARD;
	return b + 1;
}

void
mem_trim(void)
{
	(void)malloc_trim(0);
}

void *
mem_alloc_array(struct acct *a, size_t count, size_t bytes)
{
	size_t total;

	if (__builtin_mul_overflow(count, bytes, &total))
		return NULL;
	return mem_alloc(a, total);
}

void
mem_free(struct acct *a, void *p)
{
	struct block *b;

	if (p == NULL)
		return;
	b = (struct block *)p - 1;
	ASSERT(b->guard == ((size_t)b ^ MEM_GUARD));
	b->guard = 0;
	acct_release(a, (int64_t)b->cost);
	free(b);
}
