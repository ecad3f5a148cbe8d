#include "simloop.h"

#include <stdlib.h>

#include "base/assert.h"
#include "ev/timer.h"

enum { TASK_ROUNDS = 4, WATCHES_MAX = 8 };

struct ev_loop {
	struct ev_timer *timers;
	struct list tasks, end_tasks;
	struct ev_task *hooks[EV_TURN_HOOKS_MAX];
	unsigned hook_count;
	struct ev_io *watches[WATCHES_MAX];
	struct clock clock;
	struct mono now;
	int64_t ahead_ms; /* of the wall clock */
};

static struct mono
loop_mono(struct clock *c)
{
	return CONTAINER(c, struct ev_loop, clock)->now;
}

static struct wall
loop_wall(struct clock *c)
{
	struct ev_loop *l = CONTAINER(c, struct ev_loop, clock);

	return (struct wall){ l->now.ms + l->ahead_ms };
}

enum err
ev_loop_new(struct acct *a, struct ev_loop **out)
{
	struct ev_loop *l = calloc(1, sizeof(*l));

	(void)a;
	if (l == NULL)
		return ERR_FULL;
	list_init(&l->tasks);
	list_init(&l->end_tasks);
	l->clock = (struct clock){ loop_mono, loop_wall };
	*out = l;
	return OK;
}

void
ev_loop_free(struct ev_loop *l)
{
	free(l);
}

void
simloop_at(struct ev_loop *l, int64_t now_ms)
{
	ASSERT(now_ms >= l->now.ms);
	l->now.ms = now_ms;
}

void
simloop_jump(struct ev_loop *l, int64_t ms)
{
	l->ahead_ms += ms;
}

int64_t
simloop_next(const struct ev_loop *l)
{
	if (!list_empty(&l->tasks) || !list_empty(&l->end_tasks))
		return l->now.ms;
	return timer_heap_next(l->timers);
}

void
simloop_readable(struct ev_loop *l, int fd)
{
	for (unsigned i = 0; i < WATCHES_MAX; i++) {
		struct ev_io *io = l->watches[i];

		if (io != NULL && io->fd == fd && io->want & EV_RD) {
			io->fn(io->arg, io, EV_RD);
			return;
		}
	}
}

static void
run_tasks(struct list *tasks)
{
	struct list_node mark = { NULL, NULL };
	struct list_node *n;

	list_push_back(tasks, &mark);
	while ((n = list_pop_front(tasks)) != &mark) {
		struct ev_task *t = CONTAINER(n, struct ev_task, node);

		t->fn(t->arg, t);
	}
}

enum err
ev_loop_turn(struct ev_loop *l)
{
	struct ev_timer *t;

	while ((t = timer_heap_pop(&l->timers, l->now.ms)) != NULL)
		t->fn(t->arg, t);
	for (unsigned i = 0; i < TASK_ROUNDS; i++)
		run_tasks(&l->tasks);
	run_tasks(&l->end_tasks);
	for (unsigned i = 0; i < l->hook_count; i++)
		l->hooks[i]->fn(l->hooks[i]->arg, l->hooks[i]);
	return OK;
}

struct mono
ev_now(const struct ev_loop *l)
{
	return l->now;
}

struct clock *
ev_clock(struct ev_loop *l)
{
	return &l->clock;
}

void
ev_io_init(struct ev_io *io, struct ev_loop *l, int fd, ev_io_fn *fn, void *arg)
{
	*io = (struct ev_io){ .loop = l, .fn = fn, .arg = arg, .fd = fd };
}

void
ev_io_want(struct ev_io *io, unsigned want)
{
	struct ev_loop *l = io->loop;
	unsigned slot = WATCHES_MAX;

	for (unsigned i = 0; i < WATCHES_MAX; i++) {
		if (l->watches[i] == io)
			l->watches[i] = NULL;
		if (l->watches[i] == NULL)
			slot = i;
	}
	io->want = want;
	if (want == 0)
		return;
	ASSERT(slot < WATCHES_MAX);
	l->watches[slot] = io;
}

void
ev_io_fini(struct ev_io *io)
{
	if (io->loop != NULL)
		ev_io_want(io, 0);
	io->loop = NULL;
}

void
ev_timer_init(struct ev_timer *t, struct ev_loop *l, ev_timer_fn *fn, void *arg)
{
	*t = (struct ev_timer){ .loop = l, .fn = fn, .arg = arg };
}

void
ev_timer_set(struct ev_timer *t, int64_t delay_ms)
{
	int64_t due = t->loop->now.ms + (delay_ms > 1 ? delay_ms : 1);

	timer_heap_set(&t->loop->timers, t, due);
}

void
ev_timer_clear(struct ev_timer *t)
{
	if (t->pending)
		timer_heap_remove(&t->loop->timers, t);
}

bool
ev_timer_pending(const struct ev_timer *t)
{
	return t->pending;
}

void
ev_task_init(struct ev_task *t, ev_task_fn *fn, void *arg)
{
	*t = (struct ev_task){ .fn = fn, .arg = arg };
}

void
ev_defer(struct ev_loop *l, struct ev_task *t)
{
	if (!list_linked(&t->node))
		list_push_back(&l->tasks, &t->node);
}

void
ev_defer_end(struct ev_loop *l, struct ev_task *t)
{
	if (!list_linked(&t->node))
		list_push_back(&l->end_tasks, &t->node);
}

void
ev_task_cancel(struct ev_task *t)
{
	list_remove(&t->node);
}

void
ev_each_turn(struct ev_loop *l, struct ev_task *t)
{
	ASSERT(l->hook_count < EV_TURN_HOOKS_MAX);
	l->hooks[l->hook_count++] = t;
}

void
ev_each_turn_stop(struct ev_loop *l, struct ev_task *t)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < l->hook_count; i++)
		if (l->hooks[i] != t)
			l->hooks[kept++] = l->hooks[i];
	l->hook_count = kept;
}
