/*
 * ladder: steps, thresholds, what is said.
 */
#include "base/ladder.h"

#include "base/limits.h"

enum { NEVER = 101 };

/* Per cent at which a step is climbed, and below which it is left.  Sessions
 * that fill every place are no reason to refuse the mail of those inside, nor
 * to deliver less: that is for memory. */
static const struct {
	unsigned door_on, door_off, memory_on, memory_off;
	const char *text;
} steps[LADDER_STEPS] = {
	[LADDER_CALM] = { 0, 0, 0, 0, "calm" },
	[LADDER_SHORT] = { 90, 70, 80, 65,
	    "short timeouts for unproven clients" },
	[LADDER_CLOSED] = { 98, 85, 90, 75, "no new unproven clients" },
	[LADDER_REFUSE] = { NEVER, NEVER, 95, 85, "new mail waits (452)" },
	[LADDER_PAUSE] = { NEVER, NEVER, 98, 92,
	    "new deliveries wait for those that run" },
};

const char *
ladder_text(unsigned step)
{
	return steps[step < LADDER_STEPS ? step : 0].text;
}

void
ladder_init(struct ladder *l)
{
	*l = (struct ladder){ .step = LADDER_CALM };
	l->row = limits_row(LIMIT_GAUGE, LADDER_ROW, "", 0, 0);
}

static enum ladder_step
climbed(unsigned door, unsigned memory)
{
	enum ladder_step s = LADDER_STEPS - 1;

	while (s > LADDER_CALM && door < steps[s].door_on &&
	       memory < steps[s].memory_on)
		s--;
	return s;
}

bool
ladder_look(struct ladder *l, unsigned door, unsigned memory, struct mono now)
{
	enum ladder_step to = climbed(door, memory), from = l->step;

	if (to > from) {
		l->step = to;
		log_limit(&l->sites[to], now, LADDER_ROW, to,
		    door >= steps[to].door_on ? SLICE_LIT("sessions")
					      : SLICE_LIT("memory"),
		    steps[to].text);
	} else if (to < from && door < steps[from].door_off &&
		   memory < steps[from].memory_off) {
		l->step = from - 1;
		if (l->step == LADDER_CALM)
			log_info("overload is over");
	} else {
		return false;
	}
	limit_set_in_use(l->row, l->step);
	return true;
}
