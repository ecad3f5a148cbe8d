/*
 * rotate.
 *
 * Happy path: current is synced and renamed to previous, a new current made;
 * previous becomes @LABEL.s, or the processor makes it into processed, which
 * does.  Then the oldest files go, until there are num with current.
 *
 * Failure modes: each step is tried until it succeeds.  A processor that fails
 * is run again.  An outage between two steps leaves names that rotate_recover
 * knows.
 */
#include "multilog/rotate.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/time.h"
#include "base/tool.h"
#include "multilog/pause.h"
#include "multilog/tai.h"

enum { NAME_BYTES = TAI_LABEL_BYTES + 4 };

void
rotate_pause(const char *what, const struct logdir *d, const char *name)
{
	tool_warn(errno, "%s %s%s, pausing", what, d->path, name);
	pause_here();
}

/* ---- files that are complete ---- */

static bool
is_old_file(const char *name)
{
	int64_t seconds;
	uint32_t ns;

	return name[0] == '@' && strlen(name) > TAI_LABEL_BYTES &&
	       tai_parse(name + 1, &seconds, &ns);
}

/* How many old files there are; the one with the least label. */
static size_t
count_old(const struct logdir *d, char oldest[static 256])
{
	/* A descriptor of its own, as its place is kept with it. */
	int fd = openat(d->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;
	size_t count = 0;

	if (dir == NULL) {
		tool_warn(errno, "unable to read %s", d->path);
		if (fd >= 0)
			(void)close(fd);
		return 0;
	}
	while ((entry = readdir(dir)) != NULL) {
		if (!is_old_file(entry->d_name))
			continue;
		if (count++ == 0 || strcmp(entry->d_name, oldest) < 0)
			(void)snprintf(oldest, 256, "%s", entry->d_name);
	}
	(void)closedir(dir);
	return count;
}

static void
remove_oldest(const struct logdir *d)
{
	char oldest[256];

	while (count_old(d, oldest) >= d->num)
		if (unlinkat(d->dir_fd, oldest, 0) != 0) {
			tool_warn(errno, "unable to remove %s/%s", d->path,
			    oldest);
			return; /* again at the next file */
		}
}

/* name, if it is there, becomes @LABEL.CODE. */
static void
finish(const struct logdir *d, const char *name, char code)
{
	char stamp[TAI_STAMP_BYTES], to[NAME_BYTES];
	struct stat st;

	if (fstatat(d->dir_fd, name, &st, 0) != 0)
		return;
	/* Two names: the outage came between link and unlink. */
	while (st.st_nlink == 1) {
		tai_stamp(clock_wall_ns(), stamp);
		(void)snprintf(to, sizeof(to), "%.25s.%c", stamp, code);
		if (linkat(d->dir_fd, name, d->dir_fd, to, 0) == 0)
			break;
		if (errno != EEXIST)
			rotate_pause("unable to link to", d, "");
	}
	while (unlinkat(d->dir_fd, name, 0) != 0 && errno != ENOENT)
		rotate_pause("unable to remove a file of", d, "");
	remove_oldest(d);
	(void)fsync(d->dir_fd);
}

/* ---- processors ---- */

/* Open name as descriptor to of the processor; in the child. */
static void
give(const struct logdir *d, const char *name, int flags, int to)
{
	int fd = openat(d->dir_fd, name, flags | O_CLOEXEC, 0644);
	/* Beyond all that are given, lest one takes the place of another. */
	int high = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 10);

	if (high < 0 || dup2(high, to) < 0) {
		tool_warn(errno, "unable to open %s/%s", d->path, name);
		_exit(TOOL_TEMP);
	}
	if (fd != to)
		(void)close(fd);
}

static _Noreturn void
become_processor(const struct logdir *d)
{
	give(d, "previous", O_RDONLY, 0);
	give(d, "processed", O_WRONLY | O_CREAT | O_TRUNC, 1);
	give(d, "state", O_RDONLY | O_CREAT, 4);
	give(d, "newstate", O_WRONLY | O_CREAT | O_TRUNC, 5);
	if (fchdir(d->dir_fd) != 0)
		_exit(TOOL_TEMP);
	pause_leave();
	(void)execl("/bin/sh", "sh", "-c", d->processor, (char *)NULL);
	_exit(TOOL_TEMP);
}

static bool
run_processor(const struct logdir *d)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		/* The places that are given away below may be ours. */
		struct logdir copy = { .path = d->path,
			.processor = d->processor };

		copy.dir_fd = fcntl(d->dir_fd, F_DUPFD_CLOEXEC, 10);
		become_processor(&copy);
	}
	if (pid < 0) {
		rotate_pause("unable to fork for processor in", d, "");
		return false;
	}
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return false;
	if (status == 0)
		return true;
	tool_warn(0, "processor failed in %s, pausing", d->path);
	pause_here();
	return false;
}

/* What the processor wrote is synced; then it has mode. */
static void
seal(const struct logdir *d, const char *name, mode_t mode)
{
	int fd;

	for (;;) {
		fd = openat(d->dir_fd, name, O_WRONLY | O_CLOEXEC);
		if (fd >= 0 && fsync(fd) == 0 && fchmod(fd, mode) == 0)
			break;
		if (fd >= 0)
			(void)close(fd);
		rotate_pause("unable to write", d,
		    mode == 0644 ? "/newstate to disk" : "/processed to disk");
	}
	(void)close(fd);
}

static void
process(const struct logdir *d)
{
	while (!run_processor(d))
		;
	seal(d, "newstate", 0644);
	seal(d, "processed", 0744);
	while (unlinkat(d->dir_fd, "previous", 0) != 0 && errno != ENOENT)
		rotate_pause("unable to remove", d, "/previous");
	while (renameat(d->dir_fd, "newstate", d->dir_fd, "state") != 0)
		rotate_pause("unable to rename newstate to state in directory",
		    d, "");
	finish(d, "processed", 's');
}

/* ---- */

void
rotate_current(struct logdir *d)
{
	int fd;

	while (fsync(d->fd) != 0)
		rotate_pause("unable to write", d, "/current to disk");
	while (fchmod(d->fd, 0744) != 0)
		rotate_pause("unable to set mode of", d, "/current");
	while (renameat(d->dir_fd, "current", d->dir_fd, "previous") != 0)
		rotate_pause(
		    "unable to rename current to previous in directory", d, "");
	for (;;) {
		fd = openat(d->dir_fd, "current",
		    O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0644);
		if (fd >= 0 && fchmod(fd, 0644) == 0)
			break;
		if (fd >= 0)
			(void)close(fd);
		rotate_pause("unable to create", d, "/current");
	}
	(void)close(d->fd);
	d->fd = fd;
	d->size = 0;
	if (d->processor == NULL)
		finish(d, "previous", 's');
	else
		process(d);
}

void
rotate_recover(struct logdir *d)
{
	struct stat st;

	/* Of a run of the processor that may not have been the last. */
	(void)unlinkat(d->dir_fd, "state", 0);
	(void)unlinkat(d->dir_fd, "newstate", 0);
	if (fstatat(d->dir_fd, "processed", &st, 0) == 0 &&
	    (st.st_mode & S_IXUSR)) {
		(void)unlinkat(d->dir_fd, "previous", 0);
		finish(d, "processed", 's');
	} else {
		(void)unlinkat(d->dir_fd, "processed", 0);
		finish(d, "previous", 'u');
	}
	finish(d, "current", 'u');
}
