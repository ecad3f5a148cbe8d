/*
 * disk: every system call by which the store touches a file, as one table,
 * so that a simulator can stand in (test/sim/simdisk.h).
 *
 * Paths are relative to the disk's root (the spool directory).  Handles are
 * small integers; the posix disk's are descriptors.  All calls may block and
 * may be made from any thread.  Calls that return an int give -1 and set
 * errno on failure, as the system calls of the same name do.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "base/err.h"

enum disk_open {
	DISK_READ = 1,	    /* read only; the default is read and write */
	DISK_CREATE = 2,    /* make it if it does not exist (mode 0600) */
	DISK_EXCLUSIVE = 4, /* with CREATE: it must not exist */
};

enum { DISK_NAME_BYTES = 64 }; /* of one directory entry, with terminator */

/* Room on the file system, for callers without privilege. */
struct disk_space {
	uint64_t free_bytes;
	uint64_t
	    free_inodes; /* UINT64_MAX where the system has no such limit */
};

struct disk;

struct disk_ops {
	int (*open)(struct disk *, const char *path, unsigned flags);
	void (*close)(struct disk *, int fd);
	ssize_t (*pread)(struct disk *, int fd, void *buf, size_t len,
	    uint64_t offset);
	ssize_t (*pwritev)(struct disk *, int fd, const struct iovec *iov,
	    int iov_count, uint64_t offset);
	/* Reserve space that reads as zeros and make the file that long, or
	 * fail with nothing changed; EOPNOTSUPP: not on this file system. */
	int (*allocate)(struct disk *, int fd, uint64_t offset, uint64_t len);
	/* A hint: let the disk begin with what was written there.  Whether it
	 * got through only datasync tells. */
	void (*writeout)(struct disk *, int fd, uint64_t offset, size_t len);
	int (*datasync)(struct disk *, int fd);
	/* Make creations, renames and removals in a directory durable. */
	int (*dirsync)(struct disk *, const char *path);
	int (*rename)(struct disk *, const char *from, const char *to);
	int (*unlink)(struct disk *, const char *path);
	int (*mkdir)(struct disk *, const char *path); /* EEXIST is success */
	/* Size of an open file. */
	int (*size)(struct disk *, int fd, uint64_t *size_out);
	/*
	 * Names in a directory, in no order, without "." and ".."; names
	 * longer than DISK_NAME_BYTES - 1 are left out.  fn returns false to
	 * stop.
	 */
	int (*list)(struct disk *, const char *path,
	    bool (*fn)(void *arg, const char *name), void *arg);
	int (*space)(struct disk *, struct disk_space *out);
	/* Take the exclusive lock of an open file, without waiting; EAGAIN
	 * when another process has it.  Held until close. */
	int (*lock)(struct disk *, int fd);
};

struct disk {
	const struct disk_ops *ops;
};

/* The real one.  root is an absolute path or relative to the process's
 * directory at the time of the call; it must exist. */
struct disk_posix {
	struct disk disk;
	int root_fd;
};

/* d->disk is usable from now on; d owns the descriptor of root.  ERR_SYS
 * and its like, with et. */
MUST_CHECK enum err disk_posix_open(struct disk_posix *d, const char *root,
    struct errtext *et);
/* Files opened through d stay open.  Again: no-op. */
void disk_posix_close(struct disk_posix *d);

/*
 * disk_read_all(d, fd, buf, len, offset):
 * pread until len bytes came.  ERR_CORRUPT at the end of the file, else the
 * class of the failed call.
 */
MUST_CHECK enum err disk_read_all(struct disk *d, int fd, void *buf, size_t len,
    uint64_t offset, struct errtext *et);
/* pwrite until all of it is written. */
MUST_CHECK enum err disk_write_all(struct disk *d, int fd, const void *buf,
    size_t len, uint64_t offset, struct errtext *et);
