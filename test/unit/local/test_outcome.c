/*
 * outcome: statuses of failed system calls and of full mailboxes; and the
 * directory that a request begins in.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "local/base_dir.h"
#include "local/outcome.h"
#include "tmpdir.h"

static void
errnos(void **state)
{
	static const struct {
		int errnum;
		const char *dsn, *why;
	} rows[] = {
		{ EDQUOT, "4.2.2", "the disk quota: this mailbox is full" },
		{ EFBIG, "4.2.2", "likewise, by a limit of files" },
		{ ENOSPC, "4.3.1", "the disk: the system is full" },
		{ EIO, "4.3.0", "a broken disk" },
		{ EROFS, "4.3.0", "a disk mounted to read only" },
		{ ESTALE, "4.3.0", "a server of files" },
		{ EACCES, "4.2.0", "the mailbox refuses" },
		{ ELOOP, "4.2.0", "a link where none may be" },
		{ ENOENT, "4.2.0", "no such directory" },
		{ ENAMETOOLONG, "4.2.0", "no such name can be" },
		{ ENOMEM, "4.3.0", "whatever else" },
		{ 12345, "4.3.0", "even unknown" },
	};
	struct outcome o;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		assert_false(
		    outcome_errno(&o, rows[i].errnum, "cannot %s", "x"));
		/* A fault of this machine never returns mail. */
		assert_int_equal(o.status, JOB_DEFERRED);
		if (strcmp(o.dsn, rows[i].dsn) != 0)
			fail_msg("%s: %s", rows[i].why, o.dsn);
		assert_true(strncmp(o.text, "cannot x: ", 10) == 0);
	}
}

static void
full(void **state)
{
	struct outcome o;

	(void)state;
	assert_false(outcome_full(&o, false, "%d bytes", 7));
	assert_int_equal(o.status, JOB_DEFERRED);
	assert_string_equal(o.dsn, "4.2.2");
	assert_string_equal(o.text, "7 bytes");
	assert_false(outcome_full(&o, true, "%d bytes", 7));
	assert_int_equal(o.status, JOB_FAILED);
	assert_string_equal(o.dsn, "5.2.2");
}

static void
base_directories(void **state)
{
	static const struct {
		const char *why;
		mode_t mode;
		uid_t uid;
		uint32_t flags;
		bool opens;
	} rows[] = {
		{ "a home", 0700, 0, REQUEST_HOME, true },
		{ "writable for all", 0702, 0, REQUEST_HOME, false },
		{ "which is nobody's affair elsewhere", 0702, 0, 0, true },
		{ "somebody else's home", 0755, 34567, REQUEST_HOME, false },
		{ "somebody else's directory", 0755, 34567, 0, true },
	};
	struct tmpdir *t = *state;
	struct request q = { .base = slice_str(t->path) };
	struct outcome o;
	size_t i;
	int fd;

	for (i = 0; i < ARRAY_LEN(rows); i++) {
		if (rows[i].uid != 0 && getuid() != 0)
			continue;
		assert_int_equal(fchmod(t->fd, rows[i].mode), 0);
		if (getuid() == 0)
			assert_int_equal(fchown(t->fd, rows[i].uid, 0), 0);
		q.flags = rows[i].flags;
		if (base_open(&q, &fd, &o) != rows[i].opens)
			fail_msg("%s", rows[i].why);
		if (rows[i].opens)
			close(fd);
		else
			assert_int_equal(o.status, JOB_DEFERRED);
	}
	q.base = SLICE_LIT("/nonexistent/home");
	assert_false(base_open(&q, &fd, &o));
	assert_int_equal(o.status, JOB_DEFERRED);
	q.base = SLICE_LIT("/etc/passwd");
	assert_false(base_open(&q, &fd, &o));
	assert_int_equal(o.status, JOB_DEFERRED);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(errnos),
		cmocka_unit_test(full),
		cmocka_unit_test_setup_teardown(base_directories, tmpdir_setup,
		    tmpdir_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
