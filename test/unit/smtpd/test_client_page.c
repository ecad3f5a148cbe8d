/*
 * The page that all smtpd share: the gate and the limits of one client hold
 * for all processes together, and the death of one gives back what it held.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "ipc/client_page.h"

static const struct mono t0 = { 1000 };

static struct client_key
key_of(unsigned n)
{
	struct client_key k = { { 0 } };

	k.octets[10] = k.octets[11] = 0xff;
	k.octets[13] = (uint8_t)(n >> 16);
	k.octets[14] = (uint8_t)(n >> 8);
	k.octets[15] = (uint8_t)n;
	return k;
}

static int
page_open(struct client_page *p, unsigned sessions, unsigned proven)
{
	int fd;

	assert_int_equal(client_page_create(sessions, proven, &fd, NULL), OK);
	assert_int_equal(client_page_map(fd, p, NULL), OK);
	return fd;
}

static void
page_close(struct client_page *p, int fd)
{
	client_page_unmap(p);
	close(fd);
}

static void
test_gate(void **state)
{
	struct client_rules rules = { .unproven_max = 4 };
	struct client_key k = key_of(1), friend = key_of(2);
	struct client_figures f;
	struct client_page p;
	uint32_t slot[6];
	int fd = page_open(&p, 5, 10);

	(void)state;
	for (int i = 0; i < 4; i++)
		assert_int_equal(
		    client_page_enter(&p, 0, &k, &rules, t0, &slot[i]),
		    CLIENT_IN);
	assert_int_equal(client_page_enter(&p, 0, &k, &rules, t0, &slot[4]),
	    CLIENT_SHARE_FULL);
	rules.trusted = true;
	assert_int_equal(
	    client_page_enter(&p, 1, &friend, &rules, t0, &slot[4]), CLIENT_IN);
	assert_int_equal(
	    client_page_enter(&p, 1, &friend, &rules, t0, &slot[5]),
	    CLIENT_FULL);
	client_page_figures(&p, &f);
	assert_int_equal(f.sessions, 5);
	assert_int_equal(f.unproven, 4);
	assert_int_equal(f.clients, 3); /* with a network */

	/* Nobody gives back what another process holds. */
	client_page_leave(&p, 1, slot[0]);
	assert_int_equal(client_page_held(&p, 0), 4);
	client_page_leave(&p, 0, slot[0]);
	client_page_leave(&p, 0, slot[0]);
	client_page_leave(&p, 0, CLIENT_NO_SLOT);
	assert_int_equal(client_page_held(&p, 0), 3);

	/* Good mail moves a session out of the unproven share, and the
	 * client's next ones too. */
	client_page_prove(&p, slot[1], 1000, t0);
	client_page_figures(&p, &f);
	assert_int_equal(f.unproven, 2);
	assert_int_equal(f.proven, 1);
	rules = (struct client_rules){ .unproven_max = 0 };
	assert_int_equal(client_page_enter(&p, 0, &k, &rules, t0, &slot[0]),
	    CLIENT_IN);
	client_page_leave(&p, 0, slot[0]);
	assert_int_equal(
	    client_page_enter(&p, 0, &k, &rules, mono_add(t0, 1000), &slot[0]),
	    CLIENT_SHARE_FULL);
	page_close(&p, fd);
}

