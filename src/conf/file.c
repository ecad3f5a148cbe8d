/*
 * conf/file: configuration files as bounded texts and lines.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf/load.h"

static enum err
read_all(int fd, char *data, size_t size, size_t *len_out, struct errtext *et)
{
	size_t len = 0;
	ssize_t n;

	while (len < size) {
		n = pread(fd, data + len, size - len, (off_t)len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(et, errno, "cannot read");
		if (n == 0)
			break;
		len += (size_t)n;
	}
	*len_out = len;
	return OK;
}

enum err
conf_file_read_fd(struct acct *a, int fd, struct slice *out, struct errtext *et)
{
	struct stat st;
	char *data;
	size_t len;
	enum err e;

	if (fstat(fd, &st) != 0)
		return err_sys(et, errno, "cannot read");
	if (!S_ISREG(st.st_mode))
		return err_set(et, ERR_CONFIG, "not a regular file");
	if (st.st_size > CONF_FILE_BYTES_MAX)
		return err_set(et, ERR_CONFIG,
		    "larger than %d bytes; make it smaller, or put lists "
		    "into tables",
		    CONF_FILE_BYTES_MAX);
	/* One byte more than it had shows whether it grows meanwhile. */
	data = mem_alloc(a, (size_t)st.st_size + 1);
	if (data == NULL)
		return err_set(et, ERR_NOMEM, "no memory to read it");
	e = read_all(fd, data, (size_t)st.st_size + 1, &len, et);
	if (e == OK && len > (size_t)st.st_size)
		e = err_set(et, ERR_AGAIN, "it is being written just now");
	if (e == OK && memchr(data, '\0', len) != NULL)
		e = err_set(et, ERR_CONFIG,
		    "holds a NUL byte; it must be plain text");
	if (e != OK) {
		mem_free(a, data);
		return e;
	}
	*out = slice_of(data, len);
	return OK;
}

enum err
conf_file_read(struct acct *a, const char *path, struct slice *out,
    struct errtext *et)
{
	enum err e;
	int fd;

	/* O_NONBLOCK: a FIFO must not hold up the start. */
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0) {
		int errnum = errno;

		e = err_sys(et, errnum, "cannot open");
		return errnum == ENOENT ? ERR_NOTFOUND : e;
	}
	e = conf_file_read_fd(a, fd, out, et);
	(void)close(fd);
	return e;
}

bool
conf_file_line(struct slice *text, struct slice *line_out)
{
	size_t end;

	if (text->len == 0)
		return false;
	end = slice_find(*text, '\n');
	*line_out = slice_sub(*text, 0, end);
	*text = slice_sub(*text, end == text->len ? end : end + 1, text->len);
	if (line_out->len > 0 && line_out->data[line_out->len - 1] == '\r')
		line_out->len--;
	return true;
}
