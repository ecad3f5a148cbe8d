/*
 * arena: chunks in a list, newest first; allocation only looks at the newest.
 */
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/poison.h"

enum { ALIGN = 16 };

struct arena_chunk {
	struct arena_chunk *next; /* older */
	size_t size;		  /* bytes after this header */
	size_t used;
	size_t pad; /* keeps what follows aligned */
};
_Static_assert(sizeof(struct arena_chunk) % ALIGN == 0, "alignment");

static size_t
round_up(size_t n)
{
	return (n + ALIGN - 1) & ~(size_t)(ALIGN - 1);
}

void
arena_init(struct arena *ar, struct acct *a, size_t chunk_bytes,
    size_t max_bytes)
{
	ASSERT(chunk_bytes >= ALIGN);
	ASSERT(max_bytes >= chunk_bytes);
	*ar = (struct arena){
		.acct = a,
		.chunk_bytes = round_up(chunk_bytes),
		.max_bytes = max_bytes,
	};
	if (ar->max_bytes < ar->chunk_bytes)
		ar->max_bytes = ar->chunk_bytes;
}

static void
chunk_free(struct arena *ar, struct arena_chunk *c)
{
	ASSERT(ar->held_bytes >= c->size);
	ar->held_bytes -= c->size;
	UNPOISON(c + 1, c->size);
	mem_free(ar->acct, c);
}

void
arena_fini(struct arena *ar)
{
	while (ar->first != NULL) {
		struct arena_chunk *c = ar->first;

		ar->first = c->next;
		chunk_free(ar, c);
	}
}

void
arena_reset(struct arena *ar)
{
	struct arena_chunk *c;

	while ((c = ar->first) != NULL) {
		/* A chunk made for one large object is not worth keeping. */
		if (c->next == NULL && c->size == ar->chunk_bytes) {
			POISON(c + 1, c->size);
			c->used = 0;
			return;
		}
		ar->first = c->next;
		chunk_free(ar, c);
	}
}

static struct arena_chunk *
chunk_new(struct arena *ar, size_t bytes)
{
	size_t size = bytes > ar->chunk_bytes ? bytes : ar->chunk_bytes;
	struct arena_chunk *c;

	/* Near the maximum take what is still allowed. */
	if (size > ar->max_bytes - ar->held_bytes)
		size = bytes;
	if (size > ar->max_bytes - ar->held_bytes)
		return NULL;
	c = mem_alloc(ar->acct, sizeof(*c) + size);
	if (c == NULL)
		return NULL;
	c->size = size;
	c->next = ar->first;
	ar->first = c;
	ar->held_bytes += size;
	POISON(c + 1, c->size);
	return c;
}

void *
arena_alloc(struct arena *ar, size_t bytes)
{
	struct arena_chunk *c = ar->first;
	size_t rounded;
	char *p;

	if (bytes > ar->max_bytes)
		return NULL;
	rounded = bytes == 0 ? ALIGN : round_up(bytes);
	if (c == NULL || rounded > c->size - c->used) {
		c = chunk_new(ar, rounded);
		if (c == NULL)
			return NULL;
	}
	p = (char *)(c + 1) + c->used;
	c->used += rounded;
	UNPOISON(p, bytes);
	if (bytes > 0)
		memset(p, 0, bytes);
	return p;
}

char *
arena_copy(struct arena *ar, const char *s, size_t len)
{
	char *p;

	if (len >= ar->max_bytes)
		return NULL;
	p = arena_alloc(ar, len + 1);
	if (p != NULL && len > 0)
		memcpy(p, s, len);
	return p;
}
