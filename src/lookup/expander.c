/*
 * lookup/expander: expansions for the role local.
 *
 * Happy path: a request waits in the ring, becomes the first, is expanded in
 * steps; each target is sent at once, EXPAND_END at last.
 *
 * Failure modes: local reads too slowly: nothing is expanded until there is
 * room; too many requests wait: refused for now; local goes away: all is
 * forgotten; a reload: what ran fails for now and will be asked again.
 */
#include "lookup/expander.h"

#include <string.h>

#include "base/limits.h"
#include "ipc/chan.h"
#include "lookup/internal.h"

static void
answer(struct expander *x, uint32_t tag, const struct fr_expand_end *f)
{
	/* ERR_CLOSED: its end will be seen.  There is always room for these,
	 * see expander_ask. */
	(void)!send_expand_end(x->chan, tag, f, -1);
}

static void
answer_later(struct expander *x, uint32_t tag, enum err e, const char *text)
{
	struct fr_expand_end f = {
		.error = (uint8_t)e,
		.code = 451,
		.status = SLICE_LIT("4.3.0"),
		.text = slice_str(text),
	};

	answer(x, tag, &f);
}

static struct expander_request *
first_of(struct expander *x)
{
	return &x->waiting[x->first];
}

static void
drop_first(struct expander *x)
{
	if (x->open)
		expand_close(&x->expand);
	x->open = false;
	x->first = (x->first + 1) % EXPANDER_WAITING_MAX;
	x->count--;
	limit_set_in_use(x->row, x->count);
}

/* False: there is nothing to do, or no room. */
static bool
begin(struct expander *x)
{
	struct expander_request *q = first_of(x);

	if (x->chan == NULL || x->count == 0)
		return false;
	if (chan_room(x->chan) < x->room_min_bytes) {
		chan_tell_room(x->chan);
		return false;
	}
	if (x->open)
		return true;
	if (x->resolver != NULL &&
	    expand_open(&x->expand, x->resolver, &x->acct,
		slice_of(q->address, q->len), NULL, NULL) == OK) {
		x->open = true;
		return true;
	}
	answer_later(x, q->tag, x->resolver == NULL ? ERR_LOOKUP : ERR_NOMEM,
	    x->resolver == NULL ? "temporary lookup failure" : "out of memory");
	drop_first(x);
	return true;
}

/* An alias with more targets than it may have. */
static void
say_too_many(struct expander *x)
{
	const struct expander_request *q = first_of(x);

	limit_refused(x->targets_row);
	log_limit_row(&x->targets_site, ev_now(x->loop), x->targets_row,
	    slice_of(q->address, q->len), "its mail waits");
}

static void
step(struct expander *x)
{
	uint32_t tag = first_of(x)->tag;
	struct alias_target target;
	struct fr_expanded f;
	enum err e;

	e = expand_next(&x->expand, &target);
	if (e == OK) {
		f = (struct fr_expanded){ (uint8_t)target.kind, target.text };
		(void)!send_expanded(x->chan, tag, &f, -1);
	} else if (e != ERR_AGAIN) {
		if (x->expand.too_many)
			say_too_many(x);
		answer(x, tag, &x->expand.end);
		drop_first(x);
	}
}

static void
on_task(void *arg, struct ev_task *t)
{
	struct expander *x = arg;

	for (unsigned n = 0; n < EXPANDER_STEPS_MAX; n++) {
		if (!begin(x))
			return;
		if (x->open)
			step(x);
	}
	ev_defer_end(x->loop, t);
}

void
expander_ask(struct expander *x, uint32_t tag, struct slice address)
{
	struct expander_request *q;

	if (x->count == EXPANDER_WAITING_MAX ||
	    address.len > ADDRESS_BYTES_MAX) {
		limit_refused(x->row);
		answer_later(x, tag, ERR_FULL, "too many expansions wait");
		return;
	}
	q = &x->waiting[(x->first + x->count++) % EXPANDER_WAITING_MAX];
	q->tag = tag;
	q->len = (uint16_t)address.len;
	memcpy(q->address, address.data, address.len);
	limit_set_in_use(x->row, x->count);
	ev_defer_end(x->loop, &x->task);
}

void
expander_room(struct expander *x)
{
	if (x->count > 0)
		ev_defer_end(x->loop, &x->task);
}

void
expander_set_resolver(struct expander *x, struct resolver *r)
{
	if (x->open) {
		answer_later(x, first_of(x)->tag, ERR_AGAIN,
		    "the configuration was read again");
		drop_first(x);
	}
	x->resolver = r;
	if (r != NULL)
		limit_set_limit(x->targets_row, r->conf->expansion_limit);
}

void
expander_set_channel(struct expander *x, struct chan *c, size_t room_min_bytes)
{
	while (x->count > 0)
		drop_first(x);
	x->chan = c;
	x->room_min_bytes = room_min_bytes;
}

void
expander_init(struct expander *x, struct ev_loop *loop, struct acct *a)
{
	*x = (struct expander){ .loop = loop };
	acct_init(&x->acct, a, "expansion", 0, true, "memory_budget");
	ev_task_init(&x->task, on_task, x);
	x->row = limits_row(LIMIT_POOL, "expansions that wait", "",
	    sizeof(struct expander_request), EXPANDER_WAITING_MAX);
	x->targets_row = limits_row(LIMIT_COUNT, "targets of an alias",
	    "expansion_limit", 0, 0);
	(void)limits_row(LIMIT_COUNT, "aliases and files of one alias", "", 0,
	    EXPAND_REPLACED_MAX);
	(void)limits_row(LIMIT_COUNT, "aliases in one another", "", 0,
	    EXPAND_DEPTH_MAX);
	(void)limits_row(LIMIT_SIZE, "targets of one alias", "", 1,
	    EXPAND_BYTES_MAX);
	(void)limits_row(LIMIT_SIZE, "file of :include:", "", 1,
	    INCLUDE_BYTES_MAX);
}
