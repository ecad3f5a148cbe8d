/*
 * base_dir: the directory that a request begins in.
 */
#include "local/base_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

/* qmail's rule, for the same reasons: who may write into the home of a user
 * may read his mail. */
static bool
check_home(int fd, struct outcome *o)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return outcome_errno(o, errno, "cannot stat home directory");
	if (st.st_uid != geteuid() && st.st_uid != 0)
		return outcome_set(o, JOB_DEFERRED, "4.2.0",
		    "home directory does not belong to the user");
	if (st.st_mode & S_IWOTH)
		return outcome_set(o, JOB_DEFERRED, "4.2.0",
		    "home directory is writable for everybody");
	return true;
}

bool
base_open(const struct request *q, int *fd_out, struct outcome *o)
{
	char base[PATH_BYTES_MAX + 1];
	int fd;

	if (!slice_copy(q->base, base, sizeof(base)))
		return outcome_set(o, JOB_DEFERRED, "4.3.5",
		    "base directory of the mailbox is no path");
	fd = open(base, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	/* Who may pass through it, but not list it, finds what is in it. */
	if (fd < 0 && errno == EACCES)
		fd = open(base, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return outcome_errno(o, errno, "cannot open directory %s",
		    base);
	if ((q->flags & REQUEST_HOME) && !check_home(fd, o)) {
		close(fd);
		return false;
	}
	*fd_out = fd;
	return true;
}
