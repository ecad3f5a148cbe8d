/*
 * smtp_server_verbs: one function for each command and a table of where it is
 * legal.
 */
#include <inttypes.h>
#include <stdio.h>

#include "proto/smtp_server_internal.h"

/* ---- greeting ---- */

static void
say_keywords(struct smtps *s, struct smtps_io *io)
{
	static const struct slice words[] = {
		{ "PIPELINING", 10 },
		{ "ENHANCEDSTATUSCODES", 19 },
		{ "8BITMIME", 8 },
		{ "DSN", 3 },
		{ "SMTPUTF8", 8 },
		{ "CHUNKING", 8 },
	};
	size_t count = sizeof(words) / sizeof(words[0]);
	char size[32];

	smtps_say_line(io, 250, false, s->conf->hostname);
	snprintf(size, sizeof(size), "SIZE %" PRIu64, s->conf->size_max);
	/* RFC 1870 3: without a number, no fixed limit is known. */
	smtps_say_line(io, 250, false,
	    s->conf->size_max > 0 ? slice_str(size) : SLICE_LIT("SIZE"));
	for (size_t i = 0; i < count; i++)
		smtps_say_line(io, 250, i == count - 1, words[i]);
}

/* A name that is fit for a log and a trace field: printable, no blanks. */
static bool
helo_ok(struct slice name)
{
	if (name.len == 0 || name.len > HOST_BYTES_MAX)
		return false;
	for (size_t i = 0; i < name.len; i++)
		if (name.data[i] <= ' ' || name.data[i] > '~')
			return false;
	return true;
}

static enum smtps_step
on_helo(struct smtps *s, struct smtps_io *io, struct slice arg)
{
	if (s->lmtp != (s->verb == SMTP_LHLO)) {
		smtps_say(s, io,
		    s->lmtp ? SMTPS_REPLY_LHLO_ONLY : SMTPS_REPLY_UNKNOWN);
		return SMTPS_STEP_AGAIN;
	}
	if (!helo_ok(arg)) {
		smtps_say(s, io,
		    s->verb == SMTP_HELO   ? SMTPS_REPLY_HELO_SYNTAX
		    : s->verb == SMTP_EHLO ? SMTPS_REPLY_EHLO_SYNTAX
					   : SMTPS_REPLY_LHLO_SYNTAX);
		return SMTPS_STEP_AGAIN;
	}
	s->esmtp = s->verb != SMTP_HELO;
	s->txn = NULL;
	smtps_go(s, SMTPS_READY);
	io->helo = arg;
	smtps_good(s);
	if (s->esmtp)
		say_keywords(s, io);
	else
		smtps_say_line(io, 250, true, s->conf->hostname);
	return SMTPS_STEP_HELO;
}

/* ---- transaction ---- */

static enum smtps_reply
mail_fault(enum smtp_fault f)
{
	switch (f) {
	case SMTP_FAULT_NONE: return SMTPS_REPLY_NONE;
	case SMTP_FAULT_SYNTAX: return SMTPS_REPLY_MAIL_SYNTAX;
	case SMTP_FAULT_ADDRESS: return SMTPS_REPLY_SENDER_SYNTAX;
	case SMTP_FAULT_LONG: return SMTPS_REPLY_SENDER_LONG;
	case SMTP_FAULT_UTF8: return SMTPS_REPLY_UTF8;
	case SMTP_FAULT_PARAMETER: return SMTPS_REPLY_PARAMETER;
	case SMTP_FAULT_UNSUPPORTED: break;
	}
	return SMTPS_REPLY_UNSUPPORTED;
}

static enum smtps_reply
rcpt_fault(enum smtp_fault f)
{
	switch (f) {
	case SMTP_FAULT_SYNTAX: return SMTPS_REPLY_RCPT_SYNTAX;
	case SMTP_FAULT_ADDRESS: return SMTPS_REPLY_RCPT_BAD;
	case SMTP_FAULT_LONG: return SMTPS_REPLY_RCPT_LONG;
	default: return mail_fault(f);
	}
}

static enum smtps_step
on_mail(struct smtps *s, struct smtps_io *io, struct slice arg)
{
	enum smtps_reply r;

	r = mail_fault(smtp_mail_parse(arg, io->address, &io->mail));
	if (r == SMTPS_REPLY_NONE && s->conf->size_max > 0 &&
	    io->mail.size_bytes > s->conf->size_max)
		r = SMTPS_REPLY_SIZE; /* RFC 1870 6.1 */
	if (r == SMTPS_REPLY_NONE)
		return SMTPS_STEP_MAIL;
	smtps_say(s, io, r);
	return SMTPS_STEP_AGAIN;
}