static void
test_client_limits(void **state)
{
	struct client_rules rules = { .count_max = 2,
		.rate_max = 3,
		.unproven_max = 100 };
	struct client_key a = key_of(1), b = key_of(2);
	struct client_page p;
	uint32_t slot, first;
	int fd = page_open(&p, 100, 10);

	(void)state;
	assert_int_equal(client_page_enter(&p, 0, &a, &rules, t0, &first),
	    CLIENT_IN);
	assert_int_equal(client_page_enter(&p, 1, &a, &rules, t0, &slot),
	    CLIENT_IN);
	assert_int_equal(client_page_enter(&p, 2, &a, &rules, t0, &slot),
	    CLIENT_OVER_COUNT);
	assert_int_equal(client_page_enter(&p, 2, &a, &rules, t0, &slot),
	    CLIENT_OVER_RATE);
	assert_int_equal(client_page_enter(&p, 2, &b, &rules, t0, &slot),
	    CLIENT_IN);
	client_page_leave(&p, 0, first);
	/* A third of a minute pays for one connection. */
	assert_int_equal(
	    client_page_enter(&p, 2, &a, &rules, mono_add(t0, 19999), &slot),
	    CLIENT_OVER_RATE);
	assert_int_equal(
	    client_page_enter(&p, 2, &a, &rules, mono_add(t0, 20000), &slot),
	    CLIENT_IN);
	page_close(&p, fd);
}

static bool
rate(struct client_page *p, uint32_t slot, unsigned events, unsigned per_minute,
    struct mono now)
{
	struct client_limits limits = { per_minute, 0 };

	return client_page_rate(p, slot, CLIENT_RATE_RCPT, events, limits,
		   now) == CLIENT_PASSED;
}

static void
test_rates(void **state)
{
	static const unsigned limits[] = { 1, 2, 60, 6000, 10000000 };
	struct client_rules rules = { .unproven_max = 9 };
	struct client_key k = key_of(1);
	struct client_page p;
	uint32_t slot;
	int fd = page_open(&p, 10, 10);

	(void)state;
	assert_int_equal(client_page_enter(&p, 0, &k, &rules, t0, &slot),
	    CLIENT_IN);
	for (size_t i = 0; i < ARRAY_LEN(limits); i++) {
		struct mono t = mono_add(t0, (int64_t)i * 3600000);
		unsigned n = limits[i];

		print_message("  %u per minute\n", n);
		assert_true(rate(&p, slot, n - 1, n, t));
		assert_true(rate(&p, slot, 0, n, t));
		assert_true(rate(&p, slot, 1, n, t));
		assert_false(rate(&p, slot, 0, n, t));
		assert_false(rate(&p, slot, 1, n, t));
		assert_true(rate(&p, slot, n, n, mono_add(t, 60000)));
	}
	assert_true(rate(&p, slot, 9, 0, t0));
	assert_true(rate(&p, CLIENT_NO_SLOT, 9, 1, t0));
	page_close(&p, fd);
}

/* IPv4 and IPv6: what is one network, what is another. */
static const struct {
	const char *why;
	uint8_t one[16], other[16];
	bool same;
} networks[] = {
	{ "a /24", { [10] = 255, 255, 192, 0, 2, 1 },
	    { [10] = 255, 255, 192, 0, 2, 255 }, true },
	{ "two of them", { [10] = 255, 255, 192, 0, 2, 1 },
	    { [10] = 255, 255, 192, 0, 3, 1 }, false },
	{ "a /48", { 0x20, 1, 0xd, 0xb8, 0, 1, 0, 1 },
	    { 0x20, 1, 0xd, 0xb8, 0, 1, 0xff, 0xff }, true },
	{ "two of them", { 0x20, 1, 0xd, 0xb8, 0, 1, 0, 1 },
	    { 0x20, 1, 0xd, 0xb8, 0, 2, 0, 1 }, false },
	{ "local clients are in none", { [15] = 1 }, { [15] = 1 }, false },
};

static void
test_networks(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(networks); i++) {
		struct client_rules rules = { .unproven_max = 100,
			.network_count_max = 2 };
		struct client_key one, other;
		struct client_page p;
		uint32_t slot, held;
		int fd = page_open(&p, 100, 10);

		print_message("  %s\n", networks[i].why);
		memcpy(one.octets, networks[i].one, 16);
		memcpy(other.octets, networks[i].other, 16);
		assert_int_equal(
		    client_page_enter(&p, 0, &one, &rules, t0, &held),
		    CLIENT_IN);
		assert_int_equal(
		    client_page_enter(&p, 1, &other, &rules, t0, &slot),
		    CLIENT_IN);
		assert_int_equal(
		    client_page_enter(&p, 1, &other, &rules, t0, &slot),
		    networks[i].same ? CLIENT_NETWORK_COUNT : CLIENT_IN);
		client_page_leave(&p, 0, held);
		assert_int_equal(
		    client_page_enter(&p, 1, &other, &rules, t0, &slot),
		    networks[i].why[0] == 't' ? CLIENT_NETWORK_COUNT
					      : CLIENT_IN);
		page_close(&p, fd);
	}
}

