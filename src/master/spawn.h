/*
 * spawn: executing a role program.
 */
#pragma once

#include <sys/types.h>

#include "base/err.h"
#include "ipc/chan.h"

/* What a process is born with; all borrowed. */
struct spawn {
	enum role role;
	unsigned index;
	int control_fd; /* its end of the control channel */
	int conf_fd;	/* its own reader of the configuration */
	int page_fd;
	int lock_fd; /* held by it as long as it lives; -1: not */
};

/* ERR_SYS: no process.  That the program cannot be executed shows as exit
 * status 127 of the child. */
MUST_CHECK enum err spawn_role(const struct spawn *s, pid_t *pid_out,
    struct errtext *et);

/* Path of a role's program: beside this one.  ERR_NOTFOUND if it cannot be
 * executed. */
enum { SPAWN_PATH_BYTES = 4096 };
MUST_CHECK enum err spawn_path(enum role role, char buf[SPAWN_PATH_BYTES],
    struct errtext *et);
