#include <errno.h>
#include <sys/wait.h>
#include <unistd.h>

#include "usercmd/int.h"

/* May it be there, or be possible, later? */
static bool
is_temporary(int errnum)
{
	switch (errnum) {
	case EINTR:
	case ENOMEM:
	case EAGAIN:
	case ETXTBSY:
	case EIO:
	case ETIMEDOUT:
	case ENFILE:
	case EMFILE:
	case EBUSY:
	case ESTALE: return true;
	default: return false;
	}
}

int
child_start(const struct usercmd *u, char **argv, int fd, pid_t *pid_out)
{
	pid_t pid = fork();
	int errnum;

	if (pid < 0)
		return say_errno(u, "unable to fork");
	*pid_out = pid;
	if (pid > 0)
		return 0;
	if (fd != STDIN_FILENO && dup2(fd, STDIN_FILENO) < 0)
		_exit(USERCMD_TEMP);
	if (fd != STDIN_FILENO)
		(void)close(fd);
	(void)execvp(argv[0], argv);
	errnum = errno;
	(void)say_errno(u, "unable to run %s", argv[0]);
	_exit(is_temporary(errnum) ? USERCMD_TEMP : USERCMD_PERM);
}

int
child_wait(const struct usercmd *u, pid_t pid, int *status_out)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return say_fatal(u, USERCMD_TEMP, "wait failed");
	if (!WIFEXITED(status))
		return say_fatal(u, USERCMD_TEMP, "child crashed");
	*status_out = WEXITSTATUS(status);
	return 0;
}

int
child_run(const struct usercmd *u, char **argv, int *status_out)
{
	pid_t pid;
	int e = child_start(u, argv, STDIN_FILENO, &pid);

	return e == 0 ? child_wait(u, pid, status_out) : e;
}
