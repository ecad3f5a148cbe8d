/*
 * machine: limits of memory that others have set.
 *
 * Where a container has no cgroup name space, the path in /proc/self/cgroup
 * does not exist below its /sys/fs/cgroup: there, the top of the mount is the
 * container's own.  So every level from the path up to the mount is tried, and
 * what is not there says nothing.
 */
#include "role/machine.h"

#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/slice.h"

enum {
	MIB = 1024 * 1024,
	KIB = 1024,
	CGROUP_BYTES_MAX = 8192, /* of /proc/self/cgroup: a line for each
				    hierarchy */
	VALUE_BYTES_MAX = 64,
};

/* The least that was found. */
struct least {
	int64_t bytes;
	char where[PATH_MAX]; /* "RLIMIT_DATA", or the file */
	const char *change;   /* what sets it */
};

static void
lower(struct least *l, int64_t bytes, const char *where, const char *change)
{
	if (bytes >= l->bytes)
		return;
	l->bytes = bytes;
	l->change = change;
	snprintf(l->where, sizeof(l->where), "%s", where);
}

/* SLICE_NONE: it cannot be read. */
static struct slice
read_text(const char *path, char *buf, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return SLICE_NONE;
	n = read(fd, buf, size);
	close(fd);
	return n <= 0 ? SLICE_NONE : slice_of(buf, (size_t)n);
}

static void
read_limit(const char *path, struct least *l)
{
	char buf[VALUE_BYTES_MAX];
	struct slice text = read_text(path, buf, sizeof(buf)), word;
	uint64_t bytes;

	/* "max" is no number. */
	if (slice_word(&text, "\n", &word) &&
	    slice_to_u64(word, INT64_MAX, &bytes))
		lower(l, (int64_t)bytes, path, "MemoryMax=");
}

/* The cgroup at path below top, and each above it up to top. */
static void
walk_up(const char *root, const char *top, struct slice path, const char *file,
    struct least *l)
{
	char full[PATH_MAX];
	size_t slash;

	for (;;) {
		while (path.len > 0 && path.data[path.len - 1] == '/')
			path.len--;
		if (snprintf(full, sizeof(full), "%s/sys/fs/cgroup%s%.*s/%s",
			root, top, SLICE_ARGS(path), file) < (int)sizeof(full))
			read_limit(full, l);
		if (path.len == 0)
			return;
		slash = slice_rfind(path, '/');
		path = slice_sub(path, 0, slash < path.len ? slash : 0);
	}
}

/* A line "ID:CONTROLLERS:PATH"; version 2 has no controllers there. */
static void
read_line(const char *root, struct slice line, struct least *l)
{
	struct slice controllers, word;
	size_t colon = slice_find(line, ':');

	if (colon == line.len)
		return;
	line = slice_sub(line, colon + 1, line.len);
	colon = slice_find(line, ':');
	if (colon == line.len)
		return;
	controllers = slice_sub(line, 0, colon);
	line = slice_sub(line, colon + 1, line.len);
	if (controllers.len == 0) {
		walk_up(root, "", line, "memory.max", l);
		/* Beside version 1. */
		walk_up(root, "/unified", line, "memory.max", l);
	}
	while (slice_word(&controllers, ",", &word))
		if (slice_eq(word, SLICE_LIT("memory")))
			walk_up(root, "/memory", line, "memory.limit_in_bytes",
			    l);
}

static void
read_cgroups(const char *root, struct least *l)
{
	char path[PATH_MAX], buf[CGROUP_BYTES_MAX];
	struct slice text, line;

	if (snprintf(path, sizeof(path), "%s/proc/self/cgroup", root) >=
	    (int)sizeof(path))
		return;
	text = read_text(path, buf, sizeof(buf));
	while (slice_word(&text, "\n", &line))
		read_line(root, line, l);
}

static void
read_rlimit(int what, const char *name, const char *change, struct least *l)
{
	struct rlimit rl;

	if (getrlimit(what, &rl) == 0 && rl.rlim_cur != RLIM_INFINITY &&
	    rl.rlim_cur < INT64_MAX)
		lower(l, (int64_t)rl.rlim_cur, name, change);
}

/* A number of bytes, so that two that differ read differently. */
static const char *
amount(char *buf, size_t size, int64_t bytes)
{
	if (bytes % MIB == 0)
		snprintf(buf, size, "%" PRId64 "M", bytes / MIB);
	else if (bytes % KIB == 0)
		snprintf(buf, size, "%" PRId64 "K", bytes / KIB);
	else
		snprintf(buf, size, "%" PRId64, bytes);
	return buf;
}

enum err
machine_memory(const char *root, int64_t budget_bytes, struct errtext *et)
{
	struct least l = { .bytes = INT64_MAX };
	char budget[24], most[24];

	read_cgroups(root, &l);
	read_rlimit(RLIMIT_DATA, "RLIMIT_DATA", "ulimit -d, LimitDATA=", &l);
	read_rlimit(RLIMIT_AS, "RLIMIT_AS", "ulimit -v, LimitAS=", &l);
	if (l.bytes >= budget_bytes)
		return OK;
	return err_set(et, ERR_CONFIG,
	    "memory_budget: value \"%s\": only %s are allowed; lower "
	    "memory_budget, or raise what %s sets, %s",
	    amount(budget, sizeof(budget), budget_bytes),
	    amount(most, sizeof(most), l.bytes), l.change, l.where);
}
