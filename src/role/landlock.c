/*
 * landlock: which files a role may reach (Linux 5.13 and later).
 *
 * The C library has no wrappers and Debian's headers know only the first two
 * versions, so calls and bits are written out.  Every right that the running
 * kernel knows is handled, and given only below the paths of the table.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "conf/conf.h"
#include "role/sandbox.h"

/* struct landlock_ruleset_attr as of version 6; older kernels are given the
 * size that they know. */
struct ruleset_attr {
	uint64_t handled_access_fs;
	uint64_t handled_access_net;
	uint64_t scoped;
};

enum {
	FS_RIGHTS_1 = 13, /* how many rights version 1 knows, ... */
	FS_RIGHTS_2 = 14, /* refer */
	FS_RIGHTS_3 = 15, /* truncate */
	FS_RIGHTS_5 = 16, /* ioctl on devices */
	SCOPE_SIGNALS = 2,
};

#define FS_READ	    (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define FS_TRUNCATE (1ULL << 14)
#define FS_WRITE                                                             \
	(FS_READ | LANDLOCK_ACCESS_FS_WRITE_FILE |                           \
	    LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE | \
	    LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG |      \
	    LANDLOCK_ACCESS_FS_REFER | FS_TRUNCATE)

int
landlock_version(void)
{
	long v = syscall(SYS_landlock_create_ruleset, NULL, 0,
	    LANDLOCK_CREATE_RULESET_VERSION);

	return v > 0 ? (int)v : 0;
}

static uint64_t
rights_of(int version)
{
	int count = FS_RIGHTS_1;

	if (version >= 5)
		count = FS_RIGHTS_5;
	else if (version >= 3)
		count = FS_RIGHTS_3;
	else if (version >= 2)
		count = FS_RIGHTS_2;
	return (1ULL << count) - 1;
}

static enum err
allow(int rules, const char *path, uint64_t rights, struct errtext *et)
{
	struct landlock_path_beneath_attr below = { .allowed_access = rights };
	enum err e = OK;

	below.parent_fd = open(path, O_PATH | O_CLOEXEC);
	if (below.parent_fd < 0)
		return err_sys(et, errno, "%s", path);
	if (syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH,
		&below, 0) != 0)
		e = err_sys(et, errno, "Landlock rule for %s", path);
	close(below.parent_fd);
	return e;
}

enum err
landlock_prepare(const struct conf *conf, const struct sandbox_rights *rights,
    int *fd_out, struct errtext *et)
{
	int version = landlock_version(), fd;
	uint64_t known = rights_of(version);
	struct ruleset_attr attr = { .handled_access_fs = known };
	size_t size = sizeof(attr.handled_access_fs);

	*fd_out = -1;
	if (version == 0)
		return OK;
	if (version >= 6) {
		attr.scoped = SCOPE_SIGNALS;
		size = sizeof(attr);
	}
	fd = (int)syscall(SYS_landlock_create_ruleset, &attr, size, 0);
	if (fd < 0)
		return err_sys(et, errno, "Landlock");
	for (unsigned i = 0; i < SANDBOX_PATHS_MAX; i++) {
		const struct sandbox_path *p = &rights->paths[i];
		const char *path = p->path;
		char room[4096];
		enum err e;

		if (path == NULL)
			break;
		if (strncmp(path, "%q", 2) == 0) {
			snprintf(room, sizeof(room), "%s%s",
			    conf->queue_directory, path + 2);
			path = room;
		}
		e = allow(fd, path, (p->write ? FS_WRITE : FS_READ) & known,
		    et);
		if (e != OK) {
			close(fd);
			return e;
		}
	}
	*fd_out = fd;
	return OK;
}

enum err
landlock_enforce(int fd, struct errtext *et)
{
	enum err e = OK;

	if (fd < 0)
		return OK;
	if (syscall(SYS_landlock_restrict_self, fd, 0) != 0)
		e = err_sys(et, errno, "Landlock");
	close(fd);
	return e;
}
