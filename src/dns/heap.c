/*
 * The functions of glibc do the work.  Under a sanitizer, which has its own
 * malloc, nothing is counted.
 */
#include "dns/heap.h"

#include <errno.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/limits.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(memory_sanitizer)
#define SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || !defined(__GLIBC__)
#define SANITIZED 1
#endif

enum { PIECE_BYTES = 8 }; /* glibc's head of a piece */

static _Atomic size_t used_bytes;
static _Atomic size_t peak_bytes;
static _Atomic size_t limit_bytes;
static _Atomic size_t refused_count;
static struct limit_row *row;

void
heap_limit(size_t bytes)
{
	limit_bytes = bytes;
	if (row == NULL)
		row = limits_row(LIMIT_ACCOUNT, "heap", "memory_budget", 0,
		    (int64_t)bytes);
}

void
heap_show(void)
{
	if (row == NULL)
		return;
	limit_set_in_use(row, (int64_t)peak_bytes); /* the high-water mark */
	limit_set_in_use(row, (int64_t)used_bytes);
	for (; refused_count > 0; refused_count--)
		limit_refused(row);
}

size_t
heap_used(void)
{
	return used_bytes;
}

#ifndef SANITIZED

void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);
void *__libc_memalign(size_t, size_t);
void __libc_free(void *);

static bool
may_take(size_t bytes)
{
	size_t limit = limit_bytes;

	if (limit == 0 || (bytes <= limit && used_bytes <= limit - bytes))
		return true;
	refused_count++;
	errno = ENOMEM;
	return false;
}

static void *
took(void *p)
{
	size_t bytes, now;

	if (p == NULL)
		return NULL;
	bytes = malloc_usable_size(p) + PIECE_BYTES;
	now = atomic_fetch_add(&used_bytes, bytes) + bytes;
	if (now > peak_bytes)
		peak_bytes = now;
	return p;
}

static void
gave(void *p)
{
	if (p != NULL)
		used_bytes -= malloc_usable_size(p) + PIECE_BYTES;
}

void *
malloc(size_t bytes)
{
	return may_take(bytes) ? took(__libc_malloc(bytes)) : NULL;
}

void *
calloc(size_t count, size_t bytes)
{
	size_t all;

	if (__builtin_mul_overflow(count, bytes, &all)) {
		errno = ENOMEM;
		return NULL;
	}
	return may_take(all) ? took(__libc_calloc(count, bytes)) : NULL;
}

void *
realloc(void *p, size_t bytes)
{
	size_t had = p != NULL ? malloc_usable_size(p) + PIECE_BYTES : 0;
	void *q;

	if (bytes > had && !may_take(bytes - had))
		return NULL;
	q = __libc_realloc(p, bytes);
	if (q == NULL && bytes > 0)
		return NULL; /* p is as it was */
	used_bytes -= had;
	return took(q);
}

void *
memalign(size_t alignment, size_t bytes)
{
	return may_take(bytes) ? took(__libc_memalign(alignment, bytes)) : NULL;
}

void *
aligned_alloc(size_t alignment, size_t bytes)
{
	return memalign(alignment, bytes);
}

int
posix_memalign(void **out, size_t alignment, size_t bytes)
{
	void *p;

	if (alignment < sizeof(void *) || (alignment & (alignment - 1)) != 0)
		return EINVAL;
	p = memalign(alignment, bytes);
	if (p == NULL)
		return ENOMEM;
	*out = p;
	return 0;
}

void
free(void *p)
{
	gave(p);
	__libc_free(p);
}

#endif
