/*
 * syncer: each item is synced once, with its own error, whatever the number
 * of items and of threads.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include "local/syncer.h"

enum { ITEMS_MAX = 64, NOT_TOUCHED = -1 };

/* As the worker waits: by the descriptor. */
static void
poll_run(void)
{
	struct pollfd p = { .fd = syncer_fd(), .events = POLLIN };

	while (syncer_busy())
		assert_int_equal(poll(&p, 1, 20000), 1);
}

static void
run(unsigned count, unsigned bad, bool wait)
{
	struct sync_item items[ITEMS_MAX];
	unsigned i;

	for (i = 0; i < ITEMS_MAX; i++)
		items[i] = (struct sync_item){ STDIN_FILENO, NOT_TOUCHED };
	for (i = 0; i < count; i++) {
		items[i].fd = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		assert_true(items[i].fd >= 0);
	}
	if (bad < count) {
		close(items[bad].fd);
		items[bad].fd = -1;
	}
	syncer_begin(items, count);
	if (wait)
		syncer_wait();
	else
		poll_run();
	assert_false(syncer_busy());
	for (i = 0; i < count; i++) {
		assert_int_equal(items[i].errnum, i == bad ? EBADF : 0);
		if (i != bad)
			close(items[i].fd);
	}
	for (; i < ITEMS_MAX; i++)
		assert_int_equal(items[i].errnum, NOT_TOUCHED);
}

static void
all_counts(bool wait)
{
	static const unsigned counts[] = { 0, 1, 2, 3, SYNCER_THREADS_MAX,
		SYNCER_THREADS_MAX + 1, SYNCER_THREADS_MAX + 2, ITEMS_MAX };
	unsigned i;

	for (i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		run(counts[i], UINT32_MAX, wait);
		run(counts[i], 0, wait);
		run(counts[i], counts[i] / 2, wait);
		if (counts[i] > 0)
			run(counts[i], counts[i] - 1, wait);
	}
}

static void
test_without_threads(void **state)
{
	(void)state;
	all_counts(true);
	all_counts(false);
}

static void
test_with_threads(void **state)
{
	unsigned i;

	(void)state;
	syncer_start();
	for (i = 0; i < 20; i++)
		all_counts(i % 2 == 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_without_threads),
		cmocka_unit_test(test_with_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
