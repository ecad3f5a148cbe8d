/*
 * session: one client's connection, and the transaction that it may have.
 *
 * An idle session holds this struct, its HELO name and its PTR name; buffers
 * are lent while there is data that cannot be used yet, a transaction while
 * one runs.
 */
#pragma once

#include "base/buf.h"
#include "smtpd/server.h"

enum {
	/* Data of one session that waits: a full read and a command. */
	SESSION_BUF_BYTES_MAX = 2 * READ_BYTES_MAX,
	TXN_CHUNK_BYTES = 2048, /* of the arena */
	/* Below it bodies are read in small pieces and no transaction is begun:
	 * those that run may need the rest. */
	MEMORY_LOW_BYTES = 2 * READ_BYTES_MAX,
	NAME_WAIT_MS = 2000,	/* for the PTR name */
	LOOKUP_WAIT_MS = 60000, /* for answers to RCPT */
	QUEUE_WAIT_MS = 300000, /* for the reservation and the commit */
	STRESS_TIMEOUT_MS = 10000,
};

/* A recipient, in the transaction's arena. */
struct rcpt {
	struct rcpt *next;
	struct slice address;
	struct slice orcpt;
	uint8_t notify;
};

struct txn {
	struct smtps_txn m;
	struct acct acct;
	struct arena arena;
	struct slice sender;
	struct slice envid;
	uint8_t ret;
	bool body_8bitmime;
	bool trusted;			/* its client was, at MAIL */
	uint32_t rcpt_count;		/* in the list */
	struct rcpt *rcpts, *last_rcpt; /* accepted */
	struct rcpt *asked[SMTPS_PENDING_MAX];
	uint32_t ask_tags[SMTPS_PENDING_MAX];
	uint32_t tag;	 /* with the queue; TAG_NONE: none */
	uint64_t id;	 /* 0: none yet */
	int64_t credit;	 /* octets that the queue takes now */
	uint64_t sent;	 /* octets of the stored body so far */
	struct buf hold; /* body that found no credit or no room */
	bool committed;	 /* TXN_COMMIT was sent */
	bool commit_due; /* as soon as what is held was sent */
	bool begin_due;	 /* OPEN waits for room in the queue's channel */
	bool open_due;	 /* granted ahead: OPEN goes with the body */
};

/* Why a session does not go on by itself. */
enum session_wait {
	WAIT_CLIENT, /* for input */
	WAIT_ROLES,  /* for lookup or queue */
	WAIT_NAME,   /* for the PTR name */
	WAIT_WRITE,  /* until the client reads */
	WAIT_CREDIT, /* until the queue takes more */
	WAIT_PAUSE,  /* past the soft error limit */
};

struct session {
	struct ev_io io;
	struct ev_timer timer;
	struct smtps m;
	struct server *server;
	struct acct *acct;	  /* the server's, or its part for strangers */
	struct list_node node;	  /* open_sessions */
	struct list_node ready;	  /* server.ready */
	struct list_node starved; /* server.starved */
	struct list_node asking;  /* server.asking */
	struct txn *txn;
	struct handed *handed; /* NULL: accepted here */
	struct buf in, out;
	char *helo; /* NULL: none */
	char *name; /* verified; NULL: unknown */
	struct mono began;
	struct mono deadline; /* of what the client owes */
	uint32_t slot;	      /* in the client page */
	uint32_t name_tag;
	uint32_t uid;	 /* of a local client */
	uint32_t window; /* octets of a body that are read at once */
	int fd;
	struct net_addr addr; /* family 0: a unix socket */
	uint8_t kind;	      /* enum listen_kind */
	uint8_t wait;	      /* enum session_wait */
	bool trusted;	      /* mynetworks, local, or RELAYCLIENT */
	bool exempt;	      /* smtpd_client_event_limit_exceptions */
	bool named;	      /* the name is known, or given up */
	bool hurried;	      /* it has less than smtpd_timeout: overload */
	bool behind;	      /* its body is slower than smtpd_min_data_rate */
};

