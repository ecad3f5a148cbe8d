/*
 * The real master with stub roles: start, restart, reload, drain, end.
 *
 * Arguments: weir-master, the stub.  Both are copied into a folder under the
 * names of all roles.  Every wait is for a line of the log, with a deadline.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/limits.h"
#include "base/time.h"
#include "ipc/chan.h"

enum { DEADLINE_MS = 20000, LOG_BYTES = 256 * 1024 };

static const char *master_path, *stub_path;
static char top[] = "/tmp/test_master.XXXXXX";
static char text[LOG_BYTES]; /* what the server has written */
static size_t text_len;
static int log_fd = -1;
static pid_t master;
static unsigned port;

/* ---- files ---- */

static void
copy(const char *from, const char *to_name)
{
	char to[256];
	struct stat st;
	int in = open(from, O_RDONLY | O_CLOEXEC), out;
	off_t left;

	assert_true(in >= 0);
	assert_int_equal(fstat(in, &st), 0);
	snprintf(to, sizeof(to), "%s/bin/%s", top, to_name);
	out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
	assert_true(out >= 0);
	for (left = st.st_size; left > 0;) {
		ssize_t n = sendfile(out, in, NULL, (size_t)left);

		assert_true(n > 0);
		left -= n;
	}
	close(in);
	close(out);
}

static void
write_conf(const char *more)
{
	char path[256];
	FILE *f;

	snprintf(path, sizeof(path), "%s/conf", top);
	f = fopen(path, "w");
	assert_non_null(f);
	fprintf(f,
	    "queue_directory = %s/spool\ndata_directory = %s/data\n"
	    "smtp_listen = 127.0.0.1:%u\nsmtpd_processes = 2\n"
	    "smtp_processes = 2\nfork_delay = 20ms\nfork_attempts = 2\n"
	    "service_throttle_time = 1s\nshutdown_grace = 15s\n%s",
	    top, top, port, more);
	fclose(f);
}

/* ---- the server ---- */

static void
spawn(const char *more, const char *option)
{
	int fd[2];

	write_conf(more);
	text_len = 0;
	text[0] = 0;
	assert_int_equal(pipe(fd), 0);
	master = fork();
	if (master == 0) {
		char exe[256], conf[256];

		snprintf(exe, sizeof(exe), "%s/bin/weir-master", top);
		snprintf(conf, sizeof(conf), "%s/conf", top);
		dup2(fd[1], STDERR_FILENO);
		close(fd[0]);
		close(fd[1]);
		if (option != NULL)
			execl(exe, exe, "-c", conf, "-o", option, (char *)NULL);
		execl(exe, exe, "-c", conf, (char *)NULL);
		_exit(126);
	}
	close(fd[1]);
	log_fd = fd[0];
}

/* More of the log; false at its end. */
static bool
read_log(int64_t until_ms)
{
	struct pollfd p = { log_fd, POLLIN, 0 };
	int64_t left = until_ms - clock_system.mono(&clock_system).ms;
	ssize_t n;

	if (left <= 0 || poll(&p, 1, (int)left) <= 0)
		fail_msg("nothing came within %d ms of:\n%s", DEADLINE_MS,
		    text);
	n = read(log_fd, text + text_len, sizeof(text) - 1 - text_len);
	if (n <= 0)
		return false;
	text_len += (size_t)n;
	text[text_len] = 0;
	return true;
}

static unsigned
times(const char *what)
{
	unsigned n = 0;

	for (const char *p = text; (p = strstr(p, what)) != NULL; p++)
		n++;
	return n;
}

/* Until the log has this so many times. */
static void
expect(const char *what, unsigned count)
{
	int64_t until = clock_system.mono(&clock_system).ms + DEADLINE_MS;

	while (times(what) < count)
		if (!read_log(until))
			fail_msg("the log ended without \"%s\":\n%s", what,
			    text);
}

