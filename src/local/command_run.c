/*
 * command_run: one process group from its start to its end.
 *
 * Happy path: fork, the child sheds what it must not have and executes the
 * command; the parent reads its output and waits for its exit.
 *
 * Failure modes: RUNNING until time_limit_ms, then all processes get TERM and
 * are TERMED; half of COMMAND_GRACE_MS later they are KILLED; whoever does
 * not end even then (a dead network disk) is left, and the mail is deferred.
 * When the first process exits in time, others that it has left are not
 * touched.  A hang-up of the channel kills them all at once.  Whoever writes
 * without end is read slowly, so that he takes no processor from others.
 *
 * A worker that is killed cannot kill: then the command's guard does.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "alias/command.h"
#include "base/time.h"
#include "local/command.h"
#include "local/command_guard.h"
#include "local/pipe.h"

enum run_phase { RUNNING, TERMED, KILLED };

enum {
	/* Rounds in which orphans of orphans are looked for, and their
	 * distance. */
	KILL_ROUNDS_MAX = 200,
	KILL_ROUND_MS = 5,
	/* Of output that is not kept, so much in such a time: 32 MiB/s. */
	DROP_BYTES = 64 * 1024,
	DROP_PAUSE_MS = 2,
	DROP_READ_BYTES = 16 * 1024,
	EXEC_NOT_FOUND = 127,
	EXEC_DENIED = 126,
	EXEC_TEMPFAIL = 75,
};

struct run {
	pid_t pid;
	int pid_fd;
	int output_fd; /* -1: closed by all */
	int guard_fd;
	int channel_fd;
	enum run_phase phase;
	struct mono phase_end;
	size_t output_len;
	size_t dropped; /* since the last pause */
	char output[COMMAND_OUTPUT_BYTES_MAX];
};

bool
command_prepare(void)
{
	return prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0;
}

/* ---- the child ---- */

_Noreturn static void
fail(const char *what, int code)
{
	fprintf(stderr, "%s: %s\n", what, strerror(errno));
	fflush(stderr);
	_exit(code);
}

/* At most value; the soft limit with it. */
static void
set_limit(int resource, uint64_t value)
{
	struct rlimit limit;

	if (getrlimit(resource, &limit) < 0)
		fail("cannot read limit", EXEC_TEMPFAIL);
	if (limit.rlim_max > value)
		limit.rlim_max = value;
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(resource, &limit) < 0)
		fail("cannot set limit", EXEC_TEMPFAIL);
}

static void
reset_signals(void)
{
	sigset_t none;
	int s;

	for (s = 1; s < NSIG; s++)
		if (s != SIGKILL && s != SIGSTOP)
			(void)signal(s, SIG_DFL);
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Descriptors 0, 1, 2 and no other; the working directory. */
static void
arrange(int home_fd, int message_fd, int output_fd)
{
	if (dup2(output_fd, STDERR_FILENO) < 0 ||
	    dup2(output_fd, STDOUT_FILENO) < 0 ||
	    dup2(message_fd, STDIN_FILENO) < 0)
		fail("cannot arrange descriptors", EXEC_TEMPFAIL);
	if (fchdir(home_fd) < 0)
		fail("cannot change to home directory", EXEC_TEMPFAIL);
	closefrom(STDERR_FILENO + 1);
}

/* Words that need no shell; false: they do. */
static bool
split(const struct request *q, char text[static COMMAND_BYTES_MAX + 1],
    char *argv[static COMMAND_WORD_COUNT_MAX + 1])
{
	struct slice words[COMMAND_WORD_COUNT_MAX];
	size_t count, i, at = 0;

	if ((q->flags & (REQUEST_SHELL | REQUEST_QMAIL)) ||
	    !command_words(q->command, words, &count))
		return false;
	for (i = 0; i < count; i++) {
		argv[i] = text + at;
		memcpy(text + at, words[i].data, words[i].len);
		at += words[i].len;
		text[at++] = '\0';
	}
	argv[count] = NULL;
	return true;
}

/* The arguments of a pipe, made before there is a child. */
static struct pipe_command pipe_command;

_Noreturn static void
execute_pipe(struct command_env *env)
{
	execve(pipe_command.argv[0], pipe_command.argv, env->vars);
	/* A fault of this machine, or of its configuration. */
	fail(pipe_command.argv[0], EXEC_TEMPFAIL);
}

_Noreturn static void
execute(const struct request *q, struct command_env *env)
{
	static char text[COMMAND_BYTES_MAX + 1];
	static char *argv[COMMAND_WORD_COUNT_MAX + 1];
	char sh[] = "sh", c[] = "-c";
	char *shell[] = { sh, c, text, NULL };

	if (split(q, text, argv)) {
		/* PATH is the command's, not ours. */
		environ = env->vars;
		execvp(argv[0], argv);
		fail(argv[0], errno == ENOENT	? EXEC_NOT_FOUND
			      : errno == EACCES ? EXEC_DENIED
						: EXEC_TEMPFAIL);
	}
	(void)slice_copy(q->command, text, sizeof(text));
	execve("/bin/sh", shell, env->vars);
	fail("/bin/sh", EXEC_TEMPFAIL);
}

_Noreturn static void
child(const struct request *q, struct command_env *env, pid_t worker,
    int home_fd, int message_fd, int output_fd, const int guard_ends[2])
{
	reset_signals();
	/* A worker that is killed cannot kill any more; it may have been
	 * killed just now. */
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != worker)
		_exit(EXEC_TEMPFAIL);
	(void)setsid();
	if (!command_guard_start(guard_ends))
		fail("cannot start guard", EXEC_TEMPFAIL);
	arrange(home_fd, message_fd, output_fd);
	umask(077);
	set_limit(RLIMIT_CORE, 0);
	if (q->memory_limit_bytes != 0)
		set_limit(RLIMIT_DATA, q->memory_limit_bytes);
	if (q->process_max != 0)
		set_limit(RLIMIT_NPROC, q->process_max);
	if (q->verb == REQUEST_PIPE)
		execute_pipe(env);
	execute(q, env);
}

