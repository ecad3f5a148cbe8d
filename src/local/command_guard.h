/*
 * command_guard: ends a command whose worker was killed.
 *
 * A process of the command's group, whose number therefore is no other
 * group's while it lives, reads from the worker.  One byte: the command is
 * over, and the guard goes.  The end: the worker is gone, and the group gets
 * KILL at once, so that no second attempt runs beside it.  Who has left the
 * group is not reached.
 *
 * It is a child of the worker, who takes it up with the orphans of commands.
 */
#pragma once

#include <stdbool.h>

#include "base/err.h"

/* In the worker, before it forks: index 0 is the guard's end, to be closed
 * there; the other is for command_guard_dismiss, and no other process but the
 * worker may keep it.  False: errno. */
MUST_CHECK bool command_guard_pair(int ends[2]);
/* In the command's process, of its own group, before it is executed.  False:
 * errno. */
MUST_CHECK bool command_guard_start(const int ends[2]);
/* In the worker, when nothing is left to guard; closes fd. */
void command_guard_dismiss(int fd);