static int
wait_end(void)
{
	int64_t until = clock_system.mono(&clock_system).ms + DEADLINE_MS;
	int status;

	while (read_log(until))
		continue;
	close(log_fd);
	log_fd = -1;
	assert_int_equal(waitpid(master, &status, 0), master);
	master = 0;
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static int
stop(void)
{
	kill(master, SIGTERM);
	return wait_end();
}

/* pid of a role from its line "ROLE N go, pid P", the last one. */
static pid_t
pid_of(const char *role)
{
	char what[64];
	const char *last = NULL;

	snprintf(what, sizeof(what), "%s go, pid ", role);
	for (const char *p = text; (p = strstr(p, what)) != NULL; p++)
		last = p;
	assert_non_null(last);
	return (pid_t)strtol(last + strlen(what), NULL, 10);
}

/* ---- tests ---- */

static void
test_start_and_stop(void **state)
{
	char address[64];

	(void)state;
	spawn("", NULL);
	expect("weir: ready", 1);
	expect(" go, pid ", 8); /* not bounce, not pickup */
	assert_int_equal(times(" go, pid "), 8);
	/* Who has something to say to each other has a channel. */
	assert_int_equal(times("smtpd 0 has a channel to queue 0"), 1);
	assert_int_equal(times("queue 0 has a channel to smtpd 1"), 1);
	assert_int_equal(times("smtp 1 has a channel to dns 0"), 1);
	assert_int_equal(times("smtpd 0 has a channel to smtp "), 0);
	assert_int_equal(times("has a channel to master"), 0);
	snprintf(address, sizeof(address), "smtpd 0 listens 0 127.0.0.1:%u",
	    port);
	assert_int_equal(times(address), 1);
	assert_int_equal(times("queue 0 listens 4 unix:run/control"), 1);
	assert_int_equal(times("has the client page"), 2);
	assert_int_equal(stop(), 0);
	assert_int_equal(times(" drain 15000"), 8);
	/* Those that smtpd and queue need go last. */
	assert_true(
	    strstr(text, "dns 0 drain") > strstr(text, "smtpd 0 drain"));
	assert_int_equal(times("stopped"), 1);
}

/* The one that died comes back with new channels to all its peers. */
static void
test_restart(void **state)
{
	(void)state;
	spawn("", NULL);
	expect("weir: ready", 1);
	expect(" go, pid ", 8);
	kill(pid_of("queue 0"), SIGKILL);
	expect("queue 0 go", 2);
	expect("smtpd 0 has a channel to queue 0", 2);
	expect("local 0 has a channel to queue 0", 2);
	assert_int_equal(times("queue 0: died of signal 9"), 1);
	kill(pid_of("smtpd 1"), SIGKILL);
	expect("smtpd 1 listens 0", 2); /* its own socket again */
	expect("smtpd 1 has the client page", 2);
	assert_int_equal(times("smtpd 0 go"), 1);
	assert_int_equal(stop(), 0);
}

static void
test_throttle(void **state)
{
	(void)state;
	setenv("STUB_DNS", "die", 1);
	spawn("", NULL);
	expect("starting it again in 20 ms", 2);
	expect("starting it again in 1000 ms (service_throttle_time)", 2);
	assert_int_equal(times("weir: ready"), 0);
	unsetenv("STUB_DNS");
	assert_int_equal(stop(), 0);
}

/* Nobody waits for an smtpd that does not come back. */
static void
test_lend(void **state)
{
	char address[64];

	(void)state;
	snprintf(address, sizeof(address), "smtpd 0 listens 0 127.0.0.1:%u",
	    port);
	setenv("STUB_SMTPD", "second", 1);
	spawn("", NULL);
	expect("smtpd 1: exit status 75; starting it again in 1000 ms", 2);
	/* Once, however often the other fails. */
	expect(address, 2);
	assert_int_equal(times("smtpd 0 serves the sockets of smtpd 1"), 1);
	unsetenv("STUB_SMTPD");
	assert_int_equal(stop(), 0);
	assert_int_equal(times(address), 2);
}

static void
test_on_demand(void **state)
{
	(void)state;
	setenv("STUB_QUEUE", "want", 1);
	spawn("", NULL);
	expect("weir: ready", 1);
	expect("bounce 0 go", 1);
	expect("queue 0 go", 1);
	/* It ended by itself and is not started again, until asked for. */
	kill(pid_of("queue 0"), SIGKILL);
	expect("bounce 0 go", 2);
	assert_int_equal(times("bounce 0: "), 0);
	unsetenv("STUB_QUEUE");
	assert_int_equal(stop(), 0);
}

static void
test_dropped_mail_starts_pickup(void **state)
{
	char path[256];
	int fd;

	(void)state;
	snprintf(path, sizeof(path), "%s/spool/drop/mail", top);
	fd = open(path, O_WRONLY | O_CREAT, 0600);
	assert_true(fd >= 0);
	close(fd);
	spawn("", NULL);
	expect("pickup 0 go", 1);
	expect("weir: ready", 1);
	unlink(path);
	assert_int_equal(stop(), 0);
}

/* The sender of a malformed frame is restarted, not who found it. */
static void
test_bad_peer(void **state)
{
	(void)state;
	setenv("STUB_DNS", "accuse", 1);
	spawn("", NULL);
	expect("weir: ready", 1);
	expect("smtp 1 go", 1);
	kill(master, SIGHUP);
	expect("smtp 1 go", 2);
	assert_int_equal(times("dns 0 got a malformed frame from smtp 1: "
			       "test"),
	    1);
	unsetenv("STUB_DNS");
	assert_int_equal(stop(), 0);
	assert_int_equal(times("dns 0 go,"), 1);
}

/* Nobody is believed about a role to which it has no channel. */
static void
test_slander(void **state)
{
	(void)state;
	setenv("STUB_DNS", "slander", 1);
	spawn("", NULL);
	expect("weir: ready", 1);
	expect("dns 0 go,", 1);
	expect("local 0 go,", 1);
	kill(master, SIGHUP);
	expect("malformed frame from dns 0", 1);
	expect("dns 0 go,", 2);
	assert_int_equal(times("local 0 go"), 1);
	unsetenv("STUB_DNS");
	assert_int_equal(stop(), 0);
}

static void
test_babble(void **state)
{
	(void)state;
	setenv("STUB_LOOKUP", "babble", 1);
	spawn("", NULL);
	expect("weir: ready", 1);
	expect("lookup 0 go", 1);
	kill(master, SIGHUP);
	expect("malformed frame from lookup 0", 1);
	expect("lookup 0 go", 2);
	unsetenv("STUB_LOOKUP");
	assert_int_equal(stop(), 0);
}

static void
test_reload(void **state)
{
	char incoming[64];

	(void)state;
	spawn("concurrency_local = 5\n", NULL);
	expect("weir: ready", 1);
	write_conf("concurrency_local = 6\nconcurrency_incoming = 33\n");
	kill(master, SIGHUP);
	expect("reload 5 -> 6", 8);
	expect("concurrency_incoming: the new value takes effect at the next "
	       "start",
	    1);
	snprintf(incoming, sizeof(incoming), "-> 6, incoming 33");
	assert_int_equal(times(incoming), 0);

	write_conf("concurrency_local = many\nbogus = 1\n");
	kill(master, SIGHUP);
	expect("the old configuration stays in force", 1);
	assert_int_equal(times("bogus: "), 1);
	assert_int_equal(times("concurrency_local: "), 1);

	/* One that is restarted gets what is in force. */
	write_conf("concurrency_local = 7\n");
	kill(master, SIGHUP);
	expect("reload 6 -> 7", 8);
	kill(master, SIGALRM);
	expect("queue 0 flush", 1);
	assert_int_equal(stop(), 0);
}

static void
test_grace(void **state)
{
	(void)state;
	setenv("STUB_SMTPD", "stuck", 1);
	spawn("", "shutdown_grace=1s");
	expect("weir: ready", 1);
	unsetenv("STUB_SMTPD");
	assert_int_equal(stop(), 0);
	/* Both smtpd, and those that wait for them. */
	assert_int_equal(times("shutdown_grace is over: 7 processes"), 1);
}

static void
test_second_term(void **state)
{
	(void)state;
	setenv("STUB_SMTPD", "stuck", 1);
	spawn("", NULL);
	expect("weir: ready", 1);
	unsetenv("STUB_SMTPD");
	kill(master, SIGTERM);
	expect("smtpd 1 drain", 1);
	kill(master, SIGTERM);
	assert_int_equal(wait_end(), 0);
	assert_int_equal(times("stopping at once"), 1);
}

static void
test_refusals(void **state)
{
	static const struct {
		const char *why;
		const char *more;
		const char *says;
	} rows[] = {
		{ "unknown parameter", "bogus = 1\n", "bogus" },
		{ "does not fit",
		    "memory_budget = 32M\n"
		    "qmgr_message_active_limit = 1000000\n",
		    "lower what needs most" },
		{ "an address of somebody else", "lmtp_listen = 192.0.2.1:24\n",
		    "lmtp_listen: cannot listen on 192.0.2.1:24" },
		{ "a port twice", "lmtp_listen = $smtp_listen\n",
		    "lmtp_listen: value \"127.0.0.1:" },
		{ "a directory that cannot be", "queue_directory = /proc/x\n",
		    "/proc/x" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		spawn(rows[i].more, NULL);
		assert_int_equal(wait_end(), 78);
		if (times(rows[i].says) == 0)
			fail_msg("%s: %s", rows[i].why, text);
	}
}

/* A second server on this queue_directory gives up; when the first was killed
 * outright, the next one starts although its roles were just alive. */
static void
test_lock(void **state)
{
	pid_t first;
	int first_log;

	(void)state;
	spawn("", NULL);
	expect("weir: ready", 1);
	first = master;
	first_log = log_fd;
	spawn("", "smtp_listen=");
	assert_int_equal(wait_end(), 75);
	assert_int_equal(times("another server runs in queue_directory"), 1);

	kill(first, SIGKILL);
	assert_int_equal(waitpid(first, NULL, 0), first);
	spawn("", NULL);
	expect("weir: ready", 1);
	close(first_log);
	assert_int_equal(stop(), 0);
}

/* run/status gives pages to look at, not to write. */
static void
test_status(void **state)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	union {
		char room[CMSG_SPACE(64 * sizeof(int))];
		struct cmsghdr head;
	} k;
	char byte[8];
	struct iovec iov = { byte, sizeof(byte) };
	struct msghdr m = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &k,
		.msg_controllen = sizeof(k) };
	bool seen_master = false;
	unsigned count;
	int fd;

	(void)state;
	spawn("", NULL);
	expect("weir: ready", 1);
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s/spool/run/status",
	    top);
	assert_int_equal(connect(fd, (void *)&sun, sizeof(sun)), 0);
	assert_true(recvmsg(fd, &m, MSG_CMSG_CLOEXEC) > 0);
	count = (unsigned)((k.head.cmsg_len - CMSG_LEN(0)) / sizeof(int));
	assert_int_equal(count, 1 + 8);
	for (unsigned i = 0; i < count; i++) {
		struct limits_page *page;
		struct errtext et;
		int page_fd;

		memcpy(&page_fd, CMSG_DATA(&k.head) + i * sizeof(int),
		    sizeof(int));
		assert_int_equal(fcntl(page_fd, F_GETFL) & O_ACCMODE, O_RDONLY);
		assert_int_equal(limits_page_map(page_fd, false, &page, &et),
		    OK);
		assert_int_not_equal(atomic_load(&page->pid), 0);
		seen_master |= strcmp(page->role, "master") == 0;
		limits_page_unmap(page);
		close(page_fd);
	}
	assert_true(seen_master);
	assert_int_equal(read(fd, byte, sizeof(byte)), 0);
	close(fd);
	assert_int_equal(stop(), 0);
}

