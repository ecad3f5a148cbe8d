/*
 * path: directories of mailboxes.
 */
#include "local/path.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"

static bool
piece_is_safe(struct slice p)
{
	size_t i;

	if (p.len == 0 || p.len > 255)
		return false;
	if (slice_eq(p, SLICE_LIT(".")) || slice_eq(p, SLICE_LIT("..")))
		return false;
	for (i = 0; i < p.len; i++)
		if ((unsigned char)p.data[i] < ' ' || p.data[i] == 127)
			return false;
	return true;
}

bool
path_is_safe(struct slice path)
{
	size_t slash;
	unsigned pieces;

	if (path.len == 0 || path.len > PATH_BYTES_MAX)
		return false;
	for (pieces = 0; path.len > 0; pieces++) {
		slash = slice_find(path, '/');
		if (pieces == PATH_PIECES_MAX ||
		    !piece_is_safe(slice_sub(path, 0, slash)))
			return false;
		path = slice_sub(path, slash + 1, path.len);
	}
	return true;
}

static bool
make_piece(int parent_fd, const char *name, struct outcome *o)
{
	if (mkdirat(parent_fd, name, 0700) < 0 && errno != EEXIST)
		return outcome_errno(o, errno, "cannot create directory %s",
		    name);
	if (fsync(parent_fd) < 0)
		return outcome_errno(o, errno, "cannot sync directory of %s",
		    name);
	return true;
}

bool
path_open_piece(int parent_fd, const char *name, unsigned flags, int *fd_out,
    struct outcome *o)
{
	int oflags = O_RDONLY | O_DIRECTORY | O_CLOEXEC, fd;

	if (!(flags & PATH_FOLLOW))
		oflags |= O_NOFOLLOW;
	fd = openat(parent_fd, name, oflags);
	if (fd < 0 && errno == ENOENT && (flags & PATH_CREATE)) {
		if (!make_piece(parent_fd, name, o))
			return false;
		fd = openat(parent_fd, name, oflags);
	}
	if (fd < 0)
		return outcome_errno(o, errno, "cannot open directory %s",
		    name);
	*fd_out = fd;
	return true;
}

bool
path_open_dir(int base_fd, struct slice path, unsigned flags, int *fd_out,
    struct outcome *o)
{
	char name[256];
	size_t slash;
	int fd, next;

	ASSERT(path.len == 0 || path_is_safe(path));
	fd = fcntl(base_fd, F_DUPFD_CLOEXEC, 3);
	if (fd < 0)
		return outcome_errno(o, errno, "cannot open mailbox base");
	while (path.len > 0) {
		slash = slice_find(path, '/');
		if (!slice_copy(slice_sub(path, 0, slash), name, sizeof(name)))
			ASSERT(!"a safe path has short pieces");
		if (!path_open_piece(fd, name, flags, &next, o)) {
			close(fd);
			return false;
		}
		close(fd);
		fd = next;
		path = slice_sub(path, slash + 1, path.len);
	}
	*fd_out = fd;
	return true;
}
