/*
 * heap: binary min-heap of pointers to nodes, for timers and due times.
 * The array is given by the caller and never grows.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct heap_node {
	int64_t key;
	uint32_t slot; /* 1-based place in the heap; 0: not in it */
};

struct heap {
	struct heap_node **slots; /* room for max entries; borrowed */
	uint32_t count;
	uint32_t max;
};

/* An empty heap over an array of max pointers. */
void heap_init(struct heap *h, struct heap_node **slots, uint32_t max);
/* n must be in no heap.  ERR_FULL: max are in it. */
MUST_CHECK enum err heap_add(struct heap *h, struct heap_node *n, int64_t key);
/* n, which is in it, gets another key. */
void heap_update(struct heap *h, struct heap_node *n, int64_t key);
void heap_remove(struct heap *h, struct heap_node *n); /* no-op if absent */
struct heap_node *heap_min(const struct heap *h);      /* NULL when empty */
