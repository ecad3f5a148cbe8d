/*
 * Users of the system that are remembered: the database is this file's own
 * getpwnam_r.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>

#include "local/passwd.h"
#include "local/request.h"

static unsigned asked;
static int error;
static char home[2 * PASSWD_TEXT_BYTES];

int
getpwnam_r(const char *name, struct passwd *pw, char *buffer, size_t size,
    struct passwd **result)
{
	asked++;
	*result = NULL;
	if (error != 0 || strcmp(name, "nobody-here") == 0)
		return error;
	snprintf(buffer, size, "%s", name);
	*pw = (struct passwd){ .pw_name = buffer,
		.pw_uid = 1000,
		.pw_gid = 100,
		.pw_dir = home,
		.pw_shell = (char *)"/bin/sh" };
	*result = pw;
	return 0;
}

static int
prepare(void **state)
{
	static int64_t hour;

	/* Of every test an hour of its own: nothing is known any more. */
	*state = (void *)(intptr_t)(hour += 3600 * 1000);
	asked = 0;
	error = 0;
	snprintf(home, sizeof(home), "/home/u");
	return 0;
}

static struct mono
after(void **state, int64_t ms)
{
	return (struct mono){ (int64_t)(intptr_t)*state + ms };
}

static void
is_asked_once_a_second(void **state)
{
	static const struct {
		int64_t ms;
		unsigned asked;
		const char *why;
	} rows[] = {
		{ 0, 1, "nobody is known" },
		{ PASSWD_KNOWN_MS - 1, 1, "the last moment" },
		{ PASSWD_KNOWN_MS, 2, "too old" },
		{ PASSWD_KNOWN_MS + 1, 2, "known again" },
	};

	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		struct passwd_user u;

		assert_int_equal(
		    passwd_find(slice_str("ann"), after(state, rows[i].ms), &u),
		    0);
		if (asked != rows[i].asked)
			fail_msg("%s: asked %u times", rows[i].why, asked);
		assert_string_equal(u.name, "ann");
		assert_string_equal(u.home, "/home/u");
		assert_string_equal(u.shell, "/bin/sh");
		assert_int_equal(u.uid, 1000);
		assert_int_equal(u.gid, 100);
	}
}

static void
one_is_not_taken_for_another(void **state)
{
	char name[16];

	/* More than places: who shares one drives the other out. */
	for (unsigned round = 0; round < 2; round++)
		for (unsigned i = 0; i < 4 * PASSWD_KNOWN_COUNT; i++) {
			struct passwd_user u;

			snprintf(name, sizeof(name), "u%u", i);
			assert_int_equal(
			    passwd_find(slice_str(name), after(state, 0), &u),
			    0);
			assert_string_equal(u.name, name);
		}
	assert_true(asked >= 4 * PASSWD_KNOWN_COUNT);
}

static void
absence_and_errors_are_not_remembered(void **state)
{
	struct passwd_user u;

	for (unsigned i = 1; i <= 2; i++) {
		assert_int_equal(
		    passwd_find(slice_str("nobody-here"), after(state, 0), &u),
		    ENOENT);
		assert_int_equal(asked, i);
	}
	error = EIO;
	assert_int_equal(passwd_find(slice_str("bob"), after(state, 0), &u),
	    EIO);
	error = 0;
	assert_int_equal(passwd_find(slice_str("bob"), after(state, 0), &u), 0);
}

static void
what_cannot_be_a_name_is_not_asked(void **state)
{
	char name[USER_NAME_BYTES_MAX + 2];
	struct passwd_user u;

	memset(name, 'a', sizeof(name));
	assert_int_equal(passwd_find(slice_of("", 0), after(state, 0), &u),
	    ENOENT);
	assert_int_equal(passwd_find(slice_of(name, USER_NAME_BYTES_MAX + 1),
			     after(state, 0), &u),
	    ENOENT);
	assert_int_equal(asked, 0);
	assert_int_equal(passwd_find(slice_of(name, USER_NAME_BYTES_MAX),
			     after(state, 0), &u),
	    0);
	assert_int_equal(asked, 1);
}

static void
long_texts_are_asked_each_time(void **state)
{
	/* "carl", the home, "/bin/sh", and their ends. */
	const size_t most = PASSWD_TEXT_BYTES - 4 - 7 - 3;
	struct passwd_user u;

	memset(home, 'h', sizeof(home));
	for (size_t len = most - 1; len <= most + 1; len++) {
		home[len] = '\0';
		asked = 0;
		for (unsigned i = 0; i < 2; i++) {
			assert_int_equal(passwd_find(slice_str("carl"),
					     after(state, (int64_t)len * 2000),
					     &u),
			    0);
			assert_int_equal(strlen(u.home), len);
		}
		assert_int_equal(asked, len <= most ? 1 : 2);
		home[len] = 'h';
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(is_asked_once_a_second, prepare),
		cmocka_unit_test_setup(one_is_not_taken_for_another, prepare),
		cmocka_unit_test_setup(absence_and_errors_are_not_remembered,
		    prepare),
		cmocka_unit_test_setup(what_cannot_be_a_name_is_not_asked,
		    prepare),
		cmocka_unit_test_setup(long_texts_are_asked_each_time, prepare),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
