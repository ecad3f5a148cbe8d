/*
 * Turns of the loop: order of what runs, cancelling, memory.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "ev/loop.h"

static char trace[64];

static void
note(char c)
{
	size_t n = strlen(trace);

	if (n + 1 < sizeof(trace))
		trace[n] = c;
}

struct fix {
	struct acct acct;
	struct ev_loop *loop;
	int pipe[2];
	struct ev_io io;
	struct ev_timer timer, other;
	struct ev_task task, chained, end, hook;
};

static int
setup(void **state)
{
	static struct fix f;

	memset(&f, 0, sizeof(f));
	memset(trace, 0, sizeof(trace));
	acct_init(&f.acct, NULL, "test", 1 << 20, false, "");
	if (ev_loop_new(&f.acct, &f.loop) != OK || pipe(f.pipe) != 0)
		return -1;
	*state = &f;
	return 0;
}

static int
teardown(void **state)
{
	struct fix *f = *state;

	ev_io_fini(&f->io);
	ev_loop_free(f->loop);
	close(f->pipe[0]);
	close(f->pipe[1]);
	acct_fini(&f->acct); /* asserts that libevent gave all back */
	return 0;
}

static void
on_task(void *arg, struct ev_task *t)
{
	struct fix *f = arg;

	if (t == &f->task) {
		note('t');
		ev_defer(f->loop, &f->chained);
	} else if (t == &f->chained) {
		note('c');
	} else if (t == &f->end) {
		note('e');
	} else {
		note('h');
	}
}

static void
on_io(void *arg, struct ev_io *io, unsigned ready)
{
	struct fix *f = arg;
	char c;

	assert_int_equal(ready, EV_RD);
	assert_int_equal(read(io->fd, &c, 1), 1);
	note('i');
	ev_defer(f->loop, &f->task);
	ev_defer(f->loop, &f->task); /* once is enough */
	ev_defer_end(f->loop, &f->end);
}

static void
init_tasks(struct fix *f)
{
	ev_task_init(&f->task, on_task, f);
	ev_task_init(&f->chained, on_task, f);
	ev_task_init(&f->end, on_task, f);
	ev_task_init(&f->hook, on_task, f);
}

static void
test_order(void **state)
{
	struct fix *f = *state;

	init_tasks(f);
	ev_each_turn(f->loop, &f->hook);
	ev_io_init(&f->io, f->loop, f->pipe[0], on_io, f);
	ev_io_want(&f->io, EV_RD);
	assert_int_equal(write(f->pipe[1], "x", 1), 1);
	assert_int_equal(ev_loop_turn(f->loop), OK);
	assert_string_equal(trace, "itceh");
	assert_int_equal(ev_loop_turn(f->loop), OK);
	assert_string_equal(trace, "itcehh");
}

static void
test_want_nothing(void **state)
{
	struct fix *f = *state;

	init_tasks(f);
	ev_io_init(&f->io, f->loop, f->pipe[0], on_io, f);
	ev_io_want(&f->io, EV_RD);
	ev_io_want(&f->io, 0);
	assert_int_equal(write(f->pipe[1], "x", 1), 1);
	assert_int_equal(ev_loop_turn(f->loop), OK);
	assert_string_equal(trace, "");
	ev_io_want(&f->io, EV_RD);
	assert_int_equal(ev_loop_turn(f->loop), OK);
	assert_string_equal(trace, "itce");
}

static void
test_cancel(void **state)
{
	struct fix *f = *state;

	init_tasks(f);
	ev_defer(f->loop, &f->task);
	ev_defer(f->loop, &f->end);
	ev_task_cancel(&f->task);
	ev_task_cancel(&f->task);
	assert_int_equal(ev_loop_turn(f->loop), OK);
	assert_string_equal(trace, "e");
}