/* ---- killing ---- */

/* Its group; before it has one, itself. */
static void
signal_group(const struct run *r, int signo)
{
	(void)kill(-r->pid, signo);
	(void)kill(r->pid, signo);
}

/* Every child of this process but keep gets signo; false: there is none. */
static bool
signal_children(pid_t keep, int signo)
{
	char path[64], list[4096], *at = list, *next;
	bool any = false;
	ssize_t n;
	long pid;
	int fd;

	snprintf(path, sizeof(path), "/proc/self/task/%ld/children",
	    (long)gettid());
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	n = read(fd, list, sizeof(list) - 1);
	close(fd);
	if (n <= 0)
		return false;
	list[n] = '\0';
	/* A number that was cut off at the end is met again. */
	while ((pid = strtol(at, &next, 10)) > 0 && *next == ' ') {
		at = next;
		if ((pid_t)pid == keep)
			continue;
		any = true;
		(void)kill((pid_t)pid, signo);
		/* Those that we have killed before. */
		(void)waitpid((pid_t)pid, NULL, WNOHANG);
	}
	return any;
}

/* Whoever has left the group became our child when his parent died. */
static void
kill_all(const struct run *r)
{
	int round;

	signal_group(r, SIGKILL);
	for (round = 0; round < KILL_ROUNDS_MAX; round++) {
		if (!signal_children(r->pid, SIGKILL))
			return;
		(void)poll(NULL, 0, KILL_ROUND_MS);
	}
}

/* ---- the parent ---- */

static void
enter(struct run *r, enum run_phase phase, int64_t ms)
{
	r->phase = phase;
	r->phase_end = mono_add(clock_system.mono(&clock_system), ms);
}

/* The time of a phase is over; false: we wait no longer. */
static bool
next_phase(struct run *r)
{
	switch (r->phase) {
	case RUNNING:
		signal_group(r, SIGTERM);
		(void)signal_children(r->pid, SIGTERM);
		enter(r, TERMED, COMMAND_GRACE_MS / 2);
		return true;
	case TERMED:
		kill_all(r);
		enter(r, KILLED, COMMAND_GRACE_MS / 4);
		return true;
	default: return false;
	}
}

/* What is there now; the rest of what is not kept is dropped. */
static void
read_output(struct run *r)
{
	static char dropped[DROP_READ_BYTES];
	size_t room = sizeof(r->output) - r->output_len;
	ssize_t n;

	if (room > 0)
		n = read(r->output_fd, r->output + r->output_len, room);
	else
		n = read(r->output_fd, dropped, sizeof(dropped));
	if (n > 0 && room > 0)
		r->output_len += (size_t)n;
	else if (n > 0)
		r->dropped += (size_t)n;
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
		close(r->output_fd);
		r->output_fd = -1;
	}
}

