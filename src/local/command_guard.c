#include "local/command_guard.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* It holds nothing of the command, nor of the worker. */
_Noreturn static void
guard(int fd)
{
	char byte;
	ssize_t n;
	int s;

	/* What the group or the worker's children are told is not for it. */
	for (s = 1; s < NSIG; s++)
		if (s != SIGKILL && s != SIGSTOP)
			(void)signal(s, SIG_IGN);
	if (dup2(fd, STDIN_FILENO) < 0 || chdir("/") < 0)
		_exit(EXIT_FAILURE);
	closefrom(STDIN_FILENO + 1);
	do
		n = read(STDIN_FILENO, &byte, 1);
	while (n < 0 && errno == EINTR);
	if (n == 0)
		(void)kill(0, SIGKILL);
	_exit(EXIT_SUCCESS);
}

bool
command_guard_pair(int ends[2])
{
	return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0;
}

bool
command_guard_start(const int ends[2])
{
	/* A child of the worker: the command, who may wait for all of his, has
	 * none that he did not make. */
	long pid = syscall(SYS_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0);

	(void)close(ends[1]);
	if (pid == 0)
		guard(ends[0]);
	return pid > 0;
}

void
command_guard_dismiss(int fd)
{
	/* It may have been killed with the group. */
	(void)send(fd, "", 1, MSG_NOSIGNAL);
	(void)close(fd);
}
