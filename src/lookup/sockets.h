/*
 * lookup/sockets: connects to unix sockets in place of the smtp role, which
 * has an empty root.
 *
 * A path is connected to only if it is known: if it stands in the
 * configuration, or was given out as a next hop since the start.  So a smtp
 * role that somebody has broken into reaches no other socket of the system.
 */
#pragma once

#include "base/slice.h"
#include "ipc/frames.h"

struct conf;

enum { SOCKETS_KNOWN_MAX = 64, SOCKETS_PATH_BYTES = 108 };

struct sockets {
	unsigned count, next; /* next: place of the oldest, once it is full */
	char paths[SOCKETS_KNOWN_MAX][SOCKETS_PATH_BYTES];
};

/* At start, and after a reload: what the configuration names is known. */
void sockets_configure(struct sockets *s, const struct conf *c);

/* An answer is given out: its next hop is known from now on, if it is a path.
 * When there are too many the oldest is forgotten. */
void sockets_note(struct sockets *s, const struct fr_resolved *answer);

/*
 * sockets_connect(s, c, path, errnum_out):
 * A socket connected to path, which may be below queue_directory, as this
 * process's user; non-blocking, the caller's.  -1 with errno in errnum_out:
 * EACCES too when the path is not known, EAGAIN when the server has no room
 * for one more.  Waits for nobody.
 */
int sockets_connect(const struct sockets *s, const struct conf *c,
    struct slice path, int *errnum_out);
