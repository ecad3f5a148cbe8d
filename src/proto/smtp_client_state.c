/*
 * What the driver may ask of a session: in words, and which wait it is.
 */
#include "proto/smtp_client_internal.h"

/* The state, or that in which the session ended. */
static enum smtp_client_state
current(const struct smtp_client *c)
{
	return c->state == SMTP_CLIENT_CLOSED ? c->before : c->state;
}

bool
smtp_client_can_quit(const struct smtp_client *c)
{
	return c->state == SMTP_CLIENT_READY && c->told;
}

bool
smtp_client_sent_dot(const struct smtp_client *c)
{
	return current(c) == SMTP_CLIENT_DOT && !c->lone_dot;
}

bool
smtp_client_untouched(const struct smtp_client *c)
{
	return current(c) == SMTP_CLIENT_READY ||
	       (current(c) == SMTP_CLIENT_COMMANDS && c->answered <= CMD_MAIL);
}

/* The command whose reply is awaited. */
static unsigned
cmd_awaited(const struct smtp_client *c)
{
	unsigned n = cmd_skip(c, c->answered);

	return n > cmd_data(c) ? cmd_data(c) : n;
}

const char *
smtp_client_doing(const struct smtp_client *c)
{
	switch (current(c)) {
	case SMTP_CLIENT_GREETING:
		return "receiving the initial server greeting";
	case SMTP_CLIENT_EHLO:
		return c->lmtp ? "performing the LHLO handshake"
			       : "performing the EHLO handshake";
	case SMTP_CLIENT_HELO: return "performing the HELO handshake";
	case SMTP_CLIENT_COMMANDS: {
		unsigned n = cmd_awaited(c);

		if (n == CMD_RSET)
			return "sending RSET";
		if (n == CMD_MAIL)
			return "sending MAIL FROM";
		return n < cmd_data(c) ? "sending RCPT TO"
				       : "sending DATA command";
	}
	case SMTP_CLIENT_BODY: return "sending message body";
	case SMTP_CLIENT_DOT:
		return c->lone_dot ? "sending end of data"
				   : "sending end of data -- message may be "
				     "sent more than once";
	case SMTP_CLIENT_QUIT: return "sending QUIT";
	default: return "between messages";
	}
}

enum smtp_client_wait
smtp_client_waits(const struct smtp_client *c)
{
	switch (current(c)) {
	case SMTP_CLIENT_GREETING: return SMTP_WAIT_GREETING;
	case SMTP_CLIENT_EHLO:
	case SMTP_CLIENT_HELO: return SMTP_WAIT_HELO;
	case SMTP_CLIENT_COMMANDS: {
		unsigned n = cmd_awaited(c);

		if (n <= CMD_MAIL)
			return SMTP_WAIT_MAIL;
		return n < cmd_data(c) ? SMTP_WAIT_RCPT : SMTP_WAIT_DATA;
	}
	case SMTP_CLIENT_BODY: return SMTP_WAIT_BODY;
	case SMTP_CLIENT_DOT: return SMTP_WAIT_DOT;
	case SMTP_CLIENT_QUIT: return SMTP_WAIT_QUIT;
	default: return SMTP_WAIT_IDLE;
	}
}
