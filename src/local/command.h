/*
 * command: a user's command, run as the user, with a message.
 *
 * It runs in the home, in a session and process group of its own, with a
 * fixed environment in which no byte of a stranger means anything to a shell,
 * with no descriptor but the message (0) and a pipe for its output (1 and 2),
 * within limits of memory, processes and time.  When the time is over, or
 * weir-local goes away, all that it has started is killed, also what has left
 * its group: the worker is the reaper of its orphans.
 *
 * A process that it leaves behind in the background when it exits in time is
 * not waited for, and its output is not read any more.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/slice.h"
#include "local/body.h"
#include "local/outcome.h"
#include "local/request.h"

enum {
	COMMAND_OUTPUT_BYTES_MAX = 4096, /* kept; what follows is dropped */
	COMMAND_VARIABLES_MAX = 40,
	COMMAND_ENV_BYTES_MAX = 32 * 1024,
};

/* What does not change between the commands of a worker. */
struct command_world {
	const char *conf_path; /* $WEIR_CONF; "": not set */
	const char *bin_path;  /* first in $PATH; "": none */
	int channel_fd;	       /* a hang-up ends the command; -1: none */
};

/*
 * command_prepare():
 * Once, in a worker for commands: orphans of its commands become its
 * children.  False with errno set.
 */
bool command_prepare(void);

/*
 * command_serve(q, w, y, fds, o, stop_out):
 * The body into fds[0], which is closed; the command with fds[1] as its
 * descriptor 0.  Blocks until it is over.  o is set; *stop_out: it was sent,
 * and what follows in the plan is not to be done.  False: weir-local is gone.
 */
bool command_serve(const struct request *q, const struct command_world *w,
    struct body *y, int fds[static REQUEST_COPY_FDS], struct outcome *o,
    bool *stop_out);

/* ---- parts of it, for tests ---- */

/* The environment: NAME=value, and a NULL at the end. */
struct command_env {
	char *vars[COMMAND_VARIABLES_MAX + 1];
	unsigned count;
	size_t len; /* of text */
	char text[COMMAND_ENV_BYTES_MAX];
};

/* All variables of one delivery; they always fit. */
void command_env_make(struct command_env *e, const struct request *q,
    const struct command_world *w);

/* How a command ended. */
struct command_end {
	int status;	     /* as waitpid gives it */
	bool timed_out;	     /* and was killed for it */
	struct slice output; /* the beginning of it */
};

/*
 * command_verdict(q, end, o):
 * What qmail (REQUEST_QMAIL) or Postfix make of an exit code; true: RESULT_STOP
 * (99).
 */
bool command_verdict(const struct request *q, const struct command_end *end,
    struct outcome *o);

/*
 * command_run(q, w, home_fd, message_fd, end, o):
 * Run it and wait; end->output is in static storage.  False: it could not be
 * started (o is set), or weir-local is gone (o->status is JOB_DEFERRED, the
 * next read of the channel shows it).
 */
bool command_run(const struct request *q, const struct command_world *w,
    int home_fd, int message_fd, struct command_end *end, struct outcome *o);
