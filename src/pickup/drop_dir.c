/*
 * drop_dir: finding, removing and setting aside.
 *
 * Any user may fill the directory with names.  A look through it takes what
 * it finds into a table; when the table is full the half that would be served
 * last is forgotten, to be found again by a later look.
 */
#include "pickup/drop_dir.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
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

/* ---- one look ---- */

static int
by_owner(const void *a, const void *b)
{
	const struct drop_found *x = a, *y = b;

	if (x->uid != y->uid)
		return x->uid < y->uid ? -1 : 1;
	return strcmp(x->name, y->name);
}

static int
by_turn(const void *a, const void *b)
{
	const struct drop_found *x = a, *y = b;

	if (x->rank != y->rank)
		return x->rank < y->rank ? -1 : 1;
	return by_owner(a, b);
}

/* In the order in which they are taken: of each owner the first, of each the
 * second, ... */
static void
put_in_order(struct drop_look *look)
{
	struct drop_found *f = look->found;

	qsort(f, look->count, sizeof(*f), by_owner);
	for (unsigned i = 0; i < look->count; i++)
		f[i].rank =
		    i > 0 && f[i].uid == f[i - 1].uid ? f[i - 1].rank + 1 : 0;
	qsort(f, look->count, sizeof(*f), by_turn);
}

static void
note(int dir_fd, struct drop_look *look, const char *name)
{
	struct drop_found *f;
	struct stat st;

	if (strlen(name) >= DROP_NAME_BYTES) {
		(void)drop_dir_set_aside(dir_fd, name,
		    "weir-drop makes no such name");
		return;
	}
	if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return;
	if (look->count == DROP_FOUND_MAX) {
		put_in_order(look);
		look->count /= 2;
	}
	f = &look->found[look->count++];
	*f = (struct drop_found){ .uid = st.st_uid };
	(void)slice_copy(slice_str(name), f->name, sizeof(f->name));
}

static void
look_through(int dir_fd, struct drop_look *look)
{
	int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct dirent *e;
	DIR *d;

	look->count = look->next = 0;
	if (fd < 0)
		return;
	d = fdopendir(fd);
	if (d == NULL) {
		close(fd);
		return;
	}
	while ((e = readdir(d)) != NULL) {
		if (strncmp(e->d_name, "tmp.", 4) == 0)
			remove_leftover(dir_fd, e->d_name);
		else if (strncmp(e->d_name, "msg.", 4) == 0)
			note(dir_fd, look, e->d_name);
	}
	closedir(d);
	put_in_order(look);
}

bool
drop_dir_next(int dir_fd, struct drop_look *look,
    char name_out[static DROP_NAME_BYTES])
{
	if (look->next == look->count)
		look_through(dir_fd, look);
	if (look->next == look->count)
		return false;
	memcpy(name_out, look->found[look->next++].name, DROP_NAME_BYTES);
	return true;
}

/* ---- the end of a file ---- */

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
