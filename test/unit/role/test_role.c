/*
 * A role process as the master sees it: started with its three descriptors in
 * a child, spoken to by frames, until it ends.
 */
#include <errno.h>
#include <fcntl.h>
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

#include "base/limits.h"
#include "base/wire.h"
#include "conf/conf.h"
#include "ev/loop.h"
#include "role/plan.h"
#include "role/role.h"

enum { EXIT_TEMP = 75, DEADLINE_MS = 20000, OUT_FD = 9 };

static char top[] = "/tmp/test_role.XXXXXX";

/* ---- the role, in the child: writes what happens to OUT_FD ---- */

static void PRINTF(1, 2) say(const char *fmt, ...)
{
	char text[200];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (write(OUT_FD, text, (size_t)n) != n)
		_exit(3);
}

static enum err
on_start(struct role_self *self, struct errtext *et)
{
	if (self->conf->concurrency_local == 3)
		return err_set(et, ERR_IO, "told to fail");
	say("start %s %u;", role_name(self->role), self->index);
	return OK;
}

static void
on_channel(struct role_self *self, enum role peer, unsigned index, int fd)
{
	(void)self;
	say("channel %s %u;", role_name(peer), index);
	close(fd);
}

static void
on_listen(struct role_self *self, enum listen_kind kind, struct slice address,
    int fd)
{
	(void)self;
	say("listen %d %.*s;", (int)kind, SLICE_ARGS(address));
	close(fd);
}

static void
on_client_page(struct role_self *self, int fd)
{
	(void)self;
	say("page;");
	close(fd);
}

static void
on_go(struct role_self *self)
{
	say("go;");
	role_want(self, ROLE_BOUNCE);
	role_bad_peer(self, ROLE_QUEUE, 1, "why not");
	role_ready(self);
}

static void
on_reload(struct role_self *self, const struct conf *old)
{
	say("reload %d %d;", (int)old->concurrency_local,
	    (int)self->conf->concurrency_local);
}

static void
on_drain(struct role_self *self, unsigned grace_ms)
{
	say("drain %u %d;", grace_ms, self->draining);
	role_exit(self);
}

static const struct role_ops ops = {
	.role = ROLE_SMTPD,
	.on_start = on_start,
	.on_channel = on_channel,
	.on_listen = on_listen,
	.on_client_page = on_client_page,
	.on_go = on_go,
	.on_reload = on_reload,
	.on_drain = on_drain,
};

/* ---- the master's side, without a loop ---- */

static pid_t pid;
static int control, out;
static struct limits_page *page;

static int
conf_fd(const char *more)
{
	char text[256];
	int fd = memfd_create("conf", MFD_CLOEXEC);
	int n = snprintf(text, sizeof(text),
	    "queue_directory = %s\nmemory_budget = 64M\n"
	    "smtpd_processes = 2\nsmtp_processes = 2\n%s",
	    top, more);

	assert_int_equal(write(fd, text, (size_t)n), n);
	return fd;
}

static void
start(const char *more)
{
	int pair[2], pipe_fd[2], conf = conf_fd(more), page_fd;
	struct errtext et;

	assert_int_equal(chan_pair(pair), OK);
	assert_int_equal(pipe(pipe_fd), 0);
	assert_int_equal(limits_page_create("smtpd", 1, &page_fd, &page, &et),
	    OK);
	pid = fork();
	if (pid == 0) {
		char name[] = "weir-smtpd", index[] = "1";
		char *argv[] = { name, index, NULL };
		int from[4] = { pair[1], conf, page_fd, pipe_fd[1] };
		static const int to[4] = { 3, 4, 5, OUT_FD };

		alarm(DEADLINE_MS / 1000);
		for (int i = 0; i < 4; i++)
			from[i] = fcntl(from[i], F_DUPFD, 20);
		for (int i = 0; i < 4; i++)
			dup2(from[i], to[i]);
		for (int fd = 10; fd < 40; fd++)
			close(fd);
		/* What it logs is not this test's. */
		dup2(open("/dev/null", O_WRONLY), STDERR_FILENO);
		exit(role_main(2, argv, &ops));
	}
	close(pair[1]);
	close(pipe_fd[1]);
	close(conf);
	close(page_fd);
	control = pair[0];
	out = pipe_fd[0];
	(void)fcntl(control, F_SETFL, 0);
}

