/*
 * qmail_queue: the programs' way into qmail's queue: a message on descriptor
 * 0, its envelope on descriptor 1, an exit code as the answer.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

struct acct;
struct conf;

/* Exit codes; those from 11 to 40 are permanent. */
enum qmail_queue_code {
	QQ_OK = 0,
	QQ_LONG = 11,	 /* an address is too long */
	QQ_REFUSED = 31, /* the message is refused for good */
	QQ_NOMEM = 51,
	QQ_TIMEOUT = 52,
	QQ_WRITE = 53, /* a disk is full, or fails */
	QQ_READ = 54,
	QQ_CONFIG = 55,
	QQ_LATER = 71,	  /* the server refuses it for now */
	QQ_ENVELOPE = 91, /* its format */
	QQ_TEXT = 82,	  /* D or Z and a text on descriptor 6 say why */
	QQ_EXEC = 120,	  /* the program in $QMAILQUEUE cannot be run */
};

/* "Fsender\0" ("Trecipient\0")* "\0", in pieces of any size. */
struct qmail_envelope {
	struct buf text; /* sender, recipients, each with its NUL */
	size_t rcpt_count;
	size_t address_len; /* of the address that is read */
	uint8_t state;	    /* enum, in the .c */
	bool done;
};

/* Charged to a; at most QMAIL_ENVELOPE_BYTES_MAX of it. */
enum { QMAIL_ENVELOPE_BYTES_MAX = 64 << 20 };
void qmail_envelope_init(struct qmail_envelope *e, struct acct *a);
/* The next bytes; what follows the end is passed over.  QQ_OK, QQ_LONG,
 * QQ_NOMEM or QQ_ENVELOPE. */
enum qmail_queue_code qmail_envelope_feed(struct qmail_envelope *e,
    struct slice piece);

/*
 * qmail_queue(conf, a, drop_program):
 * Read both and hand the message in: to the server, or, when none runs or it
 * does not take all recipients, to drop_program (weir-drop), and the queue
 * tells the sender of those that fail.  conf NULL: QQ_CONFIG.  The exit code;
 * blocks, at most a day.
 */
int qmail_queue(const struct conf *conf, struct acct *a,
    const char *drop_program);

/* What an exit code means, in qmail's words, for messages: "qq permanent
 * problem (#5.3.0)"; static storage. */
const char *qmail_queue_text(int code);
/* A retry could mend it. */
bool qmail_queue_is_temporary(int code);
