/*
 * mbox: appending, quoting, locks, hostile files, roll-back.
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
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "local/mbox.h"
#include "local/path.h"
#include "tmpdir.h"

static struct sink sink;

static struct mbox_request
request(const struct tmpdir *t, const char *path)
{
	return (struct mbox_request){
		.base_fd = t->fd,
		.path = slice_str(path),
		.path_flags = PATH_CREATE,
		.sender = SLICE_LIT("a@b.test"),
		.locks = {
			.order = { LOCK_FCNTL, LOCK_DOTLOCK },
			.attempts = 2,
			.delay_ms = 1,
			.stale_ms = 500000,
		},
	};
}

static bool
append(const struct mbox_request *req, const char *text, struct outcome *o)
{
	struct mbox m;

	if (!mbox_begin(&m, &sink, req, o))
		return false;
	sink_message(&sink, slice_str(text));
	return mbox_commit(&m, o);
}

static void
appends(void **state)
{
	struct tmpdir *t = *state;
	struct mbox_request req = request(t, "mail/joe");
	struct outcome o;
	const char *text, *second;

	assert_true(append(&req, "A: b\r\n\r\nFrom me\r\nlast", &o));
	req.sender = SLICE_NONE;
	assert_true(append(&req, "C: d\r\n\r\nx\r\n", &o));
	text = tmpdir_read(t, "mail/joe");
	assert_true(strncmp(text, "From a@b.test ", 14) == 0);
	assert_non_null(strstr(text, "\nA: b\n\n>From me\nlast\n\nFrom MAIL"));
	second = strstr(text, "\nFrom MAILER-DAEMON ");
	assert_non_null(strstr(second, "\nC: d\n\nx\n\n"));
	assert_null(strstr(text, "\r"));
	/* No lock file stays. */
	assert_int_equal(tmpdir_count(t, "mail", NULL, 0), 1);
}

static void
blanks_in_the_sender(void **state)
{
	struct tmpdir *t = *state;
	struct mbox_request req = request(t, "joe");
	struct outcome o;

	req.sender = SLICE_LIT("\"a b\n\"@c");
	assert_true(append(&req, "x", &o));
	assert_true(
	    strncmp(tmpdir_read(t, "joe"), "From \"a-b-\"@c ", 14) == 0);
}

static void
torn_message_before(void **state)
{
	static const struct {
		const char *why, *before, *joint;
	} rows[] = {
		{ "no newline", "torn", "torn\n\nFrom " },
		{ "no empty line", "torn\n", "torn\n\nFrom " },
		{ "all well", "whole\n\n", "whole\n\nFrom " },
		{ "one newline only", "\n", "\n\nFrom " },
	};
	struct tmpdir *t = *state;
	struct mbox_request req = request(t, "joe");
	struct outcome o;
	size_t i;

	for (i = 0; i < ARRAY_LEN(rows); i++) {
		tmpdir_write(t, "joe", rows[i].before);
		assert_true(append(&req, "x", &o));
		if (strncmp(tmpdir_read(t, "joe"), rows[i].joint,
			strlen(rows[i].joint)) != 0)
			fail_msg("%s", rows[i].why);
	}
}

static void
hostile_files(void **state)
{
	struct tmpdir *t = *state;
	struct mbox_request req = request(t, "joe");
	struct outcome o;

	tmpdir_write(t, "other", "secret\n\n");
	assert_int_equal(symlinkat("other", t->fd, "joe"), 0);
	assert_false(append(&req, "x", &o));
	assert_string_equal(o.dsn, "4.2.0");
	assert_int_equal(unlinkat(t->fd, "joe", 0), 0);

	assert_int_equal(linkat(t->fd, "other", t->fd, "joe", 0), 0);
	assert_false(append(&req, "x", &o));
	assert_non_null(strstr(o.text, "hard links"));
	assert_int_equal(unlinkat(t->fd, "joe", 0), 0);
	assert_string_equal(tmpdir_read(t, "other"), "secret\n\n");

	assert_int_equal(mkfifoat(t->fd, "joe", 0600), 0);
	assert_false(append(&req, "x", &o));
	assert_non_null(strstr(o.text, "not a regular file"));
	assert_int_equal(unlinkat(t->fd, "joe", 0), 0);

	assert_int_equal(mkdirat(t->fd, "joe", 0700), 0);
	assert_false(append(&req, "x", &o));
	assert_int_equal(o.status, JOB_DEFERRED);
	assert_int_equal(unlinkat(t->fd, "joe", AT_REMOVEDIR), 0);

	/* A link planted as the lock is never followed or removed. */
	assert_int_equal(symlinkat("victim", t->fd, "joe.lock"), 0);
	assert_false(append(&req, "x", &o));
	assert_string_equal(o.dsn, "4.2.0");
	assert_null(tmpdir_read(t, "victim"));
	assert_int_equal(
	    faccessat(t->fd, "joe.lock", F_OK, AT_SYMLINK_NOFOLLOW), 0);
}

