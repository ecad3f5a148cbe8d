/*
 * list: doubly linked, intrusive, with a sentinel.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct list_node {
	struct list_node *prev, *next; /* NULL, NULL: in no list */
};

struct list {
	struct list_node head;
};

static inline void
list_init(struct list *l)
{
	l->head.prev = l->head.next = &l->head;
}

static inline bool
list_empty(const struct list *l)
{
	return l->head.next == &l->head;
}

static inline bool
list_linked(const struct list_node *n)
{
	return n->next != NULL;
}

static inline void
list_insert_before(struct list_node *at, struct list_node *n)
{
	n->prev = at->prev;
	n->next = at;
	at->prev->next = n;
	at->prev = n;
}

static inline void
list_push_back(struct list *l, struct list_node *n)
{
	list_insert_before(&l->head, n);
}

static inline void
list_push_front(struct list *l, struct list_node *n)
{
	list_insert_before(l->head.next, n);
}

/* No-op when n is in no list. */
static inline void
list_remove(struct list_node *n)
{
	if (n->next == NULL)
		return;
	n->prev->next = n->next;
	n->next->prev = n->prev;
	n->prev = n->next = NULL;
}

/* NULL when empty. */
static inline struct list_node *
list_first(const struct list *l)
{
	return list_empty(l) ? NULL : l->head.next;
}

/* The one after n; NULL at the end. */
static inline struct list_node *
list_next(const struct list *l, const struct list_node *n)
{
	return n->next == &l->head ? NULL : n->next;
}

static inline struct list_node *
list_pop_front(struct list *l)
{
	struct list_node *n = list_first(l);

	if (n != NULL)
		list_remove(n);
	return n;
}
