/*
 * smtp_command: the commands of SMTP and LMTP as a server reads them.
 *
 * RFC 5321 4.1, 2033 (LHLO), 3030 (BDAT), 1870 (SIZE), 6152 (BODY),
 * 6531 (SMTPUTF8), 3461 (RET, ENVID, NOTIFY, ORCPT).
 * Lines come without their end.  Everything returned is borrowed from the
 * line or from the caller's buffer.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "proto/address.h"
#include "proto/envelope.h"

/* OTHER are verbs of SMTP that Weir does not offer, UNKNOWN is anything. */
/* clang-format off */
#define SMTP_VERBS(X) \
	X(HELO) \
	X(EHLO) \
	X(LHLO) \
	X(MAIL) \
	X(RCPT) \
	X(DATA) \
	X(BDAT) \
	X(RSET) \
	X(NOOP) \
	X(VRFY) \
	X(HELP) \
	X(QUIT) \
	X(OTHER) \
	X(UNKNOWN)
/* clang-format on */

enum smtp_verb {
#define X(name) SMTP_##name,
	SMTP_VERBS(X)
#undef X
	    SMTP_VERB_COUNT
};

/* "mail"; as in the log's counts. */
const char *smtp_verb_name(enum smtp_verb v);
/* "MAIL"; as in "reject: MAIL from". */
const char *smtp_verb_upper(enum smtp_verb v);

struct smtp_command {
	enum smtp_verb verb;
	struct slice arg; /* after the verb, without blanks around it */
};

/*
 * smtp_command_parse(line, out):
 * False when the line is empty or holds a NUL or another control character
 * (a tab is a blank): nothing of it is to be used.
 */
bool smtp_command_parse(struct slice line, struct smtp_command *out);

/* What is wrong with the argument of a command; the server's reply table has
 * a line for each. */
enum smtp_fault {
	SMTP_FAULT_NONE,
	SMTP_FAULT_SYNTAX,	/* not the form of the command */
	SMTP_FAULT_ADDRESS,	/* the path */
	SMTP_FAULT_LONG,	/* the path is longer than Weir takes */
	SMTP_FAULT_UTF8,	/* the path needs SMTPUTF8 */
	SMTP_FAULT_PARAMETER,	/* a parameter's value, or given twice */
	SMTP_FAULT_UNSUPPORTED, /* a parameter that Weir does not know */
};

struct smtp_mail {
	struct address sender; /* in the caller's buffer; empty: null */
	uint64_t size_bytes;   /* SIZE=; 0: not given */
	struct slice envid;    /* ENVID=, xtext */
	uint8_t ret;	       /* enum envelope_ret */
	bool body_8bitmime;    /* BODY=8BITMIME */
	bool utf8;	       /* SMTPUTF8 */
};

struct smtp_rcpt {
	struct address rcpt; /* in the caller's buffer */
	struct slice orcpt;  /* ORCPT=, type and xtext */
	uint8_t notify;	     /* enum envelope_notify */
};

/* "FROM:<path> parameters".  Paths without a domain are let through. */
enum smtp_fault smtp_mail_parse(struct slice arg,
    char buf[static ADDRESS_BYTES_MAX], struct smtp_mail *out);

/* "TO:<path> parameters"; utf8: MAIL had SMTPUTF8. */
enum smtp_fault smtp_rcpt_parse(struct slice arg, bool utf8,
    char buf[static ADDRESS_BYTES_MAX], struct smtp_rcpt *out);

/* "count [LAST]": strict decimal, at most 2^63 - 1. */
bool smtp_bdat_parse(struct slice arg, uint64_t *count_out, bool *last_out);
