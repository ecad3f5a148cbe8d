/*
 * expand: what lookup says an alias stands for, over the channel between the
 * two, on which lookup also asks about users (local/check.h).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/hash.h"
#include "base/slice.h"
#include "ev/loop.h"

struct acct;
struct chan;
struct checks;
struct expander;
struct fr_expand_end;

enum {
	/* A list of some thousand addresses out of slow files. */
	EXPAND_TIMEOUT_MS = 120 * 1000,
};

/* A question.  Embedded by who asks. */
struct expand {
	struct hash_node hash;
	struct expander *all; /* NULL: not asked */
	struct ev_timer timer;
	uint32_t tag;
	/* One target; kind: enum alias_kind; text is borrowed. */
	void (*on_target)(struct expand *x, uint8_t kind, struct slice text);
	/* All came, or, with an error, none is worth anything; the last
	 * event. */
	void (*on_end)(struct expand *x, const struct fr_expand_end *f);
};

/* Nobody to ask yet.  ERR_FULL: a refuses. */
MUST_CHECK enum err expander_new(struct ev_loop *loop, struct acct *a,
    struct expander **out);
void expander_free(struct expander *ex); /* NULL is allowed */
/* CHECKs go there; borrowed. */
void expander_set_checks(struct expander *ex, struct checks *checks);
/* The channel to lookup; owns fd.  What was asked over an older one ends with
 * an error. */
MUST_CHECK enum err expander_set_lookup(struct expander *ex, int fd,
    unsigned index);
/* on_bad(arg, why): lookup's channel was malformed. */
void expander_on_bad(struct expander *ex,
    void (*on_bad)(void *arg, const char *why), void *arg);

/*
 * expander_ask(ex, x, address):
 * x with its two events set; zero before its first use.  Its events come later,
 * from the channel or a timer.  ERR_CLOSED: lookup is not there; ERR_FULL: its
 * channel is full; then no event comes.
 */
MUST_CHECK enum err expander_ask(struct expander *ex, struct expand *x,
    struct slice address);
/* No event comes any more; a no-op if it was not asked or is over. */
void expander_cancel(struct expand *x);