/* Rates of a network; who is proven neither spends them nor is held to them. */
static void
test_network_rates(void **state)
{
	struct client_rules rules = { .unproven_max = 100,
		.rate_max = 2,
		.network_rate_max = 3,
		.network_count_max = 3 };
	const struct client_limits limits = { 2, 3 };
	struct client_key a = key_of(1), b = key_of(2), c = key_of(3);
	struct client_page p;
	uint32_t slot[4], more;
	int fd = page_open(&p, 100, 10);

	(void)state;
	assert_int_equal(client_page_enter(&p, 0, &a, &rules, t0, &slot[0]),
	    CLIENT_IN);
	assert_int_equal(client_page_enter(&p, 0, &a, &rules, t0, &slot[1]),
	    CLIENT_IN);
	assert_int_equal(client_page_enter(&p, 0, &b, &rules, t0, &slot[2]),
	    CLIENT_IN);
	assert_int_equal(client_page_enter(&p, 0, &b, &rules, t0, &more),
	    CLIENT_NETWORK_RATE);
	/* What was refused was not counted for the client. */
	rules.network_rate_max = 0;
	assert_int_equal(client_page_enter(&p, 0, &b, &rules, t0, &more),
	    CLIENT_NETWORK_COUNT);

	assert_int_equal(
	    client_page_rate(&p, slot[0], CLIENT_RATE_ERROR, 2, limits, t0),
	    CLIENT_PASSED);
	assert_int_equal(
	    client_page_rate(&p, slot[1], CLIENT_RATE_ERROR, 1, limits, t0),
	    CLIENT_OVER_OWN);
	assert_int_equal(
	    client_page_rate(&p, slot[2], CLIENT_RATE_ERROR, 2, limits, t0),
	    CLIENT_OVER_NETWORK);
	assert_int_equal(
	    client_page_rate(&p, slot[2], CLIENT_RATE_ERROR, 1, limits, t0),
	    CLIENT_PASSED);
	assert_int_equal(
	    client_page_rate(&p, slot[2], CLIENT_RATE_ERROR, 0, limits, t0),
	    CLIENT_OVER_NETWORK);

	/* Proven: a place of the network is free, its rate is not asked. */
	client_page_prove(&p, slot[2], 1000, t0);
	assert_int_equal(
	    client_page_rate(&p, slot[2], CLIENT_RATE_ERROR, 1, limits, t0),
	    CLIENT_PASSED);
	assert_int_equal(client_page_enter(&p, 0, &c, &rules, t0, &slot[3]),
	    CLIENT_IN);
	assert_int_equal(client_page_enter(&p, 0, &c, &rules, t0, &more),
	    CLIENT_NETWORK_COUNT);
	/* And stays so when all is counted anew. */
	rules.rate_max = 0;
	assert_int_equal(client_page_release(&p, 1), 0);
	client_page_leave(&p, 0, slot[2]);
	assert_int_equal(client_page_enter(&p, 1, &b, &rules, t0, &more),
	    CLIENT_IN); /* proven */
	assert_int_equal(client_page_release(&p, 1), 1);
	assert_int_equal(client_page_enter(&p, 0, &c, &rules, t0, &more),
	    CLIENT_NETWORK_COUNT);
	client_page_leave(&p, 0, slot[3]);
	assert_int_equal(client_page_enter(&p, 0, &c, &rules, t0, &more),
	    CLIENT_IN);
	page_close(&p, fd);
}

/* As many clients as one likes: the table stays as it is, sessions are never
 * forgotten, proven clients stay before others. */
