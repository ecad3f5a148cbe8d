/*
 * lookup/expander: expansions for the role local, one after the other, a few
 * steps in each turn of the loop, answered as fast as the channel takes them.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/log.h"
#include "ev/loop.h"
#include "lookup/expand.h"

enum {
	EXPANDER_WAITING_MAX = 64, /* requests */
	EXPANDER_STEPS_MAX = 64,   /* in one turn */
};

struct chan;
struct limit_row;

struct expander_request {
	uint32_t tag;
	uint16_t len;
	char address[ADDRESS_BYTES_MAX];
};

struct expander {
	struct ev_loop *loop;
	struct acct acct;
	struct resolver *resolver; /* NULL: there are no tables now */
	struct chan *chan;	   /* NULL: local is away */
	size_t room_min_bytes;	   /* that the channel's queue must have */
	struct ev_task task;
	struct limit_row *row, *targets_row;
	struct log_limit_site targets_site;
	unsigned first, count; /* in waiting, a ring */
	bool open;	       /* expand is that of the first one */
	struct expand expand;
	struct expander_request waiting[EXPANDER_WAITING_MAX];
};

/* r: NULL, or what expander_set_resolver says.  Makes rows of the limits
 * page. */
void expander_init(struct expander *x, struct ev_loop *loop, struct acct *a);
/* The resolver that answers from now on; NULL: requests fail for now.  Call
 * it with NULL before a resolver is closed: what runs begins again. */
void expander_set_resolver(struct expander *x, struct resolver *r);
/* The channel to local, or NULL.  What ran for an older one is forgotten.
 * room_min_bytes: so much of its queue is left to others. */
void expander_set_channel(struct expander *x, struct chan *c,
    size_t room_min_bytes);
/* EXPAND came. */
void expander_ask(struct expander *x, uint32_t tag, struct slice address);
/* The channel has room again. */
void expander_room(struct expander *x);
