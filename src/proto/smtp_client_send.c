/*
 * Commands out: what is sent, and when.
 */
#include <stdio.h>

#include "base/assert.h"
#include "base/err.h"
#include "base/wire.h"
#include "proto/smtp_client_internal.h"

static bool
is_ascii(struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if ((unsigned char)s.data[i] > 127)
			return false;
	return true;
}

/* Octets that would end the command or its path early. */
bool
smtp_client_fits_path(struct slice s)
{
	bool quoted = false;

	if (s.len > ADDRESS_BYTES_MAX)
		return false;
	for (size_t i = 0; i < s.len; i++) {
		unsigned char ch = (unsigned char)s.data[i];

		if (ch < ' ' || ch == 127)
			return false;
		if (quoted && ch == '\\' && i + 1 < s.len)
			i++, ch = (unsigned char)s.data[i];
		else if (ch == '"')
			quoted = !quoted;
		else if (!quoted && (ch == ' ' || ch == '<' || ch == '>'))
			return false;
		if (ch < ' ' || ch == 127)
			return false;
	}
	return !quoted;
}

/* xtext, or what RFC 6533 allows in its place towards SMTPUTF8. */
static bool
fits_parameter(const struct smtp_client *c, struct slice s, size_t max)
{
	if (s.len == 0 || s.len > max)
		return false;
	for (size_t i = 0; i < s.len; i++) {
		unsigned char ch = (unsigned char)s.data[i];

		if (ch <= ' ' || ch == 127)
			return false;
		if (ch > 127 && !(c->features & SMTP_HAS_SMTPUTF8))
			return false;
	}
	return true;
}

/* SMTPUTF8 is needed by what is sent, not by what was asked for: a message
 * that declared it but is pure ASCII goes anywhere (RFC 6531 3.2). */
bool
smtp_client_needs_utf8(const struct smtp_client_txn *t)
{
	const uint32_t both = ENVELOPE_UTF8 | ENVELOPE_8BIT;

	if ((t->flags & both) == both || !is_ascii(t->sender))
		return true;
	for (unsigned i = 0; i < t->rcpt_count; i++)
		if (t->rcpts[i].part && !is_ascii(t->rcpts[i].address))
			return true;
	return false;
}

static void
add(struct wr *w, struct slice s)
{
	wr_raw(w, s);
}

static void
add_mail(const struct smtp_client *c, struct wr *w)
{
	const struct smtp_client_txn *t = c->txn;
	char number[32];

	add(w, SLICE_LIT("MAIL FROM:<"));
	add(w, t->sender);
	add(w, SLICE_LIT(">"));
	if (c->features & SMTP_HAS_SIZE) {
		snprintf(number, sizeof(number), " SIZE=%llu",
		    (unsigned long long)t->size_bytes);
		add(w, slice_str(number));
	}
	if ((c->features & SMTP_HAS_8BITMIME) &&
	    (t->flags & (ENVELOPE_8BIT | ENVELOPE_BODY_8BITMIME)))
		add(w, SLICE_LIT(" BODY=8BITMIME"));
	if ((c->features & SMTP_HAS_SMTPUTF8) &&
	    ((t->flags & ENVELOPE_UTF8) || smtp_client_needs_utf8(t)))
		add(w, SLICE_LIT(" SMTPUTF8"));
	if (c->features & SMTP_HAS_DSN) {
		if (t->ret == RET_FULL)
			add(w, SLICE_LIT(" RET=FULL"));
		else if (t->ret == RET_HDRS)
			add(w, SLICE_LIT(" RET=HDRS"));
		if (fits_parameter(c, t->envid, ENVID_BYTES_MAX)) {
			add(w, SLICE_LIT(" ENVID="));
			add(w, t->envid);
		}
	}
	add(w, SLICE_LIT("\r\n"));
}

static void
add_notify(struct wr *w, uint8_t notify)
{
	static const struct {
		uint8_t bit;
		const char *name;
	} words[] = {
		{ NOTIFY_SUCCESS, "SUCCESS" },
		{ NOTIFY_FAILURE, "FAILURE" },
		{ NOTIFY_DELAY, "DELAY" },
	};
	const char *before = " NOTIFY=";

	if (notify & NOTIFY_NEVER) {
		add(w, SLICE_LIT(" NOTIFY=NEVER"));
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		if (!(notify & words[i].bit))
			continue;
		add(w, slice_str(before));
		add(w, slice_str(words[i].name));
		before = ",";
	}
}

static void
add_rcpt(const struct smtp_client *c, const struct smtp_client_rcpt *r,
    struct wr *w)
{
	add(w, SLICE_LIT("RCPT TO:<"));
	add(w, r->address);
	add(w, SLICE_LIT(">"));
	if (c->features & SMTP_HAS_DSN) {
		add_notify(w, r->notify);
		if (fits_parameter(c, r->orcpt, ORCPT_BYTES_MAX)) {
			add(w, SLICE_LIT(" ORCPT="));
			add(w, r->orcpt);
		}
	}
	add(w, SLICE_LIT("\r\n"));
}

static void
add_command(const struct smtp_client *c, unsigned n, struct wr *w)
{
	if (n == CMD_RSET)
		add(w, SLICE_LIT("RSET\r\n"));
	else if (n == CMD_MAIL)
		add_mail(c, w);
	else if (n < cmd_data(c))
		add_rcpt(c, &c->txn->rcpts[n - CMD_RCPT], w);
	else
		add(w, SLICE_LIT("DATA\r\n"));
}

/* May the next command of the transaction be sent now? */
bool
smtp_client_may_send(const struct smtp_client *c)
{
	unsigned window =
	    c->features & SMTP_HAS_PIPELINING ? SMTP_CLIENT_WINDOW : 1;

	if (c->mail_refused || c->closing || c->sent > cmd_data(c))
		return false;
	if (c->in_flight >= window)
		return false;
	/* DATA when everybody was refused already would be senseless. */
	return c->sent < cmd_data(c) || c->in_flight > 0 || c->accepted > 0;
}

static void
output_word(struct smtp_client *c, struct wr *w)
{
	switch (c->state) {
	case SMTP_CLIENT_EHLO:
		add(w, c->lmtp ? SLICE_LIT("LHLO ") : SLICE_LIT("EHLO "));
		add(w, c->helo_name);
		break;
	case SMTP_CLIENT_HELO:
		add(w, SLICE_LIT("HELO "));
		add(w, c->helo_name);
		break;
	case SMTP_CLIENT_QUIT: add(w, SLICE_LIT("QUIT")); break;
	case SMTP_CLIENT_DOT: add(w, SLICE_LIT(".")); break;
	default: ASSERT(!"nothing is due in this state");
	}
	add(w, SLICE_LIT("\r\n"));
	c->output_due = false;
}

size_t
smtp_client_output(struct smtp_client *c, char *buf, size_t size)
{
	struct wr w = wr_of(buf, size);

	ASSERT(size >= SMTP_CLIENT_COMMAND_BYTES);
	if (c->output_due)
		output_word(c, &w);
	else if (c->state == SMTP_CLIENT_COMMANDS && c->told)
		while (w.size - w.len >= SMTP_CLIENT_COMMAND_BYTES) {
			c->sent = cmd_skip(c, c->sent);
			if (!smtp_client_may_send(c))
				break;
			add_command(c, c->sent, &w);
			c->sent++;
			c->in_flight++;
		}
	ASSERT(!w.full);
	return wr_done(&w).len;
}
