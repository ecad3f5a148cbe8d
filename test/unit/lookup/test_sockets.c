/*
 * Connections for the smtp role: only to paths that are known, and what the
 * system says otherwise.
 */
#include "../check.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "conf/conf.h"
#include "lookup/sockets.h"

static struct sockets sockets;
static char directory[64];

static struct conf conf = {
	.mailbox_transport = "",
	.virtual_transport = "virtual",
	.fallback_transport = "",
	.relayhost = "",
	.queue_directory = directory,
};

static int
try(const char *path)
{
	int errnum = 0, fd;

	fd = sockets_connect(&sockets, &conf, slice_str(path), &errnum);
	assert_true((fd >= 0) == (errnum == 0));
	if (fd >= 0)
		close(fd);
	return errnum;
}

static void
note(const char *transport, const char *nexthop, enum resolve_verdict verdict)
{
	struct fr_resolved f = { .verdict = (uint8_t)verdict,
		.transport = slice_str(transport),
		.nexthop = slice_str(nexthop) };

	sockets_note(&sockets, &f);
}

static int
listen_at(const char *path, int backlog)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	assert_true(
	    slice_copy(slice_str(path), a.sun_path, sizeof(a.sun_path)));
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	if (backlog >= 0)
		assert_int_equal(listen(fd, backlog), 0);
	return fd;
}

static void
test_known(void **state)
{
	static const struct {
		const char *why, *transport, *nexthop;
		enum resolve_verdict verdict;
		bool known;
	} rows[] = {
		{ "a next hop of lmtp", "lmtp", "unix:/nobody/a", RESOLVE_OK,
		    true },
		{ "of smtp", "smtp", "unix:/nobody/a", RESOLVE_REMOTE, true },
		{ "below queue_directory", "lmtp", "unix:nobody/a", RESOLVE_OK,
		    true },
		{ "refused", "lmtp", "unix:/nobody/a", RESOLVE_REFUSE, false },
		{ "of a transport that is no server", "discard",
		    "unix:/nobody/a", RESOLVE_OK, false },
		{ "no path", "lmtp", "/nobody/a", RESOLVE_OK, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const char *path = strchr(rows[i].nexthop, ':');

		print_message("%s\n", rows[i].why);
		path = path == NULL ? rows[i].nexthop : path + 1;
		sockets = (struct sockets){ 0 };
		assert_int_equal(try(path), EACCES);
		note(rows[i].transport, rows[i].nexthop, rows[i].verdict);
		assert_int_equal(try(path), rows[i].known ? ENOENT : EACCES);
	}
}

static void
test_configured(void **state)
{
	struct conf c = conf;

	(void)state;
	sockets = (struct sockets){ 0 };
	c.mailbox_transport = "lmtp:unix:/nobody/m";
	c.virtual_transport = "lmtp:unix:/nobody/v";
	c.fallback_transport = "lmtp:inet:host:24";
	c.relayhost = "unix:/nobody/r";
	sockets_configure(&sockets, &c);
	sockets_configure(&sockets, &c);
	assert_int_equal(sockets.count, 3);
	assert_int_equal(try("/nobody/m"), ENOENT);
	assert_int_equal(try("/nobody/v"), ENOENT);
	assert_int_equal(try("/nobody/r"), ENOENT);
	assert_int_equal(try("/nobody"), EACCES);
	assert_int_equal(try(""), EACCES);
}

/* Limit - 1, limit, limit + 1: the oldest goes. */
static void
test_count(void **state)
{
	char hop[64];

	(void)state;
	sockets = (struct sockets){ 0 };
	for (unsigned i = 0; i < SOCKETS_KNOWN_MAX; i++) {
		snprintf(hop, sizeof(hop), "unix:/nobody/%u", i);
		note("lmtp", hop, RESOLVE_OK);
		note("lmtp", hop, RESOLVE_OK);
		assert_int_equal(sockets.count, i + 1);
	}
	assert_int_equal(try("/nobody/0"), ENOENT);
	note("lmtp", "unix:/nobody/more", RESOLVE_OK);
	assert_int_equal(sockets.count, SOCKETS_KNOWN_MAX);
	assert_int_equal(try("/nobody/0"), EACCES);
	assert_int_equal(try("/nobody/1"), ENOENT);
	assert_int_equal(try("/nobody/more"), ENOENT);
}

/* Longer than a path may be, alone or with the directory. */
static void
test_length(void **state)
{
	char hop[160];

	(void)state;
	sockets = (struct sockets){ 0 };
	for (int len = 107; len <= 108; len++) {
		snprintf(hop, sizeof(hop), "unix:/%0*d", len - 1, 0);
		note("lmtp", hop, RESOLVE_OK);
		assert_int_equal(try(hop + 5), len == 107 ? ENOENT : EACCES);
	}
	snprintf(hop, sizeof(hop), "unix:%0*d", 107, 0);
	note("lmtp", hop, RESOLVE_OK);
	assert_int_equal(try(hop + 5), ENAMETOOLONG);
}

static void
test_connect(void **state)
{
	char path[128], hop[140];
	int server, held[8], errnum, fd;
	unsigned count = 0;

	(void)state;
	sockets = (struct sockets){ 0 };
	snprintf(path, sizeof(path), "%s/s", directory);
	snprintf(hop, sizeof(hop), "unix:%s", path);
	note("lmtp", hop, RESOLVE_OK);
	note("lmtp", "unix:s", RESOLVE_OK);
	server = listen_at(path, -1);
	assert_int_equal(try(path), ECONNREFUSED);
	assert_int_equal(listen(server, 1), 0);
	assert_int_equal(try(path), 0);
	assert_int_equal(try("s"), 0);
	/* Nobody accepts: it says so, and does not wait. */
	while ((fd = sockets_connect(&sockets, &conf, slice_str("s"),
		    &errnum)) >= 0) {
		assert_true(count < ARRAY_LEN(held));
		held[count++] = fd;
	}
	assert_int_equal(errnum, EAGAIN);
	while (count > 0)
		close(held[--count]);
	close(server);
	assert_int_equal(unlink(path), 0);
}

static int
make_directory(void **state)
{
	(void)state;
	snprintf(directory, sizeof(directory), "/tmp/test_sockets.XXXXXX");
	return mkdtemp(directory) == NULL;
}

static int
remove_directory(void **state)
{
	(void)state;
	return rmdir(directory);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_known),
		cmocka_unit_test(test_configured),
		cmocka_unit_test(test_count),
		cmocka_unit_test(test_length),
		cmocka_unit_test(test_connect),
	};

	return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
