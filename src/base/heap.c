#include "base/heap.h"

#include "base/assert.h"

void
heap_init(struct heap *h, struct heap_node **slots, uint32_t max)
{
	*h = (struct heap){ .slots = slots, .max = max };
}

/* Places are 1-based, so that a node's children are 2n and 2n + 1. */
static void
place(struct heap *h, struct heap_node *n, uint32_t slot)
{
	h->slots[slot - 1] = n;
	n->slot = slot;
}

static void
sift_up(struct heap *h, struct heap_node *n)
{
	uint32_t slot = n->slot;

	while (slot > 1) {
		struct heap_node *up = h->slots[slot / 2 - 1];

		if (up->key <= n->key)
			break;
		place(h, up, slot);
		slot /= 2;
	}
	place(h, n, slot);
}

static void
sift_down(struct heap *h, struct heap_node *n)
{
	uint32_t slot = n->slot;

	while (slot <= h->count / 2) {
		uint32_t child = slot * 2;

		if (child < h->count &&
		    h->slots[child]->key < h->slots[child - 1]->key)
			child++;
		if (n->key <= h->slots[child - 1]->key)
			break;
		place(h, h->slots[child - 1], slot);
		slot = child;
	}
	place(h, n, slot);
}

enum err
heap_add(struct heap *h, struct heap_node *n, int64_t key)
{
	ASSERT(n->slot == 0);
	if (h->count >= h->max)
		return ERR_FULL;
	n->key = key;
	place(h, n, ++h->count);
	sift_up(h, n);
	return OK;
}

void
heap_update(struct heap *h, struct heap_node *n, int64_t key)
{
	int64_t old = n->key;

	ASSERT(n->slot > 0 && n->slot <= h->count);
	ASSERT(h->slots[n->slot - 1] == n);
	n->key = key;
	if (key < old)
		sift_up(h, n);
	else
		sift_down(h, n);
}

void
heap_remove(struct heap *h, struct heap_node *n)
{
	struct heap_node *last;
	uint32_t slot = n->slot;

	if (slot == 0)
		return;
	ASSERT(slot <= h->count);
	ASSERT(h->slots[slot - 1] == n);
	last = h->slots[--h->count];
	n->slot = 0;
	if (last == n)
		return;
	place(h, last, slot);
	if (last->key < n->key)
		sift_up(h, last);
	else
		sift_down(h, last);
}

struct heap_node *
heap_min(const struct heap *h)
{
	return h->count == 0 ? NULL : h->slots[0];
}
