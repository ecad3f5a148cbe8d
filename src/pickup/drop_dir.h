/*
 * drop_dir: the names in the drop directory.
 *
 * "tmp." is being written by weir-drop, "msg." is whole, "bad.msg." was no
 * message; every other name is let be.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum { DROP_NAME_BYTES = 256 };

/*
 * drop_dir_next(dir_fd, name_out):
 * A file that is whole; false: there is none.  Removes
 * what weir-drop left behind a day ago or longer when it was killed.
 */
bool drop_dir_next(int dir_fd, char name_out[static DROP_NAME_BYTES]);

/* Rename to "bad.NAME" with a line in the log, durably.  False: it stays. */
bool drop_dir_set_aside(int dir_fd, const char *name, const char *why);

/* Remove a file that was queued as message id, durably.  False, after a line
 * in the log: it stays. */
bool drop_dir_remove(int dir_fd, const char *name, uint64_t id);
