/*
 * smtp_server: the server's side of SMTP and LMTP as a pure machine.
 *
 * RFC 5321, 2033 (LMTP), 2920 (PIPELINING), 1870 (SIZE), 6152 (8BITMIME),
 * 3030 (CHUNKING), 6531 (SMTPUTF8), 3461 (DSN), 2034 (ENHANCEDSTATUSCODES).
 *
 * The driver owns the connection, the clock and all memory.  It gives the
 * machine bytes through struct smtps_io and calls smtps_next until it says
 * MORE or WAIT; replies are collected in io->out and written together when
 * the machine has no more input.  At some steps the machine asks:
 *
 *   MORE    everything usable was read: write out, then read
 *   FLUSH   out is nearly full: write it, call again
 *   PAUSE   past the soft error limit: wait, then write, then call again
 *   HELO    io->helo: keep it; forget any transaction
 *   MAIL    io->mail: smtps_mail_accept or smtps_refuse before the next call
 *   RCPT    io->rcpt, io->slot: keep it and find out; smtps_rcpt_accept or
 *           smtps_rcpt_refuse now or later, in any order (RCPTs overlap)
 *   OPEN    recipients are complete: reserve; smtps_opened or smtps_refuse,
 *           now or later
 *   BODY    io->body: keep these bytes
 *   ABORT   the body is refused: give back what was reserved; the machine
 *           reads on to its end
 *   COMMIT  the body is whole, txn says what it was: smtps_committed or
 *           smtps_refuse, now or later
 *   RESET   the transaction is over: free it
 *   WAIT    for one of the answers above; do not read
 *   CLOSE   write out what there is, then close
 *
 * After each call io->reject, unless empty, is a refusal to be logged.
 * Nothing here allocates, blocks or reads a clock.  A byte stream gives the
 * same result however it is cut into pieces.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"
#include "proto/body_scan.h"
#include "proto/header_scan.h"
#include "proto/smtp_command.h"

#define SMTPS_STATES(X)                                                   \
	X(GREET)   /* before HELO */                                      \
	X(READY)   /* no transaction */                                   \
	X(MAIL)	   /* a sender, no valid recipient */                     \
	X(RCPT)	   /* recipients */                                       \
	X(OPENING) /* DATA or the first BDAT waits for the reservation */ \
	X(DATA)	   /* reading a body up to its dot */                     \
	X(CHUNK)   /* reading the octets of a BDAT */                     \
	X(CHUNKED) /* between two BDATs */                                \
	X(COMMIT)  /* the body is whole and waits to be durable */        \
	X(ANSWER)  /* the reply or replies after the body */              \
	X(CLOSED)

enum smtps_state {
#define X(name) SMTPS_##name,
	SMTPS_STATES(X)
#undef X
	    SMTPS_STATE_COUNT
};

enum smtps_step {
	SMTPS_STEP_MORE,
	SMTPS_STEP_FLUSH,
	SMTPS_STEP_PAUSE,
	SMTPS_STEP_HELO,
	SMTPS_STEP_MAIL,
	SMTPS_STEP_RCPT,
	SMTPS_STEP_OPEN,
	SMTPS_STEP_BODY,
	SMTPS_STEP_ABORT,
	SMTPS_STEP_COMMIT,
	SMTPS_STEP_RESET,
	SMTPS_STEP_WAIT,
	SMTPS_STEP_CLOSE,
	SMTPS_STEP_AGAIN, /* inside the machine only */
};

/* The fixed replies, smtp_server_reply.def. */
enum smtps_reply {
#define REPLY(NAME, code, status, text, flags) SMTPS_REPLY_##NAME,
#include "proto/smtp_server_reply.def"
#undef REPLY
	SMTPS_REPLY_COUNT
};

enum {
	SMTPS_PENDING_MAX = 16,	  /* RCPTs of a session that overlap */
	SMTPS_REPLY_BYTES = 1200, /* the longest reply; io->out needs more */
	SMTPS_TEXT_BYTES = 1000,  /* of a refusal's text */
	SMTPS_STATUS_BYTES = 12,
	/* RCPTs past the limit that are no errors of the client: it sends the
	 * rest later (RFC 5321 4.5.3.1.10). */
	SMTPS_OVERSHOOT = 1000,
	/* A BDAT of more than so many times the message size limit is not read
	 * to its end. */
	SMTPS_CHUNK_FACTOR = 16,
	/* A shorter chunk of a BDAT, unless it is the first or the last,
	 * counts as a command without use. */
	SMTPS_CHUNK_TINY = 64,
};

/* What holds for all sessions of a listener; borrowed by each. */
struct smtps_conf {
	struct slice hostname;
	struct slice banner; /* after "220 " */
	struct header_limits headers;
	uint64_t size_max;    /* message_size_limit; 0: none */
	uint32_t line_max;    /* line_length_limit */
	uint32_t rcpt_max;    /* smtpd_recipient_limit */
	uint32_t soft_errors; /* smtpd_soft_error_limit */
	uint32_t hard_errors; /* smtpd_hard_error_limit */
	uint32_t junk_max;    /* smtpd_junk_command_limit */
	bool soft_bounce;
	/* Text may come before the 354: a whole session from a file. */
	bool early_text;
};

/* Why something is refused.  text may be NULL data: a fixed reply. */
struct smtps_refusal {
	uint16_t code; /* 4xx or 5xx; 421 closes the session */
	uint8_t fixed; /* enum smtps_reply, unless NONE */
	char status[SMTPS_STATUS_BYTES]; /* "5.1.1" */
	struct slice text;
};

