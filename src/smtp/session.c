/*
 * session: what the machine says and tells, turned into bytes, timers and
 * results.
 *
 * Happy path: conn_run feeds replies; READY begins the job's transaction,
 * BODY sends the body, RESULT notes, END gives the connection back and the job
 * goes on to its end.
 *
 * Failure modes: refused in the handshake: the next host, a greeting never
 * fails a message for good; broken, lost or timed out: the next host, but not
 * once the final dot was sent, because the message may have been taken; a
 * write that fails: what the server still says is read first, since it often
 * says why.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/assert.h"
#include "base/log.h"
#include "conf/conf.h"
#include "smtp/agent.h"
#include "smtp/conn.h"

enum { SAY_BYTES = 8192 };

/* ---- the end of a session ---- */

static bool
in_handshake(const struct conn *c)
{
	enum smtp_client_wait w = smtp_client_waits(&c->client);

	return w == SMTP_WAIT_GREETING || w == SMTP_WAIT_HELO;
}

/* Close, and go on with the next host or end with this reason. */
static void
leave_host(struct conn *c, enum job_status status, const char *dsn,
    const char *text)
{
	struct job *j = c->job;

	job_set_trouble(j, status, dsn, job_keep(j, c->relay), text);
	if (job_has_next(j))
		log_message(j->id, "%s", text);
	conn_close(c);
	job_next(j);
}

static void
start_fresh(struct conn *c)
{
	struct job *j = c->job;

	conn_close(c);
	job_start_fresh(j);
}

void
conn_lost(struct conn *c, const char *dsn, const char *text)
{
	ASSERT(c->state == CONN_OPEN);
	if (c->reused && smtp_client_untouched(&c->client)) {
		start_fresh(c);
		return;
	}
	if (in_handshake(c))
		c->job->handshake_failed = true;
	if (smtp_client_sent_dot(&c->client))
		job_give_up_hosts(c->job);
	leave_host(c, JOB_DEFERRED, dsn, text);
}

/* A limit or a file of ours: no other host can help. */
static void
local_trouble(struct conn *c, const char *dsn, const char *text)
{
	job_give_up_hosts(c->job);
	leave_host(c, JOB_DEFERRED, dsn, text);
}

/* Greeting, EHLO or HELO was refused.  5xx to HELO is meant for us, 5xx in
 * the greeting may be an outage that somebody configured so.  An LMTP server
 * is a part of our own system: that it does not know LHLO is a mistake of the
 * administrator's, and no reason to return mail. */
static void
on_refused(struct conn *c)
{
	char reply[CONN_REPLY_BYTES], text[JOB_TEXT_BYTES_MAX];
	char dsn[SMTP_STATUS_BYTES];
	bool greeting = smtp_client_waits(&c->client) == SMTP_WAIT_GREETING;
	bool failed = c->client.reply.code / 100 == 5 && !greeting && !c->lmtp;

	conn_reply_line(c, reply);
	smtp_reply_status(&c->client.reply, dsn);
	if (!failed)
		dsn[0] = '4';
	snprintf(text, sizeof(text), "host %.120s refused to talk to me: %s",
	    c->site, reply);
	c->job->handshake_failed = true;
	leave_host(c, failed ? JOB_FAILED : JOB_DEFERRED, dsn, text);
}

static void
on_broken(struct conn *c)
{
	char reply[CONN_REPLY_BYTES], text[JOB_TEXT_BYTES_MAX];
	char dsn[SMTP_STATUS_BYTES] = "4.5.0";

	if (c->state == CONN_QUITTING) {
		conn_close(c);
		return;
	}
	if (c->client.broken == SMTP_BROKEN_REPLY) {
		snprintf(text, sizeof(text),
		    "remote protocol error in reply from %s while %s", c->site,
		    smtp_client_doing(&c->client));
	} else {
		conn_reply_line(c, reply);
		smtp_reply_status(&c->client.reply, dsn);
		dsn[0] = '4';
		snprintf(text, sizeof(text), "host %.120s said: %s (while %s)",
		    c->site, reply, smtp_client_doing(&c->client));
	}
	conn_lost(c, dsn, text);
}

/* END: the job takes its leave before the connection is kept or closed. */
static void
on_end(struct conn *c, bool in_step)
{
	struct job *j = c->job;

	c->job = NULL;
	j->conn = NULL;
	if (in_step)
		conn_release(c);
	else
		conn_close(c);
	job_next(j);
}

