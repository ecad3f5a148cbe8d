/*
 * tags: a table with a free list; the tag is generation << 16 | place + 1.
 */
#include "smtpd/tags.h"

#include <stddef.h>

#include "base/assert.h"
#include "base/mem.h"

enum { NO_PLACE = 0xffffffff };

enum err
tags_init(struct tags *t, struct acct *a, uint32_t count)
{
	ASSERT(count > 0 && count <= TAGS_MAX);
	*t = (struct tags){ .acct = a, .count = count, .free = NO_PLACE };
	t->places = mem_alloc_array(a, count, sizeof(*t->places));
	return t->places == NULL ? ERR_NOMEM : OK;
}

void
tags_fini(struct tags *t)
{
	mem_free(t->acct, t->places);
	*t = (struct tags){ 0 };
}

uint32_t
tags_get(struct tags *t, void *owner, uint16_t what)
{
	struct tag_place *p;
	uint32_t at = t->free;

	ASSERT(owner != NULL);
	if (at == NO_PLACE && t->made == t->count)
		return TAG_NONE;
	if (at == NO_PLACE)
		at = t->made++;
	else
		t->free = t->places[at].next;
	p = &t->places[at];
	ASSERT(p->owner == NULL);
	t->in_use++;
	p->owner = owner;
	p->what = what;
	return (uint32_t)p->generation << 16 | (at + 1);
}

static struct tag_place *
place(const struct tags *t, uint32_t tag)
{
	uint32_t at = (tag & 0xffff) - 1;

	if (tag == TAG_NONE || at >= t->made || t->places[at].owner == NULL ||
	    t->places[at].generation != tag >> 16)
		return NULL;
	return &t->places[at];
}

void *
tags_find(const struct tags *t, uint32_t tag, uint16_t *what_out)
{
	struct tag_place *p = place(t, tag);

	if (p == NULL)
		return NULL;
	*what_out = p->what;
	return p->owner;
}

void
tags_put(struct tags *t, uint32_t tag)
{
	struct tag_place *p = place(t, tag);

	if (p == NULL)
		return;
	p->owner = NULL;
	p->generation++;
	p->next = t->free;
	t->free = (tag & 0xffff) - 1;
	t->in_use--;
}

void
tags_give(struct tags *t, uint32_t tag, void *owner)
{
	struct tag_place *p = place(t, tag);

	ASSERT(p != NULL);
	p->owner = owner;
}

uint32_t
tags_first(const struct tags *t, const void *owner)
{
	for (uint32_t at = 0; at < t->made; at++)
		if (t->places[at].owner == owner)
			return (uint32_t)t->places[at].generation << 16 |
			       (at + 1);
	return TAG_NONE;
}

void
tags_put_all(struct tags *t, const void *owner)
{
	for (uint32_t at = 0; at < t->made; at++)
		if (t->places[at].owner == owner)
			tags_put(t, (uint32_t)t->places[at].generation << 16 |
					(at + 1));
}
