/* Messages and recipients in memory; see internal.h for their life. */
#include <string.h>

#include "alias/sender.h"
#include "base/assert.h"
#include "queue/dest.h"
#include "queue/internal.h"

struct msg *
msg_of_store(struct store_msg *s)
{
	return CONTAINER(s, struct msg, store);
}

struct acct *
msg_acct(struct queue *q, const struct msg *m)
{
	return m->from_disk ? &q->deferred_acct : &q->msg_acct;
}

struct msg *
msg_new(struct queue *q, bool deferred)
{
	struct msg *m = pool_get(&q->msg_pool);

	if (m == NULL)
		return NULL;
	sched_msg_init(&m->sched, false);
	list_init(&m->rcpts);
	m->from_disk = deferred;
	return m;
}

static void
rcpt_free(struct queue *q, struct rcpt *r)
{
	struct msg *m = r->msg;
	struct acct *a = msg_acct(q, m);

	ASSERT(r->state == RCPT_OVER || r->state == RCPT_ROUTING);
	if (r->state == RCPT_ROUTING)
		route_remove(q, r);
	if (r->state != RCPT_OVER)
		m->busy--;
	list_remove(&r->node);
	m->rcpt_count--;
	q->rcpt_count--;
	q->deferred_rcpt_count -= m->from_disk;
	mem_free(a, r->way);
	mem_free(a, r->outcome);
	mem_free(a, r);
}

void
msg_free_rcpts(struct queue *q, struct msg *m)
{
	struct list_node *n;

	while ((n = list_first(&m->rcpts)) != NULL)
		rcpt_free(q, CONTAINER(n, struct rcpt, node));
	ASSERT(m->busy == 0 && m->rcpt_count == 0);
	limit_set_in_use(q->rcpt_row, q->rcpt_count);
}

void
msg_free(struct queue *q, struct msg *m)
{
	report_forget(q, m);
	msg_free_rcpts(q, m);
	list_remove(&m->dirty);
	if (list_linked(&m->node)) {
		list_remove(&m->node);
		if (m->state == MSG_ENDING)
			q->ending_count--;
		else
			q->active_count--;
		if (m->from_disk)
			q->deferred_count--;
		limit_set_in_use(q->active_row,
		    q->active_count + q->ending_count);
	}
	store_msg_close(q->store, &m->store);
	mem_free(msg_acct(q, m), m->envelope);
	pool_put(&q->msg_pool, m);
	due_room(q);
	queue_check_drained(q);
}

enum err
msg_set_envelope(struct queue *q, struct msg *m, struct slice encoded)
{
	struct envelope e;
	struct rd r;

	m->envelope = mem_alloc(msg_acct(q, m), encoded.len + 1);
	if (m->envelope == NULL)
		return ERR_FULL;
	memcpy(m->envelope, encoded.data, encoded.len);
	m->envelope_len = (uint32_t)encoded.len;
	r = rd_of(slice_of(m->envelope, m->envelope_len));
	if (!envelope_get(&r, &e)) {
		mem_free(msg_acct(q, m), m->envelope);
		m->envelope = NULL;
		return ERR_CORRUPT;
	}
	m->sender = e.sender;
	m->size_bytes = e.body_bytes;
	m->arrival_ms = e.arrival_ms;
	m->origin = e.origin;
	m->sched.internal = e.origin == ORIGIN_REPORT;
	m->sched.singly = sender_is_verp(e.sender);
	return OK;
}

bool
msg_is_null_sender(const struct msg *m)
{
	return m->sender.len == 0;
}

enum err
msg_add_rcpt(struct queue *q, struct msg *m, uint32_t index,
    struct slice encoded, struct rcpt **out)
{
	struct rd rd = rd_of(encoded);
	struct envelope_rcpt e;
	struct rcpt *r;
	char *to;

	if (!envelope_rcpt_get(&rd, &e) || !rd_done(&rd))
		return ERR_CORRUPT;
	r = mem_alloc(msg_acct(q, m),
	    sizeof(*r) + e.address.len + e.orcpt.len + e.original.len);
	if (r == NULL)
		return ERR_FULL;
	r->msg = m;
	r->index = index;
	r->notify = e.notify;
	r->address_len = (uint16_t)e.address.len;
	r->orcpt_len = (uint16_t)e.orcpt.len;
	r->original_len = (uint16_t)e.original.len;
	to = r->text;
	if (e.address.len > 0)
		memcpy(to, e.address.data, e.address.len);
	to += e.address.len;
	if (e.orcpt.len > 0)
		memcpy(to, e.orcpt.data, e.orcpt.len);
	to += e.orcpt.len;
	if (e.original.len > 0)
		memcpy(to, e.original.data, e.original.len);
	r->state = RCPT_ROUTING;
	r->status = STORE_WAITING;
	list_push_back(&m->rcpts, &r->node);
	m->rcpt_count++;
	m->busy++;
	q->rcpt_count++;
	q->deferred_rcpt_count += m->from_disk;
	limit_set_in_use(q->rcpt_row, q->rcpt_count);
	*out = r;
	return OK;
}

struct slice
rcpt_stored_address(const struct rcpt *r)
{
	return slice_of(r->text, r->address_len);
}

struct slice
rcpt_address(const struct rcpt *r)
{
	const struct rcpt_way *w = r->way;

	return w != NULL && w->address_len > 0
		   ? slice_of(w->bytes + w->mailbox_len, w->address_len)
		   : rcpt_stored_address(r);
}

