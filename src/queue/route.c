/*
 * Routing: lookup is asked where each recipient goes, so that what was
 * answered at RCPT and what is done always follow the configuration in force.
 *
 * Happy path: route_add puts the recipient into the list of those to be
 * asked; the task sends up to ROUTES_MAX questions, except about domains that
 * lookup just answered for; the answer goes to the scheduler.  Failure modes:
 * lookup dies (its questions are asked again of the next one); it does not
 * answer in time (deferred); it refuses (deferred or failed); there is no room
 * in the scheduler, or its destination has its share of the room (put back).
 */
#include <ctype.h>
#include <string.h>

#include "base/assert.h"
#include "ipc/domain_cache.h"
#include "queue/internal.h"

void
route_add(struct queue *q, struct rcpt *r)
{
	ASSERT(r->state == RCPT_ROUTING && !list_linked(&r->sched.node));
	if (list_empty(&q->routing) && q->routes_busy == 0)
		q->route_moved = queue_mono(q);
	list_push_back(&q->routing, &r->sched.node);
	if (r->msg->routing == 0)
		r->msg->routing_since = queue_mono(q);
	if (r->msg->routing++ == 0)
		sched_msg_park(&q->sched, &r->msg->sched, true);
	ev_defer(q->loop, &q->route_task);
}

/* One recipient less to wait for; with the last the message may start, so
 * that recipients of one destination go out together. */
static void
routed(struct queue *q, struct msg *m)
{
	ASSERT(m->routing > 0);
	if (--m->routing > 0)
		return;
	sched_msg_park(&q->sched, &m->sched, false);
	ev_defer(q->loop, &q->sched_task);
}

void
route_remove(struct queue *q, struct rcpt *r)
{
	ASSERT(r->state == RCPT_ROUTING);
	if (list_linked(&r->sched.node)) {
		list_remove(&r->sched.node);
		routed(q, r->msg);
		return;
	}
	for (unsigned i = 0; i < ROUTES_MAX; i++) {
		if (q->routes[i].rcpt != r)
			continue;
		q->routes[i].rcpt = NULL; /* the answer is ignored */
		routed(q, r->msg);
	}
}

static struct route *
free_route(struct queue *q)
{
	if (q->routes_busy == ROUTES_MAX)
		return NULL;
	for (unsigned i = 0; i < ROUTES_MAX; i++) {
		struct route *u = &q->routes[(q->route_tag + i) % ROUTES_MAX];

		if (!u->busy)
			return u;
	}
	return NULL;
}

static struct slice
error_status(struct slice *text)
{
	struct slice s = *text, word;

	/* "5.1.2 no such domain": RFC 3463. */
	if (slice_word(&s, " ", &word) && word.len >= 5 &&
	    word.len <= JOB_DSN_BYTES_MAX &&
	    (word.data[0] == '4' || word.data[0] == '5') &&
	    word.data[1] == '.' && isdigit((unsigned char)word.data[2])) {
		*text = slice_trim(s);
		return word;
	}
	return SLICE_LIT("5.0.0");
}

static void
no_delivery(struct queue *q, struct rcpt *r, enum job_status status,
    struct slice dsn, struct slice text)
{
	struct result res = { .status = status,
		.dsn = dsn,
		.relay = SLICE_LIT("none"),
		.text = text };

	result_set(q, r, &res);
}

/* Transports without an agent.  True: that was one. */
static bool
internal_transport(struct queue *q, struct rcpt *r, const struct fr_resolved *f)
{
	struct slice text = f->nexthop;

	if (slice_eq(f->transport, SLICE_LIT("error"))) {
		struct slice dsn = error_status(&text);

		no_delivery(q, r,
		    dsn.data[0] == '4' ? JOB_DEFERRED : JOB_FAILED, dsn,
		    text.len > 0 ? text : SLICE_LIT("undeliverable"));
		return true;
	}
	if (slice_eq(f->transport, SLICE_LIT("discard"))) {
		no_delivery(q, r, JOB_SENT, SLICE_LIT("2.0.0"),
		    text.len > 0 ? text : SLICE_LIT("discarded"));
		return true;
	}
	return false;
}

/* For a transport that takes one recipient at a time each recipient is a
 * destination: by his mailbox where that is known, else who appends ever new
 * extensions to one user's address would get all deliveries that run at once.
 * The next hop stays in front, up to the NUL. */
static struct slice
destination(struct queue *q, const struct sched_transport *t,
    const struct rcpt *r, const struct fr_resolved *f)
{
	struct slice whose = f->mailbox.len > 0 ? f->mailbox : rcpt_address(r);
	size_t len = f->nexthop.len;

	if (t == NULL || t->rcpts_max > 1)
		return f->nexthop;
	ASSERT(len + 1 + whose.len <= SCRATCH_BYTES);
	if (len > 0)
		memcpy(q->scratch, f->nexthop.data, len);
	q->scratch[len++] = '\0';
	memcpy(q->scratch + len, whose.data, whose.len);
	return slice_of(q->scratch, len + whose.len);
}

