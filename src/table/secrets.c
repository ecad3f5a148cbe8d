#include "table/secrets.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <unistd.h>

static enum err
read_text(struct secrets *s, const char *path, size_t *len_out,
    struct errtext *et)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;
	ssize_t n = -1;
	int errnum;

	*len_out = 0;
	if (fd < 0) {
		(void)err_sys(et, errno, "cannot open %s", path);
		return ERR_LOOKUP;
	}
	if (fstat(fd, &st) == 0) {
		errno = EINVAL;
		if (S_ISREG(st.st_mode))
			n = read(fd, s->text, sizeof(s->text));
	}
	errnum = errno;
	close(fd);
	if (n < 0) {
		(void)err_sys(et, errnum, "cannot read %s", path);
		return ERR_LOOKUP;
	}
	if ((size_t)n == sizeof(s->text))
		return err_set(et, ERR_LOOKUP, "%s is too large", path);
	*len_out = (size_t)n;
	return OK;
}

enum err
secrets_read(struct secrets *s, const char *path, struct errtext *et)
{
	struct slice rest, line;
	size_t len, end;
	enum err e;

	s->count = 0;
	e = read_text(s, path, &len, et);
	if (e != OK)
		return e;
	for (rest = slice_of(s->text, len); rest.len > 0;
	     rest = slice_sub(rest, end + 1, rest.len)) {
		end = slice_find(rest, '\n');
		line = slice_trim(slice_sub(rest, 0, end));
		if (line.len == 0 || line.data[0] == '#')
			continue;
		if (s->count == SECRETS_COUNT_MAX)
			return err_set(et, ERR_LOOKUP,
			    "%s holds more than %d secrets", path,
			    SECRETS_COUNT_MAX);
		s->items[s->count++] = line;
	}
	if (s->count == 0)
		return err_set(et, ERR_LOOKUP, "%s holds no secret", path);
	return OK;
}
