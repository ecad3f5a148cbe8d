/*
 * workers_recount: places of the gate "workers" against the workers there are.
 *
 * Once a minute while a place is taken.  A place that no worker holds, and a
 * worker whose process is gone although nobody noticed, are bugs: they are
 * said, and mended, so that a leak never closes the gate for good.
 */
#include <errno.h>
#include <signal.h>

#include "base/log.h"
#include "local/workers_internal.h"

enum { RECOUNT_MS = 60000 };

static bool
in_list(const struct list *l, const struct worker *w)
{
	struct list_node *n = list_first(l);

	while (n != NULL && n != &w->node)
		n = list_next(l, n);
	return n != NULL;
}

/* A process that has exited and was not waited for still has its number. */
static bool
process_is_gone(const struct worker *w)
{
	return w->pid > 0 && kill(w->pid, 0) < 0 && errno == ESRCH;
}

static unsigned
end_lost(struct list *workers)
{
	struct list_node *n = list_first(workers), *next;
	unsigned count = 0;

	for (; n != NULL; n = next) {
		struct worker *w = CONTAINER(n, struct worker, node);

		next = list_next(workers, n);
		if (!process_is_gone(w))
			continue;
		w->pid = 0;
		if (w->chan_fd >= 0)
			worker_end(w, "delivery process is gone");
		worker_free(w);
		count++;
	}
	return count;
}

static unsigned
free_lost(struct workers *all)
{
	struct list_node *n = list_first(&all->gate.held), *next;
	unsigned count = 0;

	for (; n != NULL; n = next) {
		struct gate_slot *s = CONTAINER(n, struct gate_slot, node);
		struct worker *w = CONTAINER(s, struct worker, slot);

		next = list_next(&all->gate.held, n);
		if (in_list(&all->live, w) || in_list(&all->dying, w))
			continue;
		gate_leave(&all->gate, s);
		count++;
	}
	return count;
}

void
workers_recount(struct workers *all)
{
	unsigned held = all->gate.in_use;
	unsigned lost =
	    end_lost(&all->live) + end_lost(&all->dying) + free_lost(all);

	if (lost == 0)
		return;
	log_error("bug: %u of %u places of the gate workers are held by no "
		  "process",
	    lost, held);
	workers_place_free(all);
}

static void
on_timer(void *arg, struct ev_timer *t)
{
	struct workers *all = arg;

	workers_recount(all);
	if (all->gate.in_use > 0)
		ev_timer_set(t, RECOUNT_MS);
}

void
workers_recount_init(struct workers *all)
{
	ev_timer_init(&all->recount, all->loop, on_timer, all);
}

void
workers_recount_later(struct workers *all)
{
	if (!ev_timer_pending(&all->recount))
		ev_timer_set(&all->recount, RECOUNT_MS);
}
