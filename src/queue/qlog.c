/*
 * The log in qmail-send's own lines (log_format = qmail): what its readers
 * take apart, byte for byte.
 *
 * A message is new once, when it was taken in; each recipient of a delivery
 * is a delivery to those readers, and each start and each end is followed by
 * the status.  The qp of a message is its id, which is also what its sender
 * was told, and what "bounce msg" and "did 0+1+0/qp" name.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "proto/qmail_report.h"
#include "queue/internal.h"

_Static_assert((int)QMAIL_REPORT_BYTES_MAX < (int)LOG_LINE_BYTES,
    "a report is one line");

bool
qlog_on(const struct queue *q)
{
	return q->conf->log_format == LOG_QMAIL;
}

/* As much of s as buf holds, made safe and terminated. */
static const char *
safe(struct slice s, char *buf, size_t size)
{
	size_t len = s.len < size ? s.len : size - 1;

	if (len > 0)
		memcpy(buf, s.data, len);
	qmail_safe(buf, len);
	buf[len] = '\0';
	return buf;
}

void
qlog_new(const struct queue *q, const struct msg *m)
{
	struct rd rd = rd_of(slice_of(m->envelope, m->envelope_len));
	unsigned long long id = m->store.id;
	char sender[ADDRESS_BYTES_MAX + 1];
	struct envelope e;

	if (!qlog_on(q) || !envelope_get(&rd, &e))
		return;
	log_qmail("new msg %llu", id);
	log_qmail("info msg %llu: bytes %llu from <%s> qp %llu uid %u", id,
	    (unsigned long long)m->size_bytes,
	    safe(m->sender, sender, sizeof(sender)), id,
	    e.origin == ORIGIN_LOCAL ? (unsigned)e.uid : (unsigned)getuid());
}

void
qlog_started(struct queue *q, struct rcpt *r)
{
	char address[ADDRESS_BYTES_MAX + 1];

	if (!qlog_on(q))
		return;
	r->delivery = ++q->delivery_count;
	log_qmail("starting delivery %u: msg %llu to %s %s", r->delivery,
	    (unsigned long long)r->msg->store.id,
	    r->remote ? "remote" : "local",
	    safe(rcpt_address(r), address, sizeof(address)));
	status_write(q);
}

void
qlog_ended(struct queue *q, struct rcpt *r, const struct result *res,
    const char *prefix)
{
	static const char *const words[JOB_STATUS_COUNT] = {
		[JOB_SENT] = "success",
		[JOB_DEFERRED] = "deferral",
		[JOB_FAILED] = "failure",
		[JOB_SENT_DSN] = "success",
	};
	char text[JOB_TEXT_BYTES_MAX + 64], said[QMAIL_REPORT_BYTES_MAX];
	struct wr w = wr_of(said, sizeof(said));
	bool tried = r->delivery != 0;
	int len = snprintf(text, sizeof(text), "%s%.*s", prefix,
	    SLICE_ARGS(slice_sub(res->text, 0, JOB_TEXT_BYTES_MAX)));
	struct qmail_report report = {
		.sent = res->status == JOB_SENT || res->status == JOB_SENT_DSN,
		.relay = res->relay,
		.dsn = res->dsn,
		.text = slice_of(text, len > 0 ? (size_t)len : 0),
	};

	/* Decided without an agent: to readers it is one that failed. */
	if (!tried)
		qlog_started(q, r);
	if (q->status_owed)
		status_write(q); /* another recipient of the same */
	qmail_report_put(&report, &w);
	qmail_safe(said, w.len);
	log_qmail("delivery %u: %s: %.*s", r->delivery, words[res->status],
	    (int)w.len, said);
	r->delivery = 0;
	if (tried)
		q->status_owed = true; /* the gate is left at its end */
	else
		status_write(q);
}

void
qlog_bounced(const struct queue *q, const struct msg *m,
    const struct msg *bounce)
{
	if (qlog_on(q))
		log_qmail("bounce msg %llu qp %llu",
		    (unsigned long long)m->store.id,
		    (unsigned long long)bounce->store.id);
}

void
qlog_discarded(const struct msg *m)
{
	log_qmail("triple bounce: discarding bounce/%llu",
	    (unsigned long long)m->store.id);
}

void
qlog_over(const struct queue *q, uint64_t id)
{
	if (qlog_on(q))
		log_qmail("end msg %llu", (unsigned long long)id);
	else
		log_message(id, "removed");
}
