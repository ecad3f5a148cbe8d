/*
 * append: what the disk alone allows a lone writer.
 *
 * Appends COUNT pieces of BYTES to FILE, each followed by fdatasync, and
 * prints a line of figures that bench.py reads.  No server that answers for
 * every message before it takes the next can be faster.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { BYTES_MAX = 1 << 24 };

static int64_t
now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void
append(int fd, const char *piece, size_t bytes)
{
	if (write(fd, piece, bytes) != (ssize_t)bytes || fdatasync(fd) < 0) {
		fprintf(stderr, "append: %s\n", strerror(errno));
		exit(75);
	}
}

int
main(int argc, char **argv)
{
	unsigned long count, bytes;
	int64_t from;
	char *piece;
	double seconds;
	int fd;

	if (argc != 4 || (count = strtoul(argv[2], NULL, 10)) == 0 ||
	    (bytes = strtoul(argv[3], NULL, 10)) == 0 || bytes > BYTES_MAX) {
		fprintf(stderr, "usage: append FILE COUNT BYTES\n");
		return 64;
	}
	fd = open(argv[1], O_WRONLY | O_CREAT | O_APPEND | O_TRUNC, 0600);
	piece = malloc(bytes);
	if (fd < 0 || piece == NULL) {
		fprintf(stderr, "append: %s: %s\n", argv[1], strerror(errno));
		return 75;
	}
	memset(piece, 'a', bytes);
	append(fd, piece, bytes); /* the file's own inode is not counted */
	from = now_ns();
	for (unsigned long i = 0; i < count; i++)
		append(fd, piece, bytes);
	seconds = (double)(now_ns() - from) / 1e9;
	printf("{\"count\": %lu, \"seconds\": %.6f, \"per_second\": %.1f}\n",
	    count, seconds, (double)count / seconds);
	free(piece);
	return close(fd) == 0 ? 0 : 75;
}
