/*
 * turn: time, timers and tasks of a loop; see turn.h.
 */
#include "ev/turn.h"

#include "base/assert.h"
#include "base/mem.h"
#include "ev/timer.h"

/* A task may defer another; so many rounds of them belong to one turn. */
enum { TASK_ROUNDS_MAX = 4 };

static struct ev_turn *
turn_of(struct ev_loop *l)
{
	return (struct ev_turn *)l;
}

static struct mono
turn_mono(struct clock *c)
{
	return CONTAINER(c, struct ev_turn, clock)->now;
}

void
turn_init(struct ev_turn *t, struct wall (*wall)(struct clock *c))
{
	*t = (struct ev_turn){ .clock = { turn_mono, wall } };
	list_init(&t->tasks);
	list_init(&t->end_tasks);
}

bool
turn_has_tasks(const struct ev_turn *t)
{
	return !list_empty(&t->tasks) || !list_empty(&t->end_tasks);
}

/* Those that are in the list now; what they defer waits for the next call. */
static void
run_tasks(struct list *tasks)
{
	struct list_node mark = { NULL, NULL };
	struct list_node *n;

	if (list_empty(tasks))
		return;
	list_push_back(tasks, &mark);
	while ((n = list_pop_front(tasks)) != &mark) {
		struct ev_task *t = CONTAINER(n, struct ev_task, node);

		t->fn(t->arg, t);
	}
}

void
turn_run(struct ev_turn *t)
{
	struct ev_timer *due;

	while ((due = timer_heap_pop(&t->timers, t->now.ms)) != NULL)
		due->fn(due->arg, due);
	for (unsigned i = 0; i < TASK_ROUNDS_MAX; i++)
		run_tasks(&t->tasks);
	run_tasks(&t->end_tasks);
	for (unsigned i = 0; i < t->hook_count; i++)
		t->hooks[i]->fn(t->hooks[i]->arg, t->hooks[i]);
}

struct mono
ev_now(const struct ev_loop *l)
{
	return ((const struct ev_turn *)l)->now;
}

struct clock *
ev_clock(struct ev_loop *l)
{
	return &turn_of(l)->clock;
}

/* ---- timers ---- */

void
ev_timer_init(struct ev_timer *t, struct ev_loop *l, ev_timer_fn *fn, void *arg)
{
	*t = (struct ev_timer){ .loop = l, .fn = fn, .arg = arg };
}

void
ev_timer_set(struct ev_timer *t, int64_t delay_ms)
{
	struct ev_turn *turn = turn_of(t->loop);
	int64_t due = turn->now.ms + (delay_ms > 1 ? delay_ms : 1);

	timer_heap_set(&turn->timers, t, due);
}

void
ev_timer_clear(struct ev_timer *t)
{
	if (t->pending)
		timer_heap_remove(&turn_of(t->loop)->timers, t);
}

bool
ev_timer_pending(const struct ev_timer *t)
{
	return t->pending;
}

/* ---- tasks ---- */

void
ev_task_init(struct ev_task *t, ev_task_fn *fn, void *arg)
{
	*t = (struct ev_task){ .fn = fn, .arg = arg };
}

void
ev_defer(struct ev_loop *l, struct ev_task *t)
{
	if (!list_linked(&t->node))
		list_push_back(&turn_of(l)->tasks, &t->node);
}

void
ev_defer_end(struct ev_loop *l, struct ev_task *t)
{
	if (!list_linked(&t->node))
		list_push_back(&turn_of(l)->end_tasks, &t->node);
}

void
ev_task_cancel(struct ev_task *t)
{
	list_remove(&t->node);
}

void
ev_each_turn(struct ev_loop *l, struct ev_task *t)
{
	struct ev_turn *turn = turn_of(l);

	ASSERT(turn->hook_count < EV_TURN_HOOKS_MAX);
	turn->hooks[turn->hook_count++] = t;
}

void
ev_each_turn_stop(struct ev_loop *l, struct ev_task *t)
{
	struct ev_turn *turn = turn_of(l);
	unsigned kept = 0;

	for (unsigned i = 0; i < turn->hook_count; i++)
		if (turn->hooks[i] != t)
			turn->hooks[kept++] = turn->hooks[i];
	turn->hook_count = kept;
}
