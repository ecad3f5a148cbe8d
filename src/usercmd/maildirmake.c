#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "usercmd/int.h"

enum { MODE = 0700 };

int
usercmd_maildirmake(struct usercmd *u)
{
	static const char *const parts[] = { "tmp", "new", "cur" };
	const char *dir;
	int fd, errnum = 0;

	if (u->count != 1)
		return say_usage(u, "name");
	dir = u->words[0];
	(void)umask(077);
	if (mkdir(dir, MODE) != 0)
		return say_errno(u, "unable to mkdir %s", dir);
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return say_errno(u, "unable to chdir to %s", dir);
	for (size_t i = 0; i < ARRAY_LEN(parts) && errnum == 0; i++)
		if (mkdirat(fd, parts[i], MODE) != 0)
			errnum = errno;
	/* What is delivered into it tomorrow must have a way to it. */
	if (errnum == 0 && fsync(fd) != 0)
		errnum = errno;
	(void)close(fd);
	errno = errnum;
	if (errnum != 0 || !sync_parent(dir))
		return say_errno(u, "unable to make all of %s", dir);
	return USERCMD_OK;
}
