/*
 * mode_fault: each call of a run fails, once and for good, in each way that
 * such a call can fail; and each allocation fails.
 *
 * A failed write or sync of the log poisons it: nothing more is acknowledged
 * until the restart.  Whatever else fails, the service goes on when the fault
 * is over.  What could not be read at a start is kept until it can be.  After
 * a restart all is there.
 */
#include <errno.h>
#include <stdio.h>

#include "modes.h"
#include "sim.h"

enum { CALLS_MAX = 4096, OPENS_MAX = 4, ALLOCS_MAX = 20000 };

static unsigned char trace[CALLS_MAX];

/* Start; what fails for good is mended after some tries. */
static void
start(struct sim *m)
{
	struct errtext et = { "" };

	for (unsigned i = 0; sim_open(m, &et) != OK; i++) {
		if (i == OPENS_MAX)
			sim_fail("does not open: %s", et.text);
		if (i + 1 == OPENS_MAX) {
			m->disk.fault.count = 0;
			acct_set_max(&m->acct, 0);
		}
		sim_crash(m, chance(m, 2) ? SIM_POWER : SIM_KILL);
	}
}

/* The end of a run with a fault: restart if need be, and live. */
static void
finish(struct sim *m)
{
	m->disk.fault.count = 0;
	mem_fail_after(0);
	acct_set_max(&m->acct, 0);
	/* What could not be read is kept, and with it all of the log; mail is
	 * taken and ends nevertheless. */
	if (!m->poisoned && m->store->segments.unreadable &&
	    m->disk.capacity_bytes == UINT64_MAX) {
		sim_deliver_some(m, 100);
		sim_intake(m);
	}
	if (m->poisoned || m->store->segments.unreadable) {
		/* Killed first: what a failed sync lost still reads back.
		 * What is served from then on must be there after a power
		 * failure, too. */
		sim_crash(m, SIM_KILL);
		sim_open_well(m);
		sim_crash(m, SIM_POWER);
		sim_open_well(m);
	}
	sim_live(m);
	sim_crash(m, SIM_POWER);
	sim_open_well(m);
	sim_fini(m);
}

static void
begin(struct sim *m, uint64_t seed)
{
	sim_init(m, seed);
	if (chance(m, 4) == 0)
		m->disk.capacity_bytes =
		    (5 + m->conf.spare_count + chance(m, 4)) *
		    m->conf.segment_bytes;
	/* From an empty disk, or in the middle of things. */
	if (chance(m, 3) == 0) {
		sim_open_well(m);
		sim_prelude(m);
		m->disk.call_count = 0;
	}
}

static void
play(struct sim *m)
{
	uint64_t steps = 10 + chance(m, 40);

	for (uint64_t i = 0; i < steps && !m->poisoned; i++)
		sim_act(m);
}

static void
run(uint64_t seed, const struct sim_fault *fault)
{
	static struct sim m;

	begin(&m, seed);
	m.disk.fault = *fault;
	sim_stats.faults++;
	if (m.store == NULL)
		start(&m);
	play(&m);
	finish(&m);
}

/* How many calls the run makes when nothing fails, and of which kinds. */
static uint64_t
measure(uint64_t seed)
{
	static struct sim m;
	uint64_t n;

	begin(&m, seed);
	m.disk.trace = trace;
	m.disk.trace_count = CALLS_MAX;
	if (m.store == NULL)
		start(&m);
	play(&m);
	n = m.disk.call_count;
	sim_fini(&m);
	return n < CALLS_MAX ? n : CALLS_MAX - 1;
}

static void
run_both(uint64_t seed, uint64_t at, unsigned kinds, int error)
{
	struct sim_fault once = { at, 1, SIM_ALL, error };
	struct sim_fault for_good = { at, UINT64_MAX, kinds, error };

	snprintf(sim_where, sizeof(sim_where), "call %llu fails once with %d",
	    (unsigned long long)at, error);
	run(seed, &once);
	snprintf(sim_where, sizeof(sim_where),
	    "calls of kind %u fail from %llu on with %d", kinds,
	    (unsigned long long)at, error);
	run(seed, &for_good);
}

void
mode_fault(uint64_t seed)
{
	uint64_t calls = measure(seed);

	for (uint64_t at = 1; at <= calls; at++) {
		unsigned kind = trace[at];

		run_both(seed, at, kind & SIM_CHANGES ? SIM_CHANGES : kind,
		    EIO);
		if (kind & (SIM_WRITE | SIM_NAME))
			run_both(seed, at, SIM_WRITE | SIM_NAME, ENOSPC);
	}
}

/* ---- memory ---- */

/* False: the run ends before the n-th allocation. */
static bool
run_memory(uint64_t seed, unsigned n)
{
	static struct sim m;
	bool failed;

	begin(&m, seed);
	sim_stats.faults++;
	mem_fail_after(n);
	if (m.store == NULL)
		start(&m);
	play(&m);
	failed = mem_fail_after(0) == 0;
	finish(&m);
	return failed;
}

/* From some step on the account gives nothing more. */
static void
run_account(uint64_t seed, unsigned step)
{
	static struct sim m;

	snprintf(sim_where, sizeof(sim_where), "no memory from step %u on",
	    step);
	begin(&m, seed);
	sim_stats.faults++;
	if (m.store == NULL)
		start(&m);
	for (unsigned i = 0; i < 60 && !m.poisoned; i++) {
		if (i == step)
			acct_set_max(&m.acct, m.acct.used_bytes);
		sim_act(&m);
	}
	finish(&m);
}

void
mode_memory(uint64_t seed)
{
	for (unsigned n = 1; n < ALLOCS_MAX; n++) {
		snprintf(sim_where, sizeof(sim_where), "allocation %u fails",
		    n);
		if (!run_memory(seed, n))
			break;
	}
	for (unsigned step = 0; step < 60; step += 7)
		run_account(seed, step);
}
