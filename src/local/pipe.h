/*
 * pipe: the worker's side of a pipe transport: the arguments of its command.
 *
 * They are made of the administrator's templates and of the message's facts
 * by the worker, as the user that the command runs as, and go to execve as
 * they are: there is no shell.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "local/outcome.h"
#include "local/request.h"

enum {
	PIPE_WORDS_MAX = 2048, /* arguments of one command */
	PIPE_WORDS_BYTES_MAX = 128 * 1024,
	PIPE_RECIPIENT_COUNT_MAX = 512, /* of one command */
};

struct pipe_command {
	char *argv[PIPE_WORDS_MAX + 1];
	size_t count;
	char text[PIPE_WORDS_BYTES_MAX];
};

/*
 * pipe_command_make(q, out, o):
 * The arguments of q, a REQUEST_PIPE.  False, with o set: an address that
 * would be taken for an option (failed 5.1.3), or more than fits (deferred).
 */
bool pipe_command_make(const struct request *q, struct pipe_command *out,
    struct outcome *o);
