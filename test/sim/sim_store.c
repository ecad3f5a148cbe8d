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
 *   rot     pages of the log cannot be read any more
 *
 * sim_store [--mode NAME] [--seeds N] [--seed S] [--jobs J] [-v]
 * A failure prints the command that shows it again.
 */
#include <malloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "modes.h"
#include "sim.h"

struct sim_stats sim_stats;
bool sim_verbose;
char sim_where[160];

static uint64_t seed_now;
static const char *mode_now;

static const struct {
	const char *name;
	void (*run)(uint64_t seed);
} modes[] = {
	{ "random", mode_random },
	{ "crash", mode_crash },
	{ "fault", mode_fault },
	{ "memory", mode_memory },
	{ "full", mode_full },
	{ "rot", mode_rot },
};

enum { MODES = sizeof(modes) / sizeof(modes[0]), JOBS_MAX = 64 };

void
sim_fail(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fprintf(stderr, "sim_store: %s: seed %llu: ", mode_now,
	    (unsigned long long)seed_now);
	vfprintf(stderr, fmt, ap);
	fprintf(stderr,
	    "%s%s\nsim_store: again: %s --mode %s --seeds 1 --seed "
	    "%llu -v\n",
	    sim_where[0] ? "; " : "", sim_where,
	    STORE_SCALE == 1 ? "sim_store_full" : "sim_store", mode_now,
	    (unsigned long long)seed_now);
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

/* Seeds first, first + step, ...; the figures go to fd. */
static void
run_seeds(unsigned mode, uint64_t first, uint64_t count, unsigned step, int fd)
{
	for (uint64_t i = 0; i < count; i += step) {
		seed_now = first + i;
		sim_where[0] = '\0';
		modes[mode].run(seed_now);
		sim_stats.runs++;
	}
	if (write(fd, &sim_stats, sizeof(sim_stats)) != sizeof(sim_stats))
		exit(1);
}

static double
now_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* Of all processes that have ended. */
static double
cpu_s(void)
{
	struct rusage r;

	getrusage(RUSAGE_CHILDREN, &r);
	return (double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) +
	       (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec) / 1e6;
}

static void
add_stats(struct sim_stats *to, const struct sim_stats *from)
{
	to->runs += from->runs;
	to->opens += from->opens;
	to->crashes += from->crashes;
	to->faults += from->faults;
	to->found += from->found;
	to->moved += from->moved;
	to->retired += from->retired;
	to->set_aside += from->set_aside;
}

/* One mode in several processes.  False: a seed failed. */
static bool
run_mode(unsigned mode, uint64_t first, uint64_t count, unsigned jobs)
{
	struct sim_stats all = { 0 }, one;
	double began = now_s(), cpu = cpu_s(), took;
	int fds[2];
	bool good = true;

	mode_now = modes[mode].name;
	if (pipe(fds) < 0)
		exit(1);
	fflush(stdout);
	for (unsigned j = 0; j < jobs && j < count; j++) {
		pid_t pid = fork();

		if (pid < 0)
			exit(1);
		if (pid == 0) {
			run_seeds(mode, first + j, count - j, jobs, fds[1]);
			fflush(stdout);
			_exit(0);
		}
	}
	close(fds[1]);
	while (read(fds[0], &one, sizeof(one)) == sizeof(one))
		add_stats(&all, &one);
	close(fds[0]);
	for (int status; wait(&status) > 0;)
		good &= status == 0;
	took = now_s() - began;
	cpu = cpu_s() - cpu;
	if (good)
		printf("sim_store: %-6s %llu seeds from %llu: %llu opens, "
		       "%llu crashes, %llu faults, %llu messages checked, "
		       "%llu moved, %llu segments reused, %llu set aside; "
		       "%.1f s, %.1f s of CPU, %.0f seeds per CPU second\n",
		    mode_now, (unsigned long long)all.runs,
		    (unsigned long long)first, (unsigned long long)all.opens,
		    (unsigned long long)all.crashes,
		    (unsigned long long)all.faults,
		    (unsigned long long)all.found,
		    (unsigned long long)all.moved,
		    (unsigned long long)all.retired,
		    (unsigned long long)all.set_aside, took, cpu,
		    (double)all.runs / (cpu > 0 ? cpu : 1));
	return good;
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
	static const unsigned parts[MODES] = { 1, 50, 50, 20, 4, 4 };

	return (seeds + parts[mode] - 1) / parts[mode];
}

int
main(int argc, char **argv)
{
	uint64_t seeds = 100, first = 1;
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	unsigned jobs = cpus < 1	  ? 1
			: cpus > JOBS_MAX ? JOBS_MAX
					  : (unsigned)cpus;
	const char *mode = NULL;
	bool good = true, any = false;

	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--seeds") && i + 1 < argc)
			seeds = strtoull(argv[++i], NULL, 10);
		else if (!strcmp(argv[i], "--seed") && i + 1 < argc)
			first = strtoull(argv[++i], NULL, 10);
		else if (!strcmp(argv[i], "--mode") && i + 1 < argc)
			mode = argv[++i];
		else if (!strcmp(argv[i], "--jobs") && i + 1 < argc)
			jobs = (unsigned)strtoul(argv[++i], NULL, 10);
		else if (!strcmp(argv[i], "-v"))
			sim_verbose = true;
		else
			return usage();
	}
	if (jobs < 1 || jobs > JOBS_MAX)
		return usage();
	/* Stores come and go: their memory need not go back each time. */
	mallopt(M_MMAP_THRESHOLD, 1 << 26);
	mallopt(M_TRIM_THRESHOLD, 1 << 28);
	for (unsigned i = 0; i < MODES; i++) {
		if (mode != NULL && strcmp(mode, modes[i].name) != 0)
			continue;
		any = true;
		good &= run_mode(i, first,
		    mode == NULL ? share(i, seeds) : seeds, jobs);
	}
	return !any ? usage() : good ? 0 : 1;
}
