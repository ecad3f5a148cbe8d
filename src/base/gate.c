#include "base/gate.h"

#include "base/assert.h"
#include "base/limits.h"
#include "base/log.h"

void
gate_init(struct gate *g, const char *name, const char *parameter,
    unsigned limit, unsigned reserved)
{
	*g = (struct gate){ .name = name };
	list_init(&g->held);
	g->row = limits_row(LIMIT_GATE, name, parameter, 0, limit);
	gate_set_limit(g, limit, reserved);
}

void
gate_set_limit(struct gate *g, unsigned limit, unsigned reserved)
{
	g->limit = limit;
	/* Ordinary holders always keep one slot, or they would starve. */
	if (reserved >= limit)
		reserved = limit > 0 ? limit - 1 : 0;
	g->reserved = reserved;
	limit_set_limit(g->row, limit);
}

bool
gate_open(const struct gate *g, bool privileged)
{
	return g->in_use < (privileged ? g->limit : g->limit - g->reserved);
}

bool
gate_enter(struct gate *g, struct gate_slot *s, bool privileged,
    struct mono deadline, bool will_wait)
{
	ASSERT(!s->held);
	if (!gate_open(g, privileged)) {
		if (will_wait)
			limit_waited(g->row);
		else
			limit_refused(g->row);
		return false;
	}
	s->held = true;
	s->deadline = deadline;
	list_push_back(&g->held, &s->node);
	g->in_use++;
	limit_set_in_use(g->row, g->in_use);
	return true;
}

void
gate_leave(struct gate *g, struct gate_slot *s)
{
	if (!s->held)
		return;
	ASSERT(g->in_use > 0);
	s->held = false;
	list_remove(&s->node);
	g->in_use--;
	limit_set_in_use(g->row, g->in_use);
}

unsigned
gate_recount(struct gate *g, struct mono now)
{
	unsigned held_count = 0;
	unsigned late_count = 0;

	for (struct list_node *n = list_first(&g->held); n != NULL;
	     n = list_next(&g->held, n)) {
		struct gate_slot *s = CONTAINER(n, struct gate_slot, node);

		held_count++;
		if (mono_sub(now, s->deadline) > 0)
			late_count++;
	}
	ASSERT(held_count == g->in_use);
	if (late_count > g->late_count)
		log_warning("gate %s: %u of %u slots are held past their "
			    "deadline",
		    g->name, late_count, g->in_use);
	g->late_count = late_count;
	return late_count;
}