static void
foreign_owner(void **state)
{
	struct tmpdir *t = *state;
	struct mbox_request req = request(t, "joe");
	struct outcome o;

	if (geteuid() != 0) {
		print_message("skipped: needs root to give a file away\n");
		skip();
	}
	tmpdir_write(t, "joe", "");
	assert_int_equal(fchownat(t->fd, "joe", 12345, 12345, 0), 0);
	assert_false(append(&req, "x", &o));
	assert_non_null(strstr(o.text, "belongs to user id 12345"));
}

/* A child that holds a lock until its pipe is closed. */
static pid_t
hold(const struct tmpdir *t, const char *name, enum lock_kind kind,
    int *end_out)
{
	struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	int end[2], ready[2], fd;
	char c = 0;
	pid_t pid;

	assert_int_equal(pipe(end), 0);
	assert_int_equal(pipe(ready), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		close(end[1]);
		fd = openat(t->fd, name, O_RDWR);
		if (fd < 0 || (kind == LOCK_FCNTL ? fcntl(fd, F_SETLK, &whole)
						  : flock(fd, LOCK_EX)) < 0)
			_exit(1);
		if (write(ready[1], &c, 1) != 1)
			_exit(1);
		(void)!read(end[0], &c, 1);
		_exit(0);
	}
	close(end[0]);
	close(ready[1]);
	assert_int_equal(read(ready[0], &c, 1), 1);
	close(ready[0]);
	*end_out = end[1];
	return pid;
}

static void
busy_locks(void **state)
{
	static const struct {
		enum lock_kind held;
		uint8_t order[LOCK_ORDER_MAX];
		bool waits;
		const char *named, *why;
	} rows[] = {
		{ LOCK_FCNTL, { LOCK_FCNTL, LOCK_DOTLOCK }, true, "fcntl lock",
		    "an fcntl lock keeps us out" },
		{ LOCK_FCNTL, { LOCK_DOTLOCK, LOCK_FCNTL }, true, "fcntl lock",
		    "and the dotlock taken before it is given back" },
		{ LOCK_FLOCK, { LOCK_FLOCK }, true, "flock lock",
		    "a flock keeps us out" },
		{ LOCK_FLOCK, { LOCK_DOTLOCK, LOCK_FCNTL, LOCK_FLOCK }, true,
		    "flock lock", "the third of three" },
		{ LOCK_FLOCK, { LOCK_FCNTL, LOCK_DOTLOCK }, false, "",
		    "a kind that is not asked for is not looked at" },
		{ LOCK_FCNTL, { LOCK_FLOCK }, false, "",
		    "on a local disk the two know nothing of one another" },
	};
	struct tmpdir *t = *state;
	struct mbox_request req = request(t, "joe");
	struct outcome o = { .text = "" };
	int end, status;
	size_t i;
	pid_t pid;

	for (i = 0; i < ARRAY_LEN(rows); i++) {
		tmpdir_write(t, "joe", "old\n\n");
		memcpy(req.locks.order, rows[i].order, LOCK_ORDER_MAX);
		pid = hold(t, "joe", rows[i].held, &end);
		if (append(&req, "x", &o) == rows[i].waits)
			fail_msg("%s: %s", rows[i].why, o.text);
		if (rows[i].waits) {
			assert_string_equal(o.dsn, "4.2.0");
			assert_non_null(strstr(o.text, rows[i].named));
			assert_string_equal(tmpdir_read(t, "joe"), "old\n\n");
		}
		/* The other lock was not kept. */
		assert_int_equal(tmpdir_count(t, ".", NULL, 0), 1);
		close(end);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(status, 0);
		assert_true(append(&req, "x", &o));
	}
}

/* While we write, others are kept out by each kind that is held. */
static void
our_locks_hold(void **state)
{
	struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	struct tmpdir *t = *state;
	struct mbox_request req = request(t, "joe");
	struct outcome o;
	struct mbox m;
	int status, fd;
	pid_t pid;

	req.locks.order[2] = LOCK_FLOCK;
	assert_true(mbox_begin(&m, &sink, &req, &o));
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		fd = openat(t->fd, "joe", O_RDWR);
		if (fcntl(fd, F_SETLK, &whole) == 0)
			_exit(1);
		if (flock(fd, LOCK_EX | LOCK_NB) == 0)
			_exit(2);
		_exit(faccessat(t->fd, "joe.lock", F_OK, 0) == 0 ? 0 : 3);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_true(mbox_commit(&m, &o));
	fd = openat(t->fd, "joe", O_RDWR);
	assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
	close(fd);
	assert_int_equal(tmpdir_count(t, ".", NULL, 0), 1);
}

static void
lock_orders(void **state)
{
	struct lock_policy p = { .order = { LOCK_NONE } };
	static const uint8_t want[] = { LOCK_FLOCK, LOCK_FCNTL, LOCK_DOTLOCK };

	(void)state;
	lock_policy_add(&p, lock_kind_of(SLICE_LIT("flock")));
	lock_policy_add(&p, lock_kind_of(SLICE_LIT("Flock")));
	lock_policy_add(&p, lock_kind_of(SLICE_LIT("fcntl")));
	lock_policy_add(&p, lock_kind_of(SLICE_LIT("lockf")));
	lock_policy_add(&p, lock_kind_of(SLICE_LIT("flock")));
	lock_policy_add(&p, lock_kind_of(SLICE_LIT("dotlock")));
	assert_memory_equal(p.order, want, LOCK_ORDER_MAX);
}

