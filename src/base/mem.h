/*
 * mem: accounts, and the only allocation in Weir.
 *
 * An account bounds bytes of memory.  Accounts form a tree (budget > role >
 * class > connection > transaction); a charge walks to the root and is made
 * everywhere or nowhere.  Refusal is ERR_FULL: normal, never fatal.
 *
 * Nothing here is locked: an account, and all that is charged to its tree,
 * belongs to one thread.  Another thread gets an account of its own.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct limit_row;

struct acct {
	struct acct *parent; /* NULL: a root */
	const char *name;    /* static string */
	int64_t used_bytes;
	int64_t max_bytes; /* 0: only the parents bound it */
	int64_t peak_bytes;
	uint64_t refused_count;
	struct limit_row *row; /* NULL: too small to be shown */
};

/* shown: give it a row in the limits page.  Accounts of one connection or
 * one transaction are not shown. */
void acct_init(struct acct *a, struct acct *parent, const char *name,
    int64_t max_bytes, bool shown, const char *parameter);
/* ASSERTs that nothing is charged. */
void acct_fini(struct acct *a);
MUST_CHECK enum err acct_charge(struct acct *a, int64_t bytes);
void acct_release(struct acct *a, int64_t bytes);
/* On reload.  Below what is used: no new charges until enough came back. */
void acct_set_max(struct acct *a, int64_t max_bytes);
/* Bytes that a charge could still get now (least over the path to the root). */
int64_t acct_room(const struct acct *a);

/* Charged allocation.  Memory is zeroed and aligned for any type.  NULL when
 * the account (or the system) refuses.  mem_free(a, NULL) is allowed; the size
 * is remembered; a is the account that was charged. */
void *mem_alloc(struct acct *a, size_t bytes);
void *mem_alloc_array(struct acct *a, size_t count, size_t bytes);
void mem_free(struct acct *a, void *p);
/* What mem_alloc(bytes) charges, its header included. */
size_t mem_cost(size_t bytes);

/* Test hook: the n-th allocation from now fails (0: off).  Returns what was
 * left of the call before: 0 if that one has failed, or was off. */
unsigned mem_fail_after(unsigned n);

/*
 * arena: many small allocations that end together.
 * Chunks of chunk_bytes are taken from the account as needed, up to
 * max_bytes in all; an allocation above chunk_bytes gets a chunk of its own.
 * arena_reset gives all but one chunk back.
 */
struct arena_chunk;
struct arena {
	struct acct *acct;
	struct arena_chunk *first; /* newest first */
	size_t chunk_bytes;
	size_t max_bytes;
	size_t held_bytes; /* in chunks */
};

/* Allocates nothing yet. */
void arena_init(struct arena *ar, struct acct *a, size_t chunk_bytes,
    size_t max_bytes);
void arena_fini(struct arena *ar); /* gives everything back */
/* All allocations end. */
void arena_reset(struct arena *ar);
/* Zeroed, aligned for any type; NULL when refused. */
void *arena_alloc(struct arena *ar, size_t bytes);
/* Copy of s with a terminator after it; NULL when refused. */
char *arena_copy(struct arena *ar, const char *s, size_t len);

/*
 * pool: at most count_max objects of one size.  Memory is taken from the
 * account in slabs as objects are first used and kept for reuse;
 * pool_prealloc takes all of it at once.
 */
struct pool_slab;
struct pool {
	struct acct *acct;
	const char *name;
	size_t object_bytes;
	unsigned slab_count; /* objects per slab */
	unsigned count_max;
	unsigned in_use;
	unsigned made; /* objects in slabs, used or free */
	void *free_list;
	struct pool_slab *slabs;
	struct limit_row *row;
};

/* Allocates nothing yet; makes the row of the limits page. */
void pool_init(struct pool *p, struct acct *a, const char *name,
    const char *parameter, size_t object_bytes, unsigned count_max);
void pool_fini(struct pool *p); /* ASSERTs that nothing is in use */
/* On reload.  Less than what is in use takes effect as objects come back. */
void pool_set_max(struct pool *p, unsigned count_max);
MUST_CHECK enum err pool_prealloc(struct pool *p);
void *pool_get(struct pool *p); /* zeroed; NULL when full or refused */
void pool_put(struct pool *p, void *object);
/*
 * pool_trim(p):
 * After a flood: slabs in which nothing is in use go back to the account,
 * but half as much as is in use stays, and a slab.  Walks the free objects
 * when there is something to give; call it every few seconds.  True: memory
 * went back, and mem_trim is worth its time.
 */
bool pool_trim(struct pool *p);
/* Of objects that are made and free: no account refuses them. */
size_t pool_spare_bytes(const struct pool *p);
/* What was freed goes back to the system, as far as the C library can. */
void mem_trim(void);
/* Bytes that count objects cost, for the plan. */
size_t pool_cost(size_t object_bytes, unsigned count);
