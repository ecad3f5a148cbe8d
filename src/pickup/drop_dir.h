/*
 * drop_dir: the names in the drop directory.
 *
 * "tmp." is being written by weir-drop, "msg." is whole, "bad.msg." was no
 * message; every other name is let be.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum {
	/* Of a name that weir-drop makes (at most 38), and its end. */
	DROP_NAME_BYTES = 60,
	/* Files found by one look through the directory. */
	DROP_FOUND_MAX = 1024,
};

struct drop_found {
	uint32_t uid;  /* of its owner */
	uint32_t rank; /* among the files of its owner, the oldest first */
	char name[DROP_NAME_BYTES];
};

/* What a look through the directory found and nobody took yet. */
struct drop_look {
	unsigned count, next;
	struct drop_found found[DROP_FOUND_MAX];
};

/*
 * drop_dir_next(dir_fd, look, name_out):
 * A file that is whole; false: there is none.  The directory is read when
 * what was found is used up, so that the cost of a file does not grow with
 * what else lies there.  Each user's files come in turn, by name, which is
 * by age: who has dropped thousands does not hold up the others.  Removes what
 * weir-drop left behind a day ago or longer when it was killed, and sets aside
 * what weir-drop would not have named so.  look: zero at first.
 */
bool drop_dir_next(int dir_fd, struct drop_look *look,
    char name_out[static DROP_NAME_BYTES]);

/* Rename to "bad.NAME" with a line in the log, durably.  False: it stays. */
bool drop_dir_set_aside(int dir_fd, const char *name, const char *why);

/* Remove a file that was queued as message id, durably.  False, after a line
 * in the log: it stays. */
bool drop_dir_remove(int dir_fd, const char *name, uint64_t id);
