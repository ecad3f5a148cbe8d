/*
 * dirs: making directories without being led astray: each is opened without
 * following a link, then looked at and changed through its descriptor.
 */
#include "master/dirs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/time.h"
#include "conf/conf.h"
#include "role/identity.h"

enum { LOCK_POLL_MS = 50 };

/* Parents too, each 0755. */
static enum err
make_path(const char *path, struct errtext *et)
{
	char part[PATH_MAX];

	if (!slice_copy(slice_str(path), part, sizeof(part)))
		return err_set(et, ERR_CONFIG, "%s: too long", path);
	for (char *p = part + 1;; p++) {
		char c = *p;

		if (c != '/' && c != 0)
			continue;
		*p = 0;
		if (mkdir(part, 0755) != 0 && errno != EEXIST)
			return err_sys(et, errno, "cannot create %s", part);
		*p = c;
		if (c == 0)
			return OK;
	}
}

/* Open name below at (AT_FDCWD: any path), making it if need be, and give it
 * this owner and mode.  Somebody who is not root leaves owners alone. */
static enum err
own_dir(int at, const char *name, mode_t mode, uid_t uid, gid_t gid,
    int *fd_out, struct errtext *et)
{
	int follow = at == AT_FDCWD ? 0 : O_NOFOLLOW;
	struct stat st;
	int fd;

	if (mkdirat(at, name, mode) != 0 && errno != EEXIST)
		return err_sys(et, errno, "cannot create %s", name);
	fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | follow);
	if (fd < 0)
		return err_sys(et, errno, "%s", name);
	if (fstat(fd, &st) != 0)
		goto failed;
	if (geteuid() == 0 && (st.st_uid != uid || st.st_gid != gid) &&
	    fchown(fd, uid, gid) != 0)
		goto failed;
	if ((st.st_mode & 07777) != mode && fchmod(fd, mode) != 0)
		goto failed;
	*fd_out = fd;
	return OK;

failed:
	err_sys(et, errno, "cannot set owner or mode of %s", name);
	close(fd);
	return ERR_SYS;
}

/* The same for a directory of which no descriptor is needed. */
static enum err
own_dir_only(int at, const char *name, mode_t mode, uid_t uid, gid_t gid,
    struct errtext *et)
{
	int fd;
	enum err e = own_dir(at, name, mode, uid, gid, &fd, et);

	if (e == OK)
		close(fd);
	return e;
}

/* What stands in it is the administrator's: only a new one is given away.  A
 * server can run without: only postmaster's last resort lies there. */
static void
prepare_data(const struct conf *c, const struct identity *local)
{
	struct errtext et;

	if (access(c->data_directory, F_OK) == 0)
		return;
	if (make_path(c->data_directory, &et) != OK ||
	    own_dir_only(AT_FDCWD, c->data_directory, 0755, local->uid,
		local->gid, &et) != OK)
		log_warning("data_directory: %s", et.text);
}

enum err
dirs_prepare(const struct conf *c, int *run_fd_out, struct errtext *et)
{
	struct identity queue, pickup, local;
	uid_t us = geteuid();
	gid_t our = getegid();
	int top;
	enum err e;

	e = make_path(c->queue_directory, et);
	if (e == OK)
		e = identity_find(c, ROLE_QUEUE, &queue, et);
	if (e == OK)
		e = identity_find(c, ROLE_PICKUP, &pickup, et);
	if (e == OK)
		e = identity_find(c, ROLE_LOCAL, &local, et);
	if (e == OK)
		e = own_dir(AT_FDCWD, c->queue_directory, 0755, queue.uid,
		    queue.gid, &top, et);
	if (e != OK)
		return e;

	e = own_dir_only(top, "log", 0700, queue.uid, queue.gid, et);
	if (e == OK)
		e = own_dir_only(top, "empty", 0555, us, our, et);
	if (e == OK)
		e = own_dir_only(top, "drop", 0730, pickup.uid, pickup.drop_gid,
		    et);
	if (e == OK)
		e = own_dir(top, "run", 0755, us, our, run_fd_out, et);
	close(top);
	if (e == OK)
		prepare_data(c, &local);
	return e;
}

enum err
dirs_lock(int run_fd, const char *queue_directory, int64_t wait_ms,
    int *lock_fd_out, struct errtext *et)
{
	struct mono end = mono_add(clock_system.mono(&clock_system), wait_ms);
	char text[24];
	int fd;

	fd = openat(run_fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW,
	    0644);
	if (fd < 0)
		return err_sys(et, errno, "run/lock");
	while (flock(fd, LOCK_EX | LOCK_NB) != 0) {
		if (errno != EWOULDBLOCK && errno != EINTR) {
			err_sys(et, errno, "run/lock");
			close(fd);
			return ERR_SYS;
		}
		if (mono_sub(end, clock_system.mono(&clock_system)) <= 0) {
			close(fd);
			return err_set(et, ERR_BUSY,
			    "another server runs in queue_directory %s",
			    queue_directory);
		}
		(void)poll(NULL, 0, LOCK_POLL_MS);
	}
	/* For people; the lock is what counts. */
	snprintf(text, sizeof(text), "%ld\n", (long)getpid());
	if (ftruncate(fd, 0) != 0 ||
	    pwrite(fd, text, strlen(text), 0) != (ssize_t)strlen(text))
		log_warning("run/lock: %s", strerror(errno));
	*lock_fd_out = fd;
	return OK;
}

bool
dirs_drop_used(const struct conf *c)
{
	char path[PATH_MAX];
	struct dirent *e;
	bool used = false;
	DIR *d;

	snprintf(path, sizeof(path), "%s/drop", c->queue_directory);
	d = opendir(path);
	if (d == NULL)
		return false;
	while (!used && (e = readdir(d)) != NULL)
		used =
		    strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
	closedir(d);
	return used;
}
