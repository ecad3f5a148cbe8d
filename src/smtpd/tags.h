/*
 * tags: numbers for what was asked of another role, so that an answer finds
 * who asked, and a late answer finds nobody.
 *
 * A tag is a place in a table and the generation of that place.  The table is
 * made once; when it is full nothing more can be asked.
 */
#pragma once

#include <stdint.h>

#include "base/err.h"

struct acct;

struct tag_place {
	void *owner;	     /* NULL: free */
	uint32_t next;	     /* free list */
	uint16_t generation; /* of the tag in use, or the next one */
	uint16_t what;	     /* the owner's */
};

struct tags {
	struct acct *acct;
	struct tag_place *places;
	uint32_t count, free, in_use;
	uint32_t made; /* places that were ever used: memory behind them is
			  not touched before it is needed */
};

enum { TAG_NONE = 0, TAGS_MAX = 65535 };

/* count at most TAGS_MAX; charged to a. */
MUST_CHECK enum err tags_init(struct tags *t, struct acct *a, uint32_t count);
void tags_fini(struct tags *t);
/* A tag for owner (not NULL); TAG_NONE when the table is full. */
uint32_t tags_get(struct tags *t, void *owner, uint16_t what);
/* Whose it is; NULL: nobody's any more. */
void *tags_find(const struct tags *t, uint32_t tag, uint16_t *what_out);
/* Forget it; no-op for TAG_NONE. */
void tags_put(struct tags *t, uint32_t tag);
/* Another owner for a tag in use. */
void tags_give(struct tags *t, uint32_t tag, void *owner);
/* A tag of this owner; TAG_NONE: it has none.  Looks through the table. */
uint32_t tags_first(const struct tags *t, const void *owner);
/* Forget all of this owner. */
void tags_put_all(struct tags *t, const void *owner);
