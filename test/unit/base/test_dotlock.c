/* PATH.lock: whose it is, and when it is nobody's any more. */
#include "../check.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/dotlock.h"
#include "base/slice.h"

enum { HOUR_MS = 3600 * 1000 };

static const char name[] = "box.lock";
static char dir[64];
static int dir_fd;

static int
setup(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/weir-dotlock-XXXXXX");
	assert_non_null(mkdtemp(dir));
	dir_fd = open(dir, O_RDONLY | O_DIRECTORY);
	return dir_fd < 0;
}

static int
teardown(void **state)
{
	(void)state;
	(void)unlinkat(dir_fd, name, 0);
	(void)close(dir_fd);
	/* Nothing else is left there. */
	return rmdir(dir);
}

static void
put(const char *text)
{
	int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_TRUNC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	(void)close(fd);
}

static void
get(char out[static 300])
{
	int fd = openat(dir_fd, name, O_RDONLY);
	ssize_t n = read(fd, out, 299);

	assert_true(n >= 0);
	out[n] = '\0';
	(void)close(fd);
}

/* What the lock of a process that is no more says. */
static void
dead_owner(char out[static 300])
{
	struct dotlock l;
	int status;
	pid_t pid = fork();

	if (pid == 0)
		_exit(dotlock_make(dir_fd, name, &l) ? 0 : 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	get(out);
	assert_int_equal(strtol(out, NULL, 10), pid);
}

static void
test_one_at_a_time(void **state)
{
	struct dotlock mine, other;

	(void)state;
	assert_true(dotlock_make(dir_fd, name, &mine));
	assert_false(dotlock_make(dir_fd, name, &other));
	assert_int_equal(errno, EEXIST);
	/* Its owner lives. */
	assert_false(dotlock_break_stale(dir_fd, name, HOUR_MS, NULL));
	dotlock_drop(dir_fd, name, &mine);
	assert_true(dotlock_make(dir_fd, name, &other));
	/* What took its place is not ours. */
	mine.ino = other.ino + 1;
	dotlock_drop(dir_fd, name, &mine);
	assert_int_equal(faccessat(dir_fd, name, F_OK, 0), 0);
}

static void
test_path(void **state)
{
	char path[128];
	struct dotlock l;

	(void)state;
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	assert_true(dotlock_make(AT_FDCWD, path, &l));
	assert_int_equal(faccessat(dir_fd, name, F_OK, 0), 0);
	dotlock_drop(AT_FDCWD, path, &l);
	assert_int_equal(faccessat(dir_fd, name, F_OK, 0), -1);
}

static void
test_killed(void **state)
{
	char owner[300];
	struct dotlock l;
	bool aged = false;

	(void)state;
	dead_owner(owner);
	assert_true(dotlock_break_stale(dir_fd, name, HOUR_MS, &aged));
	assert_false(aged);
	assert_true(dotlock_make(dir_fd, name, &l));
}

/* The owner's text cut off or changed at each place. */
static void
test_unknown(void **state)
{
	char owner[300], text[300];
	size_t len;

	(void)state;
	dead_owner(owner);
	len = strlen(owner);
	for (size_t i = 0; i < len; i++) {
		memcpy(text, owner, i);
		text[i] = '\0';
		put(text);
		if (dotlock_break_stale(dir_fd, name, HOUR_MS, NULL))
			fail_msg("cut at %zu", i);
	}
	for (size_t i = strcspn(owner, ":"); i < len; i++) {
		memcpy(text, owner, len + 1);
		text[i]++;
		put(text);
		if (dotlock_break_stale(dir_fd, name, HOUR_MS, NULL))
			fail_msg("changed at %zu", i);
	}
	/* Its number alone, as other programs write it. */
	snprintf(text, sizeof(text), "%ld\n", strtol(owner, NULL, 10));
	put(text);
	assert_false(dotlock_break_stale(dir_fd, name, HOUR_MS, NULL));
	put(owner);
	assert_true(dotlock_break_stale(dir_fd, name, HOUR_MS, NULL));
}

static void
test_old(void **state)
{
	const struct timespec old[2] = { { .tv_sec = 1000 },
		{ .tv_sec = 1000 } };
	bool aged = false;

	(void)state;
	put("");
	assert_false(dotlock_break_stale(dir_fd, name, HOUR_MS, &aged));
	assert_false(aged);
	assert_int_equal(utimensat(dir_fd, name, old, 0), 0);
	assert_true(dotlock_break_stale(dir_fd, name, HOUR_MS, &aged));
	assert_true(aged);
	assert_int_equal(faccessat(dir_fd, name, F_OK, 0), -1);
	/* None: worth a try. */
	assert_true(dotlock_break_stale(dir_fd, name, HOUR_MS, NULL));
	/* A link is not followed. */
	put("");
	assert_int_equal(utimensat(dir_fd, name, old, 0), 0);
	assert_int_equal(renameat(dir_fd, name, dir_fd, "victim"), 0);
	assert_int_equal(symlinkat("victim", dir_fd, name), 0);
	assert_false(dotlock_break_stale(dir_fd, name, HOUR_MS, NULL));
	assert_int_equal(unlinkat(dir_fd, "victim", 0), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_one_at_a_time, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(test_path, setup, teardown),
		cmocka_unit_test_setup_teardown(test_killed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unknown, setup, teardown),
		cmocka_unit_test_setup_teardown(test_old, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
