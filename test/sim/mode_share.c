/*
 * mode_share: a disk that only strangers use.
 *
 * They begin bodies and leave them, write some whole, have them deferred and
 * delivered, and the process dies.  Whatever they do and whenever one looks,
 * there is room for a small message of somebody who is trusted.
 */
#include "modes.h"
#include "sim.h"

enum {
	ROUNDS_MAX = 3,
	STEPS_MAX = 250,
	SMALL_BYTES = 200,
	SEGMENTS_MIN = 30, /* a fifth of them is more than moving needs */
};

/* One who is trusted asks now, and is not refused for the disk. */
static void
ask(struct sim *m)
{
	struct store_msg msg;
	enum err e = store_msg_open(m->store, &msg);
	const char *name;
	int64_t value;

	if (e == ERR_AGAIN)
		return; /* no id is ready */
	if (e != OK)
		sim_fail("no transaction: %s", err_name(e));
	e = store_reserve(m->store, &msg, SMALL_BYTES);
	store_msg_close(m->store, &msg);
	if (e == OK)
		return;
	(void)store_why_short(m->store, &name, &value);
	sim_fail("a small message is refused: %s, %lld free, %u segments, %u "
		 "spares",
	    name, (long long)value, segments_live_count(m->store),
	    m->store->segments.spare_count);
}

static void
play(struct sim *m)
{
	for (uint64_t n = chance(m, STEPS_MAX);
	     n > 0 && m->model_count < SIM_MODELS_MAX - SIM_MODELS_SPARE; n--) {
		switch (chance(m, 4)) {
		case 0: sim_act(m); break;
		case 1: sim_act_leave(m); break;
		default:
			/* Whole, or given up where it is refused. */
			(void)sim_act_whole(m,
			    (uint32_t)chance(m, SIM_BODY_MAX));
			break;
		}
		ask(m);
		if (chance(m, 4) == 0) {
			sim_turn(m, (int64_t)chance(m, 300));
			ask(m);
		}
	}
}

void
mode_share(uint64_t seed)
{
	static struct sim sim;
	struct sim *m = &sim;

	sim_init(m, seed);
	m->strangers = true;
	m->conf.held_max = SIM_OPEN_MAX + 1;
	m->disk.capacity_bytes =
	    (SEGMENTS_MIN + chance(m, 10)) * m->conf.segment_bytes;
	sim_open_well(m);
	for (uint64_t i = 1 + chance(m, ROUNDS_MAX); i > 0; i--) {
		play(m);
		if (chance(m, 2)) {
			sim_crash(m, chance(m, 2) ? SIM_POWER : SIM_KILL);
			sim_open_well(m);
			ask(m);
		}
		for (uint64_t n = chance(m, 4); n > 0; n--) {
			sim_deliver_some(m, (unsigned)chance(m, 60));
			ask(m);
		}
	}
	if (m->poisoned)
		sim_fail("a full disk poisoned the log");
	m->strangers = false;
	sim_live(m);
	sim_close(m);
	sim_fsck(m);
	sim_fini(m);
}