/* ---- bytes out ---- */

/* Send, keep what the socket does not take.  False: no memory for that. */
static bool
send_or_keep(struct conn *c, struct slice s)
{
	ssize_t n = 0;

	if (c->write_failed)
		return true;
	if (buf_data(&c->out).len == 0) {
		do
			n = send(c->fd, s.data, s.len,
			    MSG_NOSIGNAL | MSG_DONTWAIT);
		while (n < 0 && errno == EINTR);
		if (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK) {
			c->write_failed = true;
			return true;
		}
		if (n < 0)
			n = 0;
	}
	s = slice_sub(s, (size_t)n, s.len);
	return s.len == 0 || buf_put(&c->out, s) == OK;
}

/* What waited for the socket. */
static void
send_kept(struct conn *c)
{
	struct slice s = buf_data(&c->out);
	ssize_t n;

	if (s.len == 0 || c->write_failed)
		return;
	do
		n = send(c->fd, s.data, s.len, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n > 0)
		buf_take(&c->out, (size_t)n);
	else if (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK)
		c->write_failed = true;
	buf_release(&c->out);
}

/* Commands that are due.  False: c is gone. */
static bool
send_commands(struct conn *c)
{
	char buf[SAY_BYTES];
	size_t n;

	send_kept(c);
	while (buf_data(&c->out).len == 0 &&
	       (n = smtp_client_output(&c->client, buf, sizeof(buf))) > 0) {
		if (send_or_keep(c, slice_of(buf, n)))
			continue;
		if (c->job == NULL)
			conn_close(c);
		else
			local_trouble(c, "4.3.1", "out of memory");
		return false;
	}
	return true;
}

enum sent { SENT_ALL, SENT_SOME, SENT_GONE };

static enum sent
send_body(struct conn *c)
{
	struct agent *g = c->agent;
	struct errtext et;

	if (c->write_failed || buf_data(&c->out).len > 0)
		return SENT_SOME;
	switch (body_send(&c->job->body, &g->segments, c->fd, g->piece, &et)) {
	case BODY_DONE: smtp_client_body_sent(&c->client); return SENT_ALL;
	case BODY_LOST: c->write_failed = true; return SENT_SOME;
	case BODY_LOCAL:
		log_message(c->job->id, "warning: %s", et.text);
		local_trouble(c, "4.3.0", et.text);
		return SENT_GONE;
	default: return SENT_SOME;
	}
}

/* ---- time ---- */

static int64_t
time_limit(const struct conn *c, enum smtp_client_wait w)
{
	const struct conf *conf = c->agent->conf;

	switch (w) {
	case SMTP_WAIT_GREETING:
	case SMTP_WAIT_HELO:
		return c->lmtp ? conf->lmtp_lhlo_timeout_ms
			       : conf->smtp_helo_timeout_ms;
	case SMTP_WAIT_MAIL:
		return conn_either(c, conf->smtp_mail_timeout_ms,
		    conf->lmtp_mail_timeout_ms);
	case SMTP_WAIT_RCPT:
		return conn_either(c, conf->smtp_rcpt_timeout_ms,
		    conf->lmtp_rcpt_timeout_ms);
	case SMTP_WAIT_DATA:
		return conn_either(c, conf->smtp_data_init_timeout_ms,
		    conf->lmtp_data_init_timeout_ms);
	case SMTP_WAIT_BODY:
		return conn_either(c, conf->smtp_data_xfer_timeout_ms,
		    conf->lmtp_data_xfer_timeout_ms);
	case SMTP_WAIT_DOT:
		return conn_either(c, conf->smtp_data_done_timeout_ms,
		    conf->lmtp_data_done_timeout_ms);
	default:
		return conn_either(c, conf->smtp_quit_timeout_ms,
		    conf->lmtp_quit_timeout_ms);
	}
}

/* The body has a time limit for each step and one for the whole, so that a
 * server that reads an octet now and then cannot hold a delivery for days. */
