/*
 * Listening sockets: addresses, sets, stale and foreign sockets.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "conf/conf.h"
#include "master/listen.h"

static struct acct mem;
static char dir[] = "/tmp/test_listen.XXXXXX";
static int dir_fd;

static int
setup(void **state)
{
	(void)state;
	acct_init(&mem, NULL, "test", 16 << 20, false, "");
	if (mkdtemp(dir) == NULL)
		return -1;
	dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return dir_fd < 0 ? -1 : 0;
}

static int
teardown(void **state)
{
	static const char *const names[] = { "control", "submit", "session",
		"s", "file" };

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		(void)unlinkat(dir_fd, names[i], 0);
	close(dir_fd);
	acct_fini(&mem);
	return rmdir(dir);
}

static const struct {
	const char *item;
	unsigned protocols;
	const char *addresses[2];
} rows[] = {
	{ "*:25", CONF_INET4 | CONF_INET6, { "0.0.0.0:25", "[::]:25" } },
	{ "*:25", CONF_INET4, { "0.0.0.0:25" } },
	{ "*:25", CONF_INET6, { "[::]:25" } },
	{ "127.0.0.1:2525", CONF_INET4 | CONF_INET6, { "127.0.0.1:2525" } },
	/* An address that is written out is meant, whatever the versions. */
	{ "127.0.0.1:2525", CONF_INET6, { "127.0.0.1:2525" } },
	{ "[::1]:587", CONF_INET4, { "[::1]:587" } },
	{ "unix:/run/x", CONF_INET4 | CONF_INET6, { NULL } },
};

static void
text_of(const struct listen_address *a, char *buf, size_t size)
{
	char ip[INET6_ADDRSTRLEN];

	if (a->addr.ss_family == AF_INET) {
		const struct sockaddr_in *sin = (const void *)&a->addr;

		assert_int_equal(a->len, sizeof(*sin));
		inet_ntop(AF_INET, &sin->sin_addr, ip, sizeof(ip));
		snprintf(buf, size, "%s:%u", ip, ntohs(sin->sin_port));
	} else {
		const struct sockaddr_in6 *sin6 = (const void *)&a->addr;

		assert_int_equal(a->len, sizeof(*sin6));
		inet_ntop(AF_INET6, &sin6->sin6_addr, ip, sizeof(ip));
		snprintf(buf, size, "[%s]:%u", ip, ntohs(sin6->sin6_port));
	}
}

static void
test_expand(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct listen_address out[2];
		struct net_listen item;
		struct errtext et;
		unsigned n;

		assert_int_equal(
		    net_listen_parse(slice_str(rows[i].item), &item, &et), OK);
		n = listen_expand(&item, rows[i].protocols, out);
		for (unsigned k = 0; k < 2; k++) {
			char text[64];

			if (rows[i].addresses[k] == NULL) {
				assert_true(n <= k);
				break;
			}
			assert_true(n > k);
			text_of(&out[k], text, sizeof(text));
			assert_string_equal(text, rows[i].addresses[k]);
		}
	}
}

/* A free port of this machine, as far as one can know. */
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

static const struct conf *
load(const char *address, unsigned port)
{
	struct conf_report *report = conf_report_new(&mem);
	const struct conf *c;
	char text[256];

	snprintf(text, sizeof(text), "smtp_listen = %s:%u\n", address, port);
	assert_int_equal(
	    conf_load_text(&mem, slice_str(text), "test", report, &c), OK);
	conf_report_free(&mem, report);
	return c;
}

static void
test_sets(void **state)
{
	const struct conf *c = load("127.0.0.1", free_port());
	struct listeners l, other;
	struct errtext et = { "" };
	unsigned seen[3] = { 0 };

	(void)state;
	assert_int_equal(listen_open(&l, &mem, c, 3, dir_fd, &et), OK);
	assert_int_equal(l.count, 3 + 3);
	for (unsigned i = 0; i < l.count; i++) {
		const struct listener *s = &l.items[i];

		if (s->kind == LISTEN_SMTP)
			seen[s->owner]++;
		else
			assert_int_equal(s->owner, LISTEN_ALL);
		assert_true(fcntl(s->fd, F_GETFD) & FD_CLOEXEC);
		assert_true(fcntl(s->fd, F_GETFL) & O_NONBLOCK);
	}
	assert_true(seen[0] == 1 && seen[1] == 1 && seen[2] == 1);

	/* SO_REUSEPORT must not let a second server in. */
	assert_int_equal(listen_open(&other, &mem, c, 3, dir_fd, &et),
	    ERR_CONFIG);
	assert_non_null(strstr(et.text, "smtp_listen: cannot listen on"));
	assert_non_null(strstr(et.text, "another program serves this port"));
	assert_int_equal(other.count, 0);
	listen_close(&l);
	assert_int_equal(listen_open(&l, &mem, c, 1, dir_fd, &et), OK);
	listen_close(&l);
	conf_free(c);
}

static void
test_foreign_address(void **state)
{
	const struct conf *c = load("192.0.2.1", 2525);
	struct errtext et = { "" };
	struct listeners l;

	(void)state;
	assert_int_equal(listen_open(&l, &mem, c, 1, dir_fd, &et), ERR_CONFIG);
	assert_non_null(strstr(et.text, "192.0.2.1:2525"));
	conf_free(c);
}

static void
test_unix(void **state)
{
	char path[64];
	struct errtext et = { "" };
	struct stat st;
	int fd, again;

	(void)state;
	snprintf(path, sizeof(path), "%s/s", dir);
	assert_int_equal(listen_unix(-1, path, SOCK_STREAM, &fd, &et), OK);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0666);
	/* In use. */
	assert_int_equal(listen_unix(-1, path, SOCK_STREAM, &again, &et),
	    ERR_CONFIG);
	assert_non_null(strstr(et.text, "another program serves it"));
	/* Stale: its owner is dead. */
	close(fd);
	assert_int_equal(listen_unix(-1, path, SOCK_STREAM, &fd, &et), OK);
	close(fd);
	/* By the directory: ours in any case. */
	assert_int_equal(listen_unix(dir_fd, "s", SOCK_SEQPACKET, &fd, &et),
	    OK);
	close(fd);
}

static void
test_unix_not_a_socket(void **state)
{
	struct errtext et = { "" };
	int fd = openat(dir_fd, "file", O_CREAT | O_WRONLY, 0600);

	(void)state;
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(listen_unix(dir_fd, "file", SOCK_STREAM, &fd, &et),
	    ERR_CONFIG);
	assert_non_null(strstr(et.text, "not a socket"));
	assert_int_equal(faccessat(dir_fd, "file", F_OK, 0), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_expand),
		cmocka_unit_test(test_sets),
		cmocka_unit_test(test_foreign_address),
		cmocka_unit_test(test_unix),
		cmocka_unit_test(test_unix_not_a_socket),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