static void
test_eviction(void **state)
{
	struct client_rules rules = { .unproven_max = 50, .count_max = 1 };
	struct client_key k = key_of(0);
	struct client_figures f;
	struct client_page p;
	uint32_t slot, held;
	int fd = page_open(&p, 50, 3);

	(void)state;
	assert_int_equal(client_page_enter(&p, 0, &k, &rules, t0, &held),
	    CLIENT_IN);
	for (unsigned n = 1; n <= 4; n++) {
		struct client_key other = key_of(n);

		assert_int_equal(client_page_enter(&p, 0, &other, &rules,
				     mono_add(t0, n), &slot),
		    CLIENT_IN);
		assert_int_equal(
		    client_page_prove(&p, slot, 1 << 30, mono_add(t0, n)),
		    n == 4);
		assert_false(
		    client_page_prove(&p, slot, 1 << 30, mono_add(t0, n)));
		client_page_leave(&p, 0, slot);
	}
	client_page_figures(&p, &f);
	assert_int_equal(f.proven, 3);
	for (unsigned n = 10; n < 50000; n++) {
		struct client_key other = key_of(n);

		if (client_page_enter(&p, 0, &other, &rules, mono_add(t0, n),
			&slot) == CLIENT_IN)
			client_page_leave(&p, 0, slot);
	}
	assert_int_equal(client_page_enter(&p, 0, &k, &rules, t0, &slot),
	    CLIENT_OVER_COUNT);
	client_page_figures(&p, &f);
	assert_true(f.clients <= p.entry_count);
	assert_int_equal(f.proven, 3);
	/* 1 was the one not seen for longest. */
	rules.unproven_max = 0;
	for (unsigned n = 1; n <= 4; n++) {
		struct client_key other = key_of(n);

		assert_int_equal(client_page_enter(&p, 0, &other, &rules,
				     mono_add(t0, 60000), &slot),
		    n == 1 ? CLIENT_SHARE_FULL : CLIENT_IN);
	}
	page_close(&p, fd);
}

/* Whose time is over makes room: that is nobody's loss. */
static void
test_room_of_the_expired(void **state)
{
	struct client_rules rules = { .unproven_max = 50 };
	struct client_page p;
	uint32_t slot;
	int fd = page_open(&p, 50, 1);

	(void)state;
	for (unsigned n = 1; n <= 3; n++) {
		struct client_key other = key_of(n);
		struct mono now = mono_add(t0, n * 1000);

		assert_int_equal(
		    client_page_enter(&p, 0, &other, &rules, now, &slot),
		    CLIENT_IN);
		assert_int_equal(client_page_prove(&p, slot, 1001, now), n > 1);
		client_page_leave(&p, 0, slot);
	}
	for (unsigned n = 4; n <= 5; n++) {
		struct client_key other = key_of(n);
		struct mono now = mono_add(t0, n * 10000);

		assert_int_equal(
		    client_page_enter(&p, 0, &other, &rules, now, &slot),
		    CLIENT_IN);
		assert_false(client_page_prove(&p, slot, 10000, now));
		client_page_leave(&p, 0, slot);
	}
	page_close(&p, fd);
}

/* Where the lock stands in the page: after six numbers and the key. */
enum { LOCK_AT = 32 };

/* On a crowded machine who holds the lock may wait for a processor for a long
 * time: the others wait for it, nobody is turned away. */
static void
test_a_slow_holder(void **state)
{
	struct client_rules rules = { .unproven_max = 5 };
	struct client_key k = key_of(1);
	struct client_figures f;
	struct client_page p;
	volatile uint32_t *the_lock;
	uint32_t slot;
	int fd = page_open(&p, 5, 10), status;
	pid_t pid;

	(void)state;
	the_lock = (uint32_t *)(void *)((char *)p.shared + LOCK_AT);
	*the_lock = 3;
	pid = fork();
	if (pid == 0) {
		usleep(200 * 1000);
		*the_lock = 0;
		_exit(0);
	}
	assert_int_equal(client_page_enter(&p, 1, &k, &rules, t0, &slot),
	    CLIENT_IN);
	client_page_leave(&p, 1, slot);
	client_page_figures(&p, &f);
	assert_int_equal(f.sessions, 0);
	assert_true(waitpid(pid, &status, 0) == pid);
	page_close(&p, fd);
}

