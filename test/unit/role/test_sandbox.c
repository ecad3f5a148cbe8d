/*
 * What each role can and cannot do once it is in its sandbox: tried from
 * inside, in a child, as root (all walls) and as a user (those that hold
 * without root).
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "conf/conf.h"
#include "role/identity.h"
#include "role/sandbox.h"
#include "role/users.h"

static struct acct mem;
static const struct conf *conf;
static char top[] = "/tmp/test_sandbox.XXXXXX";

/* Each answers whether it could be done. */
static bool
can_read_passwd(void)
{
	int fd = open("/etc/passwd", O_RDONLY | O_CLOEXEC);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static bool
can_write_spool(void)
{
	int fd = open("probe", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0)
		return false;
	close(fd);
	return unlink("probe") == 0;
}

static bool
can_write_drop(void)
{
	int fd = open("drop/probe", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0)
		return false;
	close(fd);
	return unlink("drop/probe") == 0;
}

/* Outside everything that any role may write, though its mode allows it. */
static bool
can_write_outside(void)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s-open/probe", top);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return false;
	close(fd);
	return unlink(path) == 0;
}

static bool
can_connect(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static bool
can_fork(void)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	return pid > 0 && waitpid(pid, NULL, 0) == pid;
}

static void *
thread_main(void *arg)
{
	return arg;
}

static bool
can_thread(void)
{
	pthread_t t;

	return pthread_create(&t, NULL, thread_main, NULL) == 0 &&
	       pthread_join(t, NULL) == 0;
}

static bool
can_map_code(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_EXEC,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p != MAP_FAILED;
}

static bool
can_be_root_again(void)
{
	return setuid(0) == 0 || seteuid(0) == 0 || geteuid() == 0;
}

enum wall { FILES, CALLS, IDENTITY };

static const struct probe {
	const char *name;
	bool (*can)(void);
	enum wall wall; /* which one stops it */
} probes[] = {
	{ "read /etc/passwd", can_read_passwd, FILES },
	{ "write into the spool", can_write_spool, FILES },
	{ "write into drop", can_write_drop, FILES },
	{ "write elsewhere", can_write_outside, FILES },
	{ "make a socket", can_connect, CALLS },
	{ "start a process", can_fork, CALLS },
	{ "start a thread", can_thread, CALLS },
	{ "map code", can_map_code, CALLS },
	{ "become root again", can_be_root_again, IDENTITY },
};
enum { PROBE_COUNT = sizeof(probes) / sizeof(probes[0]) };

/* y: it can, n: it cannot; in the order of probes. */
static const struct {
	enum role role;
	const char *may;
} rows[] = {
	{ ROLE_SMTPD, "nnnnnnnnn" },
	{ ROLE_QUEUE, "nyynnnynn" },
	{ ROLE_SMTP, "nnnnynnnn" },
	{ ROLE_DNS, "nnnnynynn" },
	{ ROLE_LOOKUP, "ynnnynnyn" },
	{ ROLE_BOUNCE, "nnnnnnnnn" },
	{ ROLE_PICKUP, "nnynnnnnn" },
};

/* Does anything in this run stop it? */
static bool
wall_stands(enum wall wall)
{
	switch (wall) {
	case FILES: return landlock_version() > 0 && !sandbox_sanitized();
	case CALLS: return seccomp_available() && !sandbox_sanitized();
	case IDENTITY: return true;
	}
	return false;
}

static enum err
enter(enum role role, struct errtext *et)
{
	struct identity id;
	enum err e = identity_find(conf, role, &id, et);

	if (e == OK)
		e = sandbox_go_home(conf, role, et);
	if (e == OK)
		e = sandbox_enter(conf, role, &id, et);
	return e;
}

/* A bit for each probe that succeeded, from a child in the sandbox. */
static unsigned
try_all(enum role role)
{
	unsigned bits = 0;
	int fd[2], status;
	pid_t pid;

	assert_int_equal(pipe(fd), 0);
	pid = fork();
	if (pid == 0) {
		struct errtext et = { "" };

		alarm(20);
		if (enter(role, &et) != OK) {
			fprintf(stderr, "%s\n", et.text);
			_exit(1);
		}
		for (unsigned i = 0; i < PROBE_COUNT; i++)
			if (probes[i].can())
				bits |= 1u << i;
		_exit(
		    write(fd[1], &bits, sizeof(bits)) == sizeof(bits) ? 0 : 2);
	}
	close(fd[1]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	assert_int_equal(read(fd[0], &bits, sizeof(bits)), sizeof(bits));
	close(fd[0]);
	return bits;
}

static void
test_rights(void **state)
{
	(void)state;
	for (size_t r = 0; r < sizeof(rows) / sizeof(rows[0]); r++) {
		unsigned bits = try_all(rows[r].role);

		for (unsigned i = 0; i < PROBE_COUNT; i++) {
			bool can = bits >> i & 1;
			bool may = rows[r].may[i] == 'y';

			if (can != may && (may || wall_stands(probes[i].wall)))
				fail_msg("%s: %s: %s", role_name(rows[r].role),
				    probes[i].name, can ? "can" : "cannot");
		}
	}
}

/* What only an intruder does ends the process. */
static void
test_exec_kills(void **state)
{
	(void)state;
	if (!wall_stands(CALLS)) {
		print_message("no seccomp in this build or kernel\n");
		skip();
	}
	for (size_t r = 0; r < sizeof(rows) / sizeof(rows[0]); r++) {
		pid_t pid = fork();
		int status;

		if (pid == 0) {
			struct errtext et;

			if (enter(rows[r].role, &et) != OK)
				_exit(1);
			execl("/bin/true", "true", (char *)NULL);
			_exit(2);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status));
		assert_int_equal(WTERMSIG(status), SIGSYS);
	}
}