/* Who asks and does not read keeps only so many descriptors on their way; who
 * has read and stays makes room. */
static void
test_status_crowd(void **state)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fds[100], late, answered = 0;
	char byte[8];

	(void)state;
	spawn("", NULL);
	expect("weir: ready", 1);
	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s/spool/run/status",
	    top);
	for (int i = 0; i < 100; i++) {
		struct pollfd p = { .events = POLLIN };

		fds[i] = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
		assert_int_equal(connect(fds[i], (void *)&sun, sizeof(sun)), 0);
		p.fd = fds[i];
		assert_int_equal(poll(&p, 1, 10000), 1);
		answered += recv(fds[i], byte, sizeof(byte), MSG_PEEK) == 4;
	}
	assert_int_equal(answered, 32);

	/* Talk, which changes nothing, and read. */
	for (int i = 0; i < 32; i++) {
		assert_int_equal(send(fds[i], "x", 1, MSG_NOSIGNAL), 1);
		assert_int_equal(recv(fds[i], byte, sizeof(byte), 0), 4);
	}
	late = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(late, (void *)&sun, sizeof(sun)), 0);
	assert_int_equal(recv(late, byte, sizeof(byte), 0), 4);
	close(late);
	for (int i = 0; i < 100; i++)
		close(fds[i]);
	assert_int_equal(stop(), 0);
}

