/*
 * maildir: delivery, creation, hostile directories, failed writes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "local/maildir.h"
#include "local/sink.h"
#include "tmpdir.h"

static struct sink sink;

static bool
deliver(struct maildir *m, const char *text, struct maildir_file *f,
    struct outcome *o)
{
	if (!maildir_create(m, f, o))
		return false;
	sink_begin(&sink, f->fd, false);
	sink_message(&sink, slice_str(text));
	sink_message_end(&sink, true);
	if (!sink_flush(&sink)) {
		maildir_discard(f);
		return outcome_errno(o, sink.errnum, "write");
	}
	assert_true(maildir_written(f, 1, false, o));
	return maildir_synced(f, 0, o) && maildir_publish(f, o) &&
	       maildir_new_synced(m, 0, o);
}

static void
delivers_and_creates(void **state)
{
	struct tmpdir *t = *state;
	struct maildir m;
	struct maildir_file f;
	struct outcome o;
	struct stat st;
	char name[600];

	assert_true(maildir_open(&m, t->fd, SLICE_LIT("d/joe/Maildir/"),
	    PATH_CREATE, &o));
	assert_true(deliver(&m, "Subject: x\r\n\r\nhello", &f, &o));
	assert_true(deliver(&m, "Subject: y\r\n\r\nhello\r\n", &f, &o));
	assert_int_equal(
	    tmpdir_count(t, "d/joe/Maildir/new", name, sizeof(name)), 2);
	assert_int_equal(tmpdir_count(t, "d/joe/Maildir/tmp", NULL, 0), 0);
	assert_int_equal(tmpdir_count(t, "d/joe/Maildir/cur", NULL, 0), 0);
	assert_non_null(strstr(tmpdir_read(t, name), "\n\nhello\n"));
	assert_int_equal(fstatat(t->fd, name, &st, 0), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(fstatat(t->fd, "d/joe/Maildir", &st, 0), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	maildir_close(&m);
	maildir_close(&m);
}

static void
nothing_is_made_without_leave(void **state)
{
	struct tmpdir *t = *state;
	struct maildir m;
	struct outcome o;

	assert_false(maildir_open(&m, t->fd, SLICE_LIT("joe/"), 0, &o));
	assert_int_equal(o.status, JOB_DEFERRED);
	assert_string_equal(o.dsn, "4.2.0");
	assert_int_equal(tmpdir_count(t, ".", NULL, 0), 0);
}

static void
planted_links_are_refused(void **state)
{
	static const struct {
		const char *why, *link;
	} rows[] = {
		{ "tmp is a link", "joe/tmp" },
		{ "cur is a link", "joe/cur" },
		{ "new is a link", "joe/new" },
		{ "the maildir is a link", "joe" },
	};
	struct tmpdir *t = *state;
	struct maildir m;
	struct outcome o;
	size_t i;

	assert_int_equal(mkdirat(t->fd, "else", 0700), 0);
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		if (strchr(rows[i].link, '/') != NULL)
			(void)mkdirat(t->fd, "joe", 0700);
		else
			assert_int_equal(renameat(t->fd, "joe", t->fd, "old"),
			    0);
		assert_int_equal(symlinkat("../else", t->fd, rows[i].link), 0);
		if (maildir_open(&m, t->fd, SLICE_LIT("joe/"), PATH_CREATE, &o))
			fail_msg("%s", rows[i].why);
		assert_string_equal(o.dsn, "4.2.0");
		assert_int_equal(unlinkat(t->fd, rows[i].link, 0), 0);
	}
	assert_int_equal(tmpdir_count(t, "else", NULL, 0), 0);
}

/* A user's own link to another disk is allowed in his home. */
static void
own_home_may_have_links(void **state)
{
	struct tmpdir *t = *state;
	struct maildir m;
	struct maildir_file f;
	struct outcome o;

	assert_int_equal(mkdirat(t->fd, "disk", 0700), 0);
	assert_int_equal(symlinkat("disk", t->fd, "Maildir"), 0);
	assert_true(maildir_open(&m, t->fd, SLICE_LIT("Maildir/"),
	    PATH_CREATE | PATH_FOLLOW, &o));
	assert_true(deliver(&m, "x", &f, &o));
	assert_int_equal(tmpdir_count(t, "disk/new", NULL, 0), 1);
	maildir_close(&m);
}