/* A RCPT whose reply is not out yet. */
struct smtps_pending {
	uint8_t state;
	struct slice address; /* the driver's copy, for reply and log */
	struct smtps_refusal why;
};

/* A transaction, in the driver's memory from smtps_mail_accept to RESET. */
struct smtps_txn {
	uint64_t size_declared;
	uint32_t rcpt_count; /* accepted */
	uint32_t rcpt_asked; /* parsed and not refused, accepted ones too */
	uint32_t rcpt_tried; /* all RCPT commands */
	uint8_t ring_first, ring_count;
	bool utf8;
	bool chunked;  /* BDAT, not DATA */
	bool reserved; /* smtps_opened was called */
	bool failed;   /* why says how it will be answered */
	bool last;     /* this is the last chunk */
	struct smtps_refusal why;
	struct smtps_pending ring[SMTPS_PENDING_MAX];
	struct body_scan body;
	struct header_scan header;
};

struct smtps_count {
	uint16_t good, all;
};

/* A session. */
struct smtps {
	const struct smtps_conf *conf;
	struct smtps_txn *txn; /* NULL: none */
	uint8_t state;	       /* enum smtps_state */
	uint8_t back;	       /* the state after a chunk that is dropped */
	uint8_t verb;	       /* enum smtp_verb: the last command */
	uint8_t chunk_reply;   /* enum smtps_reply for such a chunk */
	bool lmtp;
	bool normalise; /* a lone CR or LF is mended, not refused */
	bool esmtp;	/* EHLO or LHLO, not HELO */
	bool draining;	/* set by the driver */
	bool greeted;	/* any command was read */
	bool skipping;	/* an overlong line, up to its end */
	bool pause;	/* the reply just written has to wait */
	bool answered;	/* OPENING, COMMIT: the driver answered */
	bool asked;	/* COMMIT: the step was returned */
	/* Commands beyond junk_max, since the driver last looked; it resets,
	 * and more than fit are not counted. */
	uint16_t junk_new;
	uint32_t error_count;
	uint32_t errors_new; /* since the driver last looked; it resets */
	uint32_t junk_count;
	uint32_t answer_count; /* ANSWER: replies still to be written */
	uint64_t chunk_left;   /* octets */
	uint64_t id;	       /* of the message committed */
	struct smtps_count counts[SMTP_VERB_COUNT];
};

/* One call's worth of input and output; may be shared by all sessions. */
struct smtps_io {
	char *in; /* unread input; advanced by the machine */
	size_t in_len;
	char *out;	 /* replies */
	size_t out_size; /* at least 2 * SMTPS_REPLY_BYTES */
	size_t out_len;
	char *spare;	   /* room for a body that is normalised */
	size_t spare_size; /* at least 64 */

	struct slice helo;
	struct smtp_mail mail;
	struct smtp_rcpt rcpt;
	unsigned slot;
	struct slice body;
	struct slice reject;	       /* "554 5.7.1 ...", in out */
	struct slice reject_rcpt;      /* the recipient it concerns; or empty */
	enum smtps_reply reject_reply; /* NONE: not one of the fixed ones */
	enum smtp_verb reject_verb;
	bool reject_at_end; /* after the body, not at the command */
	char address[ADDRESS_BYTES_MAX];
	char small[8];
};

/*
 * smtps_init(s, conf, lmtp, normalise):
 * A new session, before its greeting.  conf is borrowed as long as s lives.
 * lmtp: RFC 2033, LHLO and a reply for each recipient.  normalise: bare CR
 * and LF in a body become CRLF instead of being refused.
 */
void smtps_init(struct smtps *s, const struct smtps_conf *conf, bool lmtp,
    bool normalise);

/* Write the greeting. */
void smtps_banner(struct smtps *s, struct smtps_io *io);

/* The next step; see above.  Not after CLOSE. */
enum smtps_step smtps_next(struct smtps *s, struct smtps_io *io);

/* Answers.  txn is zeroed memory; the machine initialises it. */
void smtps_mail_accept(struct smtps *s, struct smtps_io *io,
    struct smtps_txn *txn);
/* address: a copy that lives as long as the transaction. */
void smtps_rcpt_keep(struct smtps *s, unsigned slot, struct slice address);
void smtps_rcpt_accept(struct smtps *s, unsigned slot);
/* why->text must live until the reply is out: in the transaction's memory. */
void smtps_rcpt_refuse(struct smtps *s, unsigned slot,
    const struct smtps_refusal *why);
void smtps_opened(struct smtps *s);
void smtps_committed(struct smtps *s, uint64_t id);
/* At MAIL (then io is needed), OPEN or COMMIT, or while the body comes: the
 * transaction fails; text as with smtps_rcpt_refuse. */
void smtps_refuse(struct smtps *s, struct smtps_io *io,
    const struct smtps_refusal *why);

/* A refusal with a fixed reply. */
struct smtps_refusal smtps_why(enum smtps_reply r);
/* One with a code, status and text; an unusable code becomes 451 4.3.0. */
struct smtps_refusal smtps_why_text(unsigned code, struct slice status,
    struct slice text);

/* The session ends now: write this 421 or 554 and close.  From any state. */
void smtps_hangup(struct smtps *s, struct smtps_io *io, enum smtps_reply r);

/* Answers are outstanding that do not depend on the client. */
bool smtps_is_waiting(const struct smtps *s);
/* A body is being read. */
bool smtps_in_body(const struct smtps *s);
/* What a client was doing, for "timeout after ...": "CONNECT", "RCPT",
 * "DATA (123 bytes)". */
void smtps_doing(const struct smtps *s, char *buf, size_t size);
const char *smtps_state_name(enum smtps_state st);
