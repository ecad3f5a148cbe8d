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

#include "base/dotlock.h"
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

/* True also where no lock file can be made: in a spool directory of the
 * system users may not; the other locks hold there. */
static bool
dot_take(struct mbox_lock *l)
{
	l->dotted = dotlock_make(AT_FDCWD, l->dot, &l->own);
	if (!l->dotted && errno != EEXIST)
		return errno == EACCES || errno == EPERM || errno == EROFS;
	if (!l->dotted) /* then the next try finds none */
		(void)dotlock_break_stale(AT_FDCWD, l->dot, STALE_MS, NULL);
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
	if (l->dotted)
		dotlock_drop(AT_FDCWD, l->dot, &l->own);
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
