/*
 * make: the new file, its lock, and its way to its place.
 */
#include "postmap/make.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "postmap/make_int.h"

enum {
	OPEN_ATTEMPTS_MAX = 100, /* others may rename it under us */
	MODE_DEFAULT = 0644,
	MODE_SHARED = 0044, /* what a source passes on */
	MODE_OWNER = 0600,
};

/* LMDB: first size of the map, and the last one tried. */
static const uint64_t MAP_BYTES_FIRST = 16 << 20;
static const uint64_t MAP_BYTES_MAX = UINT64_C(64) << 30;
/* What may come to an old table, whose changes are read only once. */
static const uint64_t MAP_BYTES_MORE = UINT64_C(256) << 20;

static const struct {
	const char *type;
	const char *suffix;
} kinds[] = {
	[MAKE_CDB] = { "cdb", ".cdb" },
	[MAKE_LMDB] = { "lmdb", ".lmdb" },
};

bool
make_kind_of(struct slice type, enum make_kind *out)
{
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		if (slice_eq(type, slice_str(kinds[i].type))) {
			*out = (enum make_kind)i;
			return true;
		}
	}
	return false;
}

enum err
make_path(enum make_kind kind, const char *base,
    char path[static MAKE_PATH_BYTES_MAX], struct errtext *et)
{
	const char *suffix = kinds[kind].suffix;
	int n;

	if (slice_ends_nocase(slice_str(base), slice_str(suffix)))
		suffix = "";
	n = snprintf(path, MAKE_PATH_BYTES_MAX, "%s%s", base, suffix);
	if (n < 0 || n >= MAKE_PATH_BYTES_MAX)
		return err_set(et, ERR_CONFIG, "%.100s...: path too long",
		    base);
	return OK;
}