/* RFC 5321 4.5.3.1.10: 452, and the rest may be sent in another transaction.
 * Far beyond the limit it is an error. */
static enum smtps_step
refuse_surplus(struct smtps *s, struct smtps_io *io)
{
	struct smtps_txn *t = s->txn;
	struct smtps_refusal why = smtps_why(SMTPS_REPLY_RCPT_COUNT);

	ASSERT(t->ring_count == 0);
	if (t->rcpt_tried - t->rcpt_asked > SMTPS_OVERSHOOT &&
	    smtps_error(s, io))
		return SMTPS_STEP_AGAIN;
	smtps_say_why(s, io, &why, io->rcpt.rcpt.text);
	return SMTPS_STEP_AGAIN;
}

static enum smtps_step
on_rcpt(struct smtps *s, struct smtps_io *io, struct slice arg)
{
	struct smtps_txn *t = s->txn;
	enum smtps_reply r;
	struct smtps_pending *p;

	r = rcpt_fault(smtp_rcpt_parse(arg, t->utf8, io->address, &io->rcpt));
	if (t->rcpt_tried < UINT32_MAX)
		t->rcpt_tried++;
	if (r == SMTPS_REPLY_NONE && t->rcpt_asked >= s->conf->rcpt_max)
		return refuse_surplus(s, io);

	ASSERT(t->ring_count < SMTPS_PENDING_MAX);
	io->slot =
	    (unsigned)(t->ring_first + t->ring_count++) % SMTPS_PENDING_MAX;
	p = &t->ring[io->slot];
	*p = (struct smtps_pending){ 0 };
	if (r != SMTPS_REPLY_NONE) {
		p->state = PENDING_REFUSED;
		p->why = smtps_why(r);
		return SMTPS_STEP_AGAIN;
	}
	p->state = PENDING_ASKED;
	t->rcpt_asked++;
	return SMTPS_STEP_RCPT;
}

bool
smtps_rcpt_replies(struct smtps *s, struct smtps_io *io)
{
	struct smtps_txn *t = s->txn;
	struct smtps_pending *p;

	if (t == NULL || t->ring_count == 0)
		return false;
	p = &t->ring[t->ring_first];
	if (p->state == PENDING_ASKED)
		return false;
	t->ring_first = (uint8_t)((t->ring_first + 1) % SMTPS_PENDING_MAX);
	t->ring_count--;
	if (p->state == PENDING_REFUSED) {
		smtps_say_why(s, io, &p->why, p->address);
		return true;
	}
	t->rcpt_count++;
	if (s->state == SMTPS_MAIL)
		smtps_go(s, SMTPS_RCPT);
	smtps_say(s, io, SMTPS_REPLY_RCPT_OK);
	return true;
}

static enum smtps_step
on_data(struct smtps *s, struct smtps_io *io, struct slice arg)
{
	(void)arg;
	if (s->state != SMTPS_MAIL)
		return smtps_on_data(s, io);
	smtps_say(s, io,
	    s->txn->rcpt_tried > 0 ? SMTPS_REPLY_NO_RCPT
				   : SMTPS_REPLY_NEED_RCPT);
	return SMTPS_STEP_AGAIN;
}

static enum smtps_step
on_bdat(struct smtps *s, struct smtps_io *io, struct slice arg)
{
	return smtps_on_bdat(s, io, arg);
}

static enum smtps_step
on_rset(struct smtps *s, struct smtps_io *io, struct slice arg)
{
	bool had = s->txn != NULL;

	(void)arg;
	s->txn = NULL;
	if (s->state != SMTPS_GREET)
		smtps_go(s, SMTPS_READY);
	smtps_say(s, io, SMTPS_REPLY_OK);
	return had ? SMTPS_STEP_RESET : SMTPS_STEP_AGAIN;
}

/* ---- the others ---- */

static enum smtps_step
on_noop(struct smtps *s, struct smtps_io *io, struct slice arg)
{
	(void)arg;
	smtps_say(s, io, SMTPS_REPLY_OK);
	return SMTPS_STEP_AGAIN;
}

/* RFC 5321 3.5.3: who is a user is not told here. */
static enum smtps_step
on_vrfy(struct smtps *s, struct smtps_io *io, struct slice arg)
{
	smtps_say(s, io,
	    arg.len > 0 ? SMTPS_REPLY_VRFY : SMTPS_REPLY_VRFY_SYNTAX);
	return SMTPS_STEP_AGAIN;
}