/* Nobody knows yet that it is dead, or it will never go on: the lock is taken
 * from it. */
static void
test_a_holder_that_never_goes_on(void **state)
{
	struct client_rules rules = { .unproven_max = 5 };
	struct client_key k = key_of(1);
	struct client_figures f;
	struct client_page p;
	uint32_t slot, *the_lock;
	int fd = page_open(&p, 5, 10);
	struct mono start, now;

	(void)state;
	the_lock = (uint32_t *)(void *)((char *)p.shared + LOCK_AT);
	*the_lock = 3;
	start = clock_system.mono(&clock_system);
	assert_int_equal(client_page_enter(&p, 1, &k, &rules, t0, &slot),
	    CLIENT_IN);
	now = clock_system.mono(&clock_system);
	assert_in_range(mono_sub(now, start), 900, 5000);
	client_page_leave(&p, 1, slot);
	client_page_figures(&p, &f);
	assert_int_equal(f.sessions, 0);

	/* Who is known to be dead is not waited for. */
	*the_lock = 3;
	start = clock_system.mono(&clock_system);
	client_page_release(&p, 2);
	now = clock_system.mono(&clock_system);
	assert_in_range(mono_sub(now, start), 0, 500);
	page_close(&p, fd);
}

/* Stopped at any moment, also inside the lock, and going on after it was taken
 * away: nobody is turned away, and in the end every figure is right. */
static void
test_stopped(void **state)
{
	struct client_rules rules = { .unproven_max = 100 };
	struct client_figures f;
	struct client_page p;
	int fd = page_open(&p, 100, 10), status;
	struct client_key k = key_of(3);
	uint32_t slot;
	pid_t pid = fork();

	(void)state;
	for (unsigned n = 0; pid == 0; n++) {
		struct client_key own = key_of(n % 90);

		if (client_page_enter(&p, 1, &own, &rules, t0, &slot) ==
		    CLIENT_IN)
			client_page_leave(&p, 1, slot);
	}
	for (int round = 0; round < 8; round++) {
		usleep((useconds_t)(100 + round * 7));
		assert_int_equal(kill(pid, SIGSTOP), 0);
		assert_true(waitpid(pid, &status, WUNTRACED) == pid);
		assert_int_equal(
		    client_page_enter(&p, 0, &k, &rules, t0, &slot), CLIENT_IN);
		client_page_leave(&p, 0, slot);
		assert_int_equal(kill(pid, SIGCONT), 0);
	}
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_true(waitpid(pid, &status, 0) == pid);
	client_page_release(&p, 1);
	client_page_figures(&p, &f);
	assert_int_equal(f.sessions, 0);
	assert_int_equal(f.unproven, 0);
	assert_int_equal(f.sessions, client_page_held(&p, 0));
	page_close(&p, fd);
}

/* Four processes take what they can get, as fast as they can: together exactly
 * the limit. */
