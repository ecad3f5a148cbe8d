/*
 * table/file: noticing that a file has changed.
 *
 * A file is the same while device, inode, size and both of its times are.
 * The times are those of the kernel's tick, so that two writes within one
 * tick look alike: a file that was written shortly before it was read is read
 * again at the next lookup, until it has been quiet.
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "table/impl.h"

enum { QUIET_MS = 100 }; /* several ticks of the slowest kernel */

static bool
same_time(struct timespec a, struct timespec b)
{
	return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

static bool
same_file(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino &&
	       a->st_size == b->st_size && same_time(a->st_mtim, b->st_mtim) &&
	       same_time(a->st_ctim, b->st_ctim);
}

static bool
is_quiet(const struct stat *st)
{
	int64_t changed =
	    st->st_ctim.tv_sec * 1000 + st->st_ctim.tv_nsec / 1000000;
	int64_t now = clock_system.wall(&clock_system).ms;

	/* A time in the future is that of another machine's clock. */
	return changed + QUIET_MS < now || changed > now + QUIET_MS;
}

enum err
file_open_changed(struct table_file *f, int *fd_out, struct errtext *et)
{
	struct stat st;
	int fd, errnum;

	*fd_out = -1;
	if (f->valid && f->settled && stat(f->path, &st) == 0 &&
	    same_file(&st, &f->seen))
		return OK;
	f->valid = false;
	fd = open(f->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0) {
		(void)err_sys(et, errno, "cannot open %s", f->path);
		return ERR_LOOKUP;
	}
	/* Before reading: what is written meanwhile shows at the next look. */
	f->settled = false;
	if (fstat(fd, &f->seen) != 0) {
		errnum = errno;
		(void)close(fd);
		(void)err_sys(et, errnum, "cannot read %s", f->path);
		return ERR_LOOKUP;
	}
	if (!S_ISREG(f->seen.st_mode)) {
		(void)close(fd);
		return err_set(et, ERR_LOOKUP, "%s is not a regular file",
		    f->path);
	}
	f->settled = is_quiet(&f->seen);
	f->valid = true;
	*fd_out = fd;
	return OK;
}
