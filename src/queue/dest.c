#include "queue/dest.h"

#include <string.h>

#include "base/assert.h"
#include "base/limits.h"

enum {
	PACE_US_FIRST = 5000, /* while nothing is known */
	PACE_US_MAX = 1000000000,
	PACE_SPAN_MS = 1000,
	PACE_ENDS_MIN = 16, /* fewer say nothing */
	/* Those who wait on disk come back so much faster than they are
	 * taken. */
	LINE_PERCENT = 80,
};

static uint64_t
dest_hash(const struct sched_transport *t, struct slice nexthop)
{
	return hash_bytes_nocase(nexthop.data, nexthop.len) ^
	       hash_u64((uintptr_t)t);
}

struct sched_dest *
dest_find(const struct sched *s, const struct sched_transport *t,
    struct slice nexthop)
{
	uint64_t hash = dest_hash(t, nexthop);
	struct hash_node *n;

	for (n = hash_first(&s->dests, hash); n != NULL; n = hash_next(n)) {
		struct sched_dest *d = CONTAINER(n, struct sched_dest, node);

		if (d->transport == t &&
		    slice_eq_nocase(slice_of(d->nexthop, d->nexthop_len),
			nexthop))
			return d;
	}
	return NULL;
}

static void
dest_free(struct sched *s, struct sched_dest *d)
{
	ASSERT(d->peer_count == 0 && d->in_flight == 0 && d->written == 0 &&
	       d->woken == 0);
	if (list_linked(&d->idle)) {
		list_remove(&d->idle);
		s->idle_count--;
	}
	hash_remove(&s->dests, &d->node);
	limit_set_in_use(s->dest_row, s->dests.count);
	mem_free(s->acct, d->reason);
	mem_free(s->acct, d);
}

/* Forget the one that has been without work for longest. */
static bool
dest_evict(struct sched *s)
{
	struct list_node *n = list_first(&s->idle);

	if (n == NULL)
		return false;
	dest_free(s, CONTAINER(n, struct sched_dest, idle));
	return true;
}

static struct sched_dest *
dest_alloc(struct sched *s, size_t bytes)
{
	struct sched_dest *d;

	while (s->dests.count >= s->dest_max)
		if (!dest_evict(s)) {
			limit_refused(s->dest_row);
			return NULL;
		}
	while ((d = mem_alloc(s->acct, bytes)) == NULL)
		if (!dest_evict(s))
			return NULL;
	return d;
}

struct sched_dest *
dest_get(struct sched *s, struct sched_transport *t, struct slice nexthop)
{
	struct sched_dest *d = dest_find(s, t, nexthop);

	if (d != NULL)
		return d;
	if (nexthop.len > UINT16_MAX)
		return NULL;
	d = dest_alloc(s, sizeof(*d) + nexthop.len);
	if (d == NULL)
		return NULL;
	list_init(&d->blocked);
	d->transport = t;
	d->nexthop_len = (uint16_t)nexthop.len;
	if (nexthop.len > 0)
		memcpy(d->nexthop, nexthop.data, nexthop.len);
	window_init(&d->window, t->window_initial, t->window_max);
	hash_add(&s->dests, &d->node, dest_hash(t, nexthop));
	limit_set_in_use(s->dest_row, s->dests.count);
	return d;
}

static bool
has_learned(const struct sched_dest *d)
{
	struct window fresh;

	if (d->dead)
		return true;
	window_init(&fresh, d->transport->window_initial,
	    d->transport->window_max);
	return d->window.size != fresh.size || d->window.cohorts > 0;
}

void
dest_settle(struct sched *s, struct sched_dest *d)
{
	if (d->peer_count > 0 || d->in_flight > 0 || d->written > 0) {
		if (list_linked(&d->idle)) {
			list_remove(&d->idle);
			s->idle_count--;
		}
		return;
	}
	if (!has_learned(d)) {
		dest_free(s, d);
		return;
	}
	if (!list_linked(&d->idle)) {
		list_push_back(&s->idle, &d->idle);
		s->idle_count++;
	}
	while (s->idle_count > SCHED_IDLE_MAX)
		if (!dest_evict(s))
			break;
}

bool
dest_is_dead(struct sched_dest *d, struct mono now)
{
	if (!d->dead)
		return false;
	if (now.ms < d->dead_until.ms)
		return true;
	d->dead = false;
	window_init(&d->window, d->transport->window_initial,
	    d->transport->window_max);
	return false;
}

void
dest_kill(struct sched *s, struct sched_dest *d, struct slice reason,
    struct mono now)
{
	char *copy;