static void
finish(int expected, const char *said)
{
	char text[1024];
	size_t len = 0;
	ssize_t n;
	int status;

	while ((n = read(out, text + len, sizeof(text) - 1 - len)) > 0)
		len += (size_t)n;
	text[len] = 0;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	close(out);
	if (control >= 0)
		close(control);
	limits_page_unmap(page);
	assert_string_equal(text, said);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), expected);
}

static void
give(uint16_t type, struct slice fields, int fd)
{
	unsigned char room[512];
	struct wr w = wr_of(room, sizeof(room));
	union {
		char room[CMSG_SPACE(sizeof(int))];
		struct cmsghdr head;
	} k = { { 0 } };
	struct iovec iov;
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };

	wr_u16(&w, type);
	wr_u16(&w, 0);
	wr_u32(&w, 0);
	wr_raw(&w, fields);
	iov = (struct iovec){ room, w.len };
	if (fd >= 0) {
		m.msg_control = &k;
		m.msg_controllen = sizeof(k);
		k.head.cmsg_level = SOL_SOCKET;
		k.head.cmsg_type = SCM_RIGHTS;
		k.head.cmsg_len = CMSG_LEN(sizeof(fd));
		memcpy(CMSG_DATA(&k.head), &fd, sizeof(fd));
	}
	assert_int_equal(sendmsg(control, &m, MSG_NOSIGNAL), w.len);
}

#define BYTES(lit) slice_of(lit, sizeof(lit) - 1)

static void
expect(uint16_t type, struct slice fields)
{
	static unsigned char room[512];
	static struct slice rest; /* frames of the last packet */
	struct rd r;
	size_t len;

	if (rest.len == 0) {
		ssize_t n = recv(control, room, sizeof(room), 0);

		rest = slice_of(room, n > 0 ? (size_t)n : 0);
	}
	r = rd_of(rest);
	rest = SLICE_NONE;
	assert_int_equal(rd_u16(&r), type);
	len = rd_u16(&r);
	(void)rd_u32(&r);
	assert_false(r.bad);
	if (len == 0)
		len = r.left;
	assert_in_range(len, 0, r.left);
	rest = slice_of(r.at + len, r.left - len);
	assert_true(slice_eq(slice_of(r.at, len), fields));
}

static void
go(void)
{
	give(FRAME_GO, BYTES("\0"), -1);
	expect(FRAME_WANT, BYTES("\7"));
	expect(FRAME_BAD_PEER, BYTES("\2\1\7\0why not"));
	expect(FRAME_READY, BYTES("\0"));
}

static void
test_life(void **state)
{
	int conf;

	(void)state;
	start("concurrency_local = 5\n");
	give(FRAME_CHANNEL, BYTES("\2\0"), STDIN_FILENO);
	give(FRAME_LISTEN, BYTES("\0\4\0a:25"), STDIN_FILENO);
	give(FRAME_CLIENT_PAGE, BYTES("\0"), STDIN_FILENO);
	go();
	assert_int_equal(atomic_load(&page->pid), pid);
	conf = conf_fd("concurrency_local = 6\n");
	give(FRAME_CONF, BYTES("\2\0\0\0"), conf);
	close(conf);
	/* One that does not load changes nothing. */
	conf = conf_fd("bogus = 7\n");
	give(FRAME_CONF, BYTES("\3\0\0\0"), conf);
	close(conf);
	give(FRAME_DRAIN, BYTES("\350\3\0\0"), -1);
	finish(0, "start smtpd 1;channel queue 0;listen 0 a:25;page;go;"
		  "reload 5 6;drain 1000 1;");
}

/* The account is the plan's part: a role that asks for more is refused, and
 * the page shows it. */
