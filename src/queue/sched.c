/*
 * Happy path: sched_add makes a peer, ready in its message, the message in
 * its class's ring.  sched_next takes the first message of a ring, its first
 * peer, cuts recipients into the delivery, and puts peer and message at the
 * ends of their lists.  sched_done gives the destination's slot to the peer
 * that waits longest, or sched_written before it.
 *
 * A peer is in exactly one list: its message's ready list (woken, holding a
 * slot of the destination, or not), its destination's blocked list, or the
 * list of suspended peers.  It exists while recipients wait in it.
 *
 * Invariant: while peers are blocked at a living destination, it has no room
 * (dest_has_room is false): every slot is used or held by a woken peer.
 *
 * Failure modes: a bound, the share of a destination or the account refuses
 * in sched_add only; everything later needs no memory.
 */
#include "queue/sched.h"

#include <string.h>

#include "base/assert.h"
#include "base/limits.h"
#include "queue/dest.h"

enum { BUCKETS_MAX = 16384 };

enum err
sched_init(struct sched *s, struct acct *a, const struct sched_conf *conf,
    struct gate *local, struct gate *remote)
{
	uint32_t buckets =
	    conf->rcpts_max < BUCKETS_MAX ? conf->rcpts_max : BUCKETS_MAX;
	enum err e;

	*s = (struct sched){ .acct = a,
		.dead_ms = conf->dead_ms,
		.msg_room = UINT32_MAX,
		.rcpt_room = UINT32_MAX };
	s->gates[SCHED_LOCAL] = local;
	s->gates[SCHED_REMOTE] = remote;
	s->dest_max = conf->rcpts_max + SCHED_IDLE_MAX;
	s->share_max = conf->msgs_max < 4 ? 1 : conf->msgs_max / 2;
	for (unsigned c = 0; c < SCHED_CLASS_COUNT; c++) {
		list_init(&s->rings[c][0]);
		list_init(&s->rings[c][1]);
		s->stalled_until[c].ms = INT64_MIN;
	}
	list_init(&s->idle);
	list_init(&s->suspended);
	e = hash_init(&s->dests, a, buckets);
	if (e != OK)
		return e;
	e = hash_init(&s->peers, a, buckets);
	if (e != OK) {
		hash_fini(&s->dests);
		return e;
	}
	pool_init(&s->peer_pool, a, "queue entries",
	    "qmgr_message_recipient_limit", sizeof(struct sched_peer),
	    conf->rcpts_max);
	s->dest_row = limits_row(LIMIT_POOL, "destinations",
	    "qmgr_message_recipient_limit", sizeof(struct sched_dest),
	    s->dest_max);
	s->share_row = limits_row(LIMIT_COUNT, "messages for one destination",
	    "qmgr_message_active_limit", 0, s->share_max);
	return OK;
}

void
sched_fini(struct sched *s)
{
	dest_free_all(s);
	pool_fini(&s->peer_pool);
	hash_fini(&s->peers);
	hash_fini(&s->dests);
}

bool
sched_trim(struct sched *s)
{
	return pool_trim(&s->peer_pool);
}

static struct sched_transport *
transport_find(struct sched *s, struct slice name)
{
	for (unsigned i = 0; i < s->transport_count; i++)
		if (slice_eq(slice_str(s->transports[i].name), name))
			return &s->transports[i];
	return NULL;
}

const struct sched_transport *
sched_transport_find(const struct sched *s, struct slice name)
{
	for (unsigned i = 0; i < s->transport_count; i++)
		if (slice_eq(slice_str(s->transports[i].name), name))
			return &s->transports[i];
	return NULL;
}

/* Windows of destinations that exist already are cut; they grow by
 * themselves. */
