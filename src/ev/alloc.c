/*
 * alloc: the allocator that libevent is given.
 */
#include "ev/alloc.h"

#include <event2/event.h>
#include <stddef.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "ev/loop.h"

/* In front of each block of libevent's. */
struct block {
	struct acct *acct;
	size_t bytes;
} __attribute__((aligned(16)));

static struct acct *mem_acct;
static struct acct mem_reserve;

static void *
hook_alloc(size_t bytes)
{
	struct acct *a = mem_acct;
	struct block *b;

	ASSERT(a != NULL);
	b = mem_alloc(a, sizeof(*b) + bytes);
	if (b == NULL) {
		a = &mem_reserve;
		b = mem_alloc(a, sizeof(*b) + bytes);
	}
	if (b == NULL)
		return NULL;
	b->acct = a;
	b->bytes = bytes;
	return b + 1;
}

static void
hook_free(void *p)
{
	struct block *b = p;

	if (b != NULL)
		mem_free(b[-1].acct, b - 1);
}

static void *
hook_realloc(void *p, size_t bytes)
{
	struct block *old = p;
	void *n;

	if (bytes == 0) {
		hook_free(p);
		return NULL;
	}
	n = hook_alloc(bytes);
	if (n == NULL || old == NULL)
		return n;
	memcpy(n, old, old[-1].bytes < bytes ? old[-1].bytes : bytes);
	hook_free(old);
	return n;
}

void
alloc_begin(struct acct *a)
{
	ASSERT(mem_acct == NULL);
	mem_acct = a;
	acct_init(&mem_reserve, NULL, "loop reserve", EV_RESERVE_BYTES, true,
	    "");
	event_set_mem_functions(hook_alloc, hook_realloc, hook_free);
}

void
alloc_end(void)
{
	libevent_global_shutdown();
	mem_acct = NULL;
	acct_fini(&mem_reserve);
}
