/*
 * syncer: fsync of several files at the same time.
 *
 * A file system with a journal commits once for all who wait at that time;
 * one after the other each file would cost a flush of the disk of its own,
 * although the first commit covered them all.  So a few threads do nothing
 * but wait in the kernel, while the caller writes what comes next.  Nothing
 * else of the worker runs in them.
 */
#pragma once

#include <stdbool.h>

enum {
	/* More wait for the same commit, but each costs the worker a
	 * stack. */
	SYNCER_THREADS_MAX = 12,
	SYNCER_STACK_BYTES = 64 * 1024, /* of which a few KiB are touched */
};

struct sync_item {
	int fd;	    /* of a file or directory */
	int errnum; /* 0: it is durable; else as fsync set errno */
};

/* Start the threads; where the system gives fewer, the rest is done with
 * those there are; without any, syncer_begin blocks until all is over.  Once
 * in a process, which they inherit: whoever sheds rights does so before. */
void syncer_start(void);
/* Readable when a run is over, until syncer_busy says so; -1 without
 * threads. */
int syncer_fd(void);
/* fsync all of list, which is the syncer's until the run is over; none may be
 * under way. */
void syncer_begin(struct sync_item *list, unsigned count);
/* A run is under way. */
bool syncer_busy(void);
/* Until none is. */
void syncer_wait(void);
