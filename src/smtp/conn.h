/*
 * conn: a connection to another server: the driver of proto/smtp_client.
 *
 * It belongs to a job, or is idle and kept for the next job with the same
 * next hop or the same address.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/list.h"
#include "base/time.h"
#include "conf/net.h"
#include "ev/loop.h"
#include "proto/smtp_client.h"
#include "smtp/job.h"

struct agent;

enum { CONN_OUT_FIRST_BYTES = 1024, CONN_OUT_BYTES = 16384 };

enum conn_state {
	CONN_CONNECTING,
	CONN_OPEN,
	CONN_IDLE,
	CONN_QUITTING, /* the reply to QUIT is awaited */
};

struct conn {
	struct list_node link;	 /* in agent.idle or agent.conns */
	struct hash_node by_key; /* while idle */
	struct agent *agent;
	struct job *job; /* NULL unless CONNECTING or OPEN */
	enum conn_state state;
	int fd;
	struct ev_io io;
	struct ev_timer timer;
	struct net_addr addr; /* family 0: a unix socket */
	uint16_t port;
	bool lmtp;
	char name[256];			 /* of the host */
	char site[320];			 /* "HOST[IP]" */
	char relay[JOB_RELAY_BYTES_MAX]; /* "HOST[IP]:PORT" */
	char key[JOB_KEY_BYTES];
	struct mono opened;
	unsigned uses;		    /* transactions begun */
	bool reused;		    /* the one that runs is not the first */
	enum smtp_client_wait wait; /* for which the timer was set */
	uint32_t reply_count;	    /* at that time */
	struct mono body_deadline;
	uint64_t body_seen; /* bytes written when the timer was set */
	bool write_failed;  /* read what it still says, then it is lost */
	struct buf out;	    /* commands that the socket did not take */
	struct smtp_client client;
};

/* Which of two parameters is for this connection. */
static inline int64_t
conn_either(const struct conn *c, int64_t of_smtp, int64_t of_lmtp)
{
	return c->lmtp ? of_lmtp : of_smtp;
}

/*
 * conn_open(j, host):
 * Begin to connect; the outcome comes to the job.  On an error that is known
 * at once the reason is in et and nothing was begun.
 */
MUST_CHECK enum err conn_open(struct job *j, const struct job_host *host,
    struct errtext *et);

/* The job has a connected socket, which is owned from here on: its session
 * begins, or there is no room for it and the job goes on without. */
void conn_adopt(struct job *j, const struct job_host *host, int fd);
/* There is none, for a reason of the system: logged, and the job goes on. */
void conn_not_made(struct job *j, const struct job_host *host, int errnum);

/* An idle connection for the job's next hop; false: none. */
bool conn_reuse(struct job *j);
/* The same for a host. */
bool conn_reuse_host(struct job *j, const struct job_host *host);

/* Close without a word; the job, if any, forgets it. */
void conn_close(struct conn *c);

/* Give an idle place: close the oldest idle connection.  False: none. */
bool conn_close_oldest(struct agent *g);
/* QUIT to all idle ones. */
void conn_quit_idle(struct agent *g);

/* ---- between the files of conn ---- */

/* Connected: the greeting is awaited. */
void conn_start_session(struct conn *c);
/* Begin the job's transaction. */
void conn_begin(struct conn *c);
/* Run the machine with what was received; c may be gone after it. */
void conn_run(struct conn *c, struct slice in);
/* The session of a job ended before its time; closes. */
void conn_lost(struct conn *c, const char *dsn, const char *text);
/* Between messages, without a job: keep it, or say QUIT. */
void conn_release(struct conn *c);
void conn_quit(struct conn *c);

/* ---- result.c ---- */

enum { CONN_REPLY_BYTES = 800 }; /* of a reply in a result; the rest is ours */

/* The last reply in one line, cut. */
void conn_reply_line(const struct conn *c, char buf[static CONN_REPLY_BYTES]);
/* Give the machine's result to the job. */
void conn_note_result(struct conn *c);
