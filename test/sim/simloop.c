#include "simloop.h"

#include <stdlib.h>

#include "base/assert.h"
#include "ev/timer.h"
#include "ev/turn.h"

enum { WATCHES_MAX = 8 };

struct ev_loop {
	struct ev_turn turn; /* first */
	struct ev_io *watches[WATCHES_MAX];
	int64_t ahead_ms; /* of the wall clock */
};

static struct wall
loop_wall(struct clock *c)
{
	struct ev_loop *l = CONTAINER(c, struct ev_loop, turn.clock);

	return (struct wall){ l->turn.now.ms + l->ahead_ms };
}

enum err
ev_loop_new(struct acct *a, struct ev_loop **out)
{
	struct ev_loop *l = calloc(1, sizeof(*l));

	(void)a;
	if (l == NULL)
		return ERR_FULL;
	turn_init(&l->turn, loop_wall);
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
	ASSERT(now_ms >= l->turn.now.ms);
	l->turn.now.ms = now_ms;
}

void
simloop_jump(struct ev_loop *l, int64_t ms)
{
	l->ahead_ms += ms;
}

int64_t
simloop_next(const struct ev_loop *l)
{
	return turn_has_tasks(&l->turn) ? l->turn.now.ms
					: timer_heap_next(l->turn.timers);
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

enum err
ev_loop_turn(struct ev_loop *l)
{
	turn_run(&l->turn);
	return OK;
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
