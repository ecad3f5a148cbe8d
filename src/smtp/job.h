/*
 * job: one delivery: a message, some of its recipients, one next hop.
 *
 * A job owns an arena with all that came in its frames and all results; it
 * ends with JOB_RESULTS and JOB_DONE, or is dropped with its queue.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/hash.h"
#include "base/list.h"
#include "base/mem.h"
#include "conf/net.h"
#include "ev/loop.h"
#include "ipc/frames.h"
#include "ipc/job.h"
#include "proto/smtp_client.h"
#include "smtp/body.h"

struct agent;
struct conn;

enum {
	JOB_CHUNK_BYTES = 4096,
	JOB_ARENA_BYTES = 1024 * 1024, /* of one job; else it is deferred */
	JOB_HOSTS_MAX = DNS_HOSTS_MAX,
	JOB_KEY_BYTES = 320, /* "lmtp:" and the next hop, in lower case */
};

enum job_state {
	JOB_GATHERING,	/* its frames are coming in */
	JOB_ROUTING,	/* asked dns */
	JOB_CONNECTING, /* has a connection that is not READY */
	JOB_SESSION,	/* its transaction runs */
	JOB_REPORTING,	/* results are on their way to the queue */
};

/* Frame contents kept until the job is complete. */
struct job_piece {
	struct job_piece *next;
	struct slice data;
};

struct job_pieces {
	struct job_piece *first, *last;
};

/* What is known of a recipient. */
struct job_outcome {
	uint32_t index; /* in the message */
	bool known;	/* there is a result, final or for want of a better */
	bool final;	/* no other host is asked */
	uint8_t status; /* enum job_status */
	char dsn[SMTP_STATUS_BYTES];
	struct slice relay, text;
};

/* A place to connect to. */
struct job_host {
	const char *name;     /* for people; "unix" for a path */
	struct net_addr addr; /* family 0: path */
	uint16_t port;
};

/* Why it failed, when no recipient can tell. */
struct job_trouble {
	uint8_t status; /* enum job_status; never SENT */
	char dsn[SMTP_STATUS_BYTES];
	struct slice relay, text; /* text empty: none yet */
};

struct job {
	struct hash_node by_tag;
	struct list_node link;	    /* in agent.jobs */
	struct list_node reporting; /* in agent.reporting */
	struct agent *agent;
	uint32_t tag;
	enum job_state state;
	struct arena arena;
	bool refused; /* memory ran out while it was gathered */

	struct job_pieces rcpt_pieces, extent_pieces;
	uint64_t id;
	struct envelope envelope;
	struct smtp_client_rcpt *rcpts; /* as the machine wants them */
	struct job_outcome *outcomes;	/* same order */
	unsigned rcpt_count;
	struct extent *extents;
	unsigned extent_count;
	struct smtp_client_txn txn;
	struct body body;

	bool lmtp;
	struct net_nexthop nexthop;
	char key[JOB_KEY_BYTES]; /* names the next hop in the idle table */
	struct job_host *hosts;
	unsigned host_count, host_next; /* hosts[host_next] is tried next */
	unsigned session_count;		/* hosts that took the handshake */
	bool by_mx;			/* asked for MX records */
	bool asked;			/* dns has the question */
	bool path_asked;		/* lookup has it */
	struct mono path_deadline;	/* for the connection to the path */
	bool fresh_only; /* an idle connection let it down before */
	bool handshake_failed;
	struct conn *conn;     /* NULL: none now */
	struct slice relay;    /* "HOST[IP]:PORT" of the session */
	struct ev_timer timer; /* for dns, or the connection to a path */
	struct job_trouble trouble;
	struct mono started, ready; /* ready.ms 0: no session yet */
	unsigned reported;	    /* recipients whose results were sent */
};

/* ---- gather.c ---- */

/* Frames of a job; malformed: false. */
bool job_on_rcpts(struct agent *g, const struct frame *f);
bool job_on_extents(struct agent *g, const struct frame *f);
bool job_on_job(struct agent *g, const struct frame *f);

/* All of it has come: begin. */
void job_start(struct job *j);
/* Drop it without a word: the queue is gone. */
void job_drop(struct job *j);

/* A copy in the job's arena; a fixed text when the arena refuses. */
struct slice job_keep(struct job *j, const char *text);

/* ---- called by route ---- */

/* hosts are set (maybe none): connect, or end with the trouble. */
void job_routed(struct job *j);

/* ---- called by conn ---- */

/* j->conn is connected and its handshake done: begin is next. */
void job_ready(struct job *j);
/* A result for the recipients in state RESULT.  retry: another host may do
 * better, so it is kept only for want of a better one. */
void job_note(struct job *j, bool all, unsigned rcpt,
    const struct job_trouble *result, bool retry);
/* Nothing but the last trouble can be said of the rest: ask no other host. */
void job_give_up_hosts(struct job *j);
/* An idle connection let the job down: start without one. */
void job_start_fresh(struct job *j);
/* The transaction is over and the connection was given back or is gone: the
 * next host, or the end. */
void job_next(struct job *j);
/* Is there a host after this one, and may it be asked? */
bool job_has_next(const struct job *j);
/* A result for all that have none, and the end. */
void job_fail(struct job *j, enum job_status status, const char *dsn,
    struct slice relay, const char *text);
/* Remember why this host did not work; the last reason counts. */
void job_set_trouble(struct job *j, enum job_status status, const char *dsn,
    struct slice relay, const char *text);

/* ---- report.c ---- */

/* Send results and JOB_DONE; frees the job, or waits for room. */
void job_report(struct job *j);
void job_free(struct job *j);
