/*
 * status and limits against a master that is played by a child: it hands out
 * pages that are filled here, some with what no honest role would write.
 */
#include "../check.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/limits.h"
#include "weir/cli.h"
#include "weir/commands.h"
#include "weir/rows.h"

#include "capture.h"

const struct command commands[] = { { .name = NULL } };
static const struct command command = { .name = "status", .args = "" };

static char dir[64];
static char conf_path[128];
static int page_fds[2];
static struct limits_page *pages[2];

static int
setup(void **state)
{
	char path[128];
	FILE *f;

	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/weir-test-pages.XXXXXX");
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/run", dir);
	assert_int_equal(mkdir(path, 0700), 0);
	snprintf(conf_path, sizeof(conf_path), "%s/weir.conf", dir);
	f = fopen(conf_path, "w");
	assert_non_null(f);
	fprintf(f, "queue_directory = %s\nmyhostname = mx.example\n", dir);
	fclose(f);
	return 0;
}

static int
teardown(void **state)
{
	char path[128];

	(void)state;
	unlink(conf_path);
	snprintf(path, sizeof(path), "%s/run/status", dir);
	unlink(path);
	snprintf(path, sizeof(path), "%s/run", dir);
	rmdir(path);
	rmdir(dir);
	for (int i = 0; i < 2; i++) {
		limits_page_unmap(pages[i]);
		pages[i] = NULL;
		if (page_fds[i] > 0)
			close(page_fds[i]);
		page_fds[i] = 0;
	}
	return 0;
}

static void
make_pages(void)
{
	struct limit_row *row;

	assert_int_equal(
	    limits_page_create("queue", 0, &page_fds[0], &pages[0], NULL), OK);
	limits_use(pages[0]);
	row = limits_row(LIMIT_ACCOUNT, "memory", "memory_budget", 0, 1048576);
	limit_set_in_use(row, 2048);
	limit_set_in_use(row, 1024);
	row = limits_row(LIMIT_GATE, "local", "concurrency_local", 0, 10);
	limit_set_in_use(row, 3);
	limit_refused(row);
	row = limits_row(LIMIT_GAUGE, "queue bytes free", "", 1, 0);
	limit_set_in_use(row, 1536);
	pages[0]->pid = 77777777;
	pages[0]->restarts = 4;

	assert_int_equal(
	    limits_page_create("smtpd", 1, &page_fds[1], &pages[1], NULL), OK);
	limits_use(pages[1]);
	row = limits_row(LIMIT_DEADLINE, "\x1b[2Jevil", "", 0, 300000);
	row->kind = 999;
	memset(row->parameter, 'p', sizeof(row->parameter)); /* no end */
	memset(pages[1]->role, 'r', sizeof(pages[1]->role));
}

/* Wait for one client and give it the first n descriptors. */
static pid_t
play_master(unsigned n)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	pid_t child;

	snprintf(at.sun_path, sizeof(at.sun_path), "%s/run/status", dir);
	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(listen(fd, 1), 0);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		union {
			struct cmsghdr head;
			char room[CMSG_SPACE(2 * sizeof(int))];
		} control = { .room = { 0 } };
		struct iovec iov = { "x", 1 };
		struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };
		int client = accept(fd, NULL, NULL);

		if (n > 0) {
			m.msg_control = &control;
			m.msg_controllen = CMSG_SPACE(n * sizeof(int));
			control.head.cmsg_level = SOL_SOCKET;
			control.head.cmsg_type = SCM_RIGHTS;
			control.head.cmsg_len = CMSG_LEN(n * sizeof(int));
			memcpy(CMSG_DATA(&control.head), page_fds,
			    n * sizeof(int));
			sendmsg(client, &m, 0);
		}
		_exit(0);
	}
	close(fd);
	return child;
}

static int
run_command(int (*run)(struct cli *cli), const char *option)
{
	char *argv[2] = { (char *)(uintptr_t)option, NULL };
	static struct cli cli;
	int status;

	cli = (struct cli){ .command = &command, .self = "weir" };
	cli.argv = argv;
	cli.argc = option != NULL ? 1 : 0;
	cli.conf_path = conf_path;
	acct_init(&cli.acct, NULL, "test", 0, false, "");
	status = run(&cli);
	acct_fini(&cli.acct); /* everything was given back */
	return status;
}

static char *
ask(int (*run)(struct cli *cli), const char *option, unsigned n, int want)
{
	pid_t child = play_master(n);
	int status;

	capture_begin();
	status = run_command(run, option);
	waitpid(child, NULL, 0);
	assert_int_equal(status, want);
	return capture_end();
}

static void
test_status(void **state)
{
	char *got;

	(void)state;
	make_pages();
	got = ask(cmd_status, NULL, 2, EX_OK);
	assert_non_null(strstr(got, "on mx.example, master "));
	assert_non_null(strstr(got, "memory 1 KiB of 128 MiB"));
	assert_non_null(strstr(got, "  77777777  "));
	assert_non_null(strstr(got, "local    3     10     3        1"));
	assert_non_null(strstr(got, "queue bytes free  1.5 KiB"));
	free(got);
}

static void
test_status_json(void **state)
{
	char *got;

	(void)state;
	make_pages();
	got = ask(cmd_status, "--json", 1, EX_OK);
	assert_non_null(strstr(got, "\"restarts\":4,"));
	assert_non_null(strstr(got, "\"memory_in_use\":1024,"
				    "\"memory_high_water\":2048,"
				    "\"memory_limit\":1048576"));
	assert_non_null(strstr(got, "\"gates\":[{\"role\":\"queue\""));
	free(got);
}

static void
test_limits(void **state)
{
	char *got;

	(void)state;
	make_pages();
	got = ask(cmd_limits, NULL, 2, EX_OK);
	assert_non_null(strstr(got, "concurrency_local\n"));
	assert_non_null(strstr(got, "\\x1b[2Jevil"));
	assert_null(strchr(got, '\x1b'));
	assert_non_null(strstr(got, "unknown"));
	assert_non_null(strstr(got, "of 128 MiB (memory_budget)\n"));
	free(got);
}

static void
test_limits_json(void **state)
{
	char *got;

	(void)state;
	make_pages();
	got = ask(cmd_limits, "--json", 1, EX_OK);
	assert_ptr_equal(strstr(got, "{\"memory_budget\":134217728,"
				     "\"memory_in_use\":1024,"),
	    got);
	assert_non_null(strstr(got, "\"name\":\"local\",\"kind\":\"gate\","
				    "\"object_bytes\":0,\"limit\":10,"
				    "\"in_use\":3,\"high_water\":3,"
				    "\"refused\":1,\"waited\":0,"
				    "\"parameter\":\"concurrency_local\"}"));
	free(got);
}

/* A master that closes without a word, and none at all. */
static void
test_no_answer(void **state)
{
	(void)state;
	free(ask(cmd_status, NULL, 0, EX_TEMPFAIL));
	assert_int_equal(run_command(cmd_limits, NULL), EX_UNAVAILABLE);
	{
		char path[128];

		snprintf(path, sizeof(path), "%s/run/status", dir);
		unlink(path);
	}
	assert_int_equal(run_command(cmd_status, NULL), EX_UNAVAILABLE);
	assert_int_equal(run_command(cmd_stop, NULL), EX_UNAVAILABLE);
	assert_int_equal(run_command(cmd_reload, NULL), EX_UNAVAILABLE);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_status),
		TEST(test_status_json),
		TEST(test_limits),
		TEST(test_limits_json),
		TEST(test_no_answer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
