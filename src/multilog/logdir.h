/*
 * logdir: a log in a directory, as multilog keeps it, bounded in bytes and
 * files.
 *
 * In the directory: current, of mode 644 while it is written and 744 when it is
 * complete and synced; @LABEL.s, complete; @LABEL.u, what was current at an
 * outage, maybe cut; lock; state, what a processor left for its next run; and
 * for a moment previous, processed and newstate.
 *
 * Nothing is lost: what cannot be written is tried again after a pause, with a
 * warning, for as long as it takes.  All functions may block on the disk.
 */
#pragma once

#include "base/err.h"
#include "base/slice.h"

enum {
	LOGDIR_SIZE_MIN = 4096,
	LOGDIR_SIZE_MAX = 16777215,
	LOGDIR_SIZE_DEFAULT = 99999,
	LOGDIR_NUM_MIN = 2,
	LOGDIR_NUM_DEFAULT = 10,
	LOGDIR_BUFFER_BYTES = 65536,
};

struct logdir {
	const char *path;
	uint32_t size_max;     /* bytes of a file */
	uint32_t num;	       /* files, current included */
	const char *processor; /* NULL: none */
	int dir_fd, lock_fd, fd;
	uint32_t size; /* bytes in current */
	size_t len;    /* bytes in buf */
	char buf[LOGDIR_BUFFER_BYTES];
};

/* Path and the limits are set; make the directory if need be, lock it, go on
 * with current.  ERR_BUSY: somebody else writes it; ERR_SYS and others. */
MUST_CHECK enum err logdir_open(struct logdir *d, struct errtext *et);
/* Append; in memory until logdir_flush, or the buffer is full. */
void logdir_put(struct logdir *d, struct slice text);
void logdir_flush(struct logdir *d);
/* current, unless it is empty, becomes an old file now. */
void logdir_rotate(struct logdir *d);
/* Flush, sync, and mark current as complete. */
void logdir_close(struct logdir *d);
