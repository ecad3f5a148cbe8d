/*
 * lookup/expand_internal: the list of an expansion.
 */
#pragma once

#include "lookup/expand.h"
#include "lookup/internal.h"

struct expand_item {
	struct hash_node node;
	struct expand_item *next;
	struct expand_item *parent; /* whose target it is; NULL: the first */
	uint8_t kind;		    /* enum alias_kind */
	uint8_t depth;
	uint8_t replaced_on; /* a bit for each level that had an entry */
	uint8_t skip;	     /* levels not to be asked: it stands for itself */
	uint8_t again; /* a bit for each skip for which it was put again */
	uint16_t len;
	char text[];
};

/* Where a target stands. */
struct expand_source {
	struct expand *x;
	struct expand_item *parent;
};

/* ---- expand.c ---- */

/* Ends it: x->end says so.  ERR_NOTFOUND. */
enum err expand_stop(struct expand *x, enum err error, int code,
    const char *status, const char *fmt, ...) PRINTF(5, 6);

/* ---- expand_list.c ---- */

/* One item more, at the end; skip: a bit for each level that it is not asked
 * on.  ERR_LOOKUP with et: too many, too deep, no memory. */
MUST_CHECK enum err expand_add(struct expand *x, struct expand_item *parent,
    uint8_t kind, struct slice text, uint8_t skip, struct errtext *et);
/* An alias_target_fn, arg is a struct expand_source: a target joins the list if
 * it is not there.  ERR_LOOKUP likewise; ERR_DENIED: it may not stand there,
 * and x->end says so. */
enum err expand_take(void *arg, const struct alias_target *target,
    struct errtext *et);
/* An item makes room for its targets.  ERR_LOOKUP with et: too many did. */
MUST_CHECK enum err expand_replaced(struct expand *x, struct errtext *et);
