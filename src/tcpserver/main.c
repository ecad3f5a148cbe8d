/*
 * tcpserver: a process for each connection, at most so many at once.
 *
 * Happy path: accept, count, fork; the child is session.c's.  At the limit
 * nothing is accepted: clients wait in the kernel's backlog until a child ends.
 *
 * Failure modes: no descriptor or no memory for accept: nothing is accepted for
 * a second, or until a child ends.  No process, or no memory to remember it:
 * that connection is dropped, and the log says why.
 *
 * SIGCHLD and SIGTERM arrive only in ppoll, so that no child's end is missed
 * and no message is cut.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/mem.h"
#include "base/tool.h"
#include "tcpserver/children.h"
#include "tcpserver/listen.h"
#include "tcpserver/session.h"

struct server {
	struct options o;
	struct acct acct;
	struct children children;
	int fd;
	bool resting; /* accept failed for want of something */
	sigset_t waiting_mask;
};

static void
on_child(int signum)
{
	(void)signum; /* it ends ppoll */
}

static void
on_term(int signum)
{
	(void)signum;
	_exit(0); /* the children go on */
}

static void
say_status(const struct server *s)
{
	if (s->o.verbosity >= VERBOSE)
		tool_say("status: %u/%u", s->children.count, s->o.limit);
}

static void
reap(struct server *s)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (!children_remove(&s->children, pid))
			continue;
		s->resting = false;
		if (s->o.verbosity >= VERBOSE)
			tool_say("end %d status %d", (int)pid, status);
		say_status(s);
	}
}

static void
dropping(const struct server *s, int errnum, const char *what)
{
	if (s->o.verbosity >= ERRORS)
		tool_warn(errnum, "dropping connection, %s", what);
}

/* May this address have one more? */
static bool
admit(const struct server *s, const struct address *remote)
{
	uint32_t count = children_of(&s->children, remote);

	if (s->o.client_limit == 0 || count < s->o.client_limit)
		return true;
	if (s->o.verbosity >= VERBOSE)
		tool_say("info: deny %s:%u count %u/%u", remote->ip,
		    remote->port, count, s->o.client_limit);
	return false;
}

static void
start_child(struct server *s, int fd, const struct address *remote)
{
	pid_t pid;

	if (children_reserve(&s->children, remote) != OK) {
		dropping(s, ENOMEM, "no room to count it");
		return;
	}
	say_status(s);
	pid = fork();
	if (pid == 0)
		session_run(&s->o, &s->acct, fd, remote);
	if (pid > 0) {
		children_add(&s->children, pid);
		return;
	}
	dropping(s, errno, "unable to fork");
	children_cancel(&s->children);
	say_status(s);
}

static void
accept_one(struct server *s)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);
	struct address remote;
	int fd = accept4(s->fd, (struct sockaddr *)&sa, &len, SOCK_CLOEXEC);

	if (fd < 0) {
		/* The others mean that the client has gone. */
		if (errno == EMFILE || errno == ENFILE || errno == ENOMEM ||
		    errno == ENOBUFS) {
			s->resting = true;
			if (s->o.verbosity >= ERRORS)
				tool_warn(errno, "unable to accept, pausing");
		}
		return;
	}
	address_from(&remote, &sa);
	if (admit(s, &remote))
		start_child(s, fd, &remote);
	(void)close(fd);
}

static _Noreturn void
serve(struct server *s)
{
	for (;;) {
		bool wanted = s->children.count < s->o.limit && !s->resting;
		struct pollfd p = { .fd = wanted ? s->fd : -1,
			.events = POLLIN };
		struct timespec second = { .tv_sec = 1 };
		int n =
		    ppoll(&p, 1, s->resting ? &second : NULL, &s->waiting_mask);

		if (n == 0)
			s->resting = false;
		reap(s);
		if (n > 0)
			accept_one(s);
	}
}

static void
watch_signals(struct server *s)
{
	struct sigaction child = { .sa_handler = on_child };
	struct sigaction term = { .sa_handler = on_term };
	sigset_t mask;

	(void)sigemptyset(&mask);
	(void)sigaddset(&mask, SIGCHLD);
	(void)sigaddset(&mask, SIGTERM);
	(void)sigprocmask(SIG_BLOCK, &mask, &s->waiting_mask);
	(void)sigdelset(&s->waiting_mask, SIGCHLD);
	(void)sigdelset(&s->waiting_mask, SIGTERM);
	(void)sigaction(SIGCHLD, &child, NULL);
	(void)sigaction(SIGTERM, &term, NULL);
	(void)signal(SIGPIPE, SIG_IGN);
}

static void
change_identity(const struct options *o)
{
	if (o->set_gid && ((geteuid() == 0 && setgroups(1, &o->gid) != 0) ||
			      setgid(o->gid) != 0))
		tool_die(TOOL_TEMP, errno, "unable to set gid");
	if (o->set_uid && setuid(o->uid) != 0)
		tool_die(TOOL_TEMP, errno, "unable to set uid");
}

/* Descriptors 0 and 1 are the connection's in every child, and nothing of
 * ours: no other must come to lie there. */
static void
free_standard(void)
{
	int fd = open("/dev/null", O_RDWR);

	if (fd < 0 || dup2(fd, STDIN_FILENO) < 0 || dup2(fd, STDOUT_FILENO) < 0)
		tool_die(TOOL_TEMP, errno, "unable to set up descriptors");
	if (fd > STDERR_FILENO)
		(void)close(fd);
}

static void
reserve_standard(void)
{
	int fd;

	do {
		fd = open("/dev/null", O_RDWR);
	} while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		(void)close(fd);
}

int
main(int argc, char **argv)
{
	static struct server s;
	struct address local;

	tool_name_set("tcpserver");
	/* Whoever started us may have closed them. */
	reserve_standard();
	options_parse(&s.o, argc, argv);
	random_init();
	acct_init(&s.acct, NULL, "tcpserver", 0, true, "");
	if (children_init(&s.children, &s.acct, s.o.limit) != OK)
		tool_die(TOOL_TEMP, ENOMEM, "no room for %u connections",
		    s.o.limit);
	watch_signals(&s);
	s.fd = listen_open(&s.o, &local);
	change_identity(&s.o);
	if (s.o.print_port) {
		printf("%u\n", local.port);
		if (fflush(stdout) != 0)
			tool_die(TOOL_TEMP, errno, "unable to write output");
	}
	free_standard();
	say_status(&s);
	serve(&s);
}