/* Those that start other programs are told apart in the table. */
static void
test_unfiltered(void **state)
{
	(void)state;
	for (unsigned r = 0; r < ROLE_COUNT; r++) {
		bool any =
		    r == ROLE_MASTER || r == ROLE_LOCAL || r == ROLE_COMMAND;
		const struct sandbox_rights *s = sandbox_rights((enum role)r);

		assert_int_equal((s->calls & SANDBOX_ANY) != 0, any);
		assert_int_equal(s->user == NULL, any);
	}
}

static void
test_identity(void **state)
{
	struct errtext et = { "" };
	struct identity id;

	(void)state;
	for (unsigned r = ROLE_SMTPD; r <= ROLE_PICKUP; r++) {
		assert_int_equal(identity_find(conf, (enum role)r, &id, &et),
		    OK);
		if (geteuid() != 0) {
			assert_int_equal(id.kind, IDENTITY_SAME);
			assert_int_equal(id.uid, geteuid());
		} else {
			assert_int_not_equal(id.uid, 0);
			assert_int_equal(id.stay_root, r == ROLE_LOCAL);
		}
	}
}

/* What the master tells a role about the users of the system. */
static void
test_users(void **state)
{
	static const struct {
		const char *text;
		bool good;
		const char *why;
	} texts[] = {
		{ "", true, "nothing is told" },
		{ "1 2 3 4 5 6", false, "a number is missing" },
		{ "1 2 3 4 5 6 7 8", false, "one too many" },
		{ "1 2 3 4 5 6 x", false, "not a number" },
		{ "1 2 3 4 5 6 4294967296", false, "beyond a number" },
		{ "1 2 3 4 5 6 4294967295", true, "the greatest" },
	};
	char text[USERS_TEXT_BYTES], before[USERS_TEXT_BYTES];

	(void)state;
	users_text(before);
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		if (users_take(texts[i].text) != texts[i].good)
			fail_msg("%s", texts[i].why);
	users_text(text);
	assert_string_equal(text, "1 2 3 4 5 6 4294967295");
	assert_true(users_take(before));
	users_text(text);
	assert_string_equal(text, before);
}

static void
test_describe(void **state)
{
	char text[160];

	(void)state;
	sandbox_describe(text, sizeof(text));
	assert_int_equal(strncmp(text, "seccomp", 7) == 0, wall_stands(CALLS));
	assert_int_equal(strstr(text, ", Landlock") != NULL,
	    wall_stands(FILES));
}

static void
make(const char *name, mode_t mode)
{
	char path[128];

	snprintf(path, sizeof(path), "%s%s", top, name);
	if (mkdir(path, 0700) != 0 || chmod(path, mode) != 0)
		fail_msg("%s: %s", path, strerror(errno));
}

static int
setup(void **state)
{
	struct conf_report *report;
	char text[256];
	enum err e;

	(void)state;
	/* One that may be written by all stands for the rest of the system;
	 * beside top, which is the spool. */
	if (mkdtemp(top) == NULL || chmod(top, 0777) != 0)
		return -1;
	make("-open", 0777);
	make("/empty", 0555);
	make("/drop", 0777);
	acct_init(&mem, NULL, "test", 16 << 20, false, "");
	snprintf(text, sizeof(text), "queue_directory = %s\n", top);
	report = conf_report_new(&mem);
	e = conf_load_text(&mem, slice_str(text), "test", report, &conf);
	conf_report_free(&mem, report);
	return e == OK ? 0 : -1;
}

static int
teardown(void **state)
{
	char path[128];

	(void)state;
	conf_free(conf);
	acct_fini(&mem);
	snprintf(path, sizeof(path), "%s-open", top);
	(void)rmdir(path);
	snprintf(path, sizeof(path), "%s/empty", top);
	(void)rmdir(path);
	snprintf(path, sizeof(path), "%s/drop", top);
	(void)rmdir(path);
	return rmdir(top);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rights),
		cmocka_unit_test(test_exec_kills),
		cmocka_unit_test(test_unfiltered),
		cmocka_unit_test(test_identity),
		cmocka_unit_test(test_users),
		cmocka_unit_test(test_describe),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
