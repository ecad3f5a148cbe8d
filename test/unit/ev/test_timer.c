/*
 * The heap of timers against a plain list, on random operations.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ev/loop.h"
#include "ev/timer.h"

enum { TIMER_COUNT = 64, STEPS = 20000 };

static uint32_t
next_random(uint32_t *state)
{
	*state = *state * 1664525u + 1013904223u;
	return *state >> 8;
}

/* Each pop must give a timer that is due, and no due timer may be left. */
static void
pop_all(struct ev_timer **root, struct ev_timer *t, const int64_t *due,
    bool *pending, int64_t now)
{
	struct ev_timer *p;

	while ((p = timer_heap_pop(root, now)) != NULL) {
		ptrdiff_t i = p - t;

		assert_true(pending[i]);
		assert_true(due[i] <= now);
		assert_false(p->pending);
		pending[i] = false;
	}
	for (unsigned i = 0; i < TIMER_COUNT; i++)
		assert_false(pending[i] && due[i] <= now);
}

static void
test_random(void **state)
{
	static struct ev_timer t[TIMER_COUNT];
	int64_t due[TIMER_COUNT], now = 0;
	bool pending[TIMER_COUNT] = { false };
	struct ev_timer *root = NULL;
	uint32_t r = 1;

	(void)state;
	for (unsigned step = 0; step < STEPS; step++) {
		unsigned i = next_random(&r) % TIMER_COUNT;

		switch (next_random(&r) % 8) {
		case 0:
			if (pending[i])
				timer_heap_remove(&root, &t[i]);
			pending[i] = false;
			break;
		case 1:
			now += next_random(&r) % 50;
			pop_all(&root, t, due, pending, now);
			break;
		default:
			due[i] = now + next_random(&r) % 200;
			timer_heap_set(&root, &t[i], due[i]);
			pending[i] = true;
			break;
		}
		for (unsigned k = 0; k < TIMER_COUNT; k++)
			if (pending[k])
				assert_true(timer_heap_next(root) <= due[k]);
	}
	pop_all(&root, t, due, pending, INT64_MAX);
	assert_null(root);
}

static void
test_order(void **state)
{
	static const int64_t at[] = { 5, 1, 9, 3, 3, 0, 7 };
	struct ev_timer t[7] = { 0 }, *root = NULL, *p;
	int64_t last = -1;
	unsigned n = 0;

	(void)state;
	for (unsigned i = 0; i < 7; i++)
		timer_heap_set(&root, &t[i], at[i]);
	while ((p = timer_heap_pop(&root, 100)) != NULL) {
		assert_true(p->due_ms >= last);
		last = p->due_ms;
		n++;
	}
	assert_int_equal(n, 7);
	assert_true(timer_heap_next(root) == INT64_MAX);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
