/*
 * message: what the user submits: envelope, finished header, and the body
 * that is still on standard input.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/slice.h"
#include "proto/envelope.h"
#include "sendmail/input.h"
#include "sendmail/options.h"

struct conf;

struct message {
	const struct conf *conf;
	struct acct *acct;
	struct arena arena; /* recipients */
	const struct sendmail_options *options;
	struct slice sender;	     /* canonical; empty: null sender */
	char envid[ENVID_BYTES_MAX]; /* xtext */
	size_t envid_len;
	struct slice *rcpts; /* canonical, with domain */
	size_t rcpt_count, rcpt_room;
	bool utf8; /* an address is not ASCII */
	struct input input;
	struct buf raw;	 /* header as read, and the body's beginning */
	struct buf head; /* header as it leaves, with its empty line */
	size_t body_at;	 /* where the body begins in raw */
	bool over;	 /* input gave all it has; raw holds the rest */
	/* SMTP code with which the server refused all of it; 0: it did not. */
	int refused_code;
};

/*
 * message_init(m, conf, a, options, fd):
 * options and conf are borrowed.  fd is where the message comes from.
 */
void message_init(struct message *m, const struct conf *conf, struct acct *a,
    const struct sendmail_options *options, int fd);

/* Gives its memory back. */
void message_fini(struct message *m);

/*
 * message_address_raw(m, raw, is_sender, et):
 * In place of message_begin, for a message whose header stays as it is: its
 * sender, then each recipient, as qmail has addresses: nothing is quoted, the
 * last @ parts them.  EX_OK, EX_DATAERR or EX_TEMPFAIL with et.
 */
int message_address_raw(struct message *m, struct slice raw, bool is_sender,
    struct errtext *et);

/*
 * message_read_header(m, header_out, et):
 * For those who finish the header themselves: read until its end is known.
 * Borrowed until message_drop_header.  EX_OK, or a status with et.
 */
int message_read_header(struct message *m, struct slice *header_out,
    struct errtext *et);
/* It was used, and m->head is what leaves in its place: len bytes, and the
 * empty line behind it, are not body. */
void message_drop_header(struct message *m, size_t len);

/*
 * message_begin(m, et):
 * Read the header, find sender and recipients, finish the header.  Blocks on
 * the input.  On failure et says why and the return value is an exit status
 * of sysexits.h; EX_OK otherwise.
 */
int message_begin(struct message *m, struct errtext *et);

/*
 * message_next(m, out, last_out):
 * The next piece of header and body, at most MESSAGE_PIECE_BYTES; borrowed
 * until the next call.  last_out: it is the last one (it may be empty).
 * ERR_IO.
 */
enum { MESSAGE_PIECE_BYTES = 60 * 1024 };
MUST_CHECK enum err message_next(struct message *m, struct slice *out,
    bool *last_out);
