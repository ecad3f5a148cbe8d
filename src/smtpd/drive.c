/*
 * drive: the machine's steps, carried out.
 *
 * The machine runs until it wants input or an answer.  Replies are written
 * when it waits for the client, so that one batch of commands gets its replies
 * in one write; while it waits for another role they are kept, since more
 * will follow at once.
 */
#include "base/assert.h"
#include "smtpd/session.h"

/* Of one session, before the others have theirs. */
enum { STEPS_PER_TURN = 128 };

static void
keep_helo(struct session *s, struct slice name)
{
	struct server *sv = s->server;

	mem_free(sv->acct, s->helo);
	s->helo = mem_alloc(sv->acct, name.len + 1);
	if (s->helo != NULL)
		memcpy(s->helo, name.data, name.len);
}

/* Why MAIL cannot be accepted now; NONE: it can. */
static enum smtps_reply
may_begin(struct session *s)
{
	struct server *sv = s->server;

	if (sv->queue == NULL)
		return SMTPS_REPLY_NO_QUEUE;
	if (sv->queue_state != OK)
		return sv->queue_state == ERR_FULL ? SMTPS_REPLY_FULL
						   : SMTPS_REPLY_STORAGE;
	if (sv->ladder.step >= LADDER_REFUSE && s->kind != LISTEN_LOCAL)
		return SMTPS_REPLY_FULL;
	if (!clients_rate(sv, s, CLIENT_RATE_ERROR, 0))
		return SMTPS_REPLY_RATE_ERROR;
	if (!clients_rate(sv, s, CLIENT_RATE_MESSAGE, 1))
		return SMTPS_REPLY_RATE;
	return SMTPS_REPLY_NONE;
}

static void
on_mail(struct session *s, struct smtps_io *io)
{
	struct server *sv = s->server;
	enum smtps_reply r = may_begin(s);
	struct smtps_refusal why;
	struct txn *t;

	if (r == SMTPS_REPLY_NONE) {
		t = acct_room(s->acct) < MEMORY_LOW_BYTES
			? NULL
			: txn_new(s, &io->mail);
		if (t != NULL) {
			smtps_mail_accept(&s->m, io, &t->m);
			return;
		}
		log_limit(&sv->memory_site, ev_now(sv->loop), "transactions",
		    sv->txns.in_use, SLICE_LIT("all clients"),
		    "refused with 452");
		r = SMTPS_REPLY_FULL;
	}
	if (r == SMTPS_REPLY_STORAGE)
		limits_no_room(s);
	why = smtps_why(r);
	smtps_refuse(&s->m, io, &why);
	/* The next step would forget it. */
	if (io->reject.len > 0)
		report_reject(s, io);
}

static void
on_rcpt(struct session *s, struct smtps_io *io)
{
	if (clients_rate(s->server, s, CLIENT_RATE_RCPT, 1))
		rcpt_ask(s, &io->rcpt, io->slot);
	else
		rcpt_refuse(s, &io->rcpt, io->slot, SMTPS_REPLY_RATE_RCPT);
}

/* Past the soft limit errors are counted against the client as well. */
static void
count_errors(struct session *s)
{
	for (; s->m.errors_new > 0; s->m.errors_new--)
		if (!clients_rate(s->server, s, CLIENT_RATE_ERROR, 1))
			break;
	s->m.errors_new = 0;
	for (; s->m.junk_new > 0; s->m.junk_new--)
		limits_reached(s, ROW_JUNK, "counted as an error");
}

enum outcome { GO_ON, STOP, GONE };

static enum outcome
stop(struct session *s, enum session_wait why)
{
	s->wait = (uint8_t)why;
	return STOP;
}

