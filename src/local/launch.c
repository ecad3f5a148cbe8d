/*
 * launch: one process, its channel and its pipe.
 */
#include "local/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "local/request.h"

enum { PIPE_BYTES = 256 * 1024 };

/* Everything but the two ends is closed in the child, and the parent's
 * signal dispositions do not pass. */
static int
execute(const char *program, const char *host, const struct owner *id,
    bool for_commands, int chan_fd, int pipe_fd, pid_t *pid_out)
{
	char uid[16], gid[16], spool_gid[16];
	char name[] = "weir-deliver", commands[] = "commands",
	     none_known[] = "";
	char *conf = getenv("WEIR_CONF");
	char *argv[] = { name, uid, gid, spool_gid, (char *)(uintptr_t)host,
		for_commands ? commands : NULL,
		conf != NULL ? conf : none_known, NULL };
	char *envp[] = { NULL };
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	sigset_t none, every;
	int r;

	snprintf(uid, sizeof(uid), "%lu", (unsigned long)id->uid);
	snprintf(gid, sizeof(gid), "%lu", (unsigned long)id->gid);
	snprintf(spool_gid, sizeof(spool_gid), "%lu",
	    (unsigned long)id->spool_gid);
	sigemptyset(&none);
	sigfillset(&every);
	posix_spawn_file_actions_init(&actions);
	posix_spawnattr_init(&attr);
	posix_spawn_file_actions_adddup2(&actions, chan_fd, WORKER_CHANNEL_FD);
	posix_spawn_file_actions_adddup2(&actions, pipe_fd, WORKER_BODY_FD);
	posix_spawn_file_actions_addclosefrom_np(&actions, 3);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setsigdefault(&attr, &every);
	posix_spawnattr_setflags(&attr,
	    POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	r = posix_spawn(pid_out, program, &actions, &attr, argv, envp);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&actions);
	return r;
}

/* Both ends of channel and pipe; index 0 is ours. */
static bool
make_ends(int chan[2], int pipe_fds[2])
{
	int p[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, chan) < 0)
		return false;
	if (pipe2(p, O_CLOEXEC) < 0) {
		close(chan[0]);
		close(chan[1]);
		return false;
	}
	pipe_fds[0] = p[1];
	pipe_fds[1] = p[0];
	/* A larger pipe wakes both sides less often; refused is no harm. */
	(void)fcntl(p[1], F_SETPIPE_SZ, PIPE_BYTES);
	(void)fcntl(p[1], F_SETFL, O_NONBLOCK);
	return true;
}

bool
launch_worker(const char *program, const char *host, const struct owner *id,
    bool for_commands, struct launched *out)
{
	int chan[2], body[2], r;

	if (!make_ends(chan, body)) {
		log_warning("cannot make channel of a worker: %m");
		return false;
	}
	r = execute(program, host, id, for_commands, chan[1], body[1],
	    &out->pid);
	close(chan[1]);
	close(body[1]);
	out->chan_fd = chan[0];
	out->pipe_fd = body[0];
	if (r == 0)
		return true;
	errno = r;
	log_warning("cannot execute %s: %m", program);
	close(chan[0]);
	close(body[0]);
	return false;
}