/* ---- frame ---- */

static unsigned
free_port(void)
{
	struct sockaddr_in sin = { .sin_family = AF_INET };
	socklen_t len = sizeof(sin);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(fd, (struct sockaddr *)&sin, len), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sin, &len), 0);
	close(fd);
	return ntohs(sin.sin_port);
}

static int
setup(void **state)
{
	char path[256];

	(void)state;
	if (mkdtemp(top) == NULL || chmod(top, 0755) != 0)
		return -1;
	snprintf(path, sizeof(path), "%s/bin", top);
	if (mkdir(path, 0755) != 0)
		return -1;
	port = free_port();
	copy(master_path, "weir-master");
	for (unsigned r = ROLE_SMTPD; r <= ROLE_PICKUP; r++) {
		char name[32];

		snprintf(name, sizeof(name), "weir-%s",
		    role_name((enum role)r));
		copy(stub_path, name);
	}
	return 0;
}

/* A test that failed leaves no server behind. */
static int
after_each(void **state)
{
	(void)state;
	if (master > 0) {
		kill(master, SIGKILL);
		waitpid(master, NULL, 0);
		master = 0;
	}
	if (log_fd >= 0)
		close(log_fd);
	log_fd = -1;
	unsetenv("STUB_DNS");
	unsetenv("STUB_QUEUE");
	unsetenv("STUB_LOOKUP");
	unsetenv("STUB_SMTPD");
	return 0;
}

static int
teardown(void **state)
{
	char command[256];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s", top);
	return system(command);
}

#define T(name) cmocka_unit_test_teardown(name, after_each)

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		T(test_start_and_stop),
		T(test_restart),
		T(test_throttle),
		T(test_lend),
		T(test_on_demand),
		T(test_dropped_mail_starts_pickup),
		T(test_bad_peer),
		T(test_slander),
		T(test_babble),
		T(test_reload),
		T(test_grace),
		T(test_second_term),
		T(test_refusals),
		T(test_lock),
		T(test_status),
		T(test_status_crowd),
	};

	if (argc != 3)
		return 64;
	master_path = argv[1];
	stub_path = argv[2];
	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, setup, teardown);
}
