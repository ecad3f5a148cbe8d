/*
 * Happy path: GREETING, EHLO, READY; for each message COMMANDS, BODY, DOT and
 * READY again; at the end QUIT, CLOSED.
 *
 * Failure modes:
 * - EHLO refused with 5xx: HELO (RFC 5321 4.1.4); greeting, HELO or LHLO
 *   refused, EHLO deferred: REFUSED, another host may do better.
 * - MAIL, some RCPT, DATA or the body refused: RESULT for whom it concerns;
 *   when nobody is left the transaction ends, and RSET goes in front of the
 *   next one if the server may have one open.
 * - 354 although every recipient was refused: the lone dot (RFC 2920 3.1).
 * - a reply that is none, comes unasked or says 421: BROKEN, after what it
 *   says was told.
 */
#include "proto/smtp_client.h"

#include <string.h>

#include "base/assert.h"
#include "base/err.h"
#include "proto/smtp_client_internal.h"

#define IN(name) (1u << SMTP_CLIENT_##name)

/* Where each state may go.  Anything else is a bug in this file. */
static const uint16_t next_ok[SMTP_CLIENT_STATE_COUNT] = {
	[SMTP_CLIENT_GREETING] = IN(EHLO) | IN(CLOSED),
	[SMTP_CLIENT_EHLO] = IN(HELO) | IN(READY) | IN(CLOSED),
	[SMTP_CLIENT_HELO] = IN(READY) | IN(CLOSED),
	[SMTP_CLIENT_READY] = IN(COMMANDS) | IN(QUIT) | IN(CLOSED),
	[SMTP_CLIENT_COMMANDS] = IN(BODY) | IN(DOT) | IN(READY) | IN(CLOSED),
	[SMTP_CLIENT_BODY] = IN(DOT) | IN(CLOSED),
	[SMTP_CLIENT_DOT] = IN(READY) | IN(CLOSED),
	[SMTP_CLIENT_QUIT] = IN(CLOSED),
	[SMTP_CLIENT_CLOSED] = 0,
};

static void
go(struct smtp_client *c, enum smtp_client_state to)
{
	ASSERT(next_ok[c->state] & (1u << to));
	c->before = c->state;
	c->state = to;
	c->told = false;
}

static enum smtp_client_step
broken(struct smtp_client *c, enum smtp_client_broken why)
{
	go(c, SMTP_CLIENT_CLOSED);
	c->broken = why;
	return SMTP_STEP_BROKEN;
}

void
smtp_client_init(struct smtp_client *c, bool lmtp, struct slice helo_name)
{
	memset(c, 0, offsetof(struct smtp_client, reply));
	smtp_reply_init(&c->reply);
	c->before = c->state = SMTP_CLIENT_GREETING;
	c->lmtp = lmtp;
	c->helo_name = helo_name;
}

/* ---- results ---- */

static void
result_code(struct smtp_client_result *r, uint16_t code, const char *status)
{
	r->code = code;
	(void)slice_copy(slice_str(status), r->status, sizeof(r->status));
}

/* The result in c->result is for all that have none yet. */
static enum smtp_client_step
tell_all(struct smtp_client *c)
{
	for (unsigned i = 0; i < c->txn->rcpt_count; i++) {
		struct smtp_client_rcpt *r = &c->txn->rcpts[i];

		if (r->state < SMTP_RCPT_RESULT)
			r->state = SMTP_RCPT_RESULT;
	}
	c->accepted = 0;
	c->result.all = true;
	return SMTP_STEP_RESULT;
}

static enum smtp_client_step
tell_one(struct smtp_client *c, unsigned i)
{
	c->txn->rcpts[i].state = SMTP_RCPT_RESULT;
	c->result.rcpt = i;
	c->result.all = false;
	return SMTP_STEP_RESULT;
}

/* c->result from c->reply.  Only the final reply may say 2xx; a 2xx or 3xx
 * in another place is out of step and taken as temporary. */
static void
result_reply(struct smtp_client *c, const char *command, bool final)
{
	struct smtp_client_result *r = &c->result;
	int class = c->reply.code / 100;

	r->kind = SMTP_RESULT_REPLY;
	r->command = command;
	r->code = (uint16_t)c->reply.code;
	smtp_reply_status(&c->reply, r->status);
	if (class == 3 || (class == 2 && !final))
		result_code(r, 451, "4.5.0");
}

