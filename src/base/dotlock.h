/*
 * dotlock: PATH.lock, which says by being there that PATH is locked.
 *
 * Made with its owner in it from its first moment, where the file system can
 * do that: "PID:HOST:NAMESPACE\n", so that a lock whose owner was killed is
 * known at once.  Only a lock in that form is judged by its owner, and only on
 * the host and in the process namespace that it names: a number alone may be a
 * process of another host that shares the disk.  All others are judged by
 * their age.  (Who reads only a number at the beginning finds it.)
 *
 * name is relative to dir_fd (AT_FDCWD: as a path).  Nothing here waits.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

/* Which one is ours, so that no other is removed. */
struct dotlock {
	dev_t dev;
	ino_t ino;
};

/* False with errno: EEXIST: somebody has it. */
MUST_CHECK bool dotlock_make(int dir_fd, const char *name, struct dotlock *out);
/* Remove the lock that is there if its owner is no more, or if nothing has
 * touched it for longer than stale_ms; true: it is worth another try.  Of two
 * who find it stale none removes the other's new lock.  *old_out, unless it is
 * NULL, becomes true if it was removed for its age. */
bool dotlock_break_stale(int dir_fd, const char *name, int64_t stale_ms,
    bool *old_out);
/* Give ours back, unless somebody has broken it. */
void dotlock_drop(int dir_fd, const char *name, const struct dotlock *ours);
