/*
 * sim_queue: runs of the real queue role, scheduler and store, between peers
 * of all moods, on a virtual clock and the simulated disk, from seeds.
 *
 * sim_queue [--seeds N] [--seed S] [--jobs J] [--plant NAME] [-v]
 * sim_queue --plants     each planted bug is found
 * A failure prints the command that shows it again.
 */
#include <malloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "qsim.h"

enum { PROCESSES_MAX = 64, PLANT_SEEDS = 200 };

struct q_stats q_stats;
bool q_verbose;
enum q_plant q_plant;

static const char *const plants[PLANT_COUNT] = {
	[PLANT_SLOT] = "slot",
	[PLANT_GATE] = "gate",
	[PLANT_WINDOW] = "window",
	[PLANT_LOST] = "lost",
	[PLANT_ACK] = "ack",
	[PLANT_RESULT] = "result",
	[PLANT_LATE] = "late",
	[PLANT_EARLY] = "early",
	[PLANT_CROWD] = "crowd",
	[PLANT_SHARE] = "share",
};

void
q_fail(const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr,
	    "sim_queue: seed %llu at %lld ms: ", (unsigned long long)w.seed,
	    (long long)w.now_ms);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr,
	    "\nsim_queue: again: sim_queue --seeds 1 --seed %llu%s%s -v\n",
	    (unsigned long long)w.seed, q_plant ? " --plant " : "",
	    q_plant ? plants[q_plant] : "");
	if (getenv("SIM_ABORT") != NULL)
		abort();
	exit(1);
}

void
q_say(const char *fmt, ...)
{
	va_list ap;

	if (!q_verbose)
		return;
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
}

/* Seeds first, first + step, ...; the figures go to fd. */
static void
run_seeds(uint64_t first, uint64_t count, unsigned step, int fd)
{
	for (uint64_t i = 0; i < count; i += step) {
		q_run(first + i);
		q_stats.runs++;
	}
	if (write(fd, &q_stats, sizeof(q_stats)) != sizeof(q_stats))
		exit(1);
}

static void
add_stats(struct q_stats *to, const struct q_stats *from)
{
	to->runs += from->runs;
	to->messages += from->messages;
	to->recipients += from->recipients;
	to->deliveries += from->deliveries;
	to->deferrals += from->deferrals;
	to->reports += from->reports;
	to->restarts += from->restarts;
	to->turns += from->turns;
	if (to->wait_ms_max < from->wait_ms_max)
		to->wait_ms_max = from->wait_ms_max;
}

static void
report(const struct q_stats *all, uint64_t first)
{
	struct rusage r;
	double cpu;

	getrusage(RUSAGE_CHILDREN, &r);
	cpu = (double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) +
	      (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec) / 1e6;
	printf("sim_queue: %llu seeds from %llu: %llu messages, %llu "
	       "recipients, %llu deliveries, %llu deferrals, %llu reports, "
	       "%llu starts; the longest wait %.1f s; %.1f s of CPU, %.0f "
	       "seeds per CPU second\n",
	    (unsigned long long)all->runs, (unsigned long long)first,
	    (unsigned long long)all->messages,
	    (unsigned long long)all->recipients,
	    (unsigned long long)all->deliveries,
	    (unsigned long long)all->deferrals,
	    (unsigned long long)all->reports, (unsigned long long)all->restarts,
	    (double)all->wait_ms_max / 1e3, cpu,
	    (double)all->runs / (cpu > 0 ? cpu : 1));
}

/* False: a seed failed. */
static bool
run(uint64_t first, uint64_t count, unsigned jobs)
{
	struct q_stats all = { 0 }, one;
	int fds[2];
	bool good = true;

	if (pipe(fds) < 0)
		exit(1);
	fflush(stdout);
	for (unsigned j = 0; j < jobs && j < count; j++) {
		pid_t pid = fork();

		if (pid < 0)
			exit(1);
		if (pid == 0) {
			run_seeds(first + j, count - j, jobs, fds[1]);
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
	if (good)
		report(&all, first);
	return good;
}

/* Is each planted bug found, within so many seeds? */
static bool
run_plants(void)
{
	bool good = true;

	for (unsigned p = 1; p < PLANT_COUNT; p++) {
		int status = 0;
		pid_t pid;

		fflush(stdout);
		pid = fork();
		if (pid == 0) {
			q_plant = p;
			for (uint64_t s = 1; s <= PLANT_SEEDS; s++)
				q_run(s);
			_exit(0);
		}
		if (pid < 0 || waitpid(pid, &status, 0) != pid)
			exit(1);
		if (status == 0) {
			good = false;
			printf("sim_queue: the planted bug \"%s\" is not "
			       "found\n",
			    plants[p]);
		}
	}
	return good;
}

static int
usage(void)
{
	fprintf(stderr, "usage: sim_queue [--seeds N] [--seed S] [--jobs J] "
			"[--plant NAME] [-v]\n       sim_queue --plants\n");
	return 64;
}

static bool
take_plant(const char *name)
{
	for (unsigned p = 1; p < PLANT_COUNT; p++)
		if (strcmp(plants[p], name) == 0)
			q_plant = p;
	return q_plant != PLANT_NONE;
}

int
main(int argc, char **argv)
{
	uint64_t seeds = 100, first = 1;
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	unsigned jobs = cpus < 1	       ? 1
			: cpus > PROCESSES_MAX ? PROCESSES_MAX
					       : (unsigned)cpus;
	bool all_plants = false;

	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--seeds") && i + 1 < argc)
			seeds = strtoull(argv[++i], NULL, 10);
		else if (!strcmp(argv[i], "--seed") && i + 1 < argc)
			first = strtoull(argv[++i], NULL, 10);
		else if (!strcmp(argv[i], "--jobs") && i + 1 < argc)
			jobs = (unsigned)strtoul(argv[++i], NULL, 10);
		else if (!strcmp(argv[i], "--plant") && i + 1 < argc &&
			 take_plant(argv[i + 1]))
			i++;
		else if (!strcmp(argv[i], "--plants"))
			all_plants = true;
		else if (!strcmp(argv[i], "-v"))
			q_verbose = true;
		else
			return usage();
	}
	if (jobs < 1 || jobs > PROCESSES_MAX)
		return usage();
	/* Stores come and go: their memory need not go back each time. */
	mallopt(M_MMAP_THRESHOLD, 1 << 26);
	mallopt(M_TRIM_THRESHOLD, 1 << 28);
	if (all_plants)
		return run_plants() ? 0 : 1;
	return run(first, seeds, jobs) ? 0 : 1;
}
