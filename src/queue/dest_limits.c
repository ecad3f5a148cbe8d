/*
 * dest_limits: what bounds a destination is counted where it acts, and named
 * in the log.
 */
#include <stdio.h>

#include "base/limits.h"
#include "queue/dest.h"

static void
hit(const struct sched_dest *d, enum sched_limit_which which, struct mono now,
    const char *action)
{
	struct sched_limit *l = d->transport->limits[which];
	struct slice all = slice_of(d->nexthop, d->nexthop_len);
	struct slice nexthop = slice_sub(all, 0, slice_find(all, '\0'));
	char who[400];
	int len;

	limit_waited(l->row);
	if (log_limit_is_quiet(&l->site, now))
		return;
	len = snprintf(who, sizeof(who), "destination %.*s of %s",
	    nexthop.len < 300 ? (int)nexthop.len : 300, nexthop.data,
	    d->transport->name);
	log_limit_row(&l->site, now, l->row, slice_of(who, (size_t)len),
	    action);
}

void
dest_waits(const struct sched_dest *d, struct mono now)
{
	const struct sched_transport *t = d->transport;

	if (t->window_max > 0 && d->window.size >= t->window_max) {
		if (t->limits[SCHED_LIMIT_WINDOW] != NULL)
			hit(d, SCHED_LIMIT_WINDOW, now, "its mail waits");
		return;
	}
	/* It learns, so this is no news for the log. */
	if (t->limits[SCHED_LIMIT_INITIAL] != NULL)
		limit_waited(t->limits[SCHED_LIMIT_INITIAL]->row);
}

void
dest_splits(const struct sched_dest *d, struct mono now)
{
	if (d->transport->limits[SCHED_LIMIT_RCPTS] != NULL)
		hit(d, SCHED_LIMIT_RCPTS, now,
		    "the others go in another delivery");
}
