/*
 * drop_dir: finding, removing and setting aside.
 */
#include "pickup/drop_dir.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/log.h"
#include "base/slice.h"
#include "base/time.h"

enum { LEFTOVER_MS = 24 * 3600 * 1000 };

static void
sync_directory(int dir_fd)
{
	if (fsync(dir_fd) < 0)
		log_warning("drop: cannot sync directory: %m");
}

/* What weir-drop left when it was killed. */
static void
remove_leftover(int dir_fd, const char *name)
{
	struct wall now = clock_system.wall(&clock_system);
	struct stat st;

	if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
	    now.ms - (int64_t)st.st_mtim.tv_sec * 1000 < LEFTOVER_MS)
		return;
	if (unlinkat(dir_fd, name, 0) == 0)
		log_info("drop/%s: left over, removed", name);
}

bool
drop_dir_next(int dir_fd, char name_out[static DROP_NAME_BYTES])
{
	int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct dirent *e;
	bool found = false;
	DIR *d;

	if (fd < 0)
		return false;
	d = fdopendir(fd);
	if (d == NULL) {
		close(fd);
		return false;
	}
	while (!found && (e = readdir(d)) != NULL) {
		if (strncmp(e->d_name, "tmp.", 4) == 0)
			remove_leftover(dir_fd, e->d_name);
		found =
		    strncmp(e->d_name, "msg.", 4) == 0 &&
		    slice_copy(slice_str(e->d_name), name_out, DROP_NAME_BYTES);
	}
	closedir(d);
	return found;
}

/* "bad." and the name; where that is too long or taken (anybody may make names
 * here) a name that nobody can foresee. */
static void
name_aside(int dir_fd, const char *name, char aside[static NAME_MAX + 1])
{
	int len = snprintf(aside, NAME_MAX + 1, "bad.%s", name);
	struct stat st;

	if (len <= NAME_MAX &&
	    fstatat(dir_fd, aside, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return;
	snprintf(aside, NAME_MAX + 1, "bad.%" PRIx64 "%016" PRIx64,
	    (uint64_t)clock_system.wall(&clock_system).ms, random_u64());
}

bool
drop_dir_set_aside(int dir_fd, const char *name, const char *why)
{
	char aside[NAME_MAX + 1];

	name_aside(dir_fd, name, aside);
	log_warning("drop/%s: %s; set aside as drop/%s", name, why, aside);
	if (renameat(dir_fd, name, dir_fd, aside) < 0) {
		log_warning("drop/%s: cannot be renamed: %m", name);
		return false;
	}
	sync_directory(dir_fd);
	return true;
}

bool
drop_dir_remove(int dir_fd, const char *name, uint64_t id)
{
	if (unlinkat(dir_fd, name, 0) < 0) {
		log_error("drop/%s: queued as %" PRIu64
			  ", but it cannot be removed: %m",
		    name, id);
		return false;
	}
	sync_directory(dir_fd);
	return true;
}