/* Results told before are no news any more. */
static void
results_noted(struct smtp_client *c)
{
	if (c->txn == NULL)
		return;
	if (!c->result.all) {
		if (c->result.rcpt < c->txn->rcpt_count &&
		    c->txn->rcpts[c->result.rcpt].state == SMTP_RCPT_RESULT)
			c->txn->rcpts[c->result.rcpt].state = SMTP_RCPT_DONE;
		return;
	}
	for (unsigned i = 0; i < c->txn->rcpt_count; i++)
		if (c->txn->rcpts[i].state == SMTP_RCPT_RESULT)
			c->txn->rcpts[i].state = SMTP_RCPT_DONE;
	c->result.all = false;
}

/* ---- before the first command ---- */

/* What can be told without asking the server; MORE: nothing. */
static enum smtp_client_step
check_offer(struct smtp_client *c)
{
	const struct smtp_client_txn *t = c->txn;
	struct smtp_client_result *r = &c->result;
	unsigned open_count = 0;

	if (!smtp_client_fits_path(t->sender)) {
		r->kind = SMTP_RESULT_ADDRESS;
		result_code(r, 553, "5.1.7");
		return tell_all(c);
	}
	if (c->size_max != 0 && t->size_bytes > c->size_max) {
		r->kind = SMTP_RESULT_TOO_BIG;
		result_code(r, 552, "5.3.4");
		return tell_all(c);
	}
	if (smtp_client_needs_utf8(t) && !(c->features & SMTP_HAS_SMTPUTF8)) {
		r->kind = SMTP_RESULT_NO_UTF8;
		result_code(r, 553, "5.6.7");
		return tell_all(c);
	}
	for (unsigned i = 0; i < t->rcpt_count; i++) {
		struct smtp_client_rcpt *p = &t->rcpts[i];

		if (!p->part)
			continue;
		if (smtp_client_fits_path(p->address)) {
			open_count++;
			continue;
		}
		p->part = false;
		r->kind = SMTP_RESULT_ADDRESS;
		result_code(r, 553, "5.1.3");
		return tell_one(c, i);
	}
	c->mail_refused = open_count == 0;
	return SMTP_STEP_MORE;
}

void
smtp_client_begin(struct smtp_client *c, const struct smtp_client_txn *txn)
{
	ASSERT(c->state == SMTP_CLIENT_READY);
	ASSERT(c->told);
	c->txn = txn;
	for (unsigned i = 0; i < txn->rcpt_count; i++)
		txn->rcpts[i].part = txn->rcpts[i].state == SMTP_RCPT_OPEN;
	memset(&c->result, 0, sizeof(c->result));
	c->sent = c->answered = c->reset_due ? CMD_RSET : CMD_MAIL;
	c->in_flight = c->accepted = 0;
	c->lone_dot = c->mail_refused = false;
	go(c, SMTP_CLIENT_COMMANDS);
}

void
smtp_client_quit(struct smtp_client *c)
{
	ASSERT(c->state == SMTP_CLIENT_READY);
	go(c, SMTP_CLIENT_QUIT);
	c->output_due = true;
}

void
smtp_client_body_sent(struct smtp_client *c)
{
	ASSERT(c->state == SMTP_CLIENT_BODY);
	go(c, SMTP_CLIENT_DOT);
	c->dot_rcpt = 0;
}

/* ---- replies in ---- */

static void
parse_size(struct smtp_client *c, struct slice arg)
{
	uint64_t n;

	c->features |= SMTP_HAS_SIZE;
	/* RFC 1870 4: 0 or nothing means no fixed maximum; so does a number
	 * that is none. */
	if (slice_to_u64(slice_trim(arg), UINT64_MAX, &n))
		c->size_max = n;
}

