/*
 * logdir.
 *
 * Happy path: lines gather in buf; a flush writes them in one call, up to the
 * last line that fits into the file.  A file whose last line ends within
 * NEAR_BYTES of the limit is full.
 *
 * Failure modes: an outage while current was written: it has mode 644, and
 * the next start sets it aside as @LABEL.u.  A full disk: the write is tried
 * again; what it wrote in part is not written twice.
 */
#include "multilog/logdir.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/tool.h"
#include "multilog/rotate.h"

enum { NEAR_BYTES = 2000 };

/* "WHAT PATH/NAME: ERROR" in multilog's words. */
static enum err
fail(const struct logdir *d, struct errtext *et, const char *what,
    const char *name)
{
	int errnum = errno;

	return err_set(et, err_from_errno(errnum), "%s %s%s: %s", what, d->path,
	    name, tool_errno_text(errnum));
}

static enum err
open_current(struct logdir *d, struct errtext *et)
{
	struct stat st = { 0 };
	bool is_new = fstatat(d->dir_fd, "current", &st, 0) != 0;
	int fd;

	if (is_new && errno != ENOENT)
		return fail(d, et, "unable to stat", "/current");
	if (is_new || !(st.st_mode & S_IXUSR))
		rotate_recover(d);
	/* What a processor reads on descriptor 4; there from the start. */
	fd = openat(d->dir_fd, "state", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	if (fd < 0)
		return fail(d, et, "unable to write to", "/state");
	(void)close(fd);
	d->fd = openat(d->dir_fd, "current",
	    O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	if (d->fd < 0 || fchmod(d->fd, 0644) != 0 || fstat(d->fd, &st) != 0)
		return fail(d, et, "unable to write to", "/current");
	d->size = st.st_size > LOGDIR_SIZE_MAX ? LOGDIR_SIZE_MAX
					       : (uint32_t)st.st_size;
	return OK;
}

enum err
logdir_open(struct logdir *d, struct errtext *et)
{
	d->len = 0;
	d->fd = d->lock_fd = d->dir_fd = -1;
	(void)mkdir(d->path, 0700); /* opening it tells */
	d->dir_fd = open(d->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (d->dir_fd < 0)
		return fail(d, et, "unable to open directory", "");
	d->lock_fd = openat(d->dir_fd, "lock",
	    O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (d->lock_fd < 0 || flock(d->lock_fd, LOCK_EX | LOCK_NB) != 0)
		return fail(d, et, "unable to lock directory", "");
	return open_current(d, et);
}

/* How much of the buffer goes into current: all, or up to the last line that
 * ends in it when the file comes near its limit. */
static size_t
piece(const struct logdir *d)
{
	size_t room = d->size_max - d->size;
	size_t len = d->len < room ? d->len : room;
	size_t line;

	if (d->size + len + NEAR_BYTES < d->size_max)
		return len;
	line = slice_rfind(slice_of(d->buf, len), '\n');
	return line < len ? line + 1 : len;
}

void
logdir_flush(struct logdir *d)
{
	size_t done = 0;

	while (d->len > 0) {
		ssize_t n;

		if (d->size >= d->size_max)
			rotate_current(d);
		n = write(d->fd, d->buf, piece(d));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			rotate_pause("unable to write to", d, "/current");
			continue;
		}
		done = (size_t)n;
		d->size += (uint32_t)done;
		if (d->size + NEAR_BYTES >= d->size_max &&
		    d->buf[done - 1] == '\n')
			rotate_current(d);
		d->len -= done;
		memmove(d->buf, d->buf + done, d->len);
	}
}

void
logdir_put(struct logdir *d, struct slice text)
{
	while (text.len > 0) {
		size_t room = sizeof(d->buf) - d->len;
		size_t len = text.len < room ? text.len : room;

		memcpy(d->buf + d->len, text.data, len);
		d->len += len;
		text = slice_sub(text, len, text.len);
		if (d->len == sizeof(d->buf))
			logdir_flush(d);
	}
}

void
logdir_rotate(struct logdir *d)
{
	logdir_flush(d);
	if (d->size > 0)
		rotate_current(d);
}

void
logdir_close(struct logdir *d)
{
	logdir_flush(d);
	while (fsync(d->fd) != 0)
		rotate_pause("unable to write", d, "/current to disk");
	while (fchmod(d->fd, 0744) != 0)
		rotate_pause("unable to set mode of", d, "/current");
	(void)close(d->fd);
	(void)close(d->lock_fd);
	(void)close(d->dir_fd);
}