static void
transport_update(struct sched *s, struct sched_transport *to,
    const struct sched_transport *from)
{
	ASSERT(from->rcpts_max > 0);
	*to = *from;
	for (uint32_t b = 0; b < s->dests.bucket_count; b++) {
		struct hash_node *n = s->dests.buckets[b];

		for (; n != NULL; n = n->next) {
			struct sched_dest *d =
			    CONTAINER(n, struct sched_dest, node);

			if (d->transport == to)
				window_set_max(&d->window, to->window_max);
		}
	}
}

enum err
sched_transport_set(struct sched *s, const struct sched_transport *t)
{
	struct sched_transport *old = transport_find(s, slice_str(t->name));

	if (old == NULL) {
		if (s->transport_count == SCHED_TRANSPORTS_MAX)
			return ERR_FULL;
		old = &s->transports[s->transport_count++];
	}
	transport_update(s, old, t);
	return OK;
}

void
sched_msg_init(struct sched_msg *m, bool internal)
{
	*m = (struct sched_msg){ .internal = internal };
	for (unsigned c = 0; c < SCHED_CLASS_COUNT; c++)
		list_init(&m->class[c].ready);
}

/* ---- peers ---- */

static uint64_t
peer_hash(const struct sched_msg *m, const struct sched_dest *d)
{
	return hash_u64((uintptr_t)m * 31 + (uintptr_t)d);
}

static struct sched_peer *
peer_find(const struct sched *s, const struct sched_msg *m,
    const struct sched_dest *d)
{
	struct hash_node *n = hash_first(&s->peers, peer_hash(m, d));

	for (; n != NULL; n = hash_next(n)) {
		struct sched_peer *p = CONTAINER(n, struct sched_peer, hash);

		if (p->msg == m && p->dest == d)
			return p;
	}
	return NULL;
}

/* Into its class's ring, if it may start and has something to. */
static void
msg_ready(struct sched *s, struct sched_msg *m, unsigned c)
{
	if (m->parked || list_linked(&m->class[c].node) ||
	    list_empty(&m->class[c].ready))
		return;
	list_push_back(&s->rings[c][m->internal], &m->class[c].node);
	if (!gate_open(s->gates[c], m->internal) && s->gates[c]->row != NULL)
		limit_waited(s->gates[c]->row);
}

void
sched_msg_park(struct sched *s, struct sched_msg *m, bool parked)
{
	m->parked = parked;
	for (unsigned c = 0; c < SCHED_CLASS_COUNT; c++)
		msg_ready(s, m, c);
}

/* p may start in its message's next turn; first: before its others. */
static void
peer_ready(struct sched *s, struct sched_peer *p, bool first)
{
	unsigned c = p->dest->transport->class;
	struct sched_msg *m = p->msg;

	ASSERT(!list_linked(&p->node));
	if (first)
		list_push_front(&m->class[c].ready, &p->node);
	else
		list_push_back(&m->class[c].ready, &p->node);
	msg_ready(s, m, c);
}

/* Out of its list; out of the ring, too, if its message has no other. */
static void
peer_unlink(struct sched_peer *p)
{
	unsigned c = p->dest->transport->class;

	list_remove(&p->node);
	if (list_empty(&p->msg->class[c].ready))
		list_remove(&p->msg->class[c].node);
}

/* Give the slots that came free to those who wait longest.  Who is parked
 * holds none: nobody knows how long that takes. */
static void
dest_wake(struct sched *s, struct sched_dest *d)
{
	struct list_node *n;

	while (!d->dead && dest_has_room(d) &&
	       (n = list_pop_front(&d->blocked)) != NULL) {
		struct sched_peer *p = CONTAINER(n, struct sched_peer, node);

		if (p->msg->parked) {
			peer_ready(s, p, false);
			continue;
		}
		p->woken = true;
		d->woken++;
		peer_ready(s, p, true);
	}
}

static void
peer_unwake(struct sched_peer *p)
{
	if (!p->woken)
		return;
	p->woken = false;
	ASSERT(p->dest->woken > 0);
	p->dest->woken--;
}

/* Where a new peer, or one that has more to do, belongs.  One that is parked
 * waits in its message, and meets a full window when that may start. */
