/*
 * result: what the machine tells of recipients, in the words of the log and of
 * reports.
 */
#include <stdio.h>

#include "smtp/agent.h"
#include "smtp/conn.h"

void
conn_reply_line(const struct conn *c, char buf[static CONN_REPLY_BYTES])
{
	struct slice s = smtp_reply_text(&c->client.reply);
	size_t n = s.len < CONN_REPLY_BYTES - 1 ? s.len : CONN_REPLY_BYTES - 1;

	for (size_t i = 0; i < n; i++)
		buf[i] =
		    s.data[i] == '\n' || s.data[i] == '\0' ? ' ' : s.data[i];
	buf[n] = '\0';
}

static void
set_dsn(struct job_trouble *t, const char *dsn)
{
	(void)slice_copy(slice_str(dsn), t->dsn, sizeof(t->dsn));
}

static void
describe_reply(struct conn *c, struct job_trouble *t)
{
	const struct smtp_client_result *r = &c->client.result;
	char reply[CONN_REPLY_BYTES], text[JOB_TEXT_BYTES_MAX];

	conn_reply_line(c, reply);
	if (r->code / 100 == 2) {
		t->status = JOB_SENT;
		t->text = job_keep(c->job, reply);
		return;
	}
	snprintf(text, sizeof(text), "host %.120s said: %s (in reply to %s)",
	    c->site, reply, r->command);
	t->text = job_keep(c->job, text);
}

static void
describe_refusal(struct conn *c, struct job_trouble *t)
{
	const struct smtp_client *m = &c->client;
	char text[JOB_TEXT_BYTES_MAX];

	switch (m->result.kind) {
	case SMTP_RESULT_TOO_BIG:
		snprintf(text, sizeof(text),
		    "message size %llu exceeds size limit %llu of server %s",
		    (unsigned long long)c->job->txn.size_bytes,
		    (unsigned long long)m->size_max, c->site);
		break;
	case SMTP_RESULT_NO_UTF8:
		snprintf(text, sizeof(text),
		    "SMTPUTF8 is required, but was not offered by host %s",
		    c->site);
		break;
	default:
		snprintf(text, sizeof(text),
		    "the address cannot be given to another server");
		break;
	}
	t->text = job_keep(c->job, text);
}

void
conn_note_result(struct conn *c)
{
	const struct smtp_client_result *r = &c->client.result;
	struct job_trouble t = { .relay = c->job->relay };

	t.status = r->code / 100 == 5 ? JOB_FAILED : JOB_DEFERRED;
	set_dsn(&t, r->status);
	if (r->kind == SMTP_RESULT_REPLY)
		describe_reply(c, &t);
	else
		describe_refusal(c, &t);
	job_note(c->job, r->all, r->rcpt, &t, r->code / 100 == 4);
}
