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
#include <unistd.h>

#include "local/syncer.h"

enum { ITEMS_MAX = 64, NOT_TOUCHED = -1 };

static void
run(unsigned count, unsigned bad)
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
	syncer_run(items, count);
	for (i = 0; i < count; i++) {
		assert_int_equal(items[i].errnum, i == bad ? EBADF : 0);
		if (i != bad)
			close(items[i].fd);
	}
	for (; i < ITEMS_MAX; i++)
		assert_int_equal(items[i].errnum, NOT_TOUCHED);
}

static void
all_counts(void)
{
	static const unsigned counts[] = { 0, 1, 2, 3, SYNCER_THREADS_MAX,
		SYNCER_THREADS_MAX + 1, SYNCER_THREADS_MAX + 2, ITEMS_MAX };
	unsigned i;

	for (i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		run(counts[i], UINT32_MAX);
		run(counts[i], 0);
		run(counts[i], counts[i] / 2);
		if (counts[i] > 0)
			run(counts[i], counts[i] - 1);
	}
}

static void
test_without_threads(void **state)
{
	(void)state;
	all_counts();
}

static void
test_with_threads(void **state)
{
	unsigned i;

	(void)state;
	syncer_start();
	for (i = 0; i < 20; i++)
		all_counts();
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
