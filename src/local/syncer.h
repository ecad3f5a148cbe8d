/*
 * syncer: fsync of several files at the same time.
 *
 * A file system with a journal commits once for all who wait at that time;
 * one after the other each file would cost a flush of the disk of its own,
 * although the first commit covered them all.  So a few threads do nothing
 * but wait in the kernel.  Nothing else of the worker runs in them.
 */
#pragma once

enum {
	/* Besides the caller's.  More wait for the same commit, but each
	 * costs the worker a stack. */
	SYNCER_THREADS_MAX = 11,
	SYNCER_STACK_BYTES = 64 * 1024, /* of which a few KiB are touched */
};

struct sync_item {
	int fd;	    /* of a file or directory */
	int errnum; /* 0: it is durable; else as fsync set errno */
};

/* Start the threads; where the system gives fewer, or none, the rest is done
 * with those there are.  Once in a process, which they inherit: whoever sheds
 * rights does so before. */
void syncer_start(void);
/* fsync all of items; blocks until the last of them is over. */
void syncer_run(struct sync_item *items, unsigned count);
