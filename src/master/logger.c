/*
 * logger.
 *
 * Happy path: make DIR if need be, make the pipe, start multilog, become its
 * writer; at the end close the pipe and wait for it.
 *
 * Failure modes: DIR cannot be made or multilog not found: an error at start.
 * multilog ends later (killed, or a service manager told all processes to end):
 * it is started again, at most once a second.  The disk is full: multilog says
 * so on the master's old standard error and waits.
 */
#include "master/logger.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/time.h"
#include "conf/conf.h"
#include "conf/log_dest.h"
#include "role/identity.h"

enum {
	PATH_BYTES = 4096,
	EXIT_EXEC = 127,
	ABOVE_STDERR_FD = 16,
};

static struct {
	bool used;
	pid_t pid;  /* 0: does not run */
	int old_fd; /* standard error as it was */
	int pipe[2];
	bool other_id; /* drop to: */
	uid_t uid;
	gid_t gid;
	char path[PATH_BYTES]; /* of multilog */
	char dir[LOG_DEST_DIR_BYTES_MAX + 1];
	char size[16], num[16]; /* its words */
} logger = { .old_fd = STDERR_FILENO };

/* Beside this program, as built; or where it is installed: from
 * PREFIX/libexec/weir, whatever the prefix. */
static enum err
find_program(struct errtext *et)
{
	static const char installed[] = "/../../lib/weir/bin/multilog";
	ssize_t n = readlink("/proc/self/exe", logger.path,
	    sizeof(logger.path) - sizeof(installed));
	char *slash;

	if (n <= 0)
		return err_sys(et, errno, "/proc/self/exe");
	logger.path[n] = '\0';
	slash = strrchr(logger.path, '/');
	if (slash != NULL)
		memcpy(slash, "/multilog", sizeof("/multilog"));
	if (access(logger.path, X_OK) == 0)
		return OK;
	if (slash != NULL)
		memcpy(slash, installed, sizeof(installed));
	if (access(logger.path, X_OK) == 0)
		return OK;
	return err_sys(et, errno, "log_destination: cannot run %s",
	    logger.path);
}

/* May multilog write there, as whom it runs? */
static enum err
check_access(struct errtext *et)
{
	struct identity id = { .kind = IDENTITY_OWNER,
		.uid = logger.uid,
		.gid = logger.gid };
	enum err e = OK, back;

	if (logger.other_id)
		e = identity_borrow(&id, et);
	if (e != OK)
		return e;
	if (faccessat(AT_FDCWD, logger.dir, R_OK | W_OK | X_OK, AT_EACCESS) !=
	    0) {
		(void)err_sys(et, errno, "log_destination: %s, for user %u",
		    logger.dir, geteuid());
		e = ERR_CONFIG;
	}
	back = logger.other_id ? identity_return(&id, et) : OK;
	return e != OK ? e : back;
}

/* DIR is there, and it is known as whom it is written. */
static enum err
prepare_dir(const struct conf *c, struct errtext *et)
{
	struct identity id;
	struct stat st;
	bool made = mkdir(logger.dir, 0755) == 0;
	enum err e;

	if (!made && errno != EEXIST) {
		(void)err_sys(et, errno, "log_destination: %s", logger.dir);
		return ERR_CONFIG;
	}
	if (geteuid() != 0)
		return check_access(et);
	if (made) {
		e = identity_find(c, ROLE_QUEUE, &id, et);
		if (e != OK)
			return e;
		if (chown(logger.dir, id.uid, id.gid) != 0)
			return err_sys(et, errno, "log_destination: %s",
			    logger.dir);
	}
	if (stat(logger.dir, &st) != 0)
		return err_sys(et, errno, "log_destination: %s", logger.dir);
	logger.other_id = st.st_uid != 0;
	logger.uid = st.st_uid;
	logger.gid = st.st_gid;
	return check_access(et);
}

