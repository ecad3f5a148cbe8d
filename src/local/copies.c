/*
 * copies: files without names.
 */
#include "local/copies.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"

static int
open_directory(const char *queue_directory)
{
	int top = open(queue_directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int fd = -1;

	if (top < 0)
		return -1;
	if (mkdirat(top, "copies", 0700) == 0 || errno == EEXIST)
		fd = openat(top, "copies",
		    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	close(top);
	return fd;
}

/* Nobody else may have made it, or look into it. */
static bool
is_ours(int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return false;
	errno = EPERM;
	return st.st_uid == geteuid() &&
	       ((st.st_mode & 077) == 0 || fchmod(fd, 0700) == 0);
}

void
copies_prepare(struct copies *c, const char *queue_directory)
{
	int fds[REQUEST_COPY_FDS];
	struct outcome o;

	c->dir_fd = open_directory(queue_directory);
	if (c->dir_fd >= 0 && !is_ours(c->dir_fd))
		copies_fini(c);
	if (c->dir_fd < 0) {
		log_warning("%s/copies: %m; commands will be deferred",
		    queue_directory);
		return;
	}
	if (copies_open(c, fds, &o))
		copies_close(fds);
	else
		log_warning("%s/copies: %s; commands will be deferred",
		    queue_directory, o.text);
}

void
copies_fini(struct copies *c)
{
	int errnum = errno;

	if (c->dir_fd >= 0)
		close(c->dir_fd);
	c->dir_fd = -1;
	errno = errnum;
}

bool
copies_open(const struct copies *c, int fds[static REQUEST_COPY_FDS],
    struct outcome *o)
{
	char name[40];

	if (c->dir_fd < 0)
		return outcome_set(o, JOB_DEFERRED, "4.3.5",
		    "there is no directory for copies of messages");
	/* Exclusive: nor can it get a name later, whoever has a descriptor. */
	fds[0] = openat(c->dir_fd, ".", O_TMPFILE | O_EXCL | O_RDWR | O_CLOEXEC,
	    0600);
	if (fds[0] < 0)
		return outcome_errno(o, errno,
		    "cannot make a copy of the message");
	/* A description of its own, which nobody can write through. */
	snprintf(name, sizeof(name), "/proc/self/fd/%d", fds[0]);
	fds[1] = open(name, O_RDONLY | O_CLOEXEC);
	if (fds[1] >= 0)
		return true;
	outcome_errno(o, errno, "cannot make a copy of the message");
	close(fds[0]);
	return false;
}

void
copies_close(const int fds[static REQUEST_COPY_FDS])
{
	for (int i = 0; i < REQUEST_COPY_FDS; i++)
		close(fds[i]);
}
