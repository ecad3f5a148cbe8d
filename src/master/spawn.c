/*
 * spawn: fork, descriptors, signals, exec.
 */
#include "master/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "role/role.h"
#include "role/users.h"

enum {
	LOCK_FD = 6,	    /* the role does not know it: it only holds it */
	ABOVE_ROLE_FD = 16, /* no number that a role is born with */
	EXIT_EXEC = 127,
};

extern char **environ;

enum err
spawn_path(enum role role, char buf[SPAWN_PATH_BYTES], struct errtext *et)
{
	ssize_t n = readlink("/proc/self/exe", buf, SPAWN_PATH_BYTES - 32);
	char *slash;

	if (n <= 0)
		return err_sys(et, errno, "/proc/self/exe");
	buf[n] = 0;
	slash = strrchr(buf, '/');
	if (slash == NULL)
		return err_set(et, ERR_NOTFOUND, "%s: not a path", buf);
	snprintf(slash, SPAWN_PATH_BYTES - (size_t)(slash - buf), "/weir-%s",
	    role_name(role));
	if (access(buf, X_OK) != 0) {
		err_sys(et, errno, "cannot run %s", buf);
		return ERR_NOTFOUND;
	}
	return OK;
}

/* The child's descriptors; in the child, so only simple calls. */
static int
place_fds(const struct spawn *s)
{
	int from[4] = { s->control_fd, s->conf_fd, s->page_fd, s->lock_fd };
	static const int to[4] = { ROLE_CONTROL_FD, ROLE_CONF_FD, ROLE_PAGE_FD,
		LOCK_FD };
	int in;

	/* First out of the way of each other, then into place, where they
	 * lose close-on-exec. */
	for (int i = 0; i < 4; i++) {
		if (from[i] < 0)
			continue;
		from[i] = fcntl(from[i], F_DUPFD_CLOEXEC, ABOVE_ROLE_FD);
		if (from[i] < 0)
			return -1;
	}
	for (int i = 0; i < 4; i++)
		if (from[i] >= 0 && dup2(from[i], to[i]) < 0)
			return -1;
	in = open("/dev/null", O_RDONLY | O_CLOEXEC);
	return in < 0 || dup2(in, STDIN_FILENO) < 0 ? -1 : 0;
}

static _Noreturn void
run_child(const struct spawn *s, const char *path)
{
	char index[16];
	char users[USERS_TEXT_BYTES] = "";
	char *argv[4] = { NULL, index, users, NULL };
	char name[32];
	sigset_t none;

	snprintf(name, sizeof(name), "weir-%s", role_name(s->role));
	snprintf(index, sizeof(index), "%u", s->index);
	argv[0] = name;
	if (geteuid() == 0)
		users_text(users);
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	/* systemd's messages are the master's to send. */
	(void)unsetenv("NOTIFY_SOCKET");
	if (place_fds(s) == 0)
		execve(path, argv, environ);
	_exit(EXIT_EXEC);
}

enum err
spawn_role(const struct spawn *s, pid_t *pid_out, struct errtext *et)
{
	char path[SPAWN_PATH_BYTES];
	enum err e = spawn_path(s->role, path, et);
	pid_t pid;

	if (e != OK)
		return e;
	pid = fork();
	if (pid < 0)
		return err_sys(et, errno, "fork");
	if (pid == 0)
		run_child(s, path);
	*pid_out = pid;
	return OK;
}