/* A task that defers itself for ever must not hold up the turn. */
static void
on_again(void *arg, struct ev_task *t)
{
	struct fix *f = arg;

	note('a');
	ev_defer(f->loop, t);
}

static void
test_self_deferring_task_is_bounded(void **state)
{
	struct fix *f = *state;

	ev_task_init(&f->task, on_again, f);
	ev_defer(f->loop, &f->task);
	assert_int_equal(ev_loop_turn(f->loop), OK);
	assert_in_range(strlen(trace), 1, 8);
	ev_task_cancel(&f->task);
}

static void
on_timer(void *arg, struct ev_timer *t)
{
	struct fix *f = arg;

	assert_false(ev_timer_pending(t));
	note(t == &f->timer ? '1' : '2');
	if (t == &f->other)
		ev_loop_stop(f->loop);
	else
		ev_timer_set(t, 0); /* never again in this turn */
}

static void
test_timers(void **state)
{
	struct fix *f = *state;
	struct mono before = ev_now(f->loop);

	ev_timer_init(&f->timer, f->loop, on_timer, f);
	ev_timer_init(&f->other, f->loop, on_timer, f);
	ev_timer_set(&f->timer, 1);
	ev_timer_set(&f->other, 2);
	ev_timer_set(&f->other, 30); /* later: replaces */
	assert_true(ev_timer_pending(&f->other));
	assert_int_equal(ev_loop_run(f->loop), OK);
	assert_true(mono_sub(ev_now(f->loop), before) >= 30);
	assert_int_equal(trace[0], '1');
	assert_non_null(strchr(trace, '2'));
	assert_true(ev_timer_pending(&f->timer));
	ev_timer_clear(&f->timer);
	ev_timer_clear(&f->timer);
	assert_false(ev_timer_pending(&f->timer));
	assert_true(ev_clock(f->loop)->mono(ev_clock(f->loop)).ms ==
		    ev_now(f->loop).ms);
}

static void
on_usr1(void *arg, int signum)
{
	assert_int_equal(signum, SIGUSR1);
	note('s');
	ev_loop_stop(arg);
}

static void
test_signal(void **state)
{
	struct fix *f = *state;

	assert_int_equal(ev_signal(f->loop, SIGUSR1, on_usr1, f->loop), OK);
	raise(SIGUSR1);
	assert_int_equal(ev_loop_run(f->loop), OK);
	assert_string_equal(trace, "s");
	for (unsigned i = 1; i < EV_SIGNALS_MAX; i++)
		assert_int_equal(ev_signal(f->loop, SIGUSR2, on_usr1, f->loop),
		    OK);
	assert_int_equal(ev_signal(f->loop, SIGUSR2, on_usr1, f->loop),
	    ERR_FULL);
}

/* What was accepted can be watched even when the account is exhausted. */
static void
test_reserve(void **state)
{
	struct fix *f = *state;
	int64_t room = acct_room(&f->acct);

	assert_int_equal(acct_charge(&f->acct, room), OK);
	init_tasks(f);
	ev_io_init(&f->io, f->loop, f->pipe[0], on_io, f);
	ev_io_want(&f->io, EV_RD);
	assert_int_equal(write(f->pipe[1], "x", 1), 1);
	assert_int_equal(ev_loop_turn(f->loop), OK);
	assert_string_equal(trace, "itce");
	acct_release(&f->acct, room);
}

static void
test_no_memory(void **state)
{
	struct acct a;
	struct ev_loop *l;

	(void)state;
	acct_init(&a, NULL, "small", 64, false, "");
	assert_int_equal(ev_loop_new(&a, &l), ERR_FULL);
	acct_fini(&a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_order, setup, teardown),
		cmocka_unit_test_setup_teardown(test_want_nothing, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(test_cancel, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    test_self_deferring_task_is_bounded, setup, teardown),
		cmocka_unit_test_setup_teardown(test_timers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_signal, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reserve, setup, teardown),
		cmocka_unit_test(test_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
