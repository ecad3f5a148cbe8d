/*
 * Outcomes: what became of one recipient in this pass: the line in the log,
 * the text that is kept, and what is owed for it.
 */
#include <string.h>

#include "base/assert.h"
#include "queue/internal.h"

#define DSN_GIVEN_UP  "5.7.0"
#define TEXT_GIVEN_UP "given up by the administrator"

static bool
is_double_bounce(const struct queue *q, struct slice address)
{
	size_t at = slice_rfind(address, '@');

	return at < address.len &&
	       slice_eq_nocase(slice_sub(address, 0, at),
		   slice_str(q->conf->doublebounceto)) &&
	       slice_eq_nocase(slice_sub(address, at + 1, address.len),
		   slice_str(q->conf->doublebouncehost));
}

/* Is the sender, or for a report the postmaster, owed a report of failure? */
static bool
failure_owed(const struct queue *q, const struct rcpt *r)
{
	if (r->msg->gone)
		return false;
	if (!msg_is_null_sender(r->msg))
		return r->notify == 0 || (r->notify & NOTIFY_FAILURE) != 0;
	if (is_double_bounce(q, rcpt_address(r))) {
		if (qlog_on(q))
			qlog_discarded(r->msg);
		else
			log_message(r->msg->store.id,
			    "discarding: a report to <%.*s>"
			    " could not be delivered",
			    SLICE_ARGS(rcpt_address(r)));
		return false;
	}
	return (r->notify & NOTIFY_NEVER) == 0;
}

static uint8_t
final_status(const struct queue *q, const struct rcpt *r,
    enum job_status status)
{
	switch (status) {
	case JOB_SENT:
		return (r->notify & NOTIFY_SUCCESS) != 0 &&
			       !msg_is_null_sender(r->msg)
			   ? STORE_DELIVERED
			   : STORE_DONE;
	case JOB_SENT_DSN: return STORE_DONE;
	case JOB_FAILED: return failure_owed(q, r) ? STORE_FAILED : STORE_DONE;
	default: return STORE_WAITING;
	}
}

static int64_t
positive(int64_t v)
{
	return v > 0 ? v : 0;
}

static void
log_delivery(struct queue *q, struct rcpt *r, const struct result *res,
    const char *prefix)
{
	static const char *const words[JOB_STATUS_COUNT] = {
		[JOB_SENT] = "sent",
		[JOB_DEFERRED] = "deferred",
		[JOB_FAILED] = "bounced",
		[JOB_SENT_DSN] = "sent",
	};
	const struct msg *m = r->msg;
	struct mono now = queue_mono(q);
	struct mono started = res->started.ms != 0 ? res->started : now;
	int64_t total = positive(queue_wall(q).ms - (int64_t)m->arrival_ms);
	int64_t active = positive(mono_sub(now, m->active_since));
	struct slice original = rcpt_original(r);
	char d[5][16];
	struct log_line l;

	if (qlog_on(q)) {
		qlog_ended(q, r, res, prefix);
		return;
	}
	status_delay(d[0], sizeof(d[0]), total);
	status_delay(d[1], sizeof(d[1]), total - active);
	status_delay(d[2], sizeof(d[2]), mono_sub(started, m->active_since));
	status_delay(d[3], sizeof(d[3]), res->setup_ms);
	status_delay(d[4], sizeof(d[4]), res->transfer_ms);
	log_begin(&l, LOG_LEVEL_INFO, m->store.id, "delivery");
	log_field(&l, "to", "<%.*s>", SLICE_ARGS(rcpt_address(r)));
	if (original.len > 0 && !slice_eq(original, rcpt_address(r)))
		log_field(&l, "orig_to", "<%.*s>", SLICE_ARGS(original));
	if (res->relay.len > 0)
		log_field(&l, "relay", "%.*s", SLICE_ARGS(res->relay));
	else
		log_field(&l, "relay", "none");
	log_field(&l, "delay", "%s", d[0]);
	log_field(&l, "delays", "%s/%s/%s/%s", d[1], d[2], d[3], d[4]);
	log_field(&l, "dsn", "%.*s", SLICE_ARGS(res->dsn));
	log_field(&l, "status", "%s", words[res->status]);
	log_note(&l, "%s%.*s", prefix, SLICE_ARGS(res->text));
	log_end(&l);
}

/* Text for the log on disk and for a report; NULL: no memory for it. */
static struct outcome *
outcome_new(struct acct *a, const struct result *res, const char *prefix)
{
	size_t before = strlen(prefix), relay = res->relay.len;
	size_t text = res->text.len;
	struct outcome *o;

	if (relay > JOB_RELAY_BYTES_MAX)
		relay = JOB_RELAY_BYTES_MAX;
	if (text + before > JOB_TEXT_BYTES_MAX)
		text = JOB_TEXT_BYTES_MAX - before;
	o = mem_alloc(a, sizeof(*o) + relay + before + text);
	if (o == NULL)
		return NULL;
	if (!slice_copy(res->dsn, o->dsn, sizeof(o->dsn)))
		slice_copy(SLICE_LIT("4.0.0"), o->dsn, sizeof(o->dsn));
	o->relay_len = (uint16_t)relay;
	o->text_len = (uint16_t)(before + text);
	if (relay > 0)
		memcpy(o->bytes, res->relay.data, relay);
	if (before > 0)
		memcpy(o->bytes + relay, prefix, before);
	if (text > 0)
		memcpy(o->bytes + relay + before, res->text.data, text);
	return o;
}

