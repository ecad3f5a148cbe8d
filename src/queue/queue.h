/*
 * queue: the queue role without its process: owner of the store and of the
 * schedule, the only writer of the spool.  It parses no header.
 *
 * main.c gives it what the master handed over; a test gives it socket pairs
 * and a disk of its own.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/slice.h"
#include "ipc/chan.h"

struct acct;
struct conf;
struct disk;
struct ev_loop;
struct queue;

/* What the queue needs of its process. */
struct queue_env {
	struct ev_loop *loop;
	struct acct *acct;	 /* this role's part of the budget */
	const struct conf *conf; /* borrowed; queue_reload replaces it */
	struct disk *disk;	 /* rooted at the spool */
	const char *index_dir;	 /* struct store_conf */
	bool threads;		 /* likewise */
	uid_t owner;		 /* of the spool: may change the queue */
	const uid_t *users;	 /* authorized_queue_users: may change it too */
	unsigned user_count;
	/* What the descriptors of the agents carry; 0: anything. */
	unsigned local_max, remote_max;
	int64_t nofile_max; /* by which they were made; for the log */
	void *arg;
	/* Start an on-demand role. */
	void (*want)(void *arg, enum role wanted);
	/* A peer sent a malformed frame; its channel is closed. */
	void (*bad_peer)(void *arg, enum role peer, unsigned index,
	    const char *why);
	/* The log is poisoned: leave at once, a new process recovers it. */
	void (*die)(void *arg, const char *why);
	/* queue_drain is done; queue_close is next. */
	void (*drained)(void *arg);
};

/* Opens the store (blocks while it recovers).  Errors of store_open. */
MUST_CHECK enum err queue_open(const struct queue_env *env, struct queue **out,
    struct errtext *et);
/* Flushes results and closes the store clean; whatever runs is forgotten and
 * will be tried again.  NULL is allowed. */
void queue_close(struct queue *q);

/* A channel to a peer; owns fd. */
void queue_channel(struct queue *q, enum role peer, unsigned index, int fd);
/* The listening control socket; owns fd. */
void queue_listen(struct queue *q, int fd);
/* Begin to deliver. */
void queue_go(struct queue *q);
void queue_reload(struct queue *q, const struct conf *conf);
/* Start nothing new; drained() when nothing runs or grace_ms are over. */
void queue_drain(struct queue *q, unsigned grace_ms);
/* Everything deferred is due now. */
void queue_flush(struct queue *q);
