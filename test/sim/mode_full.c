/*
 * mode_full: a disk that is full most of the time.
 *
 * Refused is new mail only.  Whatever the disk looks like, deliveries are
 * recorded, messages end, ids are given out and the log closes; and when
 * messages have ended, new mail is taken again.
 */
#include "modes.h"
#include "sim.h"

enum { FILL_MAX = 200, ROUNDS_MAX = 3, REFUSALS_MAX = 12 };

/* New mail until it is refused for good. */
static void
fill(struct sim *m)
{
	unsigned refused = 0;

	for (unsigned i = 0; i < FILL_MAX && refused < REFUSALS_MAX &&
			     m->model_count < SIM_MODELS_MAX - SIM_MODELS_SPARE;
	     i++) {
		if (sim_act_whole(m, (uint32_t)chance(m, SIM_BODY_MAX))) {
			refused = 0;
			if (chance(m, 2))
				sim_act_defer(m);
		} else {
			refused++;
		}
		if (chance(m, 8) == 0)
			sim_let_go(m);
		sim_turn(m, 1 + (int64_t)chance(m, 200));
	}
}

/* Clients come and are refused: each takes an id. */
static void
burn_ids(struct sim *m)
{
	for (uint64_t n = chance(m, 20); n > 0; n--) {
		unsigned i;

		sim_let_go(m);
		for (i = 0; i < SIM_TURNS_MAX && !sim_act_ids(m); i++)
			sim_turn(m, 100);
		if (i == SIM_TURNS_MAX)
			sim_fail("no id is given out");
	}
}

static void
die(struct sim *m)
{
	switch (chance(m, 4)) {
	case 0: return;
	case 1: sim_close(m); break;
	case 2: sim_crash(m, SIM_KILL); break;
	default: sim_crash(m, SIM_POWER); break;
	}
	sim_open_well(m);
}

/* When half of what the log may hold has ended, new mail is taken again
 * without anybody's help. */
static void
take_again(struct sim *m)
{
	uint64_t seg = m->conf.segment_bytes;
	uint64_t keep = (m->conf.spare_count + 3) * seg;
	unsigned i;

	sim_let_go(m);
	for (i = 0; i < SIM_TURNS_MAX &&
		    2 * store_bytes(m->store) + keep > m->disk.capacity_bytes;
	     i++)
		sim_deliver_some(m, 50);
	sim_intake(m);
}

void
mode_full(uint64_t seed)
{
	static struct sim sim;
	struct sim *m = &sim;
	uint64_t rounds;

	sim_init(m, seed);
	m->disk.capacity_bytes =
	    (5 + m->conf.spare_count + chance(m, 6)) * m->conf.segment_bytes;
	rounds = 1 + chance(m, ROUNDS_MAX);
	sim_open_well(m);
	for (uint64_t i = 0; i < rounds && !m->poisoned; i++) {
		fill(m);
		for (uint64_t n = chance(m, 100); n > 0; n--)
			sim_act(m);
		if (chance(m, 2))
			burn_ids(m);
		die(m);
		for (uint64_t n = chance(m, 6); n > 0; n--)
			sim_deliver_some(m, (unsigned)chance(m, 60));
		take_again(m);
	}
	if (m->poisoned)
		sim_fail("a full disk poisoned the log");
	sim_live(m);
	sim_close(m);
	sim_fsck(m);
	sim_fini(m);
}
