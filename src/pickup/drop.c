/*
 * weir-drop: keep a message on disk while no server runs.
 *
 *	weir-drop DIRECTORY < message
 *
 * Installed set-gid weirdrop, the only group that may make files in the drop
 * directory; so it can be called by any user and trusts nobody: it reads no
 * configuration and no environment, parses not one byte of what it copies,
 * and writes only into a directory of its own group.  pickup judges the
 * message, as somebody without rights.
 *
 * The file is written under a name that pickup passes over, synced, renamed,
 * and the directory synced; exit status 0 means that it is safe.  TERM, HUP
 * and INT end it without a trace.
 *
 * It links nothing but libc.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

enum {
	NAME_BYTES = 80,
	NAME_ATTEMPTS_MAX = 10,
	BUFFER_BYTES = 64 * 1024,
};

/* More than any message_size_limit in use; the rest is pickup's to judge. */
static const uint64_t message_bytes_max = UINT64_C(1) << 30;
/* What a local user may not take of the disk that the queue is on. */
static const uint64_t disk_reserve_bytes = UINT64_C(64) << 20;
static const uint64_t disk_reserve_inodes = 1000;

static volatile sig_atomic_t stopped;

static void
on_signal(int signum)
{
	(void)signum;
	stopped = 1;
}

static int
fail(int status, const char *what)
{
	fprintf(stderr, "weir-drop: %s: %s\n", what,
	    errno != 0 ? strerror(errno) : "refused");
	return status;
}

/* Descriptors 0 to 2 exist, no other does; signals as said above. */
static bool
tidy_up(void)
{
	struct sigaction stop = { .sa_handler = on_signal };
	int fd;

	do {
		fd = open("/dev/null", O_RDWR);
		if (fd < 0)
			return false;
	} while (fd <= 2);
	if (close_range(3, ~0u, 0) < 0)
		return false;
	umask(077);
	sigaction(SIGTERM, &stop, NULL);
	sigaction(SIGHUP, &stop, NULL);
	sigaction(SIGINT, &stop, NULL);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	return true;
}

/* Our group's directory, or, without the set-gid bit, our own. */
static int
open_directory(const char *path, int *fd_out)
{
	int fd = open(path, O_PATH | O_DIRECTORY | O_NOFOLLOW);
	struct stat st;
	bool ours;

	if (fd < 0 || fstat(fd, &st) < 0)
		return fail(EX_UNAVAILABLE, path);
	if (getuid() == 0)
		ours = true;
	else if (getgid() != getegid())
		ours = st.st_gid == getegid();
	else
		ours = st.st_uid == getuid();
	if (!ours || (st.st_mode & S_IWOTH)) {
		errno = 0;
		return fail(EX_NOPERM, path);
	}
	*fd_out = fd;
	return EX_OK;
}

static int
check_room(int fd)
{
	struct statvfs vfs;

	if (fstatvfs(fd, &vfs) < 0)
		return fail(EX_TEMPFAIL, "drop directory");
	if ((uint64_t)vfs.f_bavail * vfs.f_frsize >= disk_reserve_bytes &&
	    (vfs.f_files == 0 || vfs.f_favail >= disk_reserve_inodes))
		return EX_OK;
	errno = ENOSPC;
	return fail(EX_TEMPFAIL, "drop directory");
}

/* A name that nobody else uses; tmp and final differ in the first word. */
static int
create(int dir, char name[static NAME_BYTES])
{
	struct timespec now;
	int attempt, fd = -1;

	for (attempt = 0; attempt < NAME_ATTEMPTS_MAX; attempt++) {
		clock_gettime(CLOCK_REALTIME, &now);
		snprintf(name, NAME_BYTES, "tmp.%lld.%09ld.%ld",
		    (long long)now.tv_sec, now.tv_nsec, (long)getpid());
		fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW,
		    0600);
		if (fd >= 0 || errno != EEXIST)
			break;
	}
	return fd;
}

static bool
write_all(int fd, const char *data, size_t len)
{
	ssize_t n;

	while (len > 0) {
		n = write(fd, data, len);
		if (n < 0 && errno == EINTR && !stopped)
			continue;
		if (n <= 0)
			return false;
		data += n;
		len -= (size_t)n;
	}
	return true;
}

static int
copy(int fd)
{
	static char buffer[BUFFER_BYTES];
	uint64_t total = 0;
	ssize_t n;

	while ((n = read(STDIN_FILENO, buffer, sizeof(buffer))) != 0) {
		if (stopped)
			return EX_TEMPFAIL;
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fail(EX_IOERR, "standard input");
		total += (uint64_t)n;
		if (total > message_bytes_max) {
			errno = EFBIG;
			return fail(EX_DATAERR, "message");
		}
		if (!write_all(fd, buffer, (size_t)n))
			return fail(EX_TEMPFAIL, "drop directory");
	}
	if (total > 0)
		return EX_OK;
	errno = ENODATA;
	return fail(EX_DATAERR, "message");
}

/* Safe under its final name.  The directory may not be readable for us, then
 * it cannot be opened for fsync: its file system is synced. */
static bool
publish(int dir, int fd, const char *name)
{
	char final[NAME_BYTES];
	int sync_fd;
	bool synced;

	snprintf(final, sizeof(final), "msg%s", name + 3);
	/* pickup has no right but that to read; strangers cannot come here,
	 * for the directory is closed to them. */
	if (fchmod(fd, 0444) < 0 || fsync(fd) < 0 || stopped)
		return false;
	if (renameat2(dir, name, dir, final, RENAME_NOREPLACE) < 0)
		return false;
	sync_fd = openat(dir, ".", O_RDONLY | O_DIRECTORY);
	if (sync_fd < 0)
		return syncfs(fd) == 0;
	synced = fsync(sync_fd) == 0;
	close(sync_fd);
	return synced;
}

int
main(int argc, char **argv)
{
	char name[NAME_BYTES];
	int dir = -1, fd, status;

	if (argc != 2) {
		fprintf(stderr, "weir-drop is executed by sendmail\n");
		return EX_USAGE;
	}
	if (!tidy_up())
		return fail(EX_OSERR, "/dev/null");
	status = open_directory(argv[1], &dir);
	if (status == EX_OK)
		status = check_room(dir);
	if (status != EX_OK)
		return status;
	fd = create(dir, name);
	if (fd < 0)
		return fail(EX_TEMPFAIL, argv[1]);
	status = copy(fd);
	if (status == EX_OK && !publish(dir, fd, name))
		status = fail(EX_TEMPFAIL, "drop directory");
	if (status != EX_OK)
		(void)unlinkat(dir, name, 0);
	return status;
}
