/*
 * smtp_client: the client's side of an SMTP or LMTP session (RFC 5321, RFC
 * 2033, with PIPELINING RFC 2920, SIZE RFC 1870, 8BITMIME RFC 6152, SMTPUTF8
 * RFC 6531, DSN RFC 3461).
 *
 * Pure: replies go in (smtp_client_step), commands come out
 * (smtp_client_output), the driver moves the bytes, keeps the time and sends
 * the body.  One transaction at a time, any number after one another.
 *
 * With PIPELINING the whole of RSET, MAIL, RCPT..., DATA goes out in one run,
 * at most SMTP_CLIENT_WINDOW commands ahead of the replies: their replies fit
 * into any socket buffer, so neither side can wait for the other.
 *
 * A body with octets above 127 goes to a server without 8BITMIME unchanged,
 * as qmail and sendmail do; RFC 6152 3 wants it converted or returned, but
 * servers that break it are extinct and conversion breaks signatures.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"
#include "proto/envelope.h"
#include "proto/smtp_reply.h"

enum {
	SMTP_CLIENT_WINDOW = 100, /* commands sent ahead of their replies */
	/* The longest command: RCPT with its parameters. */
	SMTP_CLIENT_COMMAND_BYTES = ADDRESS_BYTES_MAX + ORCPT_BYTES_MAX + 100,
};

/* What a server offers (EHLO keywords). */
enum smtp_feature {
	SMTP_HAS_PIPELINING = 1,
	SMTP_HAS_SIZE = 2,
	SMTP_HAS_8BITMIME = 4,
	SMTP_HAS_SMTPUTF8 = 8,
	SMTP_HAS_DSN = 16,
	SMTP_HAS_CHUNKING = 32,
};

#define SMTP_CLIENT_STATES(X)                                             \
	X(GREETING) /* connected, 220 awaited */                          \
	X(EHLO)	    /* EHLO or LHLO sent or to be sent */                 \
	X(HELO)	    /* EHLO was refused: HELO */                          \
	X(READY)    /* a transaction may begin */                         \
	X(COMMANDS) /* RSET, MAIL, RCPT, DATA and their replies */        \
	X(BODY)	    /* 354 was read: the driver sends the body */         \
	X(DOT)	    /* the body went out, its reply or replies awaited */ \
	X(QUIT)	    /* QUIT sent or to be sent */                         \
	X(CLOSED)   /* over, for whatever reason */

#define X(name) SMTP_CLIENT_##name,
enum smtp_client_state { SMTP_CLIENT_STATES(X) SMTP_CLIENT_STATE_COUNT };
#undef X

/* What the driver has to do next. */
enum smtp_client_step {
	SMTP_STEP_MORE,	   /* send the output, wait for more replies */
	SMTP_STEP_READY,   /* the handshake is over: begin or quit */
	SMTP_STEP_REFUSED, /* greeting or HELO refused: see reply */
	SMTP_STEP_RESULT,  /* note result, then call again */
	SMTP_STEP_BODY,	   /* send body and dot, then smtp_client_body_sent */
	SMTP_STEP_END,	   /* the transaction is over; READY again */
	SMTP_STEP_BROKEN,  /* the session cannot go on: see broken */
	SMTP_STEP_QUIT,	   /* QUIT was answered: close */
};

enum smtp_client_broken {
	SMTP_BROKEN_NOT,
	SMTP_BROKEN_REPLY,   /* not a reply, or one that nobody asked for */
	SMTP_BROKEN_CLOSING, /* the server said 421: it closes (RFC 5321 3.8) */
	SMTP_BROKEN_RESET,   /* RSET refused: the session's state is unknown */
};

enum smtp_client_rcpt_state {
	SMTP_RCPT_OPEN,	    /* no result yet */
	SMTP_RCPT_ACCEPTED, /* 250 to RCPT, the end is not known yet */
	SMTP_RCPT_RESULT,   /* the result just told is about it */
	SMTP_RCPT_DONE,	    /* has a result, or takes no part */
};

struct smtp_client_rcpt {
	struct slice address;
	struct slice orcpt; /* "rfc822;xtext"; empty: none */
	uint8_t notify;	    /* enum envelope_notify */
	uint8_t state;	    /* enum smtp_client_rcpt_state */
	bool part;	    /* machine's: takes part in this transaction */
};

/* A transaction; borrowed until it is over. */
struct smtp_client_txn {
	struct slice sender; /* empty: null */
	struct slice envid;  /* xtext; empty: none */
	uint8_t ret;	     /* enum envelope_ret */
	uint32_t flags;	     /* enum envelope_flag */
	uint64_t size_bytes; /* RFC 1870 5: unstuffed, CRLF counts 2 */
	struct smtp_client_rcpt *rcpts;
	unsigned rcpt_count; /* only those that are OPEN at begin take part */
};