static enum smtps_step
on_help(struct smtps *s, struct smtps_io *io, struct slice arg)
{
	(void)arg;
	smtps_say(s, io, SMTPS_REPLY_HELP);
	return SMTPS_STEP_AGAIN;
}

static enum smtps_step
on_quit(struct smtps *s, struct smtps_io *io, struct slice arg)
{
	(void)arg;
	smtps_say(s, io, SMTPS_REPLY_BYE);
	smtps_go(s, SMTPS_CLOSED);
	return SMTPS_STEP_CLOSE;
}

static enum smtps_step
on_other(struct smtps *s, struct smtps_io *io, struct slice arg)
{
	(void)arg;
	smtps_say(s, io, SMTPS_REPLY_NOT_OFFERED);
	return SMTPS_STEP_AGAIN;
}

static enum smtps_step
on_unknown(struct smtps *s, struct smtps_io *io, struct slice arg)
{
	(void)arg;
	smtps_say(s, io, SMTPS_REPLY_UNKNOWN);
	return SMTPS_STEP_AGAIN;
}

#define ANY                                                                    \
	(SMTPS_IN(GREET) | SMTPS_IN(READY) | SMTPS_IN(MAIL) | SMTPS_IN(RCPT) | \
	    SMTPS_IN(CHUNKED))

static const struct {
	uint16_t legal_in; /* states in which the verb may come */
	bool junk;	   /* smtpd_junk_command_limit counts it */
	bool bare;	   /* no argument is allowed */
	enum smtps_step (*run)(struct smtps *, struct smtps_io *, struct slice);
} verbs[SMTP_VERB_COUNT] = {
	[SMTP_HELO] = { ANY, true, false, on_helo },
	[SMTP_EHLO] = { ANY, true, false, on_helo },
	[SMTP_LHLO] = { ANY, true, false, on_helo },
	[SMTP_MAIL] = { SMTPS_IN(READY), false, false, on_mail },
	[SMTP_RCPT] = { SMTPS_IN(MAIL) | SMTPS_IN(RCPT), false, false,
	    on_rcpt },
	[SMTP_DATA] = { SMTPS_IN(MAIL) | SMTPS_IN(RCPT), false, true, on_data },
	/* Its octets follow wherever it comes. */
	[SMTP_BDAT] = { ANY, false, false, on_bdat },
	[SMTP_RSET] = { ANY, true, true, on_rset },
	[SMTP_NOOP] = { ANY, true, false, on_noop },
	[SMTP_VRFY] = { ANY, true, false, on_vrfy },
	[SMTP_HELP] = { ANY, true, false, on_help },
	[SMTP_QUIT] = { ANY, false, true, on_quit },
	[SMTP_OTHER] = { ANY, false, false, on_other },
	[SMTP_UNKNOWN] = { ANY, false, false, on_unknown },
};

/* Why a verb may not come now. */
static enum smtps_reply
out_of_order(const struct smtps *s)
{
	switch ((enum smtps_state)s->state) {
	case SMTPS_GREET: return SMTPS_REPLY_HELO_FIRST;
	case SMTPS_READY: return SMTPS_REPLY_NEED_MAIL;
	case SMTPS_CHUNKED: return SMTPS_REPLY_IN_BDAT;
	default: return SMTPS_REPLY_NESTED;
	}
}

enum smtps_step
smtps_command(struct smtps *s, struct smtps_io *io, struct slice line)
{
	struct smtp_command cmd;

	if (!smtp_command_parse(line, &cmd)) {
		s->verb = SMTP_UNKNOWN;
		s->counts[SMTP_UNKNOWN].all++;
		smtps_say(s, io, SMTPS_REPLY_EMPTY);
		return SMTPS_STEP_AGAIN;
	}
	ASSERT(cmd.verb < SMTP_VERB_COUNT);
	s->verb = (uint8_t)cmd.verb;
	s->counts[cmd.verb].all++;
	if (s->draining && s->txn == NULL && cmd.verb != SMTP_QUIT) {
		smtps_hangup(s, io, SMTPS_REPLY_SHUTDOWN);
		return SMTPS_STEP_AGAIN;
	}
	if (verbs[cmd.verb].junk && smtps_junk(s, io))
		return SMTPS_STEP_AGAIN;
	if (!(verbs[cmd.verb].legal_in & (1u << s->state))) {
		smtps_say(s, io, out_of_order(s));
		return SMTPS_STEP_AGAIN;
	}
	if (verbs[cmd.verb].bare && cmd.arg.len > 0) {
		smtps_say(s, io, SMTPS_REPLY_NO_ARGUMENT);
		return SMTPS_STEP_AGAIN;
	}
	return verbs[cmd.verb].run(s, io, cmd.arg);
}
