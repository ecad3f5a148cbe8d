/* The status line, gauges, and how delays are written. */
#include "queue/internal.h"

enum { STATUS_MS = 1000 };

void
status_limits(struct queue *q)
{
	limit_set_limit(q->agent_row, q->conf->transport_retry_time_ms);
	limit_set_limit(q->filter_row, q->conf->duplicate_filter_limit);
}

void
status_init(struct queue *q)
{
	q->agent_row = limits_row(LIMIT_DEADLINE, "mail of an agent that died",
	    "transport_retry_time", 0, 0);
	q->filter_row = limits_row(LIMIT_COUNT, "recipients remembered",
	    "duplicate_filter_limit", 0, 0);
	status_limits(q);
	q->ended_rows[JOB_SENT] =
	    limits_row(LIMIT_TOTAL, "deliveries sent", "", 0, 0);
	q->ended_rows[JOB_SENT_DSN] = q->ended_rows[JOB_SENT];
	q->ended_rows[JOB_DEFERRED] =
	    limits_row(LIMIT_TOTAL, "deliveries deferred", "", 0, 0);
	q->ended_rows[JOB_FAILED] =
	    limits_row(LIMIT_TOTAL, "deliveries bounced", "", 0, 0);
	q->rcpt_row = limits_row(LIMIT_POOL, "recipients",
	    "qmgr_message_recipient_limit", sizeof(struct rcpt), q->rcpt_max);
	q->active_row = limits_row(LIMIT_POOL, "active messages",
	    "qmgr_message_active_limit", 0, q->active_max);
	q->deferred_row =
	    limits_row(LIMIT_GAUGE, "deferred messages", "", 0, 0);
	q->incoming_row =
	    limits_row(LIMIT_GAUGE, "incoming messages", "", 0, 0);
	q->hold_row = limits_row(LIMIT_GAUGE, "messages on hold", "", 0, 0);
	q->txn_row = limits_row(LIMIT_GAUGE, "transactions", "", 0, 0);
	q->ahead_row = limits_row(LIMIT_COUNT, "granted ahead", "",
	    sizeof(struct txn), TXNS_AHEAD_MAX);
}

void
status_counts(struct queue *q, const struct store_counts *c)
{
	q->counts = *c;
	limit_set_in_use(q->deferred_row, (int64_t)c->deferred_count);
	limit_set_in_use(q->incoming_row, (int64_t)c->waiting_count);
	limit_set_in_use(q->hold_row, (int64_t)c->hold_count);
}

static void
status_line(struct queue *q)
{
	log_qmail("status: local %u/%u remote %u/%u%s",
	    q->gates[SCHED_LOCAL].in_use, q->gates[SCHED_LOCAL].limit,
	    q->gates[SCHED_REMOTE].in_use, q->gates[SCHED_REMOTE].limit,
	    q->draining && qlog_on(q) ? " exitasap" : "");
}

/* Has a figure of the line changed since the last one? */
static bool
differs(struct queue *q)
{
	const unsigned now[4] = {
		q->gates[SCHED_LOCAL].in_use,
		q->gates[SCHED_LOCAL].limit,
		q->gates[SCHED_REMOTE].in_use,
		q->gates[SCHED_REMOTE].limit,
	};
	bool different = !q->status_said;

	for (unsigned i = 0; i < 4; i++) {
		different |= q->logged[i] != now[i];
		q->logged[i] = now[i];
	}
	q->status_said = true;
	return different;
}

void
status_write(struct queue *q)
{
	q->status_owed = false;
	(void)differs(q);
	status_line(q);
}

void
status_exiting(const struct queue *q)
{
	if (qlog_on(q))
		log_qmail("status: exiting");
}

void
status_changed(struct queue *q)
{
	struct mono now = queue_mono(q);

	if (!q->running)
		return;
	if (qlog_on(q)) {
		if (differs(q) || q->status_owed)
			status_write(q);
		return;
	}
	if (q->status_said && mono_sub(now, q->status_next) < 0) {
		q->status_owed = true; /* status_tick */
		return;
	}
	q->status_owed = false;
	if (!differs(q))
		return;
	q->status_next = mono_add(now, STATUS_MS);
	status_line(q);
}

void
status_tick(struct queue *q)
{
	if (q->status_owed)
		status_changed(q);
}

/* Postfix writes at most two digits behind the point, and none that say
 * nothing: 0, 0.04, 0.32, 3.2, 32. */
void
status_delay(char *buf, size_t size, int64_t ms)
{
	if (ms < 5)
		snprintf(buf, size, "0");
	else if (ms < 995)
		snprintf(buf, size, "0.%02d", (int)((ms + 5) / 10));
	else if (ms < 9950)
		snprintf(buf, size, "%d.%d", (int)((ms + 50) / 1000),
		    (int)((ms + 50) / 100 % 10));
	else
		snprintf(buf, size, "%lld", (long long)((ms + 500) / 1000));
}
