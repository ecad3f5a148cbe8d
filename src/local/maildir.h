/*
 * maildir: delivery into a Maildir, in batches.
 *
 * A file is written in tmp/ under a name that is unique on every host that
 * shares the directory, synced, and renamed into new/; new/ is synced.  Only
 * then is the message delivered.  The steps are separate calls, so that a
 * worker with several jobs writes all files first and syncs each directory
 * once: maildir_create, (write), maildir_written, then for all of them fsync,
 * maildir_synced, maildir_publish, and for each directory that is new_dirty
 * fsync and maildir_new_synced.  Who calls fsync decides how many at a time.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "local/outcome.h"
#include "local/path.h"
#include "local/quota.h"

enum { MAILDIR_NAME_BYTES = 512 };

/* An open Maildir. */
struct maildir {
	int tmp_fd; /* -1: not open */
	int new_fd;
	bool new_dirty; /* renamed into, and not synced since */
	struct quota quota;
};

/* A message on its way into a Maildir. */
struct maildir_file {
	struct maildir *dir; /* borrowed; stays open until the end */
	int fd;		     /* -1: none */
	bool counted;	     /* in the quota, with bytes */
	uint64_t bytes;
	char name[MAILDIR_NAME_BYTES];
};

/* The host's name for unique names, "/" and ":" escaped as \057 and \072;
 * once at start. */
void maildir_set_host(const char *host);

/*
 * maildir_open(m, base_fd, path, flags, o):
 * Open, and make what is missing of, the Maildir path below base_fd.  tmp
 * and new are never reached through symbolic links, whatever flags say.
 */
bool maildir_open(struct maildir *m, int base_fd, struct slice path,
    unsigned flags, struct outcome *o);
void maildir_close(struct maildir *m); /* also when not open */

/* A new file in tmp/, mode 0600. */
bool maildir_create(struct maildir *m, struct maildir_file *f,
    struct outcome *o);
/* All is written, bytes of it: let the disk begin, without waiting.  False
 * with o set when the quota has no room; bounces: as quota_take. */
bool maildir_written(struct maildir_file *f, uint64_t bytes, bool bounces,
    struct outcome *o);
/* f->fd was synced, or not (errnum): durable, and closed; or taken away. */
bool maildir_synced(struct maildir_file *f, int errnum, struct outcome *o);
/* From tmp/ to new/. */
bool maildir_publish(struct maildir_file *f, struct outcome *o);
/* m->new_fd was synced, or not (errnum): what was published is durable. */
bool maildir_new_synced(struct maildir *m, int errnum, struct outcome *o);
/* Take an unpublished file away. */
void maildir_discard(struct maildir_file *f);
/* Take a published file away, when new/ could not be synced: the message
 * will be delivered again. */
void maildir_withdraw(struct maildir_file *f);
