/*
 * server: the process as a whole: configuration, channels to the other roles,
 * listening sockets, sessions.
 *
 * main.c gives it what the master hands over; tests give it socket pairs.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/ladder.h"
#include "base/limits.h"
#include "base/list.h"
#include "base/log.h"
#include "base/mem.h"
#include "conf/conf.h"
#include "conf/net.h"
#include "ev/loop.h"
#include "ipc/chan.h"
#include "ipc/client_page.h"
#include "ipc/frames.h"
#include "proto/smtp_server.h"
#include "smtpd/tags.h"

struct server;
struct session;
struct handed;

/* Rows of the limits page, besides pools. */
enum server_row {
	ROW_CONNECTIONS, /* so far */
	ROW_TAKEN,
	ROW_LINE,
	ROW_MESSAGE,
	ROW_FIELD,
	ROW_HEADER,
	ROW_FIELDS,
	ROW_HOPS,
	ROW_RCPTS,
	ROW_LOCAL_RCPTS,
	ROW_ERRORS,
	ROW_SOFT_ERRORS,
	ROW_JUNK,
	ROW_CLIENT,
	ROW_RATES, /* enum client_rate, in its order */
	ROW_NETWORK = ROW_RATES + CLIENT_RATE_COUNT,
	ROW_PROVEN,
	ROW_SILENCE,
	ROW_SESSION,
	ROW_DATA_RATE,
	ROW_MINFREE, /* of the queue, told by it: MAIL refused */
	ROW_QUEUE_SIZE,
	ROW_QUEUE_MESSAGES,
	ROW_SPACE,
	SERVER_ROWS
};

enum {
	LISTENERS_MAX = 64,
	SESSION_USERS_MAX = 64,
	ACCEPTS_PER_TURN = 16, /* of one socket, so that sessions are served */
	REFUSALS_PER_TURN = 4, /* who is inside does not wait for a crowd */
	READ_BYTES_MIN = 4096,
	READ_BYTES_FIRST = 16384, /* first window of a body: one read and one
				     frame for most mail */
	READ_BYTES_MAX = 65536,
	OUT_BYTES = 8192,	       /* replies of one batch */
	SPARE_BYTES = 32768,	       /* bodies that are normalised */
	CHAN_QUEUE_BYTES = 512 * 1024, /* to the queue role, at most */
	CHAN_SMALL_BYTES = 64 * 1024,  /* to the others */
	/* Free in the queue's channel, or nothing new is begun. */
	CHAN_RESERVE_BYTES = 16 * 1024,
	AHEAD_MAX = 2, /* transactions granted ahead */
};

/* What happens when the last session of a drained server ends, and when a
 * peer broke the rules. */
struct server_events {
	void (*on_drained)(void *arg);
	void (*on_bad_peer)(void *arg, enum role peer, const char *why);
	void *arg;
	/* A local session ended that brought no mail: a sendmail that found
	 * no server may have left a message in the drop directory.  NULL is
	 * allowed. */
	void (*on_visit)(void *arg);
};

struct listener {
	struct server *server;
	struct ev_io io;
	int fd;
	enum listen_kind kind;
};

/* A transaction that the queue granted ahead. */
struct ahead {
	uint32_t tag; /* TAG_NONE: none */
	uint64_t id;  /* 0: asked for, not granted yet */
	int64_t credit;
	struct mono since;
};

struct server {
	struct ev_loop *loop;
	struct acct *acct;	 /* the role's */
	struct acct unproven;	 /* of it, what unproven clients may take */
	const struct conf *conf; /* in force; the caller's */
	struct server_events events;
	unsigned index;		 /* which smtpd */
	struct smtps_conf smtps; /* made from conf */
	struct smtps_conf local; /* of LISTEN_LOCAL: sendmail's limits hold */

	struct domain_cache *domains;	   /* answers of lookup */
	struct chan *queue, *lookup, *dns; /* NULL: none now */
	/* By role: a channel for which there was no memory yet; or -1. */
	int owed_fds[ROLE_COUNT];
	enum err queue_state; /* OK, or why MAIL is refused */
	char short_of[64];    /* what the queue is short of, if it is */
	int64_t short_value;
	unsigned aborts_due; /* TXN_ABORTs that found no room */
	struct ahead ahead[AHEAD_MAX];
	unsigned trusted_txns; /* of the transactions */
	/* session.starved: waiting for room to the queue */
	struct list starved, starved_strangers;
	struct list asking; /* session.asking: lookup had no room */

	struct client_page page;
	struct limit_row *gate_row, *share_row; /* of smtpd 0, for all */
	struct limit_row *rows[SERVER_ROWS];
	unsigned shown; /* status line: sessions + 1; 0: none yet */
	struct ladder ladder;
	int64_t memory_max; /* for which it stands: what the pools leave */
	int64_t share_max;  /* of so much in all */

	struct listener listeners[LISTENERS_MAX];
	unsigned listener_count;
	bool listening, full;
	struct ev_timer accept_timer; /* while the gate is full */
	struct ev_timer second_timer; /* status, overload, housekeeping */
	unsigned seconds;