struct slice
rcpt_mailbox(const struct rcpt *r)
{
	return r->way == NULL ? SLICE_NONE
			      : slice_of(r->way->bytes, r->way->mailbox_len);
}

struct slice
rcpt_orcpt(const struct rcpt *r)
{
	return slice_of(r->text + r->address_len, r->orcpt_len);
}

struct slice
rcpt_original(const struct rcpt *r)
{
	if (r->original_len == 0 && r->way != NULL && r->way->address_len > 0)
		return rcpt_stored_address(r);
	return slice_of(r->text + r->address_len + r->orcpt_len,
	    r->original_len);
}

static uint32_t
left(uint32_t max, uint32_t used)
{
	return max > used ? max - used : 0;
}

/* Deferred mail has half of the places, recipients and memory at most: new
 * mail finds room however much is due. */
static uint32_t
half(uint32_t max)
{
	return max / 2 + max % 2;
}

uint32_t
msg_rcpt_room(const struct queue *q, bool deferred)
{
	uint32_t room = left(q->rcpt_max, q->rcpt_count);
	uint32_t share = left(half(q->rcpt_max), q->deferred_rcpt_count);

	return deferred && share < room ? share : room;
}

/* Is a part of deferred mail's memory left?  Objects of the pools are not in
 * its account. */
static bool
deferred_memory(const struct queue *q)
{
	int64_t pooled =
	    (int64_t)(q->deferred_count * sizeof(struct msg) +
		      q->deferred_rcpt_count * sizeof(struct sched_peer));

	return q->deferred_acct.used_bytes + pooled <
	       q->deferred_acct.max_bytes;
}

bool
msg_room(const struct queue *q, bool deferred)
{
	if (deferred &&
	    (q->deferred_count >= half(q->active_max) || !deferred_memory(q)))
		return false;
	return q->active_count + q->ending_count < q->active_max &&
	       msg_rcpt_room(q, deferred) > 0 &&
	       acct_room(&q->msg_acct) >= MSG_RESERVE_BYTES;
}

static uint32_t
least(uint32_t count, int64_t other)
{
	return other < count ? (uint32_t)other : count;
}

void
msg_tell_room(struct queue *q)
{
	uint32_t msgs = left(q->active_max, q->active_count + q->ending_count);
	uint32_t rcpts = left(q->rcpt_max, q->rcpt_count);
	int64_t bytes = acct_room(&q->msg_acct) - MSG_RESERVE_BYTES +
			(int64_t)(pool_spare_bytes(&q->msg_pool) +
				  pool_spare_bytes(&q->sched.peer_pool));

	if (bytes < 0)
		bytes = 0;
	/* Each message has a recipient. */
	msgs = least(least(msgs, rcpts), bytes / MSG_BYTES);
	rcpts = least(rcpts, bytes / RCPT_BYTES);
	sched_set_room(&q->sched, msgs, rcpts);
}

void
msg_say_no_room(struct queue *q, bool deferred, uint64_t id)
{
	bool active = q->active_count + q->ending_count >= q->active_max ||
		      (deferred && q->deferred_count >= half(q->active_max));
	struct limit_row *row = active ? q->active_row : q->rcpt_row;
	char who[32];
	int len;

	/* Else it is memory, which counts for itself. */
	if (!active && msg_rcpt_room(q, deferred) > 0)
		return;
	len =
	    snprintf(who, sizeof(who), "message %llu", (unsigned long long)id);
	limit_waited(row);
	log_limit_row(active ? &q->active_site : &q->rcpt_site, queue_mono(q),
	    row, slice_of(who, (size_t)len), "it waits on the disk");
}

void
msg_activate(struct queue *q, struct msg *m)
{
	m->state = MSG_ACTIVE;
	m->active_since = queue_mono(q);
	list_push_back(&q->active, &m->node);
	q->active_count++;
	if (m->from_disk)
		q->deferred_count++;
	limit_set_in_use(q->active_row, q->active_count + q->ending_count);
}

void
msg_begin(struct queue *q, struct msg *m)
{
	struct log_line l;

	if (qlog_on(q)) { /* qlog_new said it, once */
		msg_route(q, m);
		return;
	}
	log_begin(&l, LOG_LEVEL_INFO, m->store.id, "active");
	log_field(&l, "from", "<%.*s>", SLICE_ARGS(m->sender));
	log_field_number(&l, "size", (int64_t)m->size_bytes);
	log_field_number(&l, "nrcpt", m->rcpt_total);
	log_note(&l, "queue active");
	log_end(&l);
	msg_route(q, m);
}

void
msg_route(struct queue *q, struct msg *m)
{
	struct list_node *n = list_first(&m->rcpts);

	if (m->failing) /* these are its next part */
		result_give_up(q, m);
	for (; n != NULL; n = list_next(&m->rcpts, n)) {
		struct rcpt *r = CONTAINER(n, struct rcpt, node);

		if (r->state == RCPT_ROUTING)
			route_add(q, r);
	}
	/* Loaded only for the report that it owes. */
	if (m->busy == 0)
		result_mark(q, m);
}

void
msg_withdraw(struct queue *q, struct msg *m)
{
	struct list_node *n = list_first(&m->rcpts);

	m->suspended = true;
	for (; n != NULL; n = list_next(&m->rcpts, n)) {
		struct rcpt *r = CONTAINER(n, struct rcpt, node);

		if (r->state == RCPT_ROUTING)
			route_remove(q, r);
		else if (r->state == RCPT_WAITING)
			sched_remove(&q->sched, &r->sched);
		else
			continue;
		result_put_back(q, r, PUT_BACK_MS);
	}
	result_mark(q, m);
}
