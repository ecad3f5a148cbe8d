/*
 * launch: starting the process of a worker.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "local/target.h"

struct launched {
	pid_t pid;
	int chan_fd; /* requests and results; SOCK_SEQPACKET */
	int pipe_fd; /* bodies; does not block */
};

/*
 * launch_worker(program, host, id, for_commands, out):
 * Execute program (weir-deliver) for id, with host for its unique names;
 * for_commands: it may start processes.  The descriptors of out are the
 * caller's.  False after a line in the log.
 */
bool launch_worker(const char *program, const char *host,
    const struct owner *id, bool for_commands, struct launched *out);
