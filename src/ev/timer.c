/*
 * timer: pairing heap of timers.
 */
#include "ev/timer.h"

#include <stddef.h>

#include "base/assert.h"
#include "ev/loop.h"

/* Join two heaps; either may be NULL. */
static struct ev_timer *
meld(struct ev_timer *a, struct ev_timer *b)
{
	struct ev_timer *t;

	if (a == NULL)
		return b;
	if (b == NULL)
		return a;
	if (b->key_ms < a->key_ms) {
		t = a;
		a = b;
		b = t;
	}
	b->prev = a;
	b->sibling = a->child;
	if (a->child != NULL)
		a->child->prev = b;
	a->child = b;
	return a;
}

/* Join a row of siblings into one heap: in pairs from the left, then all
 * pairs from the right.  The pairs wait in a stack linked by sibling. */
static struct ev_timer *
meld_row(struct ev_timer *first)
{
	struct ev_timer *stack = NULL, *root = NULL;

	while (first != NULL) {
		struct ev_timer *a = first, *b = a->sibling, *pair;

		first = b != NULL ? b->sibling : NULL;
		a->sibling = a->prev = NULL;
		if (b != NULL)
			b->sibling = b->prev = NULL;
		pair = meld(a, b);
		pair->sibling = stack;
		stack = pair;
	}
	while (stack != NULL) {
		struct ev_timer *next = stack->sibling;

		stack->sibling = NULL;
		root = meld(root, stack);
		stack = next;
	}
	return root;
}

static void
insert(struct ev_timer **root, struct ev_timer *t)
{
	t->child = t->sibling = t->prev = NULL;
	*root = meld(*root, t);
}

static void
take_out(struct ev_timer **root, struct ev_timer *t)
{
	struct ev_timer *below = meld_row(t->child);

	if (t == *root) {
		*root = below;
	} else {
		if (t->prev->child == t)
			t->prev->child = t->sibling;
		else
			t->prev->sibling = t->sibling;
		if (t->sibling != NULL)
			t->sibling->prev = t->prev;
		*root = meld(*root, below);
	}
	t->child = t->sibling = t->prev = NULL;
}

void
timer_heap_set(struct ev_timer **root, struct ev_timer *t, int64_t due_ms)
{
	t->due_ms = due_ms;
	if (t->pending && due_ms >= t->key_ms)
		return;
	if (t->pending)
		take_out(root, t);
	t->pending = true;
	t->key_ms = due_ms;
	insert(root, t);
}

void
timer_heap_remove(struct ev_timer **root, struct ev_timer *t)
{
	ASSERT(t->pending);
	take_out(root, t);
	t->pending = false;
}

struct ev_timer *
timer_heap_pop(struct ev_timer **root, int64_t now_ms)
{
	struct ev_timer *t;

	while ((t = *root) != NULL && t->key_ms <= now_ms) {
		take_out(root, t);
		if (t->due_ms <= now_ms) {
			t->pending = false;
			return t;
		}
		t->key_ms = t->due_ms; /* it was moved meanwhile */
		insert(root, t);
	}
	return NULL;
}

int64_t
timer_heap_next(const struct ev_timer *root)
{
	return root != NULL ? root->key_ms : INT64_MAX;
}
