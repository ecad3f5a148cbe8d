#include "lookup/include.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static enum err
check_file(const struct include *f, struct errtext *et)
{
	struct stat st;

	if (fstat(f->fd, &st) != 0) {
		(void)err_sys(et, errno, "cannot look at %.160s", f->path);
		return ERR_LOOKUP;
	}
	if (!S_ISREG(st.st_mode))
		return err_set(et, ERR_LOOKUP, "%.160s is not a regular file",
		    f->path);
	if (st.st_mode & S_IWOTH)
		return err_set(et, ERR_LOOKUP,
		    "%.160s is writable for everybody", f->path);
	return OK;
}

enum err
include_open(struct include *f, struct slice path, struct errtext *et)
{
	enum err e;

	f->fd = -1;
	if (!slice_copy(path, f->path, sizeof(f->path)))
		return err_set(et, ERR_LOOKUP, ":include: of a path too long");
	/* A FIFO must not stop us. */
	f->fd = open(f->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (f->fd < 0) {
		(void)err_sys(et, errno, "cannot open %.160s", f->path);
		return ERR_LOOKUP;
	}
	e = check_file(f, et);
	if (e != OK) {
		include_close(f);
		return e;
	}
	f->ended = false;
	f->left_bytes = INCLUDE_BYTES_MAX;
	f->rest = SLICE_NONE;
	alias_scan_init(&f->scan, ALIAS_SOURCE_FILE);
	return OK;
}

static enum err
read_more(struct include *f, struct errtext *et)
{
	ssize_t n;

	do
		n = read(f->fd, f->buf, sizeof(f->buf));
	while (n < 0 && errno == EINTR);
	if (n < 0) {
		(void)err_sys(et, errno, "cannot read %.160s", f->path);
		return ERR_LOOKUP;
	}
	if ((uint64_t)n > f->left_bytes)
		return err_set(et, ERR_LOOKUP, "%.160s is larger than %d bytes",
		    f->path, INCLUDE_BYTES_MAX);
	f->left_bytes -= (uint64_t)n;
	f->rest = slice_of(f->buf, (size_t)n);
	f->ended = n == 0;
	return OK;
}

enum err
include_next(struct include *f, struct alias_target *out, struct errtext *et)
{
	struct errtext why = { "" };
	enum err e;

	for (;;) {
		e = alias_scan_next(&f->scan, &f->rest, f->ended, out, &why);
		if (e == OK || e == ERR_NOTFOUND)
			return e;
		if (e != ERR_AGAIN)
			return err_set(et, ERR_LOOKUP, "%.120s: %.120s",
			    f->path, why.text);
		e = read_more(f, et);
		if (e != OK)
			return e;
	}
}

void
include_close(struct include *f)
{
	if (f->fd >= 0)
		(void)close(f->fd);
	f->fd = -1;
}
