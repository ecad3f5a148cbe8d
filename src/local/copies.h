/*
 * copies: private copies of messages, for commands.
 *
 * A command reads its message from a file that has no name, holds nothing else
 * and vanishes with its last descriptor; the spool is never lent to it.  The
 * files lie in queue_directory/copies, which belongs to weir-local alone.
 */
#pragma once

#include <stdbool.h>

#include "base/err.h"
#include "local/outcome.h"
#include "local/request.h"

struct copies {
	int dir_fd; /* -1: there is none */
};

/*
 * copies_prepare(c, queue_directory):
 * Make the directory and see that files can be made in it.  A failure is
 * logged; commands are deferred then, and the next copies_open tries again.
 */
void copies_prepare(struct copies *c, const char *queue_directory);
void copies_fini(struct copies *c);

/* An empty file: fds[0] to write and read, fds[1] to read only.  False, with o
 * set to deferred: the disk is full, or the like. */
bool copies_open(const struct copies *c, int fds[static REQUEST_COPY_FDS],
    struct outcome *o);
void copies_close(const int fds[static REQUEST_COPY_FDS]);
