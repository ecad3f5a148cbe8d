/*
 * record: what a process asks of the disk, in order, for test_power_replay.py.
 *
 * Preloaded into the roles (LD_PRELOAD).  A role for which the directory
 * WEIR_RECORD holds a file of its name appends each change of a file that it
 * opened with openat there: before a write its bytes, after it that it is
 * over; the same for a sync; names when they have changed.  So whoever reads
 * the length of the record at an instant knows all that had begun by then, and
 * what was sure to be over.  The first word of the file NAME.skip, if it is
 * not 0, makes syncs do nothing and leave no trace: a planted fault.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { FDS_MAX = 4096, PATH_BYTES = 256, BUFFER_BYTES = 8 << 20 };

/* As test_power_replay.py reads it; len bytes follow. */
struct event {
	uint32_t kind; /* a letter */
	uint32_t len;
	uint64_t serial; /* of a write or sync: which one ends */
	uint64_t offset;
	char path[PATH_BYTES];
};

static int record = -1;
static int64_t never;
static volatile int64_t *skip = &never;
static char paths[FDS_MAX][PATH_BYTES]; /* of descriptors; "": not ours */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t serial;
static char *buffer;

__attribute__((constructor)) static void
begin(void)
{
	const char *dir = getenv("WEIR_RECORD");
	char exe[2048], path[4096];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
	void *p;
	int fd;

	if (dir == NULL || n <= 0)
		return;
	exe[n] = '\0';
	snprintf(path, sizeof(path), "%s/%s", dir, strrchr(exe, '/') + 1);
	fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
	if (fd < 0)
		return;
	buffer = mmap(NULL, BUFFER_BYTES, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	record = fd;
	strcat(path, ".skip");
	fd = open(path, O_RDWR | O_CLOEXEC);
	p = mmap(NULL, sizeof(*skip), PROT_READ | PROT_WRITE, MAP_SHARED, fd,
	    0);
	if (buffer == MAP_FAILED || p == MAP_FAILED)
		abort();
	close(fd);
	skip = p;
}

/* One event in one write, so that its place in the file is its instant. */
static uint64_t
note(char kind, const char *path, uint64_t which, uint64_t offset,
    const struct iovec *iov, int iov_count)
{
	struct event *e = (struct event *)(void *)buffer;
	size_t at = sizeof(*e);

	pthread_mutex_lock(&lock);
	memset(e, 0, sizeof(*e));
	e->kind = (unsigned char)kind;
	e->serial = which != 0 ? which : ++serial;
	e->offset = offset;
	strncpy(e->path, path, PATH_BYTES - 1);
	for (int i = 0; i < iov_count; i++) {
		if (at + iov[i].iov_len > BUFFER_BYTES)
			abort();
		memcpy(buffer + at, iov[i].iov_base, iov[i].iov_len);
		at += iov[i].iov_len;
	}
	e->len = (uint32_t)(at - sizeof(*e));
	which = e->serial;
	if (syscall(SYS_write, record, buffer, at) != (long)at)
		abort();
	pthread_mutex_unlock(&lock);
	return which;
}

static const char *
path_of(int fd)
{
	return record >= 0 && fd >= 0 && fd < FDS_MAX ? paths[fd] : "";
}

int
openat64(int dir, const char *path, int flags, ...)
{
	va_list ap;
	int mode, fd;

	va_start(ap, flags);
	mode = va_arg(ap, int);
	va_end(ap);
	fd = (int)syscall(SYS_openat, dir, path, flags, mode);
	if (record >= 0 && fd >= 0 && fd < FDS_MAX) {
		strncpy(paths[fd], path, PATH_BYTES - 1);
		if (flags & O_CREAT)
			note('c', path, 0, 0, NULL, 0);
	}
	return fd;
}

int
close(int fd)
{
	if (record >= 0 && fd >= 0 && fd < FDS_MAX)
		paths[fd][0] = '\0';
	return (int)syscall(SYS_close, fd);
}

ssize_t
pwritev64(int fd, const struct iovec *iov, int count, off_t offset)
{
	const char *path = path_of(fd);
	uint64_t which = 0;
	ssize_t n;

	if (*path != '\0')
		which = note('w', path, 0, (uint64_t)offset, iov, count);
	n = syscall(SYS_pwritev, fd, iov, count, offset, 0);
	if (which != 0)
		note('W', path, which, n < 0 ? 0 : (uint64_t)n, NULL, 0);
	return n;
}

ssize_t
pwrite64(int fd, const void *bytes, size_t len, off_t offset)
{
	struct iovec iov = { (void *)(uintptr_t)bytes, len };

	if (*path_of(fd) != '\0')
		return pwritev64(fd, &iov, 1, offset);
	return syscall(SYS_pwrite64, fd, bytes, len, offset);
}

int
fallocate64(int fd, int mode, off_t offset, off_t len)
{
	int rc = (int)syscall(SYS_fallocate, fd, mode, offset, len);

	if (rc == 0 && *path_of(fd) != '\0')
		note('a', path_of(fd), 0, (uint64_t)(offset + len), NULL, 0);
	return rc;
}

int
ftruncate64(int fd, off_t len)
{
	int rc = (int)syscall(SYS_ftruncate, fd, len);

	if (rc == 0 && *path_of(fd) != '\0')
		note('t', path_of(fd), 0, (uint64_t)len, NULL, 0);
	return rc;
}

static int
synced(int fd, long call)
{
	const char *path = path_of(fd);
	uint64_t which;
	int rc;

	if (*path == '\0')
		return (int)syscall(call, fd);
	if (*skip != 0)
		return 0;
	which = note('s', path, 0, 0, NULL, 0);
	rc = (int)syscall(call, fd);
	if (rc == 0)
		note('S', path, which, 0, NULL, 0);
	return rc;
}

int
fdatasync(int fd)
{
	return synced(fd, SYS_fdatasync);
}

int
fsync(int fd)
{
	return synced(fd, SYS_fsync);
}

int
renameat(int from_dir, const char *from, int to_dir, const char *to)
{
	int rc = (int)syscall(SYS_renameat, from_dir, from, to_dir, to);
	struct iovec iov = { (void *)(uintptr_t)to, strlen(to) };

	if (rc == 0 && record >= 0) {
		pthread_mutex_lock(&lock);
		for (int i = 0; i < FDS_MAX; i++)
			if (strcmp(paths[i], from) == 0)
				strncpy(paths[i], to, PATH_BYTES - 1);
		pthread_mutex_unlock(&lock);
		note('r', from, 0, 0, &iov, 1);
	}
	return rc;
}

int
unlinkat(int dir, const char *path, int flags)
{
	int rc = (int)syscall(SYS_unlinkat, dir, path, flags);

	if (rc == 0 && record >= 0)
		note('u', path, 0, 0, NULL, 0);
	return rc;
}

int
mkdirat(int dir, const char *path, mode_t mode)
{
	int rc = (int)syscall(SYS_mkdirat, dir, path, mode);

	if (rc == 0 && record >= 0)
		note('m', path, 0, 0, NULL, 0);
	return rc;
}
