/*
 * mode_random: random steps, random faults, random deaths.
 */
#include "modes.h"
#include "sim.h"

static void
play(struct sim *m)
{
	uint64_t steps = 10 + chance(m, 200);

	if (chance(m, 2))
		m->disk.calls_left = 1 + chance(m, 300);
	if (chance(m, 4) == 0)
		m->disk.fail_one_in = 200;
	if (chance(m, 4) == 0)
		m->disk.sync_fail_one_in = 60;
	for (uint64_t i = 0; i < steps && !m->poisoned && !m->disk.dead; i++)
		sim_act(m);
	m->disk.fail_one_in = m->disk.sync_fail_one_in = 0;
}

void
mode_random(uint64_t seed)
{
	static struct sim sim;
	struct sim *m = &sim;
	uint64_t rounds;

	sim_init(m, seed);
	rounds = 1 + chance(m, 3);
	if (chance(m, 3) == 0)
		m->disk.capacity_bytes =
		    (6 + m->conf.spare_count + chance(m, 12)) *
		    m->conf.segment_bytes;
	sim_reopen(m);
	if (chance(m, 3) == 0)
		sim_prelude(m);
	for (uint64_t i = 0; i < rounds; i++) {
		play(m);
		if (m->poisoned || m->disk.dead || chance(m, 3) != 0) {
			sim_crash(m, m->disk.dead || chance(m, 2) ? SIM_POWER
								  : SIM_KILL);
		} else {
			m->disk.calls_left = 0;
			sim_close(m);
		}
		sim_reopen(m);
	}
	sim_live(m);
	sim_close(m);
	sim_fsck(m);
	sim_fini(m);
}
