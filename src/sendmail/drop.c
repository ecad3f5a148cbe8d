/*
 * drop: the message through a pipe into weir-drop.
 *
 * weir-drop keeps what it got only when its input ends; so if we die midway
 * the trailer is missing and pickup refuses the file.
 */
#include "sendmail/drop.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/assert.h"
#include "conf/conf.h"
#include "proto/drop_file.h"
#include "sendmail/output.h"

static bool
write_envelope(const struct message *m, int fd)
{
	unsigned char buf[8192];
	struct wr w = wr_of(buf, sizeof(buf));
	struct drop_file d = {
		.ret = m->options->ret,
		.sender = m->sender,
		.envid = slice_of(m->envid, m->envid_len),
		.rcpt_count = (uint32_t)m->rcpt_count,
	};
	size_t i;

	drop_file_put(&w, &d);
	for (i = 0; i < m->rcpt_count; i++) {
		if (sizeof(buf) - w.len < DROP_FILE_RCPT_BYTES_MAX) {
			if (!output_write(fd, buf, w.len))
				return false;
			w = wr_of(buf, sizeof(buf));
		}
		drop_file_rcpt_put(&w, m->options->notify, m->rcpts[i]);
	}
	ASSERT(!w.full);
	return output_write(fd, buf, w.len);
}

static int
write_file(struct message *m, int fd, struct errtext *et)
{
	unsigned char buf[DROP_FILE_TRAILER_BYTES];
	struct wr w = wr_of(buf, sizeof(buf));
	uint64_t bytes = 0;
	struct slice piece;
	bool last = false;

	if (!write_envelope(m, fd))
		goto gone;
	while (!last) {
		if (message_next(m, &piece, &last) != OK) {
			err_set(et, ERR_IO, "cannot read the message");
			return EX_IOERR;
		}
		bytes += piece.len;
		if (m->conf->message_size_limit_bytes != 0 &&
		    bytes > (uint64_t)m->conf->message_size_limit_bytes) {
			err_set(et, ERR_TOOBIG,
			    "message larger than message_size_limit");
			return EX_DATAERR;
		}
		if (!output_write(fd, piece.data, piece.len))
			goto gone;
	}
	drop_file_trailer_put(&w, bytes);
	if (output_write(fd, buf, w.len))
		return EX_OK;
gone:
	err_sys(et, errno, "writing to weir-drop");
	return EX_TEMPFAIL;
}

static int
spawn(const char *program, const char *directory, int pipe_fds[2], pid_t *pid)
{
	posix_spawn_file_actions_t actions;
	char *argv[3] = { (char *)(uintptr_t)program,
		(char *)(uintptr_t)directory, NULL };
	char *envp[] = { NULL };
	int r;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, pipe_fds[0], STDIN_FILENO);
	r = posix_spawn(pid, program, &actions, NULL, argv, envp);
	posix_spawn_file_actions_destroy(&actions);
	return r;
}

static int
wait_for(pid_t pid, struct errtext *et)
{
	int status;

	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR) {
			err_sys(et, errno, "waiting for weir-drop");
			return EX_OSERR;
		}
	}
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return EX_OK;
	err_set(et, ERR_SYS,
	    "no server runs, and the message could not be "
	    "kept for it");
	return WIFEXITED(status) ? WEXITSTATUS(status) : EX_TEMPFAIL;
}

int
drop_message(struct message *m, const char *program, struct errtext *et)
{
	char directory[4096];
	int pipe_fds[2], r, status, ended;
	pid_t pid;

	snprintf(directory, sizeof(directory), "%s/drop",
	    m->conf->queue_directory);
	if (pipe2(pipe_fds, O_CLOEXEC) < 0) {
		err_sys(et, errno, "pipe");
		return EX_OSERR;
	}
	signal(SIGPIPE, SIG_IGN);
	r = spawn(program, directory, pipe_fds, &pid);
	close(pipe_fds[0]);
	if (r != 0) {
		close(pipe_fds[1]);
		err_sys(et, r, "no server runs, and %s cannot be executed",
		    program);
		return EX_UNAVAILABLE;
	}
	status = write_file(m, pipe_fds[1], et);
	if (status != EX_OK && status != EX_TEMPFAIL)
		/* Nothing that was given so far may be kept. */
		(void)kill(pid, SIGTERM);
	close(pipe_fds[1]);
	ended = wait_for(pid, status == EX_OK ? et : NULL);
	/* What weir-drop says explains why it stopped reading. */
	return status == EX_OK || status == EX_TEMPFAIL
		   ? (ended != EX_OK ? ended : status)
		   : status;
}
