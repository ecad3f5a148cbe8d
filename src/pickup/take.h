/*
 * take: dropped messages into the queue, one after the other.
 */
#pragma once

#include "base/err.h"
#include "ipc/chan.h"

struct acct;
struct conf;
struct ev_loop;
struct take;

struct take_events {
	/* Nothing is left to take in, now. */
	void (*on_empty)(void *arg);
	/* The queue sent nonsense; or NULL: it is gone. */
	void (*on_bad)(void *arg, const char *why);
	void *arg;
};

/* dir_fd is the drop directory; owned. */
MUST_CHECK enum err take_new(struct ev_loop *loop, struct acct *a, int dir_fd,
    const struct take_events *events, struct take **out);
void take_free(struct take *t); /* NULL is allowed */
/* In force from the next message on; borrowed. */
void take_set_conf(struct take *t, const struct conf *conf);
/* The channel to the queue; owns fd.  What was not acknowledged over an older
 * one is begun anew. */
MUST_CHECK enum err take_set_queue(struct take *t, int fd, unsigned index);
/* Look at the directory (again). */
void take_scan(struct take *t);
/* Begin nothing any more; on_empty as soon as nothing runs, perhaps now. */
void take_drain(struct take *t);