static void
suspended(struct queue *q, struct rcpt *r, struct slice reason)
{
	char text[SCHED_REASON_BYTES + 40];
	int len = snprintf(text, sizeof(text),
	    "delivery temporarily suspended: %.*s", SLICE_ARGS(reason));

	no_delivery(q, r, JOB_DEFERRED, SLICE_LIT("4.4.1"),
	    slice_of(text,
		(size_t)len < sizeof(text) ? (size_t)len : sizeof(text) - 1));
}

/* Keep mailbox and, if it is another, address.  False: no memory. */
static bool
keep_way(struct queue *q, struct rcpt *r, const struct fr_resolved *f)
{
	struct acct *a = msg_acct(q, r->msg);
	struct slice address = f->address;
	struct rcpt_way *w;

	if (slice_eq(address, rcpt_stored_address(r)))
		address = SLICE_NONE;
	if (f->mailbox.len == 0 && address.len == 0)
		return true;
	w = mem_alloc(a, sizeof(*w) + f->mailbox.len + address.len);
	if (w == NULL)
		return false;
	mem_free(a, r->way);
	w->mailbox_len = (uint16_t)f->mailbox.len;
	w->address_len = (uint16_t)address.len;
	if (f->mailbox.len > 0)
		memcpy(w->bytes, f->mailbox.data, f->mailbox.len);
	if (address.len > 0)
		memcpy(w->bytes + f->mailbox.len, address.data, address.len);
	r->way = w;
	return true;
}

/* Its destination has its share.  The pace there may be another soon: none
 * waits longer than it has waited already, but for the first second. */
static void
wait_on_disk(struct queue *q, struct rcpt *r, int64_t again_ms)
{
	int64_t most_ms = queue_age_ms(q, r->msg->arrival_ms);

	if (most_ms < SCHED_AGAIN_MS_MIN)
		most_ms = SCHED_AGAIN_MS_MIN;
	if (again_ms > most_ms)
		again_ms = most_ms;
	result_put_back(q, r, (uint32_t)again_ms);
}

static void
deliver(struct queue *q, struct rcpt *r, const struct fr_resolved *f)
{
	const struct sched_transport *t =
	    sched_transport_find(&q->sched, f->transport);
	struct sched_refusal why = { .reason = SLICE_NONE };

	r->uid = f->uid;
	r->gid = f->gid;
	r->remote = t != NULL && t->class == SCHED_REMOTE;
	msg_tell_room(q);
	switch (sched_add(&q->sched, &r->msg->sched, &r->sched, f->transport,
	    destination(q, t, r, f), queue_mono(q), &why)) {
	case OK:
		r->state = RCPT_WAITING;
		ev_defer(q->loop, &q->sched_task);
		break;
	case ERR_BUSY: suspended(q, r, why.reason); break;
	case ERR_AGAIN: wait_on_disk(q, r, why.again_ms); break;
	case ERR_NOTFOUND:
		log_warning("transport \"%.*s\" is not known",
		    SLICE_ARGS(f->transport));
		no_delivery(q, r, JOB_DEFERRED, SLICE_LIT("4.3.5"),
		    SLICE_LIT("mail transport unavailable"));
		break;
	default: result_put_back(q, r, PUT_BACK_MS); break;
	}
}

static void
answered(struct queue *q, struct rcpt *r, const struct fr_resolved *f)
{
	if (!keep_way(q, r, f))
		result_put_back(q, r, PUT_BACK_MS);
	else if (f->verdict == RESOLVE_REFUSE)
		no_delivery(q, r,
		    f->code / 100 == 5 ? JOB_FAILED : JOB_DEFERRED,
		    f->status.len > 0	 ? f->status
		    : f->code / 100 == 5 ? SLICE_LIT("5.0.0")
					 : SLICE_LIT("4.3.0"),
		    f->text);
	else if (internal_transport(q, r, f))
		return;
	else if (conf_list_has(&q->conf->defer_transports, f->transport))
		no_delivery(q, r, JOB_DEFERRED, SLICE_LIT("4.3.2"),
		    SLICE_LIT("deferred transport"));
	else
		deliver(q, r, f);
}

/* What came out of an alias is not followed again. */
static uint8_t
purpose_of(const struct rcpt *r)
{
	if (r->original_len == 0)
		return RESOLVE_ROUTE;
	return slice_eq_nocase(rcpt_original(r), rcpt_stored_address(r))
		   ? RESOLVE_ITSELF
		   : RESOLVE_EXPANDED;
}