void
result_loaded(struct queue *q, struct rcpt *r, const struct store_rcpt *s)
{
	struct result res = { .dsn = s->dsn,
		.relay = s->relay,
		.text = s->text };

	r->attempts = s->attempts;
	if (s->status != STORE_FAILED && s->status != STORE_DELIVERED)
		return;
	r->status = s->status;
	r->state = RCPT_OVER;
	r->msg->busy--;
	r->outcome = outcome_new(msg_acct(q, r->msg), &res, "");
}

/* r has no more to do in this pass. */
static void
rcpt_over(struct queue *q, struct rcpt *r)
{
	ASSERT(r->state != RCPT_OVER && r->msg->busy > 0);
	r->state = RCPT_OVER;
	r->msg->busy--;
	result_mark(q, r->msg);
}

void
result_set(struct queue *q, struct rcpt *r, const struct result *res)
{
	struct result as = *res;
	struct msg *m = r->msg;
	const char *prefix = "";
	char dsn[JOB_DSN_BYTES_MAX + 1];

	if (r->attempts < UINT16_MAX)
		r->attempts++;
	if (!slice_copy(res->dsn, dsn, sizeof(dsn)) || dsn[0] == '\0')
		slice_copy(slice_str(res->status == JOB_FAILED	   ? "5.0.0"
				     : res->status == JOB_DEFERRED ? "4.0.0"
								   : "2.0.0"),
		    dsn, sizeof(dsn));
	if (as.status == JOB_FAILED && q->conf->soft_bounce && !m->failing) {
		as.status = JOB_DEFERRED;
		dsn[0] = '4';
	}
	if (as.status == JOB_DEFERRED && m->failing) {
		as.status = JOB_FAILED;
		slice_copy(SLICE_LIT(DSN_GIVEN_UP), dsn, sizeof(dsn));
		prefix = TEXT_GIVEN_UP ": ";
	}
	if (as.status == JOB_DEFERRED && !m->gone &&
	    retry_expired(&q->retry, queue_age_ms(q, m->arrival_ms),
		r->attempts, msg_is_null_sender(m))) {
		as.status = JOB_FAILED;
		slice_copy(SLICE_LIT("5.4.7"), dsn, sizeof(dsn));
		prefix = "delivery time expired: ";
		queue_limits_expired(q, r);
	}
	as.dsn = slice_str(dsn);
	limit_count(q->ended_rows[as.status]);
	log_delivery(q, r, &as, prefix);
	r->status = final_status(q, r, as.status);
	r->unwritten = true;
	mem_free(msg_acct(q, m), r->outcome);
	r->outcome = outcome_new(msg_acct(q, m), &as, prefix);
	if (as.status == JOB_DEFERRED) {
		m->deferred++;
		m->remote_left |= r->remote;
	}
	rcpt_over(q, r);
}

void
result_put_back(struct queue *q, struct rcpt *r, uint32_t again_ms)
{
	r->put_back = true;
	r->msg->put_back++;
	if (r->msg->put_back_ms < again_ms)
		r->msg->put_back_ms = again_ms;
	rcpt_over(q, r);
}

/* Was it deferred in this pass?  Then it is as if it had no result yet. */
static bool
reopen(struct msg *m, struct rcpt *r)
{
	if (r->state != RCPT_OVER || r->status != STORE_WAITING)
		return false;
	if (r->put_back)
		m->put_back--;
	else
		m->deferred--;
	r->put_back = false;
	r->state = RCPT_WAITING;
	m->busy++;
	return true;
}

void
result_give_up(struct queue *q, struct msg *m)
{
	struct result res = { .status = JOB_FAILED,
		.dsn = SLICE_LIT(DSN_GIVEN_UP),
		.relay = SLICE_LIT("none"),
		.text = SLICE_LIT(TEXT_GIVEN_UP) };
	struct list_node *n = list_first(&m->rcpts);

	m->failing = true;
	if (m->state != MSG_ACTIVE)
		return; /* again when its report is made */
	for (; n != NULL; n = list_next(&m->rcpts, n)) {
		struct rcpt *r = CONTAINER(n, struct rcpt, node);

		if (r->state == RCPT_ROUTING)
			route_remove(q, r);
		else if (r->state == RCPT_WAITING)
			sched_remove(&q->sched, &r->sched);
		else if (!reopen(m, r))
			continue;
		result_set(q, r, &res);
	}
}