/* ---- life.c ---- */

/* A new session on a connected socket; owns fd.  peer: its address, NULL or
 * AF_UNIX for a local one.  Writes the greeting, or refuses and closes: false.
 */
bool session_new(struct server *sv, enum listen_kind kind, int fd,
    const struct sockaddr *peer);
/* The same for one that was handed over (handed.h), with the client's address
 * and name as given; owns fd, and h as well. */
void session_new_handed(struct server *sv, struct handed *h, int fd,
    const struct net_addr *addr, struct slice host);
/* Close it, whatever it does. */
void session_free(struct session *s);
/* End it if it is idle (drain). */
void session_end_idle(struct session *s);

/* ---- session.c ---- */

/* Ready to wait for its client; waits for nothing yet. */
void session_watch(struct session *s);
/* Something that it waited for came: drive it soon. */
void session_wake(struct session *s);
/* Drive all that were woken. */
void session_run_ready(struct server *sv);
/* Write what the machine said, as far as the client takes it; the rest is kept
 * and wait becomes WAIT_WRITE.  False: the connection is broken, or there is
 * no memory for the rest. */
bool session_flush(struct session *s);
/* Keep what the machine said, to be written later.  False: no memory. */
bool session_keep_out(struct session *s);
/* The client has smtpd_timeout from now. */
void session_new_deadline(struct session *s);
/* Overload has begun: what the client owes is due as if asked for now. */
void session_shorten(struct session *s);

/* ---- drive.c ---- */

/* Run the machine over len bytes at data, which lie in server.in, until it
 * waits.  May free the session. */
void session_drive(struct session *s, char *data, size_t len);
/* What a client has to do by when; sets the timer. */
void session_set_timer(struct session *s);

/* ---- txn.c, txn_open.c, txn_body.c: the transaction ---- */

/* NULL: no memory. */
struct txn *txn_new(struct session *s, const struct smtp_mail *mail);
void txn_free(struct session *s); /* no-op without one */
void txn_open(struct session *s);
/* Send what txn_open could not send for want of room. */
void txn_begin(struct session *s);
void txn_body(struct session *s, struct slice body);
void txn_commit(struct session *s);
void txn_abort(struct session *s);
/* Octets of body that can be passed on now. */
size_t txn_room(const struct session *s);
/* So little of the body is held that it waits for more, or for its end. */
bool txn_gathers(const struct session *s);
/* Send what was held; false: some is left. */
bool txn_send_held(struct session *s);

/* ---- lookup.c ---- */
void rcpt_ask(struct session *s, const struct smtp_rcpt *rcpt, unsigned slot);
/* It is refused without asking. */
void rcpt_refuse(struct session *s, const struct smtp_rcpt *rcpt, unsigned slot,
    enum smtps_reply why);
/* Refuse what is still asked (time-out). */
void rcpt_give_up(struct session *s);
void rcpt_forget(struct session *s);

/* ---- names.c ---- */
void name_ask(struct session *s);
void name_give_up(struct session *s);

/* ---- report.c: log lines ---- */

enum { CLIENT_TEXT_BYTES = 320 };

/* "HOST[IP]" */
void report_client(const struct session *s, char buf[static CLIENT_TEXT_BYTES]);
struct slice report_name(const struct session *s);
bool report_is_loopback(const struct session *s);
void report_address(const struct session *s,
    char buf[static NET_ADDR_TEXT_BYTES]);
uint8_t report_origin(const struct session *s); /* enum envelope_origin */
struct slice report_protocol(const struct session *s);
void report_connect(const struct session *s);
void report_disconnect(const struct session *s);
void report_lost(const struct session *s, const char *what);
void report_reject(const struct session *s, const struct smtps_io *io);
void report_accepted(const struct session *s); /* ID: client= */
void report_message_id(const struct session *s);
