/*
 * lookup/expand: everything that an alias stands for.
 *
 * A list of targets is worked through from its front: an address that is an
 * alias itself is replaced by its targets, which join the list at its end, and
 * so is an :include: file.  Each target is taken once, so nothing is followed
 * in circles; every list, depth and size has a limit.
 *
 * An alias among its own targets stands for itself: its own mailbox, if there
 * is one.  If nothing else is left either, the alias is a loop, and so is a
 * file that holds nothing but itself; one that is empty is none.  A list with
 * an owner of its own is left as it is: mail is sent to it as to any address.
 *
 * It is done step by step, so that others can be served between the steps.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "alias/target.h"
#include "base/hash.h"
#include "base/mem.h"
#include "lookup/include.h"
#include "lookup/resolve.h"

enum {
	EXPAND_DEPTH_MAX = 32, /* of aliases and files in one another */
	/* Aliases and files in one expansion. */
	EXPAND_REPLACED_MAX = 1000,
	EXPAND_BYTES_MAX = 16 << 20, /* of all targets */
	EXPAND_BATCH = 64,	     /* lines of a file in one step */
};

struct expand_item;

struct expand {
	struct resolver *resolver;
	struct acct *acct;
	struct arena items;
	struct hash known; /* every target, by what it is */
	struct expand_item *first, *last, *cursor;
	struct expand_item *reading; /* whose file is open */
	unsigned count;		     /* of items, but for those replaced */
	unsigned replaced;
	struct include include;
	resolve_step_fn *step; /* as in struct resolver */
	void *step_arg;
	struct fr_expand_end end; /* owner, or what went wrong */
	char owner[ADDRESS_BYTES_MAX];
	char text[400];
	char loop[ADDRESS_BYTES_MAX]; /* an alias, or file, that is none but
					 itself */
	size_t loop_len;
	unsigned given; /* targets */
	bool too_many;	/* it ended at expansion_limit */
};

/*
 * expand_open(x, r, a, address, step, arg):
 * address as resolve() gave it for something to expand.  r is borrowed until
 * expand_close; between the steps it may serve others.  step is told each
 * step, or NULL.  ERR_NOMEM: nothing is open.
 */
MUST_CHECK enum err expand_open(struct expand *x, struct resolver *r,
    struct acct *a, struct slice address, resolve_step_fn *step, void *arg);

/*
 * expand_next(x, out):
 * One step; may block on tables and files.  OK with a target, valid until
 * expand_close; ERR_AGAIN: none yet; ERR_NOTFOUND: it is over, x->end says how
 * (its error may be OK); after that it is not called again.
 */
MUST_CHECK enum err expand_next(struct expand *x, struct alias_target *out);

/* Gives its memory back; ends early, too. */
void expand_close(struct expand *x);
