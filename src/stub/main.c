/*
 * qmail-smtpd: hand a connection to the running server.
 *
 *	tcpserver 0 smtp qmail-smtpd
 *
 * Happy path: standard input and output are one connection; its descriptor and
 * what tcpserver and its rules put into the environment (proto/handover.h) go
 * over queue_directory/run/session; smtpd says when the session is over, and
 * how: 0 after QUIT, else 1.
 *
 * Failure modes: no server runs, or it does not want us (it is for root and
 * authorized_session_users), or it dies: the client reads 421 and we exit 111,
 * as we do when the environment makes no sense.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/tool.h"
#include "conf/conf.h"
#include "proto/handover.h"
#include "stub/place.h"
#include "stub/relay.h"

enum {
	CONNECT_S = 60,
	SESSION_S = 86400, /* more than any session may take */
	PATH_BYTES = 4096,
};

static _Noreturn void
fail(const char *what, int errnum)
{
	static const char line[] = "421 4.3.0 Mail system not available, try "
				   "again later\r\n";

	if (write(STDOUT_FILENO, line, sizeof(line) - 1) < 0)
		tool_warn(errno, "unable to write to the client");
	tool_die(TOOL_TEMP, errnum, "%s", what);
}

/* One connection, inetd style? */
static bool
is_one_socket(void)
{
	struct stat in, out;
	int type = 0;
	socklen_t len = sizeof(type);

	return fstat(STDIN_FILENO, &in) == 0 &&
	       fstat(STDOUT_FILENO, &out) == 0 && S_ISSOCK(in.st_mode) &&
	       in.st_dev == out.st_dev && in.st_ino == out.st_ino &&
	       getsockopt(STDIN_FILENO, SOL_SOCKET, SO_TYPE, &type, &len) ==
		   0 &&
	       type == SOCK_STREAM;
}

/* ---- what is said of the client ---- */

static size_t
put_variable(char *buf, size_t len, const char *name)
{
	const char *value = getenv(name);

	if (value == NULL)
		return len;
	if (strlen(value) > HANDOVER_VALUE_BYTES_MAX) {
		/* What the client's side said is not needed. */
		if (strncmp(name, "TCPREMOTE", 9) == 0)
			return len;
		errno = 0;
		tool_warn(0, "%s is too long", name);
		fail("unable to use the environment", 0);
	}
	len += (size_t)snprintf(buf + len, HANDOVER_BYTES_MAX - len, "%s=%s",
	    name, value);
	return len + 1; /* with its NUL */
}

static size_t
put_environment(char buf[static HANDOVER_BYTES_MAX])
{
	size_t len = sizeof(HANDOVER_MAGIC);

	memcpy(buf, HANDOVER_MAGIC, len);
#define X(name) len = put_variable(buf, len, #name);
	HANDOVER_NAMES(X)
#undef X
	return len;
}

/* ---- the server ---- */

/* By a descriptor where the path is too long for a socket's address. */
static int
connect_to(const char *directory)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	struct timeval wait = { .tv_sec = CONNECT_S };
	int fd, dir, n;

	n = snprintf(sun.sun_path, sizeof(sun.sun_path), "%s/run/session",
	    directory);
	if ((size_t)n >= sizeof(sun.sun_path)) {
		dir = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (dir < 0)
			return -1;
		snprintf(sun.sun_path, sizeof(sun.sun_path),
		    "/proc/self/fd/%d/run/session", dir);
	}
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	/* It bounds connect, too. */
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait));
	if (connect(fd, (const struct sockaddr *)&sun, sizeof(sun)) != 0)
		return -1;
	return fd;
}

static bool
hand_over(int control, int fd)
{
	char bytes[HANDOVER_BYTES_MAX];
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(int))];
	} room = { .room = { 0 } };
	struct iovec iov = { bytes, put_environment(bytes) };
	struct msghdr m = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &room,
		.msg_controllen = sizeof(room.room),
	};
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(fd));
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	return sendmsg(control, &m, MSG_NOSIGNAL) == (ssize_t)iov.iov_len;
}

/* -1: smtpd did not say. */
static int
wait_for_end(int control)
{
	struct timeval wait = { .tv_sec = SESSION_S };
	uint8_t status;
	ssize_t n;

	(void)setsockopt(control, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	do
		n = recv(control, &status, 1, 0);
	while (n < 0 && errno == EINTR);
	return n == 1 ? status : -1;
}

int
main(int argc, char **argv)
{
	char directory[PATH_BYTES];
	const char *conf_path = getenv("WEIR_CONF");
	int control, status, pair[2];

	tool_name_set("qmail-smtpd");
	(void)signal(SIGPIPE, SIG_IGN);
	if (argc == 3 && strcmp(argv[1], "-c") == 0)
		conf_path = argv[2];
	if (!place_find(conf_path, directory, sizeof(directory)))
		fail("unable to read the configuration", 0);
	control = connect_to(directory);
	if (control < 0)
		fail("unable to reach the server: is weir running?", errno);
	if (is_one_socket()) {
		if (!hand_over(control, STDIN_FILENO))
			fail("unable to hand the connection over", errno);
		status = wait_for_end(control);
	} else {
		if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) !=
			0 ||
		    !hand_over(control, pair[1]))
			fail("unable to hand the connection over", errno);
		close(pair[1]);
		status = relay_run(pair[0], control);
	}
	if (status < 0)
		fail("the server refused the session, or died: see its log", 0);
	return status;
}