static void
peer_place(struct sched *s, struct sched_peer *p)
{
	if (p->msg->parked || dest_has_room(p->dest)) {
		peer_ready(s, p, false);
		return;
	}
	list_push_back(&p->dest->blocked, &p->node);
	dest_waits(p->dest);
}

static void
peer_free(struct sched *s, struct sched_peer *p)
{
	ASSERT(p->waiting_count == 0 && !p->woken && !list_linked(&p->node));
	ASSERT(p->dest->peer_count > 0);
	p->dest->peer_count--;
	hash_remove(&s->peers, &p->hash);
	pool_put(&s->peer_pool, p);
}

static struct sched_peer *
peer_new(struct sched *s, struct sched_msg *m, struct sched_dest *d)
{
	struct sched_peer *p = pool_get(&s->peer_pool);

	if (p == NULL)
		return NULL;
	p->msg = m;
	p->dest = d;
	list_init(&p->waiting);
	hash_add(&s->peers, &p->hash, peer_hash(m, d));
	limit_mark(s->share_row, ++d->peer_count);
	peer_place(s, p);
	return p;
}

/* ---- recipients ---- */

void
sched_set_room(struct sched *s, uint32_t msgs, uint32_t rcpts)
{
	s->msg_room = msgs;
	s->rcpt_room = rcpts;
}

/* d has its share of the room: no more for now. */
static enum err
refuse(struct sched *s, struct sched_dest *d, struct mono now,
    struct sched_refusal *why)
{
	limit_refused(s->share_row);
	if (dest_is_stuck(d, now)) {
		why->reason = SLICE_LIT("the destination takes nothing, and "
					"many messages wait for it");
		return ERR_BUSY;
	}
	why->again_ms = dest_queue_up(s, d, now);
	return ERR_AGAIN;
}

enum err
sched_add(struct sched *s, struct sched_msg *m, struct sched_rcpt *r,
    struct slice transport, struct slice nexthop, struct mono now,
    struct sched_refusal *why)
{
	struct sched_transport *t = transport_find(s, transport);
	struct sched_dest *d;
	struct sched_peer *p;

	ASSERT(r->peer == NULL);
	if (t == NULL)
		return ERR_NOTFOUND;
	d = dest_get(s, t, nexthop);
	if (d == NULL)
		return ERR_FULL;
	if (dest_is_dead(d, now)) {
		why->reason = slice_str(d->reason);
		return ERR_BUSY;
	}
	p = peer_find(s, m, d);
	if (p == NULL && dest_has_share(s, d, now))
		return refuse(s, d, now, why);
	if (p == NULL)
		p = peer_new(s, m, d);
	dest_settle(s, d);
	if (p == NULL)
		return ERR_FULL;
	list_push_back(&p->waiting, &r->node);
	p->waiting_count++;
	d->rcpt_count++;
	m->waiting++;
	r->peer = p;
	return OK;
}

void
sched_remove(struct sched *s, struct sched_rcpt *r)
{
	struct sched_peer *p = r->peer;
	struct sched_dest *d;

	if (p == NULL)
		return;
	d = p->dest;
	list_remove(&r->node);
	r->peer = NULL;
	p->msg->waiting--;
	d->rcpt_count--;
	if (--p->waiting_count > 0)
		return;
	peer_unlink(p);
	peer_unwake(p);
	peer_free(s, p);
	dest_wake(s, d);
	dest_settle(s, d);
}

/* Move at most max recipients of p to list; how many they were. */
static unsigned
peer_cut(struct sched_peer *p, struct list *to, unsigned max)
{
	struct list_node *n;
	unsigned count = 0;

	while (count < max && (n = list_pop_front(&p->waiting)) != NULL) {
		CONTAINER(n, struct sched_rcpt, node)->peer = NULL;
		list_push_back(to, n);
		count++;
	}
	p->waiting_count -= count;
	p->msg->waiting -= count;
	p->dest->rcpt_count -= count;
	return count;
}

