/*
 * path: directories of mailboxes, reached without following links that
 * somebody may have planted.
 *
 * A path is taken apart and opened piece by piece with O_NOFOLLOW below a
 * base directory, so that it can neither leave the base nor pass a symbolic
 * link.  Missing directories are made (0700) and the directory that holds
 * them is synced, so that they survive a crash as the mail in them must.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/slice.h"
#include "local/outcome.h"

enum { PATH_BYTES_MAX = 1024, PATH_PIECES_MAX = 64 };

/*
 * path_is_safe(path):
 * Relative, not empty, no empty piece (but a trailing slash), no "." or
 * "..", no control character, at most PATH_BYTES_MAX bytes and
 * PATH_PIECES_MAX pieces.
 */
bool path_is_safe(struct slice path);

enum path_flags {
	PATH_CREATE = 1, /* make what is missing */
	PATH_FOLLOW = 2, /* symbolic links may be passed (own home) */
};

/*
 * path_open_dir(base_fd, path, flags, fd_out, o):
 * Open the directory path below base_fd.  path must be path_is_safe; empty
 * means the base itself.  The descriptor is the caller's.  False with o set
 * when that fails.
 */
bool path_open_dir(int base_fd, struct slice path, unsigned flags, int *fd_out,
    struct outcome *o);

/* One directory below parent_fd; name is a single piece. */
bool path_open_piece(int parent_fd, const char *name, unsigned flags,
    int *fd_out, struct outcome *o);
