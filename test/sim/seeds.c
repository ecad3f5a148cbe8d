#include "seeds.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { JOBS_MAX = 64, FIGURES_BYTES_MAX = 512 /* PIPE_BUF is more */ };

void
seeds_init(struct seeds *s)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	*s = (struct seeds){ .first = 1, .count = 100, .jobs = 1 };
	if (cpus > 1)
		s->jobs = cpus > JOBS_MAX ? JOBS_MAX : (unsigned)cpus;
	mallopt(M_MMAP_THRESHOLD, 1 << 26);
	mallopt(M_TRIM_THRESHOLD, 1 << 28);
}

bool
seeds_option(struct seeds *s, int argc, char **argv, int *at)
{
	const char *name = argv[*at];
	unsigned long long n;

	if (*at + 1 >= argc)
		return false;
	n = strtoull(argv[*at + 1], NULL, 10);
	if (strcmp(name, "--seeds") == 0)
		s->count = n;
	else if (strcmp(name, "--seed") == 0)
		s->first = n;
	else if (strcmp(name, "--jobs") == 0 && n >= 1 && n <= JOBS_MAX)
		s->jobs = (unsigned)n;
	else
		return false;
	++*at;
	return true;
}

/* Seeds from, from + jobs, ...; the figures go to fd. */
static void
run_share(const struct seeds *s, uint64_t from, void (*run)(uint64_t seed),
    const void *one, size_t size, int fd)
{
	for (uint64_t i = from; i < s->count; i += s->jobs)
		run(s->first + i);
	if (write(fd, one, size) != (ssize_t)size)
		exit(1);
}

bool
seeds_run(const struct seeds *s, void (*run)(uint64_t seed), const void *one,
    size_t size, void (*add)(const void *one))
{
	char figures[FIGURES_BYTES_MAX];
	bool good = true;
	int fds[2];

	if (size > sizeof(figures) || pipe(fds) < 0)
		exit(1);
	fflush(stdout);
	for (unsigned j = 0; j < s->jobs && j < s->count; j++) {
		pid_t pid = fork();

		if (pid < 0)
			exit(1);
		if (pid == 0) {
			run_share(s, j, run, one, size, fds[1]);
			fflush(stdout);
			_exit(0);
		}
	}
	close(fds[1]);
	while (read(fds[0], figures, size) == (ssize_t)size)
		add(figures);
	close(fds[0]);
	for (int status; wait(&status) > 0;)
		good &= status == 0;
	return good;
}

double
seeds_cpu_s(void)
{
	struct rusage r;

	getrusage(RUSAGE_CHILDREN, &r);
	return (double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) +
	       (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec) / 1e6;
}