static void
test_account(void **state)
{
	struct conf_report *report;
	struct errtext et = { "" };
	const struct conf *c;
	struct acct mem;
	struct plan plan;
	uint32_t rows, n;

	(void)state;
	acct_init(&mem, NULL, "test", 16 << 20, false, "");
	report = conf_report_new(&mem);
	assert_int_equal(conf_load_text(&mem,
			     slice_str("memory_budget = 64M\n"
				       "smtpd_processes = 2\n"
				       "smtp_processes = 2\n"),
			     "test", report, &c),
	    OK);
	assert_int_equal(plan_make(c, 1, plan_nofile_max(), &plan, &et), OK);
	conf_report_free(&mem, report);
	conf_free(c);
	acct_fini(&mem);

	start("");
	go();
	rows = atomic_load(&page->row_count);
	for (n = 0; n < rows; n++)
		if (strcmp(page->rows[n].name, "memory") == 0)
			break;
	assert_true(n < rows);
	assert_int_equal(page->rows[n].limit,
	    plan_account_bytes(&plan, ROLE_SMTPD));
	assert_true(page->rows[n].in_use > 0);
	give(FRAME_DRAIN, BYTES("\0\0\0\0"), -1);
	finish(0, "start smtpd 1;go;drain 0 1;");
}

static void
test_start_fails(void **state)
{
	(void)state;
	start("concurrency_local = 3\n");
	finish(EXIT_TEMP, "");
}

static void
test_bad_configuration(void **state)
{
	(void)state;
	start("bogus = 1\n");
	finish(EXIT_TEMP, "");
}

static void
test_master_gone(void **state)
{
	(void)state;
	start("");
	go();
	close(control);
	control = -1;
	finish(EXIT_TEMP, "start smtpd 1;go;");
}

static void
test_malformed(void **state)
{
	static const struct {
		const char *why;
		uint16_t type;
		struct slice fields;
		int fd;
	} rows[] = {
		{ "a channel without a descriptor", FRAME_CHANNEL,
		    { "\2\0", 2 }, -1 },
		{ "a channel to no role", FRAME_CHANNEL, { "\377\0", 2 },
		    STDIN_FILENO },
		{ "a socket of no kind", FRAME_LISTEN, { "\377\0\0", 3 },
		    STDIN_FILENO },
		{ "too long", FRAME_GO, { "\0\0", 2 }, -1 },
		{ "of another role", FRAME_FLUSH, { "\0", 1 }, -1 },
		{ "unknown", 0xffff, { "\0", 1 }, -1 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		print_message("%s\n", rows[i].why);
		start("");
		go();
		give(rows[i].type, rows[i].fields, rows[i].fd);
		finish(EXIT_TEMP, "start smtpd 1;go;");
	}
}

/* Signals of a terminal or of systemd are the master's to handle. */
static void
test_signals_ignored(void **state)
{
	(void)state;
	start("");
	go();
	kill(pid, SIGTERM);
	kill(pid, SIGINT);
	kill(pid, SIGHUP);
	give(FRAME_DRAIN, BYTES("\0\0\0\0"), -1);
	finish(0, "start smtpd 1;go;drain 0 1;");
}

static void
test_by_hand(void **state)
{
	char name[] = "weir-smtpd", index[] = "x";
	char *argv[] = { name, index, NULL };

	(void)state;
	assert_int_equal(role_main(2, argv, &ops), 64);
	assert_int_equal(role_main(1, argv, &ops), 64);
}

static int
setup(void **state)
{
	char path[64];

	(void)state;
	if (mkdtemp(top) == NULL || chmod(top, 0755) != 0)
		return -1;
	snprintf(path, sizeof(path), "%s/empty", top);
	return mkdir(path, 0555);
}

static int
teardown(void **state)
{
	char path[64];

	(void)state;
	snprintf(path, sizeof(path), "%s/empty", top);
	(void)rmdir(path);
	return rmdir(top);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_by_hand),
		cmocka_unit_test(test_life),
		cmocka_unit_test(test_account),
		cmocka_unit_test(test_start_fails),
		cmocka_unit_test(test_bad_configuration),
		cmocka_unit_test(test_master_gone),
		cmocka_unit_test(test_malformed),
		cmocka_unit_test(test_signals_ignored),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
