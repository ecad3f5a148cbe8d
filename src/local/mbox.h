/*
 * mbox: delivery into one file that holds many messages (mboxrd).
 *
 * mbox_begin opens, checks and locks the file and writes the "From " line;
 * the message is written to m->sink (quoted by it); mbox_commit makes it
 * durable, mbox_rollback cuts the file back to what it was.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/slice.h"
#include "local/lock.h"
#include "local/outcome.h"
#include "local/sink.h"

struct mbox {
	int dir_fd; /* holds the file; owned */
	int fd;
	off_t old_bytes; /* size before this message */
	bool created;
	char name[256];
	struct mailbox_lock lock;
	struct sink *sink;
};

struct mbox_request {
	int base_fd;
	struct slice path;	   /* safe, below base_fd; names a file */
	unsigned path_flags;	   /* enum path_flags */
	struct slice sender;	   /* empty: MAILER-DAEMON */
	uint64_t message_bytes;	   /* about how much will be added */
	uint64_t size_limit_bytes; /* mailbox_size_limit; 0: none */
	bool full_bounces;	   /* mailbox_full_action */
	struct lock_policy locks;
};

/*
 * mbox_begin(m, sink, req, o):
 * Blocks while the locks are busy (see lock.h).  False with o set (deferred)
 * and nothing open or locked.  sink is borrowed until commit or rollback.
 */
bool mbox_begin(struct mbox *m, struct sink *sink,
    const struct mbox_request *req, struct outcome *o);
/* Ends the message with a blank line, syncs, unlocks, closes.  False, rolled
 * back, with o set, when anything failed. */
bool mbox_commit(struct mbox *m, struct outcome *o);
/* Cut back, unlock, close.  o may say already why; a failure to cut back is
 * added to its text. */
void mbox_rollback(struct mbox *m, struct outcome *o);
