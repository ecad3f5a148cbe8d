/*
 * inject_queue: the message and its envelope on pipes to qmail-queue.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sendmail/inject_int.h"
#include "sendmail/output.h"
#include "sendmail/qmail_queue.h"

enum { QQ_TEXT_FD = 6 };

/* The message with the line ends of this system.  Every LF in a piece has a
 * CR before it, if only in the piece before: a CR at its end waits. */
bool
inject_write_message(struct inject *x, int fd)
{
	static char text[MESSAGE_PIECE_BYTES + 1];
	struct slice piece;
	bool last = false, cr = false;

	while (!last) {
		size_t n = 0;

		if (message_next(&x->m, &piece, &last) != OK)
			return false;
		for (size_t i = 0; i < piece.len; i++) {
			if (cr && piece.data[i] != '\n')
				text[n++] = '\r';
			cr = piece.data[i] == '\r';
			if (!cr)
				text[n++] = piece.data[i];
		}
		if (!output_write(fd, text, n))
			return false;
	}
	return true;
}

static bool
write_envelope(struct inject *x, int fd)
{
	struct slice rcpts = buf_data(&x->envelope);

	return output_write(fd, "F", 1) &&
	       output_write(fd, x->sender, strlen(x->sender) + 1) &&
	       output_write(fd, rcpts.data, rcpts.len) &&
	       output_write(fd, "", 1);
}

/* ---- qmail-queue ---- */

enum { MESSAGE, ENVELOPE, WHY, PIPES };

/* In the child: its descriptors, and no others. */
static _Noreturn void
be_queue(const struct inject *x, int pipes[static PIPES][2],
    const char *drop_program)
{
	const char *program = getenv("QMAILQUEUE");
	int fds[PIPES] = { pipes[MESSAGE][0], pipes[ENVELOPE][0],
		pipes[WHY][1] };

	/* Out of the way of 0, 1 and 6 first. */
	for (int i = 0; i < PIPES; i++) {
		fds[i] = fcntl(fds[i], F_DUPFD, 10);
		if (fds[i] < 0)
			_exit(QQ_EXEC);
	}
	if (dup2(fds[MESSAGE], STDIN_FILENO) < 0 ||
	    dup2(fds[ENVELOPE], STDOUT_FILENO) < 0 ||
	    dup2(fds[WHY], QQ_TEXT_FD) < 0 || close_range(3, 5, 0) < 0 ||
	    close_range(7, ~0u, 0) < 0)
		_exit(QQ_EXEC);
	if (program == NULL || program[0] == '\0')
		_exit(qmail_queue(x->conf, x->acct, drop_program));
	(void)signal(SIGPIPE, SIG_DFL);
	(void)execlp(program, program, (char *)NULL);
	_exit(QQ_EXEC);
}

/* What a program says of itself when it exits with QQ_TEXT. */
static int
say_text(struct inject *x, int fd)
{
	char text[512];
	ssize_t n = read(fd, text, sizeof(text) - 1);

	if (n < 1 || (text[0] != 'D' && text[0] != 'Z')) {
		(void)err_set(&x->et, ERR_SYS, "%s", qmail_queue_text(QQ_TEXT));
		return QMAIL_TEMP;
	}
	text[n] = '\0';
	(void)err_set(&x->et, ERR_DENIED, "%s", text + 1);
	return text[0] == 'D' ? QMAIL_PERM : QMAIL_TEMP;
}

static int
wait_for_queue(struct inject *x, pid_t pid, int why)
{
	int status;

	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR) {
			(void)err_sys(&x->et, errno, "waiting for qmail-queue");
			return QMAIL_TEMP;
		}
	}
	if (!WIFEXITED(status)) {
		(void)err_set(&x->et, ERR_SYS, "qq crashed (#4.3.0)");
		return QMAIL_TEMP;
	}
	status = WEXITSTATUS(status);
	if (status == 0)
		return QMAIL_INJECT_OK;
	if (status == QQ_TEXT)
		return say_text(x, why);
	(void)err_set(&x->et, ERR_SYS, "%s", qmail_queue_text(status));
	return qmail_queue_is_temporary(status) ? QMAIL_TEMP : QMAIL_PERM;
}

int
inject_run_queue(struct inject *x, const char *drop_program)
{
	int pipes[PIPES][2], status;
	bool whole;
	pid_t pid;

	for (int i = 0; i < PIPES; i++) {
		if (pipe2(pipes[i], O_CLOEXEC) != 0) {
			(void)err_sys(&x->et, errno, "pipe");
			return QMAIL_TEMP;
		}
	}
	pid = fork();
	if (pid < 0) {
		(void)err_sys(&x->et, errno, "fork");
		return QMAIL_TEMP;
	}
	if (pid == 0)
		be_queue(x, pipes, drop_program);
	close(pipes[MESSAGE][0]);
	close(pipes[ENVELOPE][0]);
	close(pipes[WHY][1]);
	/* Of a message that could not be read no envelope is written: it is
	 * not sent. */
	whole = inject_write_message(x, pipes[MESSAGE][1]);
	close(pipes[MESSAGE][1]);
	if (whole)
		(void)write_envelope(x, pipes[ENVELOPE][1]);
	close(pipes[ENVELOPE][1]);
	status = wait_for_queue(x, pid, pipes[WHY][0]);
	close(pipes[WHY][0]);
	return status;
}
