/*
 * sim_queue: runs of the real queue role, scheduler and store, between peers
 * of all moods, on a virtual clock and the simulated disk, from seeds.
 *
 * sim_queue [--seeds N] [--seed S] [--jobs J] [--plant NAME] [-v]
 * sim_queue --plants     each planted bug is found
 * A failure prints the command that shows it again.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "qsim.h"
#include "seeds.h"

enum { PLANT_SEEDS = 200 };

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
	[PLANT_HOP] = "hop",
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

static void
run_one(uint64_t seed)
{
	q_run(seed);
	q_stats.runs++;
}

/* Of all processes. */
static struct q_stats all;

static void
add_stats(const void *arg)
{
	const struct q_stats *one = arg;

	all.runs += one->runs;
	all.messages += one->messages;
	all.recipients += one->recipients;
	all.deliveries += one->deliveries;
	all.deferrals += one->deferrals;
	all.reports += one->reports;
	all.restarts += one->restarts;
	all.turns += one->turns;
	if (all.wait_ms_max < one->wait_ms_max)
		all.wait_ms_max = one->wait_ms_max;
}

static void
report(uint64_t first)
{
	double cpu = seeds_cpu_s();

	printf("sim_queue: %llu seeds from %llu: %llu messages, %llu "
	       "recipients, %llu deliveries, %llu deferrals, %llu reports, "
	       "%llu starts; the longest wait %.1f s; %.1f s of CPU, %.0f "
	       "seeds per CPU second\n",
	    (unsigned long long)all.runs, (unsigned long long)first,
	    (unsigned long long)all.messages,
	    (unsigned long long)all.recipients,
	    (unsigned long long)all.deliveries,
	    (unsigned long long)all.deferrals, (unsigned long long)all.reports,
	    (unsigned long long)all.restarts, (double)all.wait_ms_max / 1e3,
	    cpu, (double)all.runs / (cpu > 0 ? cpu : 1));
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
	struct seeds seeds;
	bool all_plants = false;

	seeds_init(&seeds);
	for (int i = 1; i < argc; i++) {
		if (seeds_option(&seeds, argc, argv, &i))
			continue;
		if (!strcmp(argv[i], "--plant") && i + 1 < argc &&
		    take_plant(argv[i + 1]))
			i++;
		else if (!strcmp(argv[i], "--plants"))
			all_plants = true;
		else if (!strcmp(argv[i], "-v"))
			q_verbose = true;
		else
			return usage();
	}
	if (all_plants)
		return run_plants() ? 0 : 1;
	if (!seeds_run(&seeds, run_one, &q_stats, sizeof(q_stats), add_stats))
		return 1;
	report(seeds.first);
	return 0;
}