/* ---- starting ---- */

static void
start(struct sched *s, struct sched_peer *p, struct mono now,
    struct mono deadline, struct sched_job *job)
{
	struct sched_dest *d = p->dest;
	struct sched_msg *m = p->msg;
	unsigned c = d->transport->class;

	*job = (struct sched_job){ .msg = m, .dest = d, .class = c };
	if (!gate_enter(s->gates[c], &job->slot, m->internal, deadline, true))
		ASSERT(!"the gate was open");
	list_init(&job->rcpts);
	/* To the end of the ring: the others have their turn first. */
	list_remove(&m->class[c].node);
	list_remove(&p->node);
	peer_unwake(p);
	if (d->in_flight++ == 0)
		dest_begins(d, now);
	job->rcpt_count =
	    peer_cut(p, &job->rcpts, m->singly ? 1 : d->transport->rcpts_max);
	if (p->waiting_count > 0) {
		if (!m->singly)
			dest_splits(d);
		peer_place(s, p);
	} else {
		peer_free(s, p);
	}
	if (!list_empty(&m->class[c].ready) && !list_linked(&m->class[c].node))
		list_push_back(&s->rings[c][m->internal], &m->class[c].node);
	dest_settle(s, d);
}

static bool
may_start(const struct sched_peer *p)
{
	const struct sched_dest *d = p->dest;

	return p->woken ? d->in_flight < d->window.size : dest_has_room(d);
}

/* Its destination is full.  One that was woken is the first again: the window
 * shrank since then. */
static void
peer_block(struct sched_peer *p)
{
	dest_waits(p->dest);
	peer_unlink(p);
	if (p->woken)
		list_push_front(&p->dest->blocked, &p->node);
	else
		list_push_back(&p->dest->blocked, &p->node);
	peer_unwake(p);
}

/* The next peer of a ring that may start; those whose destination is full or
 * dead leave on the way (each is paid for by its being made ready). */
static struct sched_peer *
pick(struct sched *s, struct list *ring, unsigned c, struct mono now)
{
	struct list_node *n;

	while ((n = list_first(ring)) != NULL) {
		struct sched_msg *m =
		    CONTAINER(n, struct sched_msg, class[c].node);
		struct sched_peer *p = CONTAINER(list_first(&m->class[c].ready),
		    struct sched_peer, node);

		if (dest_is_dead(p->dest, now)) {
			peer_unlink(p);
			peer_unwake(p);
			list_push_back(&s->suspended, &p->node);
		} else if (may_start(p)) {
			return p;
		} else {
			peer_block(p);
		}
	}
	return NULL;
}

static struct sched_peer *
pick_class(struct sched *s, unsigned c, struct mono now)
{
	struct sched_peer *p = NULL;

	if (now.ms < s->stalled_until[c].ms || !gate_open(s->gates[c], true))
		return NULL;
	if (!gate_open(s->gates[c], false))
		return pick(s, &s->rings[c][1], c, now);
	/* Internal and ordinary messages take turns. */
	p = pick(s, &s->rings[c][s->internal_next[c]], c, now);
	if (p == NULL)
		p = pick(s, &s->rings[c][!s->internal_next[c]], c, now);
	if (p != NULL)
		s->internal_next[c] = !p->msg->internal;
	return p;
}

bool
sched_next(struct sched *s, struct mono now, struct mono deadline,
    struct sched_job *job)
{
	for (unsigned i = 0; i < SCHED_CLASS_COUNT; i++) {
		unsigned c = s->class_next;
		struct sched_peer *p = pick_class(s, c, now);

		s->class_next = (c + 1) % SCHED_CLASS_COUNT;
		if (p != NULL) {
			start(s, p, now, deadline, job);
			return true;
		}
	}
	return false;
}

/* ---- ending ---- */

