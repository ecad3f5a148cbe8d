/*
 * smtp_client_internal: shared by the files of the machine, nobody else's.
 *
 * The commands of a transaction are numbered; DATA comes after the last
 * recipient.  Recipients that take no part keep their number, unused.
 */
#pragma once

#include "proto/smtp_client.h"

enum { CMD_RSET, CMD_MAIL, CMD_RCPT };

static inline unsigned
cmd_data(const struct smtp_client *c)
{
	return CMD_RCPT + c->txn->rcpt_count;
}

/* The first command at or after n that takes part. */
static inline unsigned
cmd_skip(const struct smtp_client *c, unsigned n)
{
	while (n >= CMD_RCPT && n < cmd_data(c) &&
	       !c->txn->rcpts[n - CMD_RCPT].part)
		n++;
	return n;
}

/* May the next command of the transaction (c->sent) be sent now? */
bool smtp_client_may_send(const struct smtp_client *c);

/* Can the server not take the message without SMTPUTF8? */
bool smtp_client_needs_utf8(const struct smtp_client_txn *t);

/* Is s a path that no octet of it can end early? */
bool smtp_client_fits_path(struct slice s);