	struct pool sessions;
	struct pool txns;
	struct list open_sessions;
	struct pool handed; /* handed.h */
	struct list handed_over;
	uid_t session_users[SESSION_USERS_MAX]; /* authorized_session_users */
	unsigned session_user_count;
	struct list ready; /* sessions to be driven by the task */
	struct ev_task task;
	struct tags tags;
	bool draining;

	struct log_limit_site full_site, share_site, memory_site,
	    session_user_site, hit_sites[SERVER_ROWS];

	/* One call's worth of bytes; what is left over goes to the session. */
	struct smtps_io io;
	char out[OUT_BYTES];
	char spare[SPARE_BYTES];
	char in[2 * READ_BYTES_MAX];
};

/*
 * server_new(loop, a, conf, index, events, out):
 * Everything is charged to a.  ERR_NOMEM.
 */
MUST_CHECK enum err server_new(struct ev_loop *loop, struct acct *a,
    const struct conf *conf, unsigned index, const struct server_events *events,
    struct server **out);
/* Closes every session and channel.  NULL is allowed. */
void server_free(struct server *sv);

/* Before sessions begin.  fd stays the caller's. */
MUST_CHECK enum err server_set_page(struct server *sv, int fd,
    struct errtext *et);
/* A (new) channel to a peer; owns fd. */
void server_set_channel(struct server *sv, enum role peer, unsigned index,
    int fd);
/* A listening socket; owns fd. */
void server_add_listener(struct server *sv, enum listen_kind kind, int fd);
/* Who may hand connections over, besides root: at most SESSION_USERS_MAX. */
void server_set_session_users(struct server *sv, const uid_t *users,
    unsigned count);
/* Begin to accept. */
void server_start(struct server *sv);
/* A new configuration; the old one is not used any more. */
void server_reload(struct server *sv, const struct conf *conf);
/* No new sessions; idle ones end, the others finish; then on_drained. */
void server_drain(struct server *sv);

/* The owner of a tag is the server itself, no session. */
static inline bool
server_owns_tag(const struct server *sv, const void *owner)
{
	return owner == sv || owner == sv->ahead;
}

/* ---- accept.c ---- */
void accept_update(struct server *sv); /* open or close the door */
void accept_stop(struct server *sv);

/* ---- limits.c ---- */
/* Rows of the limits page: made once, their limits set on reload. */
void limits_show(struct server *sv);
/* A refusal was written: if a limit was behind it, name it in the log. */
void limits_hit(const struct session *s, const struct smtps_io *io);
/* A session hit a limit that is behind no refusal: the line about it, and its
 * counter. */
void limits_reached(const struct session *s, enum server_row at,
    const char *action);
/* MAIL is refused because the queue is short of disk: the same. */
void limits_no_room(const struct session *s);
/* A limit of clients was hit: the same. */
void limits_exceeded(struct server *sv, enum server_row at, struct slice who,
    const char *action);
/* True: no line about it is due, the hit was counted.  False: nothing was,
 * limits_exceeded is to be called. */
bool limits_is_quiet(struct server *sv, enum server_row at);
/* The parameter behind a row. */
const char *limits_parameter(const struct server *sv, enum server_row at);

/* ---- clients.c ---- */
/* Take a place for a new session; OK, or how it is refused. */
enum smtps_reply clients_enter(struct server *sv, struct session *s);
void clients_leave(struct server *sv, struct session *s);
bool clients_rate(struct server *sv, struct session *s, enum client_rate rate,
    unsigned events);
void clients_prove(struct server *sv, struct session *s);
/* For local clients a few places are kept. */
bool clients_full(struct server *sv, bool local);
void clients_each_second(struct server *sv);

/* ---- ahead.c ---- */
/* For TXN_COMMIT of this session: the tag to grant one under; TAG_NONE: none
 * is wanted. */
uint32_t ahead_ask(struct session *s);
/* It could not be asked for. */
void ahead_unask(struct server *sv, uint32_t tag);
/* For s, which has its recipients: its transaction gets tag, id and credit.
 * False: none is there, or it is not for such a one. */
bool ahead_take(struct session *s, uint64_t size_hint_bytes);
void ahead_on_frame(struct server *sv, unsigned i, struct frame *f);
void ahead_return_all(struct server *sv);
void ahead_each_second(struct server *sv);
void ahead_on_lost(struct server *sv);

/* ---- queue.c, lookup.c, names.c: frames of the peers ---- */
/* An abort that found no room is sent later, under the server's name. */
void txn_abort_later(struct server *sv, uint32_t tag);
void queue_on_frame(struct server *sv, struct frame *f);
void queue_on_lost(struct server *sv);
void queue_on_room(struct server *sv);
void lookup_on_frame(struct server *sv, struct frame *f);
void lookup_on_lost(struct server *sv);
void lookup_on_room(struct server *sv);
void names_on_frame(struct server *sv, struct frame *f);
void names_on_lost(struct server *sv);