enum smtp_result_kind {
	SMTP_RESULT_REPLY,   /* by the server: reply, to command */
	SMTP_RESULT_TOO_BIG, /* larger than its SIZE: 5.3.4 */
	SMTP_RESULT_NO_UTF8, /* needs SMTPUTF8, not offered: 5.6.7 */
	SMTP_RESULT_ADDRESS, /* cannot be said in SMTP: 5.1.3 or 5.1.7 */
};

/* The end of one recipient, or of all that are not done yet. */
struct smtp_client_result {
	enum smtp_result_kind kind;
	bool all;      /* every recipient in state RESULT */
	unsigned rcpt; /* index, unless all */
	uint16_t code; /* 2xx sent, 4xx deferred, 5xx failed */
	char status[SMTP_STATUS_BYTES];
	const char *command; /* "RCPT TO command"; for REPLY */
};

struct smtp_client {
	enum smtp_client_state state;
	enum smtp_client_state before; /* state before CLOSED */
	enum smtp_client_broken broken;
	bool lmtp;
	bool told;	 /* READY or END of this state was returned */
	bool output_due; /* EHLO, HELO, QUIT or the lone dot to be sent */
	bool reset_due;	 /* a transaction was left open on the server */
	bool closing;	 /* 421 was read */
	bool lone_dot;	 /* 354 although nobody was accepted */
	bool mail_refused;
	uint32_t features;		   /* enum smtp_feature */
	uint64_t size_max;		   /* of SIZE; 0: none */
	struct slice helo_name;		   /* borrowed for the session */
	const struct smtp_client_txn *txn; /* NULL: none */
	/* The commands of a transaction are numbered RSET 0, MAIL 1, RCPT
	 * 2.., DATA 2 + rcpt_count; recipients that are DONE are skipped. */
	unsigned sent;	      /* next to be sent */
	unsigned answered;    /* next whose reply is awaited */
	unsigned in_flight;   /* sent, not answered */
	unsigned accepted;    /* recipients accepted, without a result */
	unsigned dot_rcpt;    /* LMTP: recipient whose reply comes next */
	uint32_t reply_count; /* whole replies read: progress, for timeouts */
	struct smtp_client_result result;
	struct smtp_reply reply; /* valid after REFUSED, RESULT */
};

/* A connection was made; the greeting is awaited. */
void smtp_client_init(struct smtp_client *c, bool lmtp, struct slice helo_name);

/*
 * smtp_client_begin(c, txn):
 * Begin a transaction; only after READY or END.  At least one recipient must
 * be OPEN.  Then call smtp_client_step with no input: what can be told from
 * the server's offer comes as results at once.
 */
void smtp_client_begin(struct smtp_client *c,
    const struct smtp_client_txn *txn);

/*
 * smtp_client_output(c, buf, size):
 * Write commands that may be sent now; returns their length, 0 for none.
 * size must be at least SMTP_CLIENT_COMMAND_BYTES; call again until 0.
 */
size_t smtp_client_output(struct smtp_client *c, char *buf, size_t size);

/*
 * smtp_client_step(c, in):
 * Consume replies from *in (advanced) up to the next thing to be told.
 * MORE: all of *in was consumed.
 */
enum smtp_client_step smtp_client_step(struct smtp_client *c, struct slice *in);

/* The body and its final dot were sent completely. */
void smtp_client_body_sent(struct smtp_client *c);

/* Say QUIT; only after READY or END. */
void smtp_client_quit(struct smtp_client *c);

/* True when QUIT can be said, in place of closing without a word. */
bool smtp_client_can_quit(const struct smtp_client *c);

/* True from the moment in which the server may have taken the message. */
bool smtp_client_sent_dot(const struct smtp_client *c);

/* True while the server has not answered MAIL: a fresh connection may take
 * the transaction over as if nothing had happened. */
bool smtp_client_untouched(const struct smtp_client *c);

/* What the session is (before CLOSED: was) doing, for "lost connection with H
 * while ...". */
const char *smtp_client_doing(const struct smtp_client *c);

/* Which time limit holds for what is awaited now. */
enum smtp_client_wait {
	SMTP_WAIT_GREETING,
	SMTP_WAIT_HELO,
	SMTP_WAIT_MAIL, /* and RSET */
	SMTP_WAIT_RCPT,
	SMTP_WAIT_DATA,
	SMTP_WAIT_BODY,
	SMTP_WAIT_DOT,
	SMTP_WAIT_QUIT,
	SMTP_WAIT_IDLE, /* no reply is due */
};
enum smtp_client_wait smtp_client_waits(const struct smtp_client *c);