static void
paths_are_checked(void **state)
{
	static const struct {
		const char *path;
		bool safe;
	} rows[] = {
		{ "joe/", true },
		{ "x.test/joe/Maildir/", true },
		{ "mbox", true },
		{ "...", true },
		{ "", false },
		{ "/", false },
		{ "/etc/passwd", false },
		{ "a//b", false },
		{ "..", false },
		{ "../x", false },
		{ "a/../b", false },
		{ "a/..", false },
		{ "./a", false },
		{ "a\nb", false },
		{ "a\x7f", false },
		{ "a/./b/", false },
	};
	char piece[300];
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++)
		if (path_is_safe(slice_str(rows[i].path)) != rows[i].safe)
			fail_msg("%s", rows[i].path);
	assert_false(path_is_safe(slice_of("a\0b", 3)));
	memset(piece, 'a', sizeof(piece));
	assert_true(path_is_safe(slice_of(piece, 255)));
	assert_false(path_is_safe(slice_of(piece, 256)));
	memset(piece, '/', sizeof(piece));
	for (i = 0; i < sizeof(piece); i += 2)
		piece[i] = 'a';
	assert_true(path_is_safe(slice_of(piece, 2 * PATH_PIECES_MAX)));
	assert_false(path_is_safe(slice_of(piece, 2 * PATH_PIECES_MAX + 1)));
}

static void
names_are_unique(void **state)
{
	struct tmpdir *t = *state;
	struct maildir m;
	struct maildir_file f;
	struct outcome o;
	char last[MAILDIR_NAME_BYTES] = "";
	int i;

	maildir_set_host("we/ir:1.test");
	assert_true(
	    maildir_open(&m, t->fd, SLICE_LIT("joe/"), PATH_CREATE, &o));
	for (i = 0; i < 100; i++) {
		assert_true(deliver(&m, "x", &f, &o));
		assert_string_not_equal(f.name, last);
		strcpy(last, f.name);
	}
	assert_non_null(strstr(last, ".we\\057ir\\0721.test"));
	assert_int_equal(tmpdir_count(t, "joe/new", NULL, 0), 100);
	maildir_close(&m);
}

static void
failures_leave_nothing(void **state)
{
	struct tmpdir *t = *state;
	struct maildir m;
	struct maildir_file f;
	struct outcome o;

	assert_true(
	    maildir_open(&m, t->fd, SLICE_LIT("joe/"), PATH_CREATE, &o));
	/* The name is taken in new/: publishing must not replace it. */
	assert_true(maildir_create(&m, &f, &o));
	assert_true(maildir_synced(&f, 0, &o));
	assert_int_equal(linkat(m.tmp_fd, f.name, m.new_fd, f.name, 0), 0);
	assert_false(maildir_publish(&f, &o));
	assert_string_equal(o.dsn, "4.2.0");
	assert_int_equal(tmpdir_count(t, "joe/tmp", NULL, 0), 0);
	assert_int_equal(tmpdir_count(t, "joe/new", NULL, 0), 1);
	/* Withdrawn after a failed sync of new/. */
	assert_true(maildir_create(&m, &f, &o));
	assert_true(maildir_synced(&f, 0, &o));
	assert_true(maildir_publish(&f, &o));
	maildir_withdraw(&f);
	assert_int_equal(tmpdir_count(t, "joe/new", NULL, 0), 1);
	/* A tmp/ that vanished. */
	assert_int_equal(unlinkat(t->fd, "joe/tmp", AT_REMOVEDIR), 0);
	assert_false(maildir_create(&m, &f, &o));
	assert_int_equal(o.status, JOB_DEFERRED);
	maildir_close(&m);
}

static void
errors_are_temporary(void **state)
{
	static const struct {
		int errnum;
		const char *dsn;
	} rows[] = {
		{ ENOSPC, "4.3.1" },
		{ EDQUOT, "4.2.2" },
		{ EFBIG, "4.2.2" },
		{ EIO, "4.3.0" },
		{ EACCES, "4.2.0" },
		{ EROFS, "4.3.0" },
		{ ELOOP, "4.2.0" },
		{ ESTALE, "4.3.0" },
		{ 12345, "4.3.0" },
	};
	struct outcome o;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		assert_false(outcome_errno(&o, rows[i].errnum, "x"));
		assert_int_equal(o.status, JOB_DEFERRED);
		assert_string_equal(o.dsn, rows[i].dsn);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, tmpdir_setup, tmpdir_teardown)
		T(delivers_and_creates),
		T(nothing_is_made_without_leave),
		T(planted_links_are_refused),
		T(own_home_may_have_links),
		T(paths_are_checked),
		T(names_are_unique),
		T(failures_leave_nothing),
		T(errors_are_temporary),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