static void
parse_keyword(struct smtp_client *c, struct slice line)
{
	static const struct {
		const char *name;
		uint32_t feature;
	} known[] = {
		{ "PIPELINING", SMTP_HAS_PIPELINING },
		{ "8BITMIME", SMTP_HAS_8BITMIME },
		{ "SMTPUTF8", SMTP_HAS_SMTPUTF8 },
		{ "DSN", SMTP_HAS_DSN },
		{ "CHUNKING", SMTP_HAS_CHUNKING },
	};
	struct slice word;

	if (!slice_word(&line, " \t", &word))
		return;
	if (slice_eq_nocase(word, SLICE_LIT("SIZE"))) {
		parse_size(c, line);
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (slice_eq_nocase(word, slice_str(known[i].name)))
			c->features |= known[i].feature;
}

static void
parse_ehlo(struct smtp_client *c)
{
	struct slice rest = smtp_reply_text(&c->reply), line;

	if (!smtp_reply_line(&rest, &line))
		return; /* the first line is a greeting */
	while (smtp_reply_line(&rest, &line))
		parse_keyword(c, line);
}

static enum smtp_client_step
refused(struct smtp_client *c)
{
	go(c, SMTP_CLIENT_CLOSED);
	return SMTP_STEP_REFUSED;
}

static enum smtp_client_step
on_hello(struct smtp_client *c)
{
	int class = c->reply.code / 100;

	if (c->state == SMTP_CLIENT_GREETING) {
		if (c->reply.code != 220)
			return refused(c);
		go(c, SMTP_CLIENT_EHLO);
		c->output_due = true;
		return SMTP_STEP_MORE;
	}
	if (c->output_due) /* a reply before we spoke */
		return broken(c, SMTP_BROKEN_REPLY);
	if (class == 2) {
		if (c->state == SMTP_CLIENT_EHLO)
			parse_ehlo(c);
		go(c, SMTP_CLIENT_READY);
		return SMTP_STEP_MORE;
	}
	if (class == 5 && c->state == SMTP_CLIENT_EHLO && !c->lmtp) {
		go(c, SMTP_CLIENT_HELO);
		c->output_due = true;
		return SMTP_STEP_MORE;
	}
	return refused(c);
}

static enum smtp_client_step
on_mail(struct smtp_client *c)
{
	if (c->reply.code / 100 == 2) {
		c->reset_due = true;
		return SMTP_STEP_MORE;
	}
	c->mail_refused = true;
	result_reply(c, "MAIL FROM command", false);
	return tell_all(c);
}

static enum smtp_client_step
on_rcpt(struct smtp_client *c, unsigned i)
{
	if (c->mail_refused)
		return SMTP_STEP_MORE; /* of a pipeline that went nowhere */
	if (c->reply.code / 100 == 2) {
		c->txn->rcpts[i].state = SMTP_RCPT_ACCEPTED;
		c->accepted++;
		return SMTP_STEP_MORE;
	}
	result_reply(c, "RCPT TO command", false);
	return tell_one(c, i);
}

static enum smtp_client_step
on_data(struct smtp_client *c)
{
	if (c->reply.code / 100 == 3) {
		if (c->accepted > 0) {
			go(c, SMTP_CLIENT_BODY);
			return SMTP_STEP_BODY;
		}
		/* RFC 2033 4.2 forbids it: no reply to the dot would come. */
		if (c->lmtp)
			return broken(c, SMTP_BROKEN_REPLY);
		go(c, SMTP_CLIENT_DOT);
		c->lone_dot = c->output_due = true;
		return SMTP_STEP_MORE;
	}
	if (c->accepted == 0)
		return SMTP_STEP_MORE;
	result_reply(c, "DATA command", false);
	return tell_all(c);
}

static enum smtp_client_step
on_command_reply(struct smtp_client *c)
{
	unsigned n = cmd_skip(c, c->answered);

	if (c->in_flight == 0)
		return broken(c, SMTP_BROKEN_REPLY);
	c->answered = n + 1;
	c->in_flight--;
	if (n == CMD_RSET) {
		if (c->reply.code / 100 != 2)
			return broken(c, SMTP_BROKEN_RESET);
		c->reset_due = false;
		return SMTP_STEP_MORE;
	}
	if (n == CMD_MAIL)
		return on_mail(c);
	if (n < cmd_data(c))
		return on_rcpt(c, n - CMD_RCPT);
	return on_data(c);
}

static enum smtp_client_step
on_dot_reply(struct smtp_client *c)
{
	if (c->output_due)
		return broken(c, SMTP_BROKEN_REPLY);
	c->reset_due = false;
	if (c->lone_dot) {
		c->lone_dot = false;
		return SMTP_STEP_MORE;
	}
	result_reply(c, "end of DATA command", true);
	if (!c->lmtp)
		return tell_all(c);
	while (c->txn->rcpts[c->dot_rcpt].state != SMTP_RCPT_ACCEPTED)
		c->dot_rcpt++;
	c->accepted--;
	return tell_one(c, c->dot_rcpt);
}

/* A reply while the body is under way: only a refusal makes sense, and the
 * session is out of step after it. */
static enum smtp_client_step
on_early_reply(struct smtp_client *c)
{
	c->closing = true;
	if (c->reply.code / 100 < 4)
		return broken(c, SMTP_BROKEN_REPLY);
	result_reply(c, "message body", false);
	return tell_all(c);
}

static enum smtp_client_step
on_reply(struct smtp_client *c)
{
	c->reply_count++;
	if (c->reply.code == 421)
		c->closing = true;
	switch (c->state) {
	case SMTP_CLIENT_GREETING:
	case SMTP_CLIENT_EHLO:
	case SMTP_CLIENT_HELO: return on_hello(c);
	case SMTP_CLIENT_COMMANDS: return on_command_reply(c);
	case SMTP_CLIENT_BODY: return on_early_reply(c);
	case SMTP_CLIENT_DOT: return on_dot_reply(c);
	case SMTP_CLIENT_QUIT:
		if (c->output_due)
			break;
		go(c, SMTP_CLIENT_CLOSED);
		return SMTP_STEP_QUIT;
	default: break;
	}
	return broken(c, c->closing ? SMTP_BROKEN_CLOSING : SMTP_BROKEN_REPLY);
}

/* Is there nothing more to be said or heard in this transaction? */
static bool
is_over(struct smtp_client *c)
{
	if (c->state == SMTP_CLIENT_DOT)
		return !c->lone_dot && c->accepted == 0;
	if (c->state != SMTP_CLIENT_COMMANDS || c->in_flight > 0)
		return false;
	c->sent = cmd_skip(c, c->sent);
	return !smtp_client_may_send(c);
}

/* What follows from the state alone; MORE: nothing. */
static enum smtp_client_step
on_state(struct smtp_client *c)
{
	enum smtp_client_step step;

	/* Results that need no server come before the first command. */
	if (c->state == SMTP_CLIENT_COMMANDS && !c->told) {
		step = c->mail_refused ? SMTP_STEP_MORE : check_offer(c);
		if (step == SMTP_STEP_RESULT && c->result.all)
			c->mail_refused = true;
		if (step != SMTP_STEP_MORE)
			return step;
		c->told = true;
	}
	if (c->closing && c->state != SMTP_CLIENT_CLOSED &&
	    c->state != SMTP_CLIENT_QUIT)
		return broken(c, SMTP_BROKEN_CLOSING);
	if (is_over(c)) {
		go(c, SMTP_CLIENT_READY);
		c->told = true;
		c->txn = NULL;
		return SMTP_STEP_END;
	}
	if (c->state == SMTP_CLIENT_READY && !c->told) {
		c->told = true;
		return SMTP_STEP_READY;
	}
	return SMTP_STEP_MORE;
}

enum smtp_client_step
smtp_client_step(struct smtp_client *c, struct slice *in)
{
	enum smtp_client_step step;

	results_noted(c);
	for (;;) {
		if (c->state == SMTP_CLIENT_CLOSED)
			return SMTP_STEP_BROKEN;
		step = on_state(c);
		if (step != SMTP_STEP_MORE)
			return step;
		if (in->len == 0)
			return SMTP_STEP_MORE;
		if (c->reply.state == SMTP_REPLY_DONE)
			smtp_reply_init(&c->reply);
		*in = slice_sub(*in, smtp_reply_feed(&c->reply, *in), in->len);
		if (c->reply.state == SMTP_REPLY_MORE)
			continue;
		if (c->reply.state == SMTP_REPLY_BAD)
			return broken(c, SMTP_BROKEN_REPLY);
		step = on_reply(c);
		if (step != SMTP_STEP_MORE)
			return step;
	}
}
