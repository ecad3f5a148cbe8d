/*
 * copies: what who has a descriptor of one can do with it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "local/copies.h"
#include "tmpdir.h"

/* Whoever can link gets no name for it: it would stay on the queue's disk. */
static void
test_no_name(void **state)
{
	struct tmpdir *t = *state;
	int fds[REQUEST_COPY_FDS], i;
	struct outcome o;
	struct copies c;
	char path[40];

	copies_prepare(&c, t->path);
	assert_true(copies_open(&c, fds, &o));
	for (i = 0; i < REQUEST_COPY_FDS; i++) {
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fds[i]);
		assert_int_equal(
		    linkat(AT_FDCWD, path, t->fd, "name", AT_SYMLINK_FOLLOW),
		    -1);
		assert_int_equal(errno, ENOENT);
	}
	copies_close(fds);
	copies_fini(&c);
	assert_int_equal(unlinkat(t->fd, "copies", AT_REMOVEDIR), 0);
}

/* Through the command's descriptor nothing is written. */
static void
test_read_only(void **state)
{
	struct tmpdir *t = *state;
	int fds[REQUEST_COPY_FDS];
	struct outcome o;
	struct copies c;
	char got;

	copies_prepare(&c, t->path);
	assert_true(copies_open(&c, fds, &o));
	assert_int_equal(write(fds[1], "x", 1), -1);
	assert_int_equal(ftruncate(fds[1], 7), -1);
	assert_int_equal(write(fds[0], "y", 1), 1);
	assert_int_equal(read(fds[1], &got, 1), 1);
	assert_int_equal(got, 'y');
	copies_close(fds);
	copies_fini(&c);
	assert_int_equal(unlinkat(t->fd, "copies", AT_REMOVEDIR), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_no_name, tmpdir_setup,
		    tmpdir_teardown),
		cmocka_unit_test_setup_teardown(test_read_only, tmpdir_setup,
		    tmpdir_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