/* What waits at d is to be deferred; what is ready meets it in pick(). */
static void
suspend(struct sched *s, struct sched_dest *d)
{
	struct list_node *n;

	while ((n = list_pop_front(&d->blocked)) != NULL)
		list_push_back(&s->suspended, n);
}

bool
sched_next_suspended(struct sched *s, struct sched_suspended *out)
{
	struct list_node *n = list_pop_front(&s->suspended);
	struct sched_peer *p;
	struct sched_dest *d;

	if (n == NULL)
		return false;
	p = CONTAINER(n, struct sched_peer, node);
	d = p->dest;
	/* A copy: the destination may be forgotten below. */
	if (!slice_copy(slice_str(d->reason), s->reason, sizeof(s->reason)))
		s->reason[0] = '\0';
	*out = (struct sched_suspended){ .msg = p->msg,
		.reason = slice_str(s->reason) };
	list_init(&out->rcpts);
	out->rcpt_count = peer_cut(p, &out->rcpts, p->waiting_count);
	peer_free(s, p);
	dest_settle(s, d);
	return true;
}

void
sched_written(struct sched *s, struct sched_job *job)
{
	struct sched_dest *d = job->dest;

	if (job->written)
		return;
	ASSERT(d->in_flight > 0);
	job->written = true;
	d->in_flight--;
	d->written++;
	gate_leave(s->gates[job->class], &job->slot);
	dest_wake(s, d);
}

void
sched_done(struct sched *s, struct sched_job *job, enum job_site site,
    struct slice reason, struct mono now)
{
	struct sched_dest *d = job->dest;

	ASSERT(d != NULL && (job->written ? d->written : d->in_flight) > 0);
	dest_moved(d, now);
	if (site == SITE_OK && !d->dead)
		window_good(&d->window, d->in_flight + d->written,
		    d->transport->window_initial);
	if (site == SITE_OK && d->dead) {
		/* Somebody got through after all. */
		d->dead = false;
		window_init(&d->window, d->transport->window_initial,
		    d->transport->window_max);
	}
	if (job->written)
		d->written--;
	else
		d->in_flight--;
	if (site == SITE_FAILED && !d->dead && window_bad(&d->window)) {
		dest_kill(s, d, reason, now);
		suspend(s, d);
	}
	if (d->peer_count == 0)
		d->line_end.ms = 0; /* it was slower when that was thought */
	gate_leave(s->gates[job->class], &job->slot);
	job->dest = NULL;
	dest_wake(s, d);
	dest_settle(s, d);
}

const struct sched_transport *
sched_job_transport(const struct sched_job *job)
{
	return job->dest->transport;
}

struct slice
sched_job_nexthop(const struct sched_job *job)
{
	struct slice all = slice_of(job->dest->nexthop, job->dest->nexthop_len);

	return slice_sub(all, 0, slice_find(all, '\0'));
}

void
sched_revive(struct sched *s)
{
	for (uint32_t b = 0; b < s->dests.bucket_count; b++)
		for (struct hash_node *n = s->dests.buckets[b]; n != NULL;
		     n = n->next) {
			struct sched_dest *d =
			    CONTAINER(n, struct sched_dest, node);

			d->dead_until.ms = INT64_MIN;
			d->line_end.ms = 0; /* all of it comes back now */
		}
}

void
sched_stall(struct sched *s, enum sched_class class, struct mono until)
{
	s->stalled_until[class] = until;
}

unsigned
sched_reserved(unsigned limit)
{
	return limit > 20 ? limit / 20 : 0;
}

unsigned
sched_window(const struct sched *s, struct slice transport,
    struct slice nexthop, struct mono now)
{
	const struct sched_transport *t = sched_transport_find(s, transport);
	const struct sched_dest *d;

	if (t == NULL)
		return 0;
	d = dest_find(s, t, nexthop);
	if (d == NULL || (d->dead && now.ms < d->dead_until.ms))
		return 0;
	return d->window.size;
}