static void
dotlocks(void **state)
{
	struct tmpdir *t = *state;
	struct mbox_request req = request(t, "joe");
	struct timespec old[2] = { { 1000, 0 }, { 1000, 0 } };
	struct outcome o;

	tmpdir_write(t, "joe.lock", "");
	assert_false(append(&req, "x", &o));
	assert_non_null(strstr(o.text, "dotlock"));
	assert_non_null(tmpdir_read(t, "joe.lock"));
	/* Left behind by a crash: removed. */
	assert_int_equal(utimensat(t->fd, "joe.lock", old, 0), 0);
	assert_true(append(&req, "x", &o));
	assert_null(tmpdir_read(t, "joe.lock"));
	assert_int_equal(tmpdir_count(t, ".", NULL, 0), 1);
}

static void
foreign_dotlock_stays(void **state)
{
	struct tmpdir *t = *state;
	struct mbox_request req = request(t, "joe");
	struct mbox m;
	struct outcome o;

	assert_true(mbox_begin(&m, &sink, &req, &o));
	/* Somebody broke our lock and made his own. */
	assert_int_equal(unlinkat(t->fd, "joe.lock", 0), 0);
	tmpdir_write(t, "hold-the-inode", "");
	tmpdir_write(t, "joe.lock", "his");
	assert_true(mbox_commit(&m, &o));
	assert_string_equal(tmpdir_read(t, "joe.lock"), "his");
}

static void
size_limit(void **state)
{
	static const struct {
		uint64_t limit;
		bool fits;
	} rows[] = { { 29, false }, { 30, true }, { 31, true }, { 0, true } };
	struct tmpdir *t = *state;
	struct mbox_request req = request(t, "joe");
	struct outcome o;
	size_t i;

	req.message_bytes = 20;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		tmpdir_write(t, "joe", "12345678\n\n");
		req.size_limit_bytes = rows[i].limit;
		req.full_bounces = true;
		assert_int_equal(append(&req, "x", &o), rows[i].fits);
		if (!rows[i].fits) {
			assert_int_equal(o.status, JOB_FAILED);
			assert_string_equal(o.dsn, "5.2.2");
			req.full_bounces = false;
			assert_int_equal(o.limit, OUTCOME_LIMIT_SIZE);
			assert_false(append(&req, "x", &o));
		}
		if (!rows[i].fits) {
			assert_string_equal(o.dsn, "4.2.2");
			assert_int_equal(o.limit, OUTCOME_LIMIT_SIZE);
			assert_string_equal(tmpdir_read(t, "joe"),
			    "12345678\n\n");
		}
	}
}

/* In a child: a file may not grow past some bytes.  Nothing of the message
 * stays, whether the first or a later write fails. */
static void
failed_write_is_rolled_back(void **state)
{
	static const rlim_t limits[] = { 6, 100, 200000 };
	static char big[400000];
	struct tmpdir *t = *state;
	struct mbox_request req = request(t, "joe");
	struct outcome o;
	size_t i;
	int status;
	pid_t pid;

	memset(big, 'x', sizeof(big) - 1);
	for (i = 0; i < ARRAY_LEN(limits); i++) {
		tmpdir_write(t, "joe", "old\n\n");
		pid = fork();
		assert_true(pid >= 0);
		if (pid == 0) {
			struct rlimit r = { limits[i], limits[i] };

			signal(SIGXFSZ, SIG_IGN);
			if (setrlimit(RLIMIT_FSIZE, &r) < 0)
				_exit(1);
			if (append(&req, big, &o))
				_exit(2);
			_exit(strcmp(o.dsn, "4.2.2") == 0 ? 0 : 3);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(status, 0);
		assert_string_equal(tmpdir_read(t, "joe"), "old\n\n");
		assert_int_equal(tmpdir_count(t, ".", NULL, 0), 1);
	}
}

static void
given_up_message_is_cut_off(void **state)
{
	static char big[SINK_BUFFER_BYTES * 2];
	struct tmpdir *t = *state;
	struct mbox_request req = request(t, "joe");
	struct mbox m;
	struct outcome o = { .text = "" };

	tmpdir_write(t, "joe", "old\n\n");
	memset(big, 'x', sizeof(big));
	assert_true(mbox_begin(&m, &sink, &req, &o));
	sink_message(&sink, slice_of(big, sizeof(big)));
	mbox_rollback(&m, &o);
	assert_string_equal(o.text, "");
	assert_string_equal(tmpdir_read(t, "joe"), "old\n\n");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, tmpdir_setup, tmpdir_teardown)
		T(appends),
		T(blanks_in_the_sender),
		T(torn_message_before),
		T(hostile_files),
		T(foreign_owner),
		T(busy_locks),
		T(our_locks_hold),
		T(lock_orders),
		T(dotlocks),
		T(foreign_dotlock_stays),
		T(size_limit),
		T(failed_write_is_rolled_back),
		T(given_up_message_is_cut_off),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
