/*
 * quota: maildirsize, read, counted anew, added to.
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

#include "local/maildir.h"
#include "tmpdir.h"

static int
setup(void **state)
{
	static const char *const dirs[] = { "tmp", "new", "cur" };
	struct tmpdir *t;
	size_t i;

	if (tmpdir_setup(state) != 0)
		return -1;
	t = *state;
	for (i = 0; i < ARRAY_LEN(dirs); i++)
		assert_int_equal(mkdirat(t->fd, dirs[i], 0700), 0);
	return 0;
}

static bool
take(const struct tmpdir *t, uint64_t bytes, struct outcome *o)
{
	struct quota q;
	bool ok;

	assert_true(quota_open(&q, t->fd, false, o));
	ok = quota_take(&q, bytes, false, o);
	quota_close(&q);
	return ok;
}

/* As if it had been written long ago. */
static void
age(const struct tmpdir *t)
{
	struct timespec old[2] = { { 1000, 0 }, { 1000, 0 } };

	assert_int_equal(utimensat(t->fd, "maildirsize", old, 0), 0);
}

static void
files(void **state)
{
	static const struct {
		const char *why, *before;
		uint64_t bytes;
		bool fits;
		const char *after;
	} rows[] = {
		{ "room", "1000S\n500 1\n", 499, true,
		    "1000S\n500 1\n499 1\n" },
		{ "to the last byte", "1000S\n500 1\n", 500, true,
		    "1000S\n500 1\n500 1\n" },
		{ "one too many", "1000S\n500 1\n", 501, false,
		    "1000S\n500 1\n" },
		{ "more than all", "1000S\n0 0\n", 1001, false,
		    "1000S\n0 0\n" },
		{ "messages: room", "2C\n5 1\n", 1000000, true,
		    "2C\n5 1\n1000000 1\n" },
		{ "messages: none", "2C\n5 2\n", 1, false, "2C\n5 2\n" },
		{ "both: bytes", "100S,2C\n99 1\n", 2, false,
		    "100S,2C\n99 1\n" },
		{ "both: messages", "100S,2C\n1 2\n", 2, false,
		    "100S,2C\n1 2\n" },
		{ "both: room", "2C,100S\n1 1\n", 2, true,
		    "2C,100S\n1 1\n2 1\n" },
		{ "what went is gone", "1000S\n900 2\n-800 -1\n", 800, true,
		    "1000S\n900 2\n-800 -1\n800 1\n" },
		{ "padded, as others write it", "1000S\n   500    1\n", 400,
		    true, "1000S\n   500    1\n400 1\n" },
		{ "no quota at all", "0S\n", 1 << 30, true, "0S\n" },
		{ "no sense in it", "unlimited\n", 1 << 30, true,
		    "unlimited\n" },
		/* Counted anew: the Maildir is empty. */
		{ "a sum of parts that is too large", "1000S\n500 1\n500 1\n",
		    100, true, "1000S\n0 0\n100 1\n" },
		{ "no entry yet", "1000S\n", 100, true, "1000S\n0 0\n100 1\n" },
		{ "no sense", "1000S\nabc\n", 100, true,
		    "1000S\n0 0\n100 1\n" },
		{ "less than nothing", "1000S\n-5 1\n", 100, true,
		    "1000S\n0 0\n100 1\n" },
		{ "numbers out of all bounds",
		    "1000S\n99999999999999999999 1\n", 100, true,
		    "1000S\n0 0\n100 1\n" },
		{ "a sum out of all bounds",
		    "1000S\n4000000000000000000 1\n4000000000000000000 1\n"
		    "4000000000000000000 1\n",
		    100, true, "1000S\n0 0\n100 1\n" },
	};
	struct tmpdir *t = *state;
	struct outcome o;
	size_t i;

	for (i = 0; i < ARRAY_LEN(rows); i++) {
		tmpdir_write(t, "maildirsize", rows[i].before);
		if (take(t, rows[i].bytes, &o) != rows[i].fits ||
		    strcmp(tmpdir_read(t, "maildirsize"), rows[i].after) != 0)
			fail_msg("%s: %s", rows[i].why,
			    tmpdir_read(t, "maildirsize"));
		if (!rows[i].fits) {
			assert_int_equal(o.status, JOB_DEFERRED);
			assert_string_equal(o.dsn, "4.2.2");
		}
		assert_int_equal(tmpdir_count(t, "tmp", NULL, 0), 0);
	}
	/* Old, and full: counted anew. */
	tmpdir_write(t, "maildirsize", "1000S\n1000 1\n");
	age(t);
	assert_true(take(t, 100, &o));
	assert_string_equal(tmpdir_read(t, "maildirsize"),
	    "1000S\n0 0\n100 1\n");
	/* Old, and not full: believed. */
	tmpdir_write(t, "maildirsize", "1000S\n500 1\n");
	age(t);
	assert_true(take(t, 100, &o));
	assert_string_equal(tmpdir_read(t, "maildirsize"),
	    "1000S\n500 1\n100 1\n");
}

static void
long_file(void **state)
{
	static char text[QUOTA_FILE_BYTES_MAX + 100];
	struct tmpdir *t = *state;
	struct outcome o;
	size_t len;

	len = (size_t)snprintf(text, sizeof(text), "1000000S\n");
	while (len < QUOTA_FILE_BYTES_MAX - 8)
		len +=
		    (size_t)snprintf(text + len, sizeof(text) - len, "1 1\n");
	tmpdir_write(t, "maildirsize", text);
	assert_true(take(t, 100, &o));
	assert_true(strlen(tmpdir_read(t, "maildirsize")) > 5000);
	while (len < QUOTA_FILE_BYTES_MAX)
		len +=
		    (size_t)snprintf(text + len, sizeof(text) - len, "1 1\n");
	tmpdir_write(t, "maildirsize", text);
	assert_true(take(t, 100, &o));
	assert_string_equal(tmpdir_read(t, "maildirsize"),
	    "1000000S\n0 0\n100 1\n");
}

