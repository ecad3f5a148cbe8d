/*
 * run_socket: connect to a socket of the running server.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sysexits.h>
#include <unistd.h>

#include "conf/conf.h"
#include "weir/cli.h"
#include "weir/pages.h"

enum { ANSWER_TIMEOUT_S = 60 };

bool
run_is_stopped(int errnum)
{
	return errnum == ENOENT || errnum == ECONNREFUSED;
}

static int
refused(struct cli *cli, const char *path, int errnum)
{
	if (run_is_stopped(errnum)) {
		cli_say(cli,
		    "not running (nobody answers on %s); start it with "
		    "\"weir run\" or \"systemctl start weir\"",
		    path);
		return EX_UNAVAILABLE;
	}
	if (errnum == EACCES || errnum == EPERM) {
		cli_say(cli,
		    "%s: %s; run this as root or as the owner of the spool",
		    path, strerror(errnum));
		return EX_NOPERM;
	}
	cli_say(cli, "%s: %s", path, strerror(errnum));
	return EX_UNAVAILABLE;
}

/* A path longer than an address holds is reached through its directory. */
static int
connect_path(int fd, const char *directory, const char *name)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	int dir = -1;
	int status;

	if (strlen(directory) + strlen(name) + 6 > sizeof(to.sun_path)) {
		char path[1024];

		snprintf(path, sizeof(path), "%s/run", directory);
		dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (dir < 0)
			return -1;
		snprintf(to.sun_path, sizeof(to.sun_path),
		    "/proc/self/fd/%d/%s", dir, name);
	} else {
		snprintf(to.sun_path, sizeof(to.sun_path), "%s/run/%s",
		    directory, name);
	}
	status = connect(fd, (struct sockaddr *)&to, sizeof(to));
	if (dir >= 0) {
		int saved = errno;

		close(dir);
		errno = saved;
	}
	return status;
}

int
run_open(const struct conf *conf, const char *name, int type)
{
	const struct timeval limit = { .tv_sec = ANSWER_TIMEOUT_S };
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
	int errnum;

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	if (connect_path(fd, conf->queue_directory, name) == 0)
		return fd;
	errnum = errno;
	close(fd);
	return -errnum;
}

int
run_connect(struct cli *cli, const struct conf *conf, const char *name,
    int type, int *fd_out)
{
	char path[1100];
	int fd = run_open(conf, name, type);

	if (fd < 0) {
		snprintf(path, sizeof(path), "%s/run/%s", conf->queue_directory,
		    name);
		return refused(cli, path, -fd);
	}
	*fd_out = fd;
	return EX_OK;
}
