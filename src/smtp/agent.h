/*
 * agent: the smtp role as one object: jobs from the queue, hosts from dns,
 * connections to other servers.
 *
 * Everything is owned by the agent and bounded: jobs and connections by
 * concurrency_remote (the queue sends no more), memory by two accounts.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/hash.h"
#include "base/list.h"
#include "base/log.h"
#include "base/mem.h"
#include "conf/net.h"
#include "ev/loop.h"
#include "ipc/chan.h"
#include "smtp/segment.h"

struct conf;

enum {
	AGENT_OWN_MAX = 64,   /* addresses of this system */
	AGENT_PORTS_MAX = 16, /* on which this system takes mail */
	/* Queue and dns take what a turn sends; more waits in the job. */
	AGENT_QUEUE_BYTES = 256 * 1024,
	AGENT_DNS_BYTES = 64 * 1024,
	AGENT_LOOKUP_BYTES = 16 * 1024,
};

/* Rows of the limits page, besides accounts and pools: of a deadline "refused"
 * counts how often it passed. */
enum agent_row {
	AGENT_ROW_CONNECT,
	AGENT_ROW_HELO,
	AGENT_ROW_MAIL,
	AGENT_ROW_RCPT,
	AGENT_ROW_DATA,
	AGENT_ROW_BODY,
	AGENT_ROW_RATE,
	AGENT_ROW_DOT,
	AGENT_ROW_QUIT,
	AGENT_ROW_IDLE,
	AGENT_ROW_AGE,
	AGENT_ROW_MESSAGES,
	/* The same of LMTP, in the same order. */
	AGENT_ROW_LMTP,
	AGENT_ROW_DNS = 2 * AGENT_ROW_LMTP,
	AGENT_ROW_ADDRESSES,
	AGENT_ROW_SESSIONS,
	AGENT_ROW_REPLY_LINES,
	AGENT_ROW_REPLY_BYTES,
	AGENT_ROW_JOB_BYTES,
	AGENT_ROW_COUNT
};

struct agent_events {
	/* The peer sent what why says: its channel is closed already. */
	void (*on_bad_peer)(void *arg, enum role peer, const char *why);
	/* Draining, and nothing is left to do. */
	void (*on_drained)(void *arg);
};

struct agent {
	struct ev_loop *loop;
	const struct conf *conf; /* replaced by agent_configure */
	const struct agent_events *events;
	void *arg;

	struct acct job_acct;  /* envelopes, recipients, results */
	struct acct conn_acct; /* connections and their buffers */
	struct pool job_pool;
	struct pool conn_pool;
	struct segments segments;
	char *piece; /* BODY_PIECE_BYTES, never held across a turn */

	struct chan *queue; /* NULL: not there now */
	struct chan *dns;
	struct chan *lookup; /* connects to unix sockets */
	struct hash jobs_by_tag;
	struct list jobs;      /* all */
	struct list reporting; /* jobs whose results wait for room */
	struct hash idle_by_key;
	struct list idle;  /* connections kept for reuse, oldest first */
	struct list conns; /* all others */

	char helo_name[256], lhlo_name[256];
	struct net_addr own[AGENT_OWN_MAX];
	unsigned own_count;
	uint16_t ports[AGENT_PORTS_MAX];
	unsigned port_count;
	struct limit_row *rows[AGENT_ROW_COUNT];
	struct log_limit_site late_sites[AGENT_ROW_COUNT];
	bool draining;
	struct ev_task drained;
};

/*
 * agent_init(g, loop, a, conf, events, arg):
 * conf is borrowed until the next agent_configure.  Reads the system's
 * addresses: call it before the sandbox closes.
 */
MUST_CHECK enum err agent_init(struct agent *g, struct ev_loop *loop,
    struct acct *a, const struct conf *conf, const struct agent_events *events,
    void *arg);
/* Drops jobs and connections without a word. */
void agent_fini(struct agent *g);
/* At start and on reload. */
void agent_configure(struct agent *g, const struct conf *conf);
/* A new channel to queue, dns or lookup; owns fd.  Jobs of an old queue are
 * dropped: it will send them again.  Questions to the others are repeated. */
MUST_CHECK enum err agent_set_channel(struct agent *g, enum role peer,
    unsigned index, int fd);
/* No new jobs will come; on_drained is called when the last is reported. */
void agent_drain(struct agent *g);
/* Something ended: is that all? */
void agent_check_drained(struct agent *g);

/* ---- limits.c ---- */

/* Make the rows, or set them to a new configuration. */
void agent_show_limits(struct agent *g);
/* who passed a deadline: counted, and named in the log; which is one of those
 * before AGENT_ROW_LMTP, or DNS. */
void agent_late(struct agent *g, enum agent_row which, bool lmtp,
    struct slice who);
