/*
 * seeds: the runs of a simulator, each from a seed of its own, shared out to
 * as many processes as there are processors; a simulator's main knows what a
 * run is and which figures it leaves.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct seeds {
	uint64_t first, count;
	unsigned jobs;
};

/* 100 from 1; the allocator prepared for stores that come and go. */
void seeds_init(struct seeds *s);
/* Take --seeds, --seed or --jobs at argv[*at], and its value.  False: it is
 * something else, or no good. */
bool seeds_option(struct seeds *s, int argc, char **argv, int *at);
/*
 * Call run for every seed.  A process fails by exit(1), which ends its share;
 * the figures (size bytes at one, zero at first, which run adds to) of the
 * others are given to add.  False: one failed.
 */
bool seeds_run(const struct seeds *s, void (*run)(uint64_t seed),
    const void *one, size_t size, void (*add)(const void *one));
/* Seconds of processors that ended processes have used so far. */
double seeds_cpu_s(void);
