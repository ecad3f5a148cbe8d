/*
 * disk_posix: the real disk.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "store/disk.h"

static int
root_of(struct disk *d)
{
	return CONTAINER(d, struct disk_posix, disk)->root_fd;
}

static int
px_open(struct disk *d, const char *path, unsigned flags)
{
	int how = O_CLOEXEC | O_NOFOLLOW;

	how |= flags & DISK_READ ? O_RDONLY : O_RDWR;
	if (flags & DISK_CREATE)
		how |= O_CREAT;
	if (flags & DISK_EXCLUSIVE)
		how |= O_EXCL;
	return openat(root_of(d), path, how, 0600);
}

static void
px_close(struct disk *d, int fd)
{
	(void)d;
	close(fd);
}

static ssize_t
px_pread(struct disk *d, int fd, void *buf, size_t len, uint64_t offset)
{
	ssize_t n;

	(void)d;
	do
		n = pread(fd, buf, len, (off_t)offset);
	while (n < 0 && errno == EINTR);
	return n;
}

static ssize_t
px_pwritev(struct disk *d, int fd, const struct iovec *iov, int iov_count,
    uint64_t offset)
{
	ssize_t n;

	(void)d;
	do
		n = pwritev(fd, iov, iov_count, (off_t)offset);
	while (n < 0 && errno == EINTR);
	return n;
}

static int
px_allocate(struct disk *d, int fd, uint64_t offset, uint64_t len)
{
	int rc;

	(void)d;
	do
		rc = fallocate(fd, 0, (off_t)offset, (off_t)len);
	while (rc < 0 && errno == EINTR);
	return rc;
}

static void
px_writeout(struct disk *d, int fd, uint64_t offset, size_t len)
{
	(void)d;
	(void)sync_file_range(fd, (off_t)offset, (off_t)len,
	    SYNC_FILE_RANGE_WRITE);
}

static int
px_datasync(struct disk *d, int fd)
{
	(void)d;
	/* Not repeated after EINTR: a failed sync proves nothing later. */
	return fdatasync(fd);
}

static int
px_dirsync(struct disk *d, const char *path)
{
	int fd = openat(root_of(d), path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int rc, saved;

	if (fd < 0)
		return -1;
	rc = fsync(fd);
	saved = errno;
	close(fd);
	errno = saved;
	return rc;
}

static int
px_rename(struct disk *d, const char *from, const char *to)
{
	return renameat(root_of(d), from, root_of(d), to);
}

static int
px_unlink(struct disk *d, const char *path)
{
	return unlinkat(root_of(d), path, 0);
}

static int
px_mkdir(struct disk *d, const char *path)
{
	if (mkdirat(root_of(d), path, 0700) < 0 && errno != EEXIST)
		return -1;
	return 0;
}

static int
px_size(struct disk *d, int fd, uint64_t *size_out)
{
	struct stat st;

	(void)d;
	if (fstat(fd, &st) < 0)
		return -1;
	*size_out = (uint64_t)st.st_size;
	return 0;
}

static int
px_list(struct disk *d, const char *path,
    bool (*fn)(void *arg, const char *name), void *arg)
{
	int fd = openat(root_of(d), path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct dirent *e;
	bool more = true;
	DIR *dir;

	if (fd < 0)
		return -1;
	dir = fdopendir(fd);
	if (dir == NULL) {
		close(fd);
		return -1;
	}
	while (more && (errno = 0, e = readdir(dir)) != NULL) {
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..") ||
		    strlen(e->d_name) >= DISK_NAME_BYTES)
			continue;
		more = fn(arg, e->d_name);
	}
	int saved = more ? errno : 0;
	closedir(dir);
	errno = saved;
	return saved != 0 ? -1 : 0;
}

static int
px_space(struct disk *d, struct disk_space *out)
{
	struct statvfs v;

	if (fstatvfs(root_of(d), &v) < 0)
		return -1;
	out->free_bytes = (uint64_t)v.f_bavail * v.f_frsize;
	out->free_inodes = v.f_files == 0 ? UINT64_MAX : v.f_favail;
	return 0;
}

static int
px_lock(struct disk *d, int fd)
{
	(void)d;
	if (flock(fd, LOCK_EX | LOCK_NB) == 0)
		return 0;
	if (errno == EWOULDBLOCK)
		errno = EAGAIN;
	return -1;
}

static const struct disk_ops posix_ops = {
	.open = px_open,
	.close = px_close,
	.pread = px_pread,
	.pwritev = px_pwritev,
	.allocate = px_allocate,
	.writeout = px_writeout,
	.datasync = px_datasync,
	.dirsync = px_dirsync,
	.rename = px_rename,
	.unlink = px_unlink,
	.mkdir = px_mkdir,
	.size = px_size,
	.list = px_list,
	.space = px_space,
	.lock = px_lock,
};

enum err
disk_posix_open(struct disk_posix *d, const char *root, struct errtext *et)
{
	d->disk.ops = &posix_ops;
	d->root_fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (d->root_fd < 0)
		return err_sys(et, errno, "%s", root);
	return OK;
}

void
disk_posix_close(struct disk_posix *d)
{
	if (d->root_fd >= 0)
		close(d->root_fd);
	d->root_fd = -1;
}
