/*
 * mode_crash: a power failure before every call that changes the disk, and
 * then before every such call of the recovery.
 *
 * The run itself goes on: at each place a copy of the disk is crashed,
 * recovered and checked against a copy of the model.
 */
#include <stdio.h>
#include <string.h>

#include "modes.h"
#include "sim.h"

enum { DEPTH_MAX = 2 };

struct level {
	struct sim sim; /* of depth 0: the run; else the copy */
	unsigned calls;
	uint64_t random;
};

static struct level levels[DEPTH_MAX + 1];

static void
say_where(unsigned depth)
{
	if (depth == 1)
		snprintf(sim_where, sizeof(sim_where), "power cut at call %u",
		    levels[0].calls);
	else
		snprintf(sim_where, sizeof(sim_where),
		    "power cut at call %u, then at call %u of the recovery",
		    levels[0].calls, levels[1].calls);
}

/* arg: the level whose store is about to change its disk. */
static void
before(void *arg)
{
	struct level *l = arg, *next = l + 1;
	unsigned depth = (unsigned)(next - levels);
	struct sim *m = &next->sim;
	struct errtext et = { "" };

	l->calls++;
	say_where(depth);
	l->random = l->random * 6364136223846793005u + 1442695040888963407u;
	sim_twin(m, &l->sim, l->random >> 8);
	sim_crash(m, SIM_POWER);
	next->calls = 0;
	next->random = l->random ^ 1;
	if (depth < DEPTH_MAX) {
		m->disk.before = before;
		m->disk.before_arg = next;
	}
	if (sim_open(m, &et) != OK)
		sim_fail("does not open: %s", et.text);
	m->disk.before = NULL;
	say_where(depth);
	if (!sim_verify(m))
		sim_fail("poisoned although nothing failed");
	if (depth == 1 && chance(m, 8) == 0) {
		sim_close(m);
		sim_fsck(m);
	}
	sim_fini(m);
}

void
mode_crash(uint64_t seed)
{
	struct level *l = &levels[0];
	struct sim *m = &l->sim;
	uint64_t steps;

	sim_init(m, seed);
	l->calls = 0;
	l->random = seed;
	m->disk.before_arg = l;
	steps = 10 + chance(m, 60);
	if (chance(m, 2)) {
		sim_open_well(m);
		sim_prelude(m);
		m->disk.before = before;
	} else {
		m->disk.before = before;
		sim_open_well(m);
	}
	for (uint64_t i = 0; i < steps; i++)
		sim_act(m);
	sim_close(m);
	m->disk.before = NULL;
	sim_open_well(m);
	sim_live(m);
	sim_fini(m);
}