static void
begin_body(struct conn *c)
{
	const struct conf *conf = c->agent->conf;
	int64_t ms = conn_either(c, conf->smtp_data_xfer_timeout_ms,
	    conf->lmtp_data_xfer_timeout_ms);
	int64_t rate = conn_either(c, conf->smtp_min_data_rate_bytes,
	    conf->lmtp_min_data_rate_bytes);

	if (rate > 0)
		ms += (int64_t)(c->job->txn.size_bytes * 1000 / (uint64_t)rate);
	else
		ms = INT64_MAX / 2;
	c->body_deadline = mono_add(ev_now(c->agent->loop), ms);
}

/* Only a whole reply, or body bytes taken, are progress: a reply that comes
 * octet by octet has the time of one. */
static void
set_timer(struct conn *c)
{
	enum smtp_client_wait w = smtp_client_waits(&c->client);
	int64_t ms = time_limit(c, w), left;

	if (w == c->wait && c->client.reply_count == c->reply_count &&
	    (w != SMTP_WAIT_BODY || c->job->body.sent_bytes == c->body_seen))
		return;
	c->wait = w;
	c->reply_count = c->client.reply_count;
	if (w == SMTP_WAIT_BODY) {
		c->body_seen = c->job->body.sent_bytes;
		left = mono_sub(c->body_deadline, ev_now(c->agent->loop));
		if (left < ms)
			ms = left > 0 ? left : 0;
	}
	ev_timer_set(&c->timer, ms);
}

/* ---- the machine ---- */

void
conn_start_session(struct conn *c)
{
	c->state = CONN_OPEN;
	smtp_client_init(&c->client, c->lmtp,
	    slice_str(c->lmtp ? c->agent->lhlo_name : c->agent->helo_name));
	c->wait = SMTP_WAIT_GREETING;
	ev_io_want(&c->io, EV_RD);
	ev_timer_set(&c->timer, time_limit(c, c->wait));
}

static void
begin(struct conn *c)
{
	job_ready(c->job);
	c->uses++;
	smtp_client_begin(&c->client, &c->job->txn);
}

void
conn_begin(struct conn *c)
{
	begin(c);
	conn_run(c, SLICE_NONE);
}

/* A server that closes an idle session may say so in reply to our MAIL. */
static bool
is_late_goodbye(const struct conn *c, bool untouched)
{
	return c->reused && untouched && c->client.result.all &&
	       c->client.result.kind == SMTP_RESULT_REPLY &&
	       c->client.result.code == 421;
}

/* One step that was told.  False: c is no more ours. */
static bool
act(struct conn *c, enum smtp_client_step step, bool untouched, bool in_step)
{
	switch (step) {
	case SMTP_STEP_READY: begin(c); return true;
	case SMTP_STEP_RESULT:
		if (is_late_goodbye(c, untouched)) {
			start_fresh(c);
			return false;
		}
		conn_note_result(c);
		return true;
	case SMTP_STEP_BODY: begin_body(c); return true;
	case SMTP_STEP_END: on_end(c, in_step); return false;
	case SMTP_STEP_REFUSED: on_refused(c); return false;
	case SMTP_STEP_BROKEN: on_broken(c); return false;
	default: conn_close(c); return false; /* QUIT was answered */
	}
}

/* All that can be done now was done: wait. */
static void
wait_for_more(struct conn *c)
{
	bool blocked =
	    !c->write_failed &&
	    (buf_data(&c->out).len > 0 || c->client.state == SMTP_CLIENT_BODY);

	ev_io_want(&c->io, blocked ? EV_RD | EV_WR : EV_RD);
	set_timer(c);
}

void
conn_run(struct conn *c, struct slice in)
{
	const struct conf *conf = c->agent->conf;

	for (;;) {
		bool untouched = smtp_client_untouched(&c->client);
		enum smtp_client_step step = smtp_client_step(&c->client, &in);
		enum sent sent;

		if (step != SMTP_STEP_MORE) {
			if (!act(c, step, untouched, in.len == 0))
				return;
			continue;
		}
		if (!send_commands(c))
			return;
		if (c->client.state != SMTP_CLIENT_BODY)
			break;
		sent = send_body(c);
		if (sent == SENT_GONE)
			return;
		if (sent == SENT_SOME)
			break;
	}
	if (c->state == CONN_QUITTING &&
	    conn_either(c, conf->smtp_skip_quit_response,
		conf->lmtp_skip_quit_response) &&
	    buf_data(&c->out).len == 0) {
		conn_close(c);
		return;
	}
	wait_for_more(c);
}
