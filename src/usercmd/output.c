#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "usercmd/int.h"

void
output_init(struct output *o, int fd)
{
	o->fd = fd;
	o->failed = false;
	o->len = 0;
}

bool
output_flush(struct output *o)
{
	size_t at = 0;
	ssize_t n;

	while (at < o->len && !o->failed) {
		n = write(o->fd, o->data + at, o->len - at);
		if (n > 0)
			at += (size_t)n;
		else if (n == 0 || errno != EINTR)
			o->failed = true;
	}
	o->len = 0;
	return !o->failed;
}

bool
output_put(void *arg, struct slice text)
{
	struct output *o = arg;

	while (text.len > 0 && !o->failed) {
		size_t n = sizeof(o->data) - o->len;

		n = n < text.len ? n : text.len;
		memcpy(o->data + o->len, text.data, n);
		o->len += n;
		text = slice_sub(text, n, text.len);
		if (o->len == sizeof(o->data))
			(void)output_flush(o);
	}
	return !o->failed;
}

bool
output_copy(struct output *o, int fd)
{
	off_t at = 0;
	ssize_t n;

	if (!output_flush(o))
		return false;
	while ((n = pread(fd, o->data, sizeof(o->data), at)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return false;
		at += n;
		o->len = (size_t)n;
		if (!output_flush(o))
			return false;
	}
	return true;
}

bool
sync_parent(const char *path)
{
	char dir[4096];
	struct slice s = slice_str(path);
	size_t slash = slice_rfind(s, '/');
	bool good;
	int fd;

	if (slash == s.len)
		s = SLICE_LIT(".");
	else
		s = slice_sub(s, 0, slash == 0 ? 1 : slash);
	if (!slice_copy(s, dir, sizeof(dir))) {
		errno = ENAMETOOLONG;
		return false;
	}
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return false;
	good = fsync(fd) == 0;
	(void)close(fd);
	return good;
}