/* Every folder but the trash, sizes from names or from the files. */
static void
counts(void **state)
{
	struct tmpdir *t = *state;
	struct outcome o;

	assert_int_equal(mkdirat(t->fd, ".Sent", 0700), 0);
	assert_int_equal(mkdirat(t->fd, ".Sent/cur", 0700), 0);
	assert_int_equal(mkdirat(t->fd, ".Trash", 0700), 0);
	assert_int_equal(mkdirat(t->fd, ".Trash/cur", 0700), 0);
	assert_int_equal(mkdirat(t->fd, "other", 0700), 0);
	assert_int_equal(mkdirat(t->fd, "other/cur", 0700), 0);
	tmpdir_write(t, "new/1", "12345");
	tmpdir_write(t, "cur/2,S=100:2,S", "x");
	tmpdir_write(t, "cur/3:2,ST", "deleted");
	tmpdir_write(t, "cur/4,S=x:2,", "123");
	tmpdir_write(t, ".Sent/cur/5,S=1000", "");
	tmpdir_write(t, ".Trash/cur/6", "trash");
	tmpdir_write(t, "other/cur/7", "no folder");
	tmpdir_write(t, "tmp/8", "not yet");
	assert_int_equal(symlinkat("/etc/passwd", t->fd, "new/9"), 0);
	tmpdir_write(t, "maildirsize", "2000S\n");
	assert_true(take(t, 10, &o));
	assert_string_equal(tmpdir_read(t, "maildirsize"),
	    "2000S\n1108 4\n10 1\n");
}

static void
hostile_files(void **state)
{
	struct tmpdir *t = *state;
	struct outcome o;

	tmpdir_write(t, "victim", "1000S\n0 0\n");
	assert_int_equal(symlinkat("victim", t->fd, "maildirsize"), 0);
	assert_false(take(t, 10, &o));
	assert_int_equal(o.status, JOB_DEFERRED);
	assert_string_equal(tmpdir_read(t, "victim"), "1000S\n0 0\n");
	assert_int_equal(unlinkat(t->fd, "maildirsize", 0), 0);
	assert_int_equal(mkfifoat(t->fd, "maildirsize", 0600), 0);
	assert_false(take(t, 10, &o));
	assert_int_equal(o.status, JOB_DEFERRED);
	assert_int_equal(unlinkat(t->fd, "maildirsize", 0), 0);
	assert_true(take(t, 1 << 30, &o));
}

/* The quota of a folder is that of its Maildir, by maildirfolder. */
static void
folders(void **state)
{
	struct tmpdir *t = *state;
	struct maildir m;
	struct maildir_file f;
	struct outcome o;

	tmpdir_write(t, "maildirsize", "1000S\n995 1\n");
	assert_int_equal(mkdirat(t->fd, ".Spam", 0700), 0);
	assert_true(
	    maildir_open(&m, t->fd, SLICE_LIT(".Spam/"), PATH_CREATE, &o));
	assert_true(maildir_create(&m, &f, &o));
	assert_true(maildir_written(&f, 10, false, &o));
	maildir_discard(&f);
	maildir_close(&m);
	tmpdir_write(t, ".Spam/maildirfolder", "");
	assert_true(
	    maildir_open(&m, t->fd, SLICE_LIT(".Spam/"), PATH_CREATE, &o));
	assert_true(maildir_create(&m, &f, &o));
	assert_false(maildir_written(&f, 10, true, &o));
	assert_int_equal(o.status, JOB_FAILED);
	assert_string_equal(o.dsn, "5.2.2");
	assert_string_equal(o.text,
	    "mailbox is full: 995 bytes in 1 message, its quota is 1000S");
	maildir_discard(&f);
	maildir_close(&m);
	assert_string_equal(tmpdir_read(t, "maildirsize"), "1000S\n995 1\n");
}

static void
given_back(void **state)
{
	struct tmpdir *t = *state;
	struct maildir m;
	struct maildir_file f;
	struct outcome o;

	tmpdir_write(t, "maildirsize", "1000S\n0 0\n");
	assert_int_equal(mkdirat(t->fd, "m", 0700), 0);
	assert_int_equal(renameat(t->fd, "maildirsize", t->fd, "m/maildirsize"),
	    0);
	assert_true(maildir_open(&m, t->fd, SLICE_LIT("m/"), PATH_CREATE, &o));
	/* Not published. */
	assert_true(maildir_create(&m, &f, &o));
	assert_true(maildir_written(&f, 10, false, &o));
	maildir_discard(&f);
	assert_string_equal(tmpdir_read(t, "m/maildirsize"),
	    "1000S\n0 0\n10 1\n-10 -1\n");
	/* Withdrawn. */
	assert_true(maildir_create(&m, &f, &o));
	assert_true(maildir_written(&f, 20, false, &o));
	assert_true(maildir_synced(&f, 0, &o));
	assert_true(maildir_publish(&f, &o));
	maildir_withdraw(&f);
	assert_string_equal(tmpdir_read(t, "m/maildirsize"),
	    "1000S\n0 0\n10 1\n-10 -1\n20 1\n-20 -1\n");
	maildir_close(&m);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, tmpdir_teardown)
		T(files),
		T(long_file),
		T(counts),
		T(hostile_files),
		T(folders),
		T(given_back),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
