/*
 * filter: except, bouncesaying, preline: programs around other programs.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "usercmd/int.h"

int
usercmd_except(struct usercmd *u)
{
	int code = 0, e;

	if (u->count == 0)
		return say_usage(u, "program [ arg ... ]");
	e = child_run(u, u->words, &code);
	if (e != 0)
		return e;
	switch (code) {
	case 0: return USERCMD_PERM;
	case USERCMD_TEMP:
		return say_fatal(u, USERCMD_TEMP, "temporary child error");
	default: return USERCMD_OK;
	}
}

int
usercmd_bouncesaying(struct usercmd *u)
{
	int code = 0, e;

	if (u->count == 0)
		return say_usage(u, "error [ program [ arg ... ] ]");
	if (u->count > 1) {
		e = child_run(u, u->words + 1, &code);
		if (e != 0)
			return e;
	}
	if (code == USERCMD_TEMP)
		return say_fatal(u, USERCMD_TEMP, "temporary child error");
	if (code != 0)
		return USERCMD_OK;
	/* The text is the report: as it is. */
	fprintf(stderr, "%s\n", u->words[0]);
	return USERCMD_PERM;
}

/* ---- preline ---- */

enum line { LINE_FROM, LINE_RETURN_PATH, LINE_DELIVERED_TO, LINE_COUNT };

static const struct {
	char drop, keep;
	const char *variable;
} lines[LINE_COUNT] = {
	[LINE_FROM] = { 'f', 'F', "UFLINE" },
	[LINE_RETURN_PATH] = { 'r', 'R', "RPLINE" },
	[LINE_DELIVERED_TO] = { 'd', 'D', "DTLINE" },
};

/* Takes the options; the place of the first other word, -1: a bad one. */
static int
parse_options(struct usercmd *u, bool wanted[LINE_COUNT])
{
	int at;

	for (at = 0;
	     at < u->count && u->words[at][0] == '-' && u->words[at][1] != '\0';
	     at++) {
		const char *p = u->words[at] + 1;

		if (strcmp(p, "-") == 0)
			return at + 1;
		for (; *p != '\0'; p++) {
			size_t i = 0;

			while (i < LINE_COUNT && *p != lines[i].drop &&
			       *p != lines[i].keep)
				i++;
			if (i == LINE_COUNT)
				return -1;
			wanted[i] = *p == lines[i].keep;
		}
	}
	return at;
}

/* Everything into the pipe.  A program that does not want it all is none of
 * our errors: its exit code decides. */
static int
feed(const struct usercmd *u, int fd, const char *const text[LINE_COUNT])
{
	static struct output o;
	bool good = true;

	output_init(&o, fd);
	for (size_t i = 0; i < LINE_COUNT && good; i++)
		if (text[i] != NULL)
			good = output_put(&o, slice_str(text[i]));
	for (ssize_t n = 1; n > 0 && good;) {
		char buf[16384];

		n = read(STDIN_FILENO, buf, sizeof(buf));
		if (n < 0 && errno == EINTR)
			n = 1;
		else if (n < 0)
			return say_errno(u, "unable to copy input");
		else if (n > 0)
			good = output_put(&o, slice_of(buf, (size_t)n));
	}
	good = good && output_flush(&o);
	return good || errno == EPIPE ? 0
				      : say_errno(u, "unable to copy input");
}

int
usercmd_preline(struct usercmd *u)
{
	bool wanted[LINE_COUNT] = { true, true, true };
	const char *text[LINE_COUNT] = { NULL };
	int at = parse_options(u, wanted), pipe_fds[2], code = 0, e, fed;
	pid_t pid;

	if (at < 0 || at == u->count)
		return say_usage(u, "[ -frdFRD ] cmd [ arg ... ]");
	for (size_t i = 0; i < LINE_COUNT; i++) {
		if (!wanted[i])
			continue;
		text[i] = say_getenv(u, lines[i].variable);
		if (text[i] == NULL)
			return USERCMD_PERM;
	}
	/* The program does not get the end that we write to. */
	if (pipe2(pipe_fds, O_CLOEXEC) != 0)
		return say_errno(u, "unable to create pipe");
	e = child_start(u, u->words + at, pipe_fds[0], &pid);
	if (e != 0)
		return e;
	(void)close(pipe_fds[0]);
	(void)signal(SIGPIPE, SIG_IGN);
	fed = feed(u, pipe_fds[1], text);
	(void)close(pipe_fds[1]);
	e = child_wait(u, pid, &code);
	if (e != 0)
		return e;
	return code != 0 ? code : fed;
}