void
route_task(void *arg, struct ev_task *t)
{
	struct queue *q = arg;
	struct list_node *n;
	struct route *u;

	(void)t;
	if (q->lookup == NULL || q->lookup->chan == NULL || !q->running)
		return;
	while ((n = list_first(&q->routing)) != NULL &&
	       (u = free_route(q)) != NULL) {
		struct rcpt *r = CONTAINER(n, struct rcpt, sched.node);
		struct fr_resolve f = {
			.purpose = purpose_of(r),
			.address = rcpt_stored_address(r),
			.sender = r->msg->sender,
		};
		uint32_t tag = q->route_tag + 1;
		struct fr_resolved known;

		if (domain_cache_find(q->domains, queue_mono(q), f.address,
			&known)) {
			struct msg *m = r->msg;

			list_remove(n);
			answered(q, r, &known);
			routed(q, m);
			continue;
		}

		if (send_resolve(q->lookup->chan, tag, &f, -1) != OK)
			return; /* on_room, or the next lookup */
		list_remove(n);
		q->route_tag = tag;
		q->routes_busy++;
		*u = (struct route){ .rcpt = r,
			.tag = tag,
			.busy = true,
			.since = queue_mono(q) };
	}
}

void
route_on_frame(struct peer *p, struct frame *f)
{
	struct queue *q = p->q;
	struct fr_resolved a;
	struct rcpt *r = NULL;
	unsigned i;

	if (f->type != FRAME_RESOLVED || !get_resolved(f, &a) ||
	    a.verdict >= RESOLVE_VERDICT_COUNT) {
		peer_bad(p, "not an answer");
		return;
	}
	for (i = 0; i < ROUTES_MAX; i++)
		if (q->routes[i].busy && q->routes[i].tag == f->tag)
			break;
	if (i == ROUTES_MAX) {
		peer_bad(p, "an answer that nobody asked for");
		return;
	}
	r = q->routes[i].rcpt;
	q->routes[i] = (struct route){ 0 };
	q->routes_busy--;
	q->route_moved = queue_mono(q);
	if (r != NULL) {
		struct msg *m = r->msg;

		domain_cache_keep(q->domains, queue_mono(q), rcpt_address(r),
		    &a);
		/* Before it is counted: while it is, the message stays. */
		answered(q, r, &a);
		routed(q, m);
	}
	if (!list_empty(&q->routing))
		ev_defer(q->loop, &q->route_task);
}

void
route_peer_closed(struct queue *q)
{
	for (unsigned i = 0; i < ROUTES_MAX; i++) {
		struct rcpt *r = q->routes[i].rcpt;

		q->routes[i] = (struct route){ 0 };
		if (r != NULL)
			list_push_front(&q->routing, &r->sched.node);
	}
	q->routes_busy = 0;
	domain_cache_clear(q->domains);
}

static void
late(struct queue *q, struct rcpt *r)
{
	routed(q, r->msg);
	no_delivery(q, r, JOB_DEFERRED, SLICE_LIT("4.3.0"),
	    SLICE_LIT("address lookup timed out"));
}

/* Questions that were asked.  One that is late stays open, its answer will be
 * ignored. */
static void
asked_late(struct queue *q, struct mono now, bool all)
{
	for (unsigned i = 0; i < ROUTES_MAX; i++) {
		struct rcpt *r = q->routes[i].rcpt;

		if (r == NULL || (!all && mono_sub(now, q->routes[i].since) <
					      ROUTE_TIMEOUT_MS))
			continue;
		q->routes[i].rcpt = NULL;
		late(q, r);
	}
}

/* Those who wait to be asked, in the order in which they came. */
static void
waiting_late(struct queue *q, struct mono now, bool all)
{
	struct list_node *n;

	while ((n = list_first(&q->routing)) != NULL) {
		struct rcpt *r = CONTAINER(n, struct rcpt, sched.node);

		if (!all &&
		    mono_sub(now, r->msg->routing_since) < ROUTE_WAIT_MS)
			return;
		list_remove(n);
		late(q, r);
	}
}

/* The channel answers in order: when nothing was answered for so long, lookup
 * hangs, and those behind the open questions would wait for ever. */
void
route_tick(struct queue *q)
{
	struct mono now = queue_mono(q);
	bool waits = q->routes_busy > 0 || !list_empty(&q->routing);
	bool hangs = waits && mono_sub(now, q->route_moved) >= ROUTE_TIMEOUT_MS;

	asked_late(q, now, hangs);
	waiting_late(q, now, hangs);
	if (!hangs)
		return;
	q->route_moved = now;
	if (q->lookup != NULL && q->routes_busy > 0)
		peer_bad(q->lookup, "does not answer");
}
