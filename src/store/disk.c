/*
 * disk: loops that every disk needs.
 */
#include "store/disk.h"

#include <errno.h>

enum err
disk_read_all(struct disk *d, int fd, void *buf, size_t len, uint64_t offset,
    struct errtext *et)
{
	size_t got = 0;

	while (got < len) {
		ssize_t n = d->ops->pread(d, fd, (char *)buf + got, len - got,
		    offset + got);

		if (n < 0)
			return err_sys(et, errno, "read");
		if (n == 0)
			return err_set(et, ERR_CORRUPT, "file too short");
		got += (size_t)n;
	}
	return OK;
}

enum err
disk_write_all(struct disk *d, int fd, const void *buf, size_t len,
    uint64_t offset, struct errtext *et)
{
	union {
		const void *from;
		void *to;
	} u = { .from = buf };
	size_t put = 0;

	while (put < len) {
		struct iovec iov = { (char *)u.to + put, len - put };
		ssize_t n = d->ops->pwritev(d, fd, &iov, 1, offset + put);

		if (n < 0)
			return err_sys(et, errno, "write");
		if (n == 0)
			return err_set(et, ERR_IO, "write: nothing written");
		put += (size_t)n;
	}
	return OK;
}