	if (reason.len >= SCHED_REASON_BYTES)
		reason.len = SCHED_REASON_BYTES - 1;
	d->dead = true;
	d->dead_until = mono_add(now, s->dead_ms);
	if (s->dead_row != NULL)
		limit_waited(s->dead_row);
	copy = mem_alloc(s->acct, reason.len + 1);
	if (copy != NULL && reason.len > 0)
		memcpy(copy, reason.data, reason.len);
	mem_free(s->acct, d->reason);
	d->reason = copy;
}

static uint32_t
pace_us(const struct sched_dest *d)
{
	return d->pace_us > 0 ? d->pace_us : PACE_US_FIRST;
}

/* How long it takes for what waits. */
static int64_t
drain_ms(const struct sched_dest *d)
{
	uint32_t deliveries = d->rcpt_count / d->transport->rcpts_max;

	if (deliveries < d->peer_count)
		deliveries = d->peer_count;
	return (int64_t)deliveries * pace_us(d) / 1000;
}

/* What waits is gone before more could be back from the disk.  That there is
 * much of it keeps nobody waiting. */
static bool
is_quick(const struct sched_dest *d, struct mono now)
{
	return d->pace_us > 0 && drain_ms(d) < SCHED_QUICK_MS &&
	       mono_sub(now, d->moved) < SCHED_QUICK_MS;
}

bool
dest_has_share(const struct sched *s, const struct sched_dest *d,
    struct mono now)
{
	uint64_t soon = d->window.size;

	if (is_quick(d, now))
		return false;
	if (d->peer_count >= s->msg_room &&
	    (d->peer_count >= soon || d->peer_count >= s->share_max))
		return true;
	return d->rcpt_count >= soon * d->transport->rcpts_max &&
	       d->rcpt_count >= (uint64_t)s->rcpt_room * SCHED_RCPT_SHARE;
}

bool
dest_is_stuck(const struct sched_dest *d, struct mono now)
{
	return d->in_flight >= d->window.size &&
	       mono_sub(now, d->moved) >= SCHED_STUCK_MS;
}

void
dest_begins(struct sched_dest *d, struct mono now)
{
	d->moved = d->since = now;
	d->ended = 0;
}

void
dest_moved(struct sched_dest *d, struct mono now)
{
	int64_t ms = mono_sub(now, d->since);
	uint64_t us = (uint64_t)ms * 1000 / ++d->ended;

	d->moved = now;
	if (us == 0)
		us = 1;
	if (us > PACE_US_MAX)
		us = PACE_US_MAX;
	if (ms >= PACE_SPAN_MS) {
		d->pace_us = (uint32_t)us;
		d->since = now;
		d->ended = 0;
	} else if (d->ended >= PACE_ENDS_MIN &&
		   (d->pace_us == 0 || us < d->pace_us)) {
		d->pace_us = (uint32_t)us;
	}
}

int64_t
dest_queue_up(const struct sched *s, struct sched_dest *d, struct mono now)
{
	struct mono first = mono_add(now, drain_ms(d) / 2);
	struct mono last = mono_add(now, s->dead_ms);
	int64_t ms;

	if (mono_sub(first, d->line_end) > 0) {
		d->line_end = first;
		d->line_us = 0;
	}
	if (mono_sub(d->line_end, last) > 0)
		d->line_end = last;
	ms = mono_sub(d->line_end, now);
	d->line_us += (uint32_t)((uint64_t)pace_us(d) * LINE_PERCENT / 100);
	d->line_end = mono_add(d->line_end, d->line_us / 1000);
	d->line_us %= 1000;
	return ms > SCHED_AGAIN_MS_MIN ? ms : SCHED_AGAIN_MS_MIN;
}

bool
dest_has_room(const struct sched_dest *d)
{
	return d->in_flight + d->woken < d->window.size;
}

void
dest_free_all(struct sched *s)
{
	while (dest_evict(s))
		continue;
	ASSERT(s->dests.count == 0);
}

/* ---- what waits is counted ---- */

static void
waited(const struct sched_dest *d, enum sched_limit_which which)
{
	struct limit_row *row = d->transport->rows[which];

	if (row != NULL)
		limit_waited(row);
}

void
dest_waits(const struct sched_dest *d)
{
	unsigned max = d->transport->window_max;

	waited(d, max > 0 && d->window.size >= max ? SCHED_LIMIT_WINDOW
						   : SCHED_LIMIT_INITIAL);
}

void
dest_splits(const struct sched_dest *d)
{
	waited(d, SCHED_LIMIT_RCPTS);
}