static _Noreturn void
become_multilog(void)
{
	char *argv[] = { (char[]){ "multilog" }, (char[]){ "t" }, logger.size,
		logger.num, logger.dir, NULL };
	sigset_t none;

	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	/* ^C is for the server; the log ends after it. */
	(void)setpgid(0, 0);
	if (logger.other_id &&
	    (setgroups(0, NULL) != 0 ||
		setresgid(logger.gid, logger.gid, logger.gid) != 0 ||
		setresuid(logger.uid, logger.uid, logger.uid) != 0))
		_exit(EXIT_EXEC);
	if (dup2(logger.pipe[0], STDIN_FILENO) < 0 ||
	    dup2(logger.old_fd, STDERR_FILENO) < 0)
		_exit(EXIT_EXEC);
	(void)execv(logger.path, argv);
	_exit(EXIT_EXEC);
}

static enum err
start(struct errtext *et)
{
	pid_t pid = fork();

	if (pid < 0)
		return err_sys(et, errno, "log_destination: fork");
	if (pid == 0)
		become_multilog();
	logger.pid = pid;
	return OK;
}

static enum err
open_pipe(struct errtext *et)
{
	int fd;

	if (pipe2(logger.pipe, O_CLOEXEC) != 0)
		return err_sys(et, errno, "log_destination: pipe");
	/* Roles open it anew, as other users, to write without blocking. */
	(void)fchmod(logger.pipe[1], 0622);
	fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, ABOVE_STDERR_FD);
	if (fd < 0 || dup2(logger.pipe[1], STDERR_FILENO) < 0)
		return err_sys(et, errno, "log_destination: standard error");
	logger.old_fd = fd;
	(void)close(logger.pipe[1]);
	return OK;
}

static void
show_limits(const struct log_dest *d)
{
	(void)limits_row(LIMIT_SIZE, "log file", "log_destination", 1,
	    d->size_bytes);
	(void)limits_row(LIMIT_COUNT, "log files", "log_destination",
	    d->size_bytes, d->num);
}

enum err
logger_start(const struct conf *c, struct errtext *et)
{
	struct log_dest d;
	enum err e = log_dest_parse(slice_str(c->log_destination), &d, et);

	if (e != OK || d.kind != LOG_DEST_MULTILOG)
		return e;
	(void)snprintf(logger.dir, sizeof(logger.dir), "%.*s",
	    SLICE_ARGS(d.dir));
	(void)snprintf(logger.size, sizeof(logger.size), "s%u", d.size_bytes);
	(void)snprintf(logger.num, sizeof(logger.num), "n%u", d.num);
	e = find_program(et);
	if (e == OK)
		e = prepare_dir(c, et);
	if (e == OK)
		e = open_pipe(et);
	if (e != OK)
		return e;
	show_limits(&d);
	logger.used = true;
	return start(et);
}

bool
logger_retry(void)
{
	struct errtext et;

	if (!logger.used || logger.pid != 0 || start(&et) == OK)
		return true;
	log_error("%s", et.text);
	return false;
}

bool
logger_ended(pid_t pid, int status)
{
	if (pid == 0 || pid != logger.pid)
		return false;
	logger.pid = 0;
	log_warning("multilog ended with status %d: it is started again",
	    status);
	return true;
}

int
logger_stderr(void)
{
	return logger.old_fd;
}

void
logger_reopen(void)
{
	if (logger.pid != 0)
		(void)kill(logger.pid, SIGALRM);
}

void
logger_stop(int timeout_ms)
{
	struct mono end =
	    mono_add(clock_system.mono(&clock_system), timeout_ms);
	struct timespec wait = { .tv_nsec = 10000000 };

	if (!logger.used)
		return;
	(void)logger_retry();
	(void)close(logger.pipe[0]);
	(void)dup2(logger.old_fd, STDERR_FILENO);
	/* Whoever inherited the pipe may keep it open: then it ends alone. */
	while (logger.pid > 0 && waitpid(logger.pid, NULL, WNOHANG) == 0 &&
	       mono_sub(end, clock_system.mono(&clock_system)) > 0)
		(void)nanosleep(&wait, NULL);
}
