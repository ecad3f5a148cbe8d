/*
 * The drop directory: every file is found once, each user's in turn and by
 * age, whatever else lies there and however much of it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../local/tmpdir.h"
#include "pickup/drop_dir.h"

static int dir_fd = -1;

static void
make_file(const char *name, uid_t uid)
{
	int fd = openat(dir_fd, name, O_CREAT | O_EXCL | O_WRONLY, 0600);

	assert_true(fd >= 0);
	if (uid != getuid())
		assert_int_equal(fchown(fd, uid, (gid_t)-1), 0);
	close(fd);
}

static void
test_order(void **state)
{
	static struct drop_look look;
	char name[DROP_NAME_BYTES];

	look = (struct drop_look){ 0 };
	dir_fd = ((struct tmpdir *)*state)->fd;
	assert_false(drop_dir_next(dir_fd, &look, name));
	make_file("msg.3", getuid());
	make_file("msg.1", getuid());
	make_file("msg.2", getuid());
	make_file("tmp.0", getuid());
	make_file("bad.msg.0", getuid());
	make_file("other", getuid());
	for (int i = 1; i <= 3; i++) {
		assert_true(drop_dir_next(dir_fd, &look, name));
		assert_int_equal(name[4], '0' + i);
		assert_int_equal(unlinkat(dir_fd, name, 0), 0);
	}
	assert_false(drop_dir_next(dir_fd, &look, name));
}

/* One user has dropped far more than a table holds, two others one each. */
static void
test_fair(void **state)
{
	enum { FLOOD = 2 * DROP_FOUND_MAX };
	static struct drop_look look;
	char name[DROP_NAME_BYTES];
	unsigned seen = 0, others = 0;

	if (getuid() != 0)
		skip();
	look = (struct drop_look){ 0 };
	dir_fd = ((struct tmpdir *)*state)->fd;
	for (int i = 0; i < FLOOD; i++) {
		snprintf(name, sizeof(name), "msg.1.%07d", i);
		make_file(name, 1001);
	}
	make_file("msg.9.a", 1002);
	make_file("msg.9.b", 1003);
	while (drop_dir_next(dir_fd, &look, name)) {
		seen++;
		if (strncmp(name, "msg.9.", 6) == 0) {
			others++;
			assert_true(seen <= 3);
		}
		assert_int_equal(unlinkat(dir_fd, name, 0), 0);
	}
	assert_int_equal(seen, FLOOD + 2);
	assert_int_equal(others, 2);
}

/* The cost of a file does not grow with what lies beside it: thousands of
 * names that are none of ours are read once for hundreds of files. */
static void
test_linear(void **state)
{
	enum { JUNK = 1000, FILES = 500 };
	static struct drop_look look;
	char name[DROP_NAME_BYTES];
	unsigned seen = 0;
	look = (struct drop_look){ 0 };
	dir_fd = ((struct tmpdir *)*state)->fd;
	for (int i = 0; i < JUNK; i++) {
		snprintf(name, sizeof(name), "bad.%d", i);
		make_file(name, getuid());
	}
	for (int i = 0; i < FILES; i++) {
		snprintf(name, sizeof(name), "msg.%d", i);
		make_file(name, getuid());
	}
	while (drop_dir_next(dir_fd, &look, name)) {
		/* All of them by the first look. */
		assert_int_equal(look.count, FILES);
		assert_int_equal(look.next, ++seen);
		assert_int_equal(unlinkat(dir_fd, name, 0), 0);
	}
	assert_int_equal(seen, FILES);
}

/* A name that weir-drop would not have made does not stay in the way. */
static void
test_long_name(void **state)
{
	static struct drop_look look;
	char name[256];

	look = (struct drop_look){ 0 };
	dir_fd = ((struct tmpdir *)*state)->fd;
	memset(name, 'x', sizeof(name));
	memcpy(name, "msg.", 4);
	name[255] = '\0';
	make_file(name, getuid());
	make_file("msg.1", getuid());
	assert_true(drop_dir_next(dir_fd, &look, name));
	assert_string_equal(name, "msg.1");
	assert_int_equal(unlinkat(dir_fd, name, 0), 0);
	assert_false(drop_dir_next(dir_fd, &look, name));
}

int
main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, tmpdir_setup, tmpdir_teardown)
	const struct CMUnitTest tests[] = {
		T(test_order),
		T(test_fair),
		T(test_linear),
		T(test_long_name),
	};

	return cmocka_run_group_tests_name("drop_dir", tests, NULL, NULL);
}
