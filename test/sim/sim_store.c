/*
 * sim_store: runs of the real store on the simulated disk, from seeds.
 *
 *   random  steps with calls that fail at random, a crash, recovery with more
 *           crashes, again; at the end all must live
 *   crash   a crash at every call of a run that changes the disk, and at
 *           every such call of the recovery from it
 *   fault   each call of a run fails, once and for good, in each way it can
 *   memory  each allocation of a run fails
 *   full    a disk that is full most of the time
 *   share   a disk that only strangers use: others find room
 *   rot     pages of the log cannot be read any more
 *
 * sim_store [--mode NAME] [--seeds N] [--seed S] [--jobs J] [-v]
 * A failure prints the command that shows it again.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "modes.h"
#include "seeds.h"
#include "sim.h"

struct sim_stats sim_stats;
bool sim_verbose;
char sim_where[160];

static uint64_t seed_now;
static unsigned mode_now;

static const struct {
	const char *name;
	void (*run)(uint64_t seed);
} modes[] = {
	{ "random", mode_random },
	{ "crash", mode_crash },
	{ "fault", mode_fault },
	{ "memory", mode_memory },
	{ "full", mode_full },
	{ "share", mode_share },
	{ "rot", mode_rot },
};

enum { MODES = sizeof(modes) / sizeof(modes[0]) };

void
sim_fail(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fprintf(stderr, "sim_store: %s: seed %llu: ", modes[mode_now].name,
	    (unsigned long long)seed_now);
	vfprintf(stderr, fmt, ap);
	fprintf(stderr,
	    "%s%s\nsim_store: again: %s --mode %s --seeds 1 --seed "
	    "%llu -v\n",
	    sim_where[0] ? "; " : "", sim_where,
	    STORE_SCALE == 1 ? "sim_store_full" : "sim_store",
	    modes[mode_now].name, (unsigned long long)seed_now);
	va_end(ap);
	if (getenv("SIM_ABORT") != NULL)
		abort();
	exit(1);
}

void
sim_say(const char *fmt, ...)
{
	va_list ap;

	if (!sim_verbose)
		return;
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
}

static void
run_one(uint64_t seed)
{
	seed_now = seed;
	sim_where[0] = '\0';
	modes[mode_now].run(seed);
	sim_stats.runs++;
}

static double
now_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* Of all processes of a mode. */
static struct sim_stats all;

static void
add_stats(const void *arg)
{
	const struct sim_stats *one = arg;

	all.runs += one->runs;
	all.opens += one->opens;
	all.crashes += one->crashes;
	all.faults += one->faults;
	all.found += one->found;
	all.moved += one->moved;
	all.retired += one->retired;
	all.set_aside += one->set_aside;
}

/* One mode.  False: a seed failed. */
static bool
run_mode(unsigned mode, const struct seeds *s)
{
	double began = now_s(), cpu = seeds_cpu_s(), took;

	mode_now = mode;
	all = (struct sim_stats){ 0 };
	if (!seeds_run(s, run_one, &sim_stats, sizeof(sim_stats), add_stats))
		return false;
	took = now_s() - began;
	cpu = seeds_cpu_s() - cpu;
	printf("sim_store: %-6s %llu seeds from %llu: %llu opens, %llu "
	       "crashes, %llu faults, %llu messages checked, %llu moved, %llu "
	       "segments reused, %llu set aside; %.1f s, %.1f s of CPU, %.0f "
	       "seeds per CPU second\n",
	    modes[mode].name, (unsigned long long)all.runs,
	    (unsigned long long)s->first, (unsigned long long)all.opens,
	    (unsigned long long)all.crashes, (unsigned long long)all.faults,
	    (unsigned long long)all.found, (unsigned long long)all.moved,
	    (unsigned long long)all.retired, (unsigned long long)all.set_aside,
	    took, cpu, (double)all.runs / (cpu > 0 ? cpu : 1));
	return true;
}

static int
usage(void)
{
	fprintf(stderr, "usage: sim_store [--mode NAME] [--seeds N] "
			"[--seed S] [--jobs J] [-v]\n");
	return 64;
}

/* How many seeds of a mode stand for one of "random": their runs are long. */
static uint64_t
share(unsigned mode, uint64_t seeds)
{
	static const unsigned parts[MODES] = { 1, 50, 50, 20, 4, 4, 4 };

	return (seeds + parts[mode] - 1) / parts[mode];
}

int
main(int argc, char **argv)
{
	struct seeds given, seeds;
	const char *mode = NULL;
	bool good = true, any = false;

	seeds_init(&given);
	for (int i = 1; i < argc; i++) {
		if (seeds_option(&given, argc, argv, &i))
			continue;
		if (!strcmp(argv[i], "--mode") && i + 1 < argc)
			mode = argv[++i];
		else if (!strcmp(argv[i], "-v"))
			sim_verbose = true;
		else
			return usage();
	}
	for (unsigned i = 0; i < MODES; i++) {
		if (mode != NULL && strcmp(mode, modes[i].name) != 0)
			continue;
		any = true;
		seeds = given;
		if (mode == NULL)
			seeds.count = share(i, given.count);
		good &= run_mode(i, &seeds);
	}
	return !any ? usage() : good ? 0 : 1;
}
