#include "base/dotlock.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/slice.h"
#include "base/time.h"

enum { NAME_BYTES = 4096 + 64, OWNER_BYTES = 256, MODE = 0444 };

/* ---- the owner ---- */

/* "HOST:NAMESPACE\n" of this process; false: not known. */
static bool
here(char out[static OWNER_BYTES])
{
	char host[OWNER_BYTES / 2];
	struct stat ns;
	int n;

	if (gethostname(host, sizeof(host) - 1) != 0 ||
	    stat("/proc/self/ns/pid", &ns) != 0)
		return false;
	host[sizeof(host) - 1] = '\0';
	n = snprintf(out, OWNER_BYTES, "%s:%llu\n", host,
	    (unsigned long long)ns.st_ino);
	return n > 0 && n < OWNER_BYTES;
}

static bool
put_owner(int fd)
{
	char where[OWNER_BYTES], text[OWNER_BYTES + 32];
	int n;

	if (!here(where))
		return false;
	n = snprintf(text, sizeof(text), "%d:%s", (int)getpid(), where);
	return write(fd, text, (size_t)n) == n;
}

/* A process of this host that is no more.  What was cut short, or is of
 * somebody else, says nothing. */
static bool
owner_gone(struct slice text)
{
	char where[OWNER_BYTES];
	size_t colon = slice_find(text, ':');
	uint64_t pid;

	return here(where) && colon < text.len &&
	       slice_eq(slice_sub(text, colon + 1, text.len),
		   slice_str(where)) &&
	       slice_to_u64(slice_sub(text, 0, colon), INT32_MAX, &pid) &&
	       pid > 1 && kill((pid_t)pid, 0) != 0 && errno == ESRCH;
}

/* ---- making ---- */

/* A file without a name, in the folder of name. */
static int
open_nameless(int dir_fd, const char *name)
{
	const char *slash = strrchr(name, '/');
	size_t len = slash == NULL ? 0 : (size_t)(slash - name) + 1;
	char folder[NAME_BYTES];

	if (len + 2 > sizeof(folder))
		return -1;
	memcpy(folder, name, len);
	memcpy(folder + len, ".", 2);
	return openat(dir_fd, folder, O_TMPFILE | O_WRONLY | O_CLOEXEC, MODE);
}

/* -1 with errno 0: this file system cannot, or it is full. */
static int
make_whole(int dir_fd, const char *name)
{
	char link_path[32];
	int fd = open_nameless(dir_fd, name), errnum;

	errno = 0;
	if (fd < 0)
		return -1;
	snprintf(link_path, sizeof(link_path), "/proc/self/fd/%d", fd);
	if (put_owner(fd) &&
	    linkat(AT_FDCWD, link_path, dir_fd, name, AT_SYMLINK_FOLLOW) == 0)
		return fd;
	errnum = errno == EEXIST ? EEXIST : 0;
	(void)close(fd);
	errno = errnum;
	return -1;
}

bool
dotlock_make(int dir_fd, const char *name, struct dotlock *out)
{
	int fd = make_whole(dir_fd, name);
	struct stat st;

	if (fd < 0 && errno == EEXIST)
		return false;
	if (fd < 0) {
		fd = openat(dir_fd, name,
		    O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, MODE);
		/* Without an owner it is a lock as well. */
		if (fd >= 0)
			(void)!put_owner(fd);
	}
	if (fd < 0)
		return false;
	*out = (struct dotlock){ 0 };
	if (fstat(fd, &st) == 0)
		*out = (struct dotlock){ st.st_dev, st.st_ino };
	(void)close(fd);
	return true;
}

/* ---- breaking ---- */

static bool
same(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

static bool
abandoned(int dir_fd, const char *name, const struct stat *seen)
{
	char text[OWNER_BYTES + 32];
	struct stat st;
	ssize_t n = -1;
	int fd;

	if (!S_ISREG(seen->st_mode))
		return false;
	fd = openat(dir_fd, name,
	    O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return false;
	if (fstat(fd, &st) == 0 && same(&st, seen))
		n = read(fd, text, sizeof(text));
	(void)close(fd);
	return n > 0 && owner_gone(slice_of(text, (size_t)n));
}

static bool
too_old(const struct stat *st, int64_t stale_ms)
{
	int64_t made_ms =
	    (int64_t)st->st_mtim.tv_sec * 1000 + st->st_mtim.tv_nsec / 1000000;

	return clock_system.wall(&clock_system).ms - made_ms > stale_ms;
}

/* Put it aside, and remove it only if it is the one that was seen. */
static void
remove_seen(int dir_fd, const char *name, const struct stat *seen)
{
	char aside[NAME_BYTES];
	struct stat st;
	int n = snprintf(aside, sizeof(aside), "%s.%ld", name, (long)getpid());

	if (n < 0 || n >= (int)sizeof(aside) ||
	    renameat(dir_fd, name, dir_fd, aside) < 0)
		return;
	/* A live lock was caught: give it back unless its place was taken
	 * meanwhile. */
	if (fstatat(dir_fd, aside, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    !same(&st, seen) &&
	    renameat2(dir_fd, aside, dir_fd, name, RENAME_NOREPLACE) == 0)
		return;
	(void)unlinkat(dir_fd, aside, 0);
}

bool
dotlock_break_stale(int dir_fd, const char *name, int64_t stale_ms,
    bool *old_out)
{
	/* Held, so that its number is not that of a new lock. */
	int fd = openat(dir_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct stat seen;
	bool stale = false;

	if (fd < 0)
		return errno == ENOENT;
	if (fstat(fd, &seen) == 0) {
		bool gone = abandoned(dir_fd, name, &seen);

		stale = gone || too_old(&seen, stale_ms);
		if (stale && !gone && old_out != NULL)
			*old_out = true;
	}
	if (stale)
		remove_seen(dir_fd, name, &seen);
	(void)close(fd);
	return stale;
}

void
dotlock_drop(int dir_fd, const char *name, const struct dotlock *ours)
{
	struct stat st;

	if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    st.st_dev == ours->dev && st.st_ino == ours->ino)
		(void)unlinkat(dir_fd, name, 0);
}