/* What it wrote before it ended; a process that it left may write on. */
static void
read_rest(struct run *r)
{
	size_t before;

	while (r->output_fd >= 0 && r->output_len < sizeof(r->output)) {
		before = r->output_len;
		read_output(r);
		if (r->output_len == before)
			return;
	}
}

enum wait_end { WAIT_EXITED, WAIT_HANGS, WAIT_HUNG_UP };

static enum wait_end
wait_for(struct run *r)
{
	int64_t left;

	for (;;) {
		bool pause = r->dropped >= DROP_BYTES;
		struct pollfd p[3] = {
			{ .fd = r->pid_fd, .events = POLLIN },
			{ .fd = pause ? -1 : r->output_fd, .events = POLLIN },
			{ .fd = r->channel_fd, .events = POLLRDHUP },
		};
		int most = pause ? DROP_PAUSE_MS : 60000;

		left = mono_sub(r->phase_end, clock_system.mono(&clock_system));
		if (left <= 0) {
			if (!next_phase(r))
				return WAIT_HANGS;
			continue;
		}
		if (poll(p, ARRAY_LEN(p), left > most ? most : (int)left) < 0)
			continue;
		if (pause)
			r->dropped = 0;
		if (p[2].revents & (POLLHUP | POLLRDHUP | POLLERR))
			return WAIT_HUNG_UP;
		if (p[0].revents != 0)
			return WAIT_EXITED;
		if (p[1].revents != 0)
			read_output(r);
	}
}

/* Guards and orphans of commands before that have ended since. */
static void
reap_orphans(void)
{
	int i;

	for (i = 0; i < KILL_ROUNDS_MAX; i++)
		if (waitpid(-1, NULL, WNOHANG) <= 0)
			return;
}

static bool
begin(struct run *r, const struct request *q, const struct command_world *w,
    int home_fd, int message_fd, struct outcome *o)
{
	static struct command_env env;
	pid_t worker = getpid();
	int ends[2], guard_ends[2];

	reap_orphans();
	command_env_make(&env, q, w);
	if (q->verb == REQUEST_PIPE && !pipe_command_make(q, &pipe_command, o))
		return false;
	if (pipe2(ends, O_CLOEXEC) < 0)
		return outcome_errno(o, errno, "cannot make pipe");
	if (!command_guard_pair(guard_ends)) {
		outcome_errno(o, errno, "cannot guard command");
		close(ends[1]);
		goto close_output;
	}
	r->pid = fork();
	if (r->pid == 0)
		child(q, &env, worker, home_fd, message_fd, ends[1],
		    guard_ends);
	close(ends[1]);
	close(guard_ends[0]);
	if (r->pid < 0) {
		outcome_errno(o, errno, "cannot start command");
		goto close_guard;
	}
	r->output_fd = ends[0];
	r->guard_fd = guard_ends[1];
	r->output_len = r->dropped = 0;
	r->channel_fd = w->channel_fd;
	(void)fcntl(r->output_fd, F_SETFL, O_NONBLOCK);
	enter(r, RUNNING, q->time_limit_ms);
	r->pid_fd = pidfd_open(r->pid, 0);
	if (r->pid_fd >= 0)
		return true;
	outcome_errno(o, errno, "cannot watch command");
	kill_all(r);
	(void)waitpid(r->pid, NULL, 0);

close_guard:
	close(guard_ends[1]);
close_output:
	close(ends[0]);
	return false;
}

bool
command_run(const struct request *q, const struct command_world *w, int home_fd,
    int message_fd, struct command_end *end, struct outcome *o)
{
	static struct run r;
	enum wait_end how;

	if (!begin(&r, q, w, home_fd, message_fd, o))
		return false;
	how = wait_for(&r);
	/* Before its number is free for another group. */
	if (how != WAIT_EXITED || r.phase != RUNNING)
		kill_all(&r);
	if (how == WAIT_EXITED)
		read_rest(&r);
	*end = (struct command_end){
		.timed_out = r.phase != RUNNING,
		.output = slice_of(r.output, r.output_len),
	};
	(void)waitpid(r.pid, &end->status, how == WAIT_HANGS ? WNOHANG : 0);
	/* What the command left may go on. */
	command_guard_dismiss(r.guard_fd);
	close(r.pid_fd);
	if (r.output_fd >= 0)
		close(r.output_fd);
	if (how == WAIT_HUNG_UP)
		return outcome_set(o, JOB_DEFERRED, "4.3.0",
		    "nobody waits for the command any more");
	return true;
}