static bool
same_file(int fd, const char *path)
{
	struct stat a, b;

	return fstat(fd, &a) == 0 && lstat(path, &b) == 0 &&
	       a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

/* Who has the lock of what is PATH.tmp now may write it. */
static enum err
open_temp(struct make *m, struct errtext *et)
{
	struct stat st;

	for (unsigned i = 0; i < OPEN_ATTEMPTS_MAX; i++) {
		m->fd = open(m->temp,
		    O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK,
		    MODE_OWNER);
		if (m->fd < 0)
			return err_sys(et, errno, "cannot create %s", m->temp);
		if (flock(m->fd, LOCK_EX) == 0 && same_file(m->fd, m->temp)) {
			if (fstat(m->fd, &st) == 0 && S_ISREG(st.st_mode) &&
			    st.st_nlink == 1 && st.st_uid == geteuid())
				return OK;
			(void)close(m->fd);
			m->fd = -1;
			return err_set(et, ERR_DENIED,
			    "%s is not a file of our own: remove it", m->temp);
		}
		(void)close(m->fd);
		m->fd = -1;
	}
	return err_set(et, ERR_BUSY, "cannot lock %s", m->temp);
}

/* Readable by those who can read the source, if they can be given it. */
static enum err
set_mode(const struct make *m, const struct stat *like, struct errtext *et)
{
	mode_t mode = MODE_DEFAULT;

	if (like != NULL) {
		mode = MODE_OWNER | (like->st_mode & MODE_SHARED);
		if (fchown(m->fd, (uid_t)-1, like->st_gid) != 0)
			mode &= ~(mode_t)S_IRGRP;
	}
	if (fchmod(m->fd, mode) != 0)
		return err_sys(et, errno, "cannot set the mode of %s", m->temp);
	return OK;
}

/* Room for the old table and more; it is address space, not disk. */
static uint64_t
first_map_bytes(const char *path)
{
	uint64_t bytes = MAP_BYTES_FIRST, wanted;
	struct stat st;

	if (stat(path, &st) != 0 || (uint64_t)st.st_size < MAP_BYTES_FIRST / 4)
		return bytes;
	wanted = 2 * (uint64_t)st.st_size + MAP_BYTES_MORE;
	while (bytes < wanted && bytes <= MAP_BYTES_MAX / 2)
		bytes *= 2;
	return bytes;
}

static enum err
begin_format(struct make *m, struct errtext *et)
{
	if (ftruncate(m->fd, 0) != 0 || lseek(m->fd, 0, SEEK_SET) != 0)
		return err_sys(et, errno, "cannot empty %s", m->temp);
	return m->kind == MAKE_CDB ? make_cdb_begin(m, et)
				   : make_lmdb_begin(m, et);
}

enum err
make_begin(struct make *m, enum make_kind kind, const char *base,
    const struct stat *like, struct errtext *et)
{
	enum err e;
	int n;

	*m = (struct make){ .kind = kind, .fd = -1 };
	e = make_path(kind, base, m->path, et);
	if (e != OK)
		return e;
	m->map_bytes = first_map_bytes(m->path);
	n = snprintf(m->temp, sizeof(m->temp), "%s.tmp", m->path);
	if (n < 0 || (size_t)n >= sizeof(m->temp))
		return err_set(et, ERR_CONFIG, "%.100s...: path too long",
		    base);
	e = open_temp(m, et);
	if (e == OK)
		e = set_mode(m, like, et);
	if (e == OK)
		e = begin_format(m, et);
	if (e != OK)
		make_abort(m);
	return e;
}

enum err
make_put(struct make *m, struct slice key, struct slice value,
    enum make_twice twice, bool *was_there_out, struct errtext *et)
{
	*was_there_out = false;
	return m->kind == MAKE_CDB
		   ? make_cdb_put(m, key, value, twice, was_there_out, et)
		   : make_lmdb_put(m, key, value, twice, was_there_out, et);
}

static void
drop_format(struct make *m)
{
	if (m->kind == MAKE_CDB)
		make_cdb_drop(m);
	else
		make_lmdb_drop(m);
}

enum err
make_restart(struct make *m, struct errtext *et)
{
	drop_format(m);
	if (m->map_bytes > MAP_BYTES_MAX / 2)
		return err_set(et, ERR_FULL, "%s would be too large", m->path);
	m->map_bytes *= 2;
	return begin_format(m, et);
}

static enum err
sync_directory(const char *path, struct errtext *et)
{
	char dir[MAKE_PATH_BYTES_MAX];
	size_t slash = slice_rfind(slice_str(path), '/');
	enum err e = OK;
	int fd;

	if (slash == strlen(path))
		(void)snprintf(dir, sizeof(dir), ".");
	else
		(void)snprintf(dir, sizeof(dir), "%.*s",
		    (int)(slash == 0 ? 1 : slash), path);
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fsync(fd) != 0)
		e = err_sys(et, errno, "cannot sync %s", dir);
	if (fd >= 0)
		(void)close(fd);
	return e;
}

enum err
make_commit(struct make *m, struct errtext *et)
{
	enum err e;

	e = m->kind == MAKE_CDB ? make_cdb_end(m, et) : make_lmdb_end(m, et);
	if (e == OK && fsync(m->fd) != 0)
		e = err_sys(et, errno, "cannot sync %s", m->temp);
	if (e == OK && rename(m->temp, m->path) != 0)
		e = err_sys(et, errno, "cannot replace %s", m->path);
	if (e != OK) {
		make_abort(m);
		return e;
	}
	(void)close(m->fd);
	m->fd = -1;
	return sync_directory(m->path, et);
}

void
make_abort(struct make *m)
{
	drop_format(m);
	if (m->fd < 0)
		return;
	if (same_file(m->fd, m->temp))
		(void)unlink(m->temp);
	(void)close(m->fd);
	m->fd = -1;
}

enum err
make_each(enum make_kind kind, const char *path, make_each_fn *each, void *arg,
    struct errtext *et)
{
	return kind == MAKE_CDB ? make_cdb_each(path, each, arg, et)
				: make_lmdb_each(path, each, arg, et);
}