static enum outcome
obey(struct session *s, struct smtps_io *io, enum smtps_step step)
{
	switch (step) {
	case SMTPS_STEP_MORE: return stop(s, WAIT_CLIENT);
	case SMTPS_STEP_WAIT: return stop(s, WAIT_ROLES);
	case SMTPS_STEP_PAUSE:
		if (s->server->conf->smtpd_error_sleep_time_ms == 0)
			return GO_ON;
		limits_reached(s, ROW_SOFT_ERRORS, "its replies wait");
		return stop(s, WAIT_PAUSE);
	case SMTPS_STEP_FLUSH:
		if (!session_flush(s))
			return GONE;
		return s->wait == WAIT_WRITE ? STOP : GO_ON;
	case SMTPS_STEP_HELO:
		txn_free(s);
		keep_helo(s, io->helo);
		return GO_ON;
	case SMTPS_STEP_MAIL: on_mail(s, io); return GO_ON;
	case SMTPS_STEP_RCPT: on_rcpt(s, io); return GO_ON;
	case SMTPS_STEP_OPEN: txn_open(s); return GO_ON;
	case SMTPS_STEP_BODY:
		txn_body(s, io->body);
		if (!txn_gathers(s) && !txn_send_held(s))
			return stop(s, WAIT_CREDIT);
		return GO_ON;
	case SMTPS_STEP_ABORT: txn_abort(s); return GO_ON;
	case SMTPS_STEP_COMMIT: txn_commit(s); return GO_ON;
	case SMTPS_STEP_RESET: txn_free(s); return GO_ON;
	case SMTPS_STEP_AGAIN: return GO_ON;
	case SMTPS_STEP_CLOSE: break;
	}
	/* The client may take its time for the last replies; the queue is not
	 * kept waiting for it, nor can it fail what is over. */
	txn_free(s);
	if (!session_flush(s) || s->wait != WAIT_WRITE)
		return GONE;
	return STOP;
}

/* MAIL waits for the client's name, so that every line about a message can
 * have it. */
static bool
wants_name(const struct session *s, const struct smtps_io *io)
{
	return !s->named && s->m.state == SMTPS_READY && io->in_len > 0;
}

static enum outcome
run_machine(struct session *s, struct smtps_io *io)
{
	unsigned steps = 0;
	enum outcome o;

	do {
		enum smtps_step step;

		if (wants_name(s, io))
			return stop(s, WAIT_NAME);
		step = smtps_next(&s->m, io);
		if (io->reject.len > 0)
			report_reject(s, io);
		o = obey(s, io, step);
	} while (o == GO_ON && ++steps < STEPS_PER_TURN);
	/* A flood of commands waits for those who say little. */
	if (o == GO_ON) {
		session_wake(s);
		o = stop(s, WAIT_CLIENT);
	}
	count_errors(s);
	return o;
}

/* What the machine did not use and what it said, where they belong. */
static bool
settle(struct session *s, struct smtps_io *io)
{
	if (io->in_len > 0 &&
	    buf_put(&s->in, slice_of(io->in, io->in_len)) != OK)
		return false;
	switch ((enum session_wait)s->wait) {
	case WAIT_ROLES:
	case WAIT_PAUSE:
	case WAIT_CREDIT: return session_keep_out(s);
	case WAIT_WRITE: return session_keep_out(s);
	case WAIT_CLIENT:
	case WAIT_NAME: break;
	}
	return session_flush(s);
}

void
session_drive(struct session *s, char *data, size_t len)
{
	struct smtps_io *io = &s->server->io;
	bool was_in_body = smtps_in_body(&s->m);
	enum outcome o;

	s->wait = WAIT_CLIENT;
	io->in = data;
	io->in_len = len;
	io->out_len = 0;
	o = run_machine(s, io);
	if (o == GONE) {
		session_free(s);
		return;
	}
	/* A command that is only begun does not earn more time. */
	if ((io->in_len < len && !s->m.skipping && !was_in_body) ||
	    smtps_in_body(&s->m) != was_in_body)
		session_new_deadline(s);
	if (!settle(s, io)) {
		log_limit(&s->server->memory_site, ev_now(s->server->loop),
		    "memory", s->server->acct->used_bytes,
		    SLICE_LIT("a session"), "the session is closed");
		io->out_len = 0;
		smtps_hangup(&s->m, io, SMTPS_REPLY_NO_MEMORY);
		(void)session_flush(s);
		session_free(s);
		return;
	}
	if (s->wait == WAIT_WRITE)
		ev_io_want(&s->io, EV_WR);
	else if (s->wait == WAIT_CLIENT)
		ev_io_want(&s->io, EV_RD);
	session_set_timer(s);
	/* What it was allowed to finish is finished. */
	if (s->m.draining)
		session_end_idle(s);
}