static void
test_processes(void **state)
{
	enum { PROCESSES = 4, LIMIT = 20 };
	struct client_rules rules = { .unproven_max = 100, .count_max = LIMIT };
	struct client_key k = key_of(7);
	struct client_figures f;
	struct client_page p;
	pid_t pid[PROCESSES];
	int fd = page_open(&p, 100, 10), total = 0, status;

	(void)state;
	for (unsigned i = 0; i < PROCESSES; i++) {
		pid[i] = fork();
		if (pid[i] != 0)
			continue;
		int got = 0;
		uint32_t slot;

		for (int n = 0; n < 2000; n++) {
			if (client_page_enter(&p, i, &k, &rules, t0, &slot) !=
			    CLIENT_IN)
				continue;
			/* One more, until all are taken. */
			got++;
		}
		_exit(got);
	}
	for (int i = 0; i < PROCESSES; i++) {
		assert_true(waitpid(pid[i], &status, 0) == pid[i]);
		assert_true(WIFEXITED(status));
		total += WEXITSTATUS(status);
	}
	client_page_figures(&p, &f);
	assert_int_equal(f.sessions, total);
	assert_int_equal(total, LIMIT);
	for (unsigned i = 0; i < PROCESSES; i++)
		total -= (int)client_page_release(&p, i);
	assert_int_equal(total, 0);
	client_page_figures(&p, &f);
	assert_int_equal(f.sessions, 0);
	assert_int_equal(f.unproven, 0);
	page_close(&p, fd);
}

/* Killed at any moment, also inside the lock: after the release every figure
 * is right and the page works on. */
static void
test_killed(void **state)
{
	struct client_rules rules = { .unproven_max = 100 };
	struct client_figures f;
	struct client_page p;
	int fd = page_open(&p, 100, 10), status;
	struct client_key k = key_of(3);
	uint32_t slot;

	(void)state;
	for (int round = 0; round < 40; round++) {
		pid_t pid = fork();

		if (pid == 0) {
			for (unsigned n = 0;; n++) {
				struct client_key own = key_of(n % 90);

				if (client_page_enter(&p, 1, &own, &rules, t0,
					&slot) == CLIENT_IN &&
				    n % 3)
					client_page_leave(&p, 1, slot);
			}
		}
		for (int i = 0; i < 500 + round * 37; i++)
			if (client_page_enter(&p, 0, &k, &rules, t0, &slot) ==
			    CLIENT_IN)
				client_page_leave(&p, 0, slot);
		assert_int_equal(kill(pid, 9), 0);
		assert_true(waitpid(pid, &status, 0) == pid);
		client_page_release(&p, 1);
		client_page_figures(&p, &f);
		assert_int_equal(f.sessions, client_page_held(&p, 0));
		assert_int_equal(f.unproven, f.sessions);
	}
	page_close(&p, fd);
}

/* A page full of nonsense is refused or used without harm. */
static void
test_nonsense(void **state)
{
	struct client_rules rules = { .unproven_max = 100 };
	struct client_key k = key_of(3);
	struct client_page p, bad;
	uint32_t slot;
	int fd = page_open(&p, 100, 10), other;

	(void)state;
	other = memfd_create("x", 0);
	assert_int_equal(client_page_map(other, &bad, NULL), ERR_CORRUPT);
	assert_int_equal(ftruncate(other, 1 << 20), 0);
	assert_int_equal(client_page_map(other, &bad, NULL), ERR_CORRUPT);
	close(other);

	memset((char *)p.shared + 24, 0xff, p.bytes - 24);
	client_page_release(&p, 4);
	client_page_enter(&p, 0, &k, &rules, t0, &slot);
	for (uint32_t i = 0; i < 100; i++) {
		(void)client_page_rate(&p, i, CLIENT_RATE_ERROR, 1,
		    (struct client_limits){ 5, 9 }, t0);
		client_page_prove(&p, i, 5, t0);
		client_page_leave(&p, 254 - 1, i);
	}
	page_close(&p, fd);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_gate),
		cmocka_unit_test(test_client_limits),
		cmocka_unit_test(test_rates),
		cmocka_unit_test(test_networks),
		cmocka_unit_test(test_network_rates),
		cmocka_unit_test(test_eviction),
		cmocka_unit_test(test_room_of_the_expired),
		cmocka_unit_test(test_a_slow_holder),
		cmocka_unit_test(test_a_holder_that_never_goes_on),
		cmocka_unit_test(test_stopped),
		cmocka_unit_test(test_processes),
		cmocka_unit_test(test_killed),
		cmocka_unit_test(test_nonsense),
	};

	return cmocka_run_group_tests_name("client_page", tests, NULL, NULL);
}
