/*
 * weir-drop, the program: its path is the first argument.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "../local/tmpdir.h"

static char *program;

/* Start it on directory with descriptor 0 as given; -1: closed. */
static pid_t
start(const char *directory, int in)
{
	char path[256];
	char *argv[] = { program, path, NULL };
	pid_t pid;

	strcpy(path, directory);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		int null = open("/dev/null", O_WRONLY);

		if (in < 0)
			close(0);
		else
			dup2(in, 0);
		dup2(null, 2);
		execv(program, argv);
		_exit(127);
	}
	return pid;
}

static int
status_of(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static int
run(const char *directory, const char *text, size_t len)
{
	int fds[2];
	pid_t pid;

	assert_int_equal(pipe(fds), 0);
	pid = start(directory, fds[0]);
	close(fds[0]);
	assert_int_equal(write(fds[1], text, len), len);
	close(fds[1]);
	return status_of(pid);
}

static void
keeps_a_message(void **state)
{
	struct tmpdir *t = *state;
	struct stat st;
	char name[300];

	assert_int_equal(run(t->path, "any\0thing", 9), EX_OK);
	assert_int_equal(tmpdir_count(t, ".", name, sizeof(name)), 1);
	assert_true(strncmp(name, "./msg.", 6) == 0);
	assert_memory_equal(tmpdir_read(t, name), "any\0thing", 9);
	assert_int_equal(fstatat(t->fd, name, &st, 0), 0);
	assert_int_equal(st.st_size, 9);
	assert_int_equal(st.st_mode & 07777, 0444);
}

static void
refuses(void **state)
{
	struct tmpdir *t = *state;
	char path[300];

	assert_int_equal(run(t->path, "", 0), EX_DATAERR);
	assert_int_equal(run("/nonexistent", "x", 1), EX_UNAVAILABLE);
	tmpdir_write(t, "file", "");
	snprintf(path, sizeof(path), "%s/file", t->path);
	assert_int_equal(run(path, "x", 1), EX_UNAVAILABLE);
	snprintf(path, sizeof(path), "%s/link", t->path);
	assert_int_equal(symlinkat(".", t->fd, "link"), 0);
	assert_int_equal(run(path, "x", 1), EX_UNAVAILABLE);
	assert_int_equal(fchmod(t->fd, 0777), 0);
	assert_int_equal(run(t->path, "x", 1), EX_NOPERM);
	/* Neither messages nor leftovers. */
	assert_int_equal(tmpdir_count(t, ".", NULL, 0), 2);
}

/* Without standard input nothing else may take its place. */
static void
no_standard_input(void **state)
{
	struct tmpdir *t = *state;

	assert_int_equal(status_of(start(t->path, -1)), EX_DATAERR);
	assert_int_equal(tmpdir_count(t, ".", NULL, 0), 0);
}

static void
stopped_midway(void **state)
{
	struct tmpdir *t = *state;
	char piece[8192] = "";
	int fds[2];
	pid_t pid;

	assert_int_equal(pipe(fds), 0);
	pid = start(t->path, fds[0]);
	/* More than the pipe holds: it is reading when this returns. */
	for (int i = 0; i < 20; i++)
		assert_int_equal(write(fds[1], piece, sizeof(piece)),
		    sizeof(piece));
	assert_int_equal(tmpdir_count(t, ".", NULL, 0), 1);
	assert_int_equal(kill(pid, SIGTERM), 0);
	close(fds[1]);
	close(fds[0]);
	assert_int_equal(status_of(pid), EX_TEMPFAIL);
	assert_int_equal(tmpdir_count(t, ".", NULL, 0), 0);
}

static void
directory_that_cannot_be_read(void **state)
{
	struct tmpdir *t = *state;

	/* As the group of the drop directory sees it. */
	assert_int_equal(fchmod(t->fd, 0300), 0);
	assert_int_equal(run(t->path, "x", 1), EX_OK);
	assert_int_equal(fchmod(t->fd, 0700), 0);
	assert_int_equal(tmpdir_count(t, ".", NULL, 0), 1);
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, tmpdir_setup, tmpdir_teardown)
		T(keeps_a_message),
		T(refuses),
		T(no_standard_input),
		T(stopped_midway),
		T(directory_that_cannot_be_read),
	};

	if (argc < 2)
		return 64;
	program = argv[1];
	return cmocka_run_group_tests(tests, NULL, NULL);
}
