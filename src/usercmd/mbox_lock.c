/*
 * mbox_lock: every kind of lock that somebody may use.
 *
 * All are tried without waiting, in the order in which the server takes them;
 * if one is taken by somebody else all are given back, so that nobody waits
 * for us while we wait for him.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/time.h"
#include "usercmd/int.h"

enum {
	WAIT_MS = 30 * 1000, /* as qmail-local waits */
	RETRY_MS = 100,
	STALE_MS = 500 * 1000, /* of PATH.lock: as procmail and Postfix */
	MODE = 0600,
};

static bool
same(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* Left behind: its owner, who wrote his number into it, is no more, or it is
 * old. */
static bool
is_stale(const char *path, const struct stat *st)
{
	char text[32] = "";
	uint64_t pid;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	ssize_t n = fd >= 0 ? read(fd, text, sizeof(text) - 1) : -1;
	int64_t age =
	    clock_system.wall(&clock_system).ms -
	    (st->st_ctim.tv_sec * 1000 + st->st_ctim.tv_nsec / 1000000);

	if (fd >= 0)
		(void)close(fd);
	if (n > 0 && text[n - 1] == '\n')
		n--;
	if (n > 0 && slice_to_u64(slice_of(text, (size_t)n), INT32_MAX, &pid) &&
	    pid > 1 && kill((pid_t)pid, 0) != 0 && errno == ESRCH)
		return true;
	return age > STALE_MS;
}

static bool
put_pid(int fd)
{
	char pid[32];
	int n = snprintf(pid, sizeof(pid), "%d\n", (int)getpid());

	return write(fd, pid, (size_t)n) == n;
}

/* A file without a name, beside path. */
static int
open_nameless(const char *path)
{
	const char *slash = strrchr(path, '/');
	char folder[MBOX_DOT_BYTES];
	size_t len = slash == NULL ? 0 : (size_t)(slash - path) + 1;

	if (len + 2 > sizeof(folder))
		return -1;
	memcpy(folder, path, len);
	memcpy(folder + len, ".", 2);
	return open(folder, O_TMPFILE | O_WRONLY | O_CLOEXEC, 0444);
}

/* Where the file system can, it has our number in it from the first moment:
 * who is killed leaves no lock that does not say whose it was.  -1 with
 * errno. */
static int
make_dot(const char *path)
{
	char link_path[32];
	int fd = open_nameless(path);
	bool taken;

	if (fd >= 0) {
		snprintf(link_path, sizeof(link_path), "/proc/self/fd/%d", fd);
		errno = 0;
		if (put_pid(fd) && linkat(AT_FDCWD, link_path, AT_FDCWD, path,
				       AT_SYMLINK_FOLLOW) == 0)
			return fd;
		taken = errno == EEXIST;
		(void)close(fd);
		if (taken) {
			errno = EEXIST;
			return -1;
		}
	}
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
	if (fd >= 0 && !put_pid(fd)) {
		(void)close(fd);
		(void)unlink(path);
		errno = EEXIST; /* try again */
		return -1;
	}
	return fd;
}

/* True also where no lock file can be made: in a spool directory of the
 * system users may not; the other locks hold there. */
static bool
dot_take(struct mbox_lock *l)
{
	struct stat st, again;
	int fd = make_dot(l->dot);

	if (fd < 0 && errno != EEXIST)
		return errno == EACCES || errno == EPERM || errno == EROFS;
	if (fd < 0) {
		if (lstat(l->dot, &st) == 0 && S_ISREG(st.st_mode) &&
		    is_stale(l->dot, &st) && lstat(l->dot, &again) == 0 &&
		    same(&st, &again))
			(void)unlink(l->dot);
		return false;
	}
	l->dotted = fstat(fd, &st) == 0;
	l->dot_dev = st.st_dev;
	l->dot_ino = st.st_ino;
	(void)close(fd);
	return l->dotted;
}

static bool
try_locks(struct mbox_lock *l, const char *path)
{
	struct flock all = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	struct stat here, there;

	/* Who waited may have the lock of a file that was replaced. */
	if (fcntl(l->fd, F_SETLK, &all) == 0 &&
	    flock(l->fd, LOCK_EX | LOCK_NB) == 0 && dot_take(l) &&
	    fstat(l->fd, &here) == 0 && stat(path, &there) == 0 &&
	    same(&here, &there))
		return true;
	mbox_lock_drop(l);
	return false;
}

static int
open_mbox(const struct usercmd *u, const char *path, bool create)
{
	struct stat st;
	int fd = open(path,
	    O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | (create ? O_CREAT : 0),
	    MODE);

	if (fd < 0)
		(void)say_errno(u, "unable to open %s", path);
	else if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
		(void)say_fatal(u, 0, "%s is not a file", path);
		(void)close(fd);
		fd = -1;
	}
	return fd;
}

int
mbox_lock_take(const struct usercmd *u, struct mbox_lock *l, const char *path,
    bool create)
{
	struct mono begin = clock_system.mono(&clock_system);

	*l = (struct mbox_lock){ .fd = -1 };
	if ((size_t)snprintf(l->dot, sizeof(l->dot), "%s.lock", path) >=
	    sizeof(l->dot))
		return say_fatal(u, USERCMD_TEMP, "path too long");
	do {
		l->fd = open_mbox(u, path, create);
		if (l->fd < 0)
			return USERCMD_TEMP;
		if (try_locks(l, path))
			return 0;
		(void)poll(NULL, 0, RETRY_MS);
	} while (mono_sub(clock_system.mono(&clock_system), begin) < WAIT_MS);
	return say_fatal(u, USERCMD_TEMP, "unable to lock %s: others have it",
	    path);
}

void
mbox_lock_drop(struct mbox_lock *l)
{
	struct stat st;

	if (l->dotted && lstat(l->dot, &st) == 0 && st.st_dev == l->dot_dev &&
	    st.st_ino == l->dot_ino)
		(void)unlink(l->dot);
	l->dotted = false;
	if (l->fd >= 0)
		(void)close(l->fd);
	l->fd = -1;
}

static sigset_t before;

void
signals_hold(void)
{
	sigset_t all;

	(void)sigfillset(&all);
	(void)sigprocmask(SIG_BLOCK, &all, &before);
}

void
signals_release(void)
{
	(void)sigprocmask(SIG_SETMASK, &before, NULL);
}
