/*
 * qmail_inject: a message from a user, its header completed as qmail does it,
 * into qmail-queue.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/slice.h"

struct acct;
struct conf;

enum { QMAIL_INJECT_OK = 0, QMAIL_PERM = 100, QMAIL_TEMP = 111 };

/* Whom the message goes to. */
enum inject_to {
	INJECT_ARGS_OR_HEADER, /* -A */
	INJECT_ARGS,	       /* -a */
	INJECT_HEADER,	       /* -h */
	INJECT_BOTH,	       /* -H */
};

struct inject_options {
	enum inject_to to;
	bool print;	    /* -n: to standard output, not to the queue */
	const char *sender; /* -f; NULL: none */
	char **recipients;  /* borrowed words */
	size_t recipient_count;
};

/* argv without the command's name.  ERR_SYNTAX: usage. */
MUST_CHECK enum err inject_options_parse(int argc, char **argv,
    struct inject_options *out);

/* sendmail's options in qmail's manner: what becomes of them. */
enum qmail_sendmail_mode {
	QMAIL_SENDMAIL_INJECT,
	QMAIL_SENDMAIL_SMTP,  /* -bs */
	QMAIL_SENDMAIL_QREAD, /* -bp */
};

/*
 * qmail_sendmail_parse(argc, argv, out, mode_out):
 * For sendmail as qmail has it: -t, -f, -F, -b, and what is passed over.  Sets
 * $QMAILUSER, $QMAILHOST and $QMAILNAME.  ERR_SYNTAX: usage.
 */
MUST_CHECK enum err qmail_sendmail_parse(int argc, char **argv,
    struct inject_options *out, enum qmail_sendmail_mode *mode_out);

/*
 * qmail_inject(options, conf, a, drop_program):
 * Read the message from standard input, complete it, and give it to the
 * program in $QMAILQUEUE, or to our own qmail-queue (in a process of its own;
 * drop_program as there).  conf NULL: temporary.  An exit status, after a
 * message "qmail-inject: fatal: TEXT".
 */
int qmail_inject(const struct inject_options *options, const struct conf *conf,
    struct acct *a, const char *drop_program);
