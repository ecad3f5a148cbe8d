#include "tmpdir.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int
tmpdir_setup(void **state)
{
	static struct tmpdir t;

	strcpy(t.path, "/tmp/weir-test-XXXXXX");
	assert_non_null(mkdtemp(t.path));
	t.fd = open(t.path, O_RDONLY | O_DIRECTORY);
	assert_true(t.fd >= 0);
	*state = &t;
	return 0;
}

static int
remove_one(const char *path, const struct stat *st, int type, struct FTW *f)
{
	(void)st;
	(void)type;
	(void)f;
	return remove(path);
}

int
tmpdir_teardown(void **state)
{
	struct tmpdir *t = *state;

	close(t->fd);
	return nftw(t->path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

const char *
tmpdir_read(const struct tmpdir *t, const char *name)
{
	static char text[1 << 20];
	int fd = openat(t->fd, name, O_RDONLY);
	ssize_t n;

	if (fd < 0)
		return NULL;
	n = read(fd, text, sizeof(text) - 1);
	assert_true(n >= 0);
	text[n] = '\0';
	close(fd);
	return text;
}

void
tmpdir_write(const struct tmpdir *t, const char *name, const char *text)
{
	int fd = openat(t->fd, name, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

int
tmpdir_count(const struct tmpdir *t, const char *name, char *name_out,
    size_t size)
{
	int fd = openat(t->fd, name, O_RDONLY | O_DIRECTORY), count = 0;
	DIR *d;
	struct dirent *e;

	if (fd < 0)
		return -1;
	d = fdopendir(fd);
	assert_non_null(d);
	while ((e = readdir(d)) != NULL) {
		if (e->d_name[0] == '.')
			continue;
		count++;
		if (name_out != NULL)
			snprintf(name_out, size, "%s/%s", name, e->d_name);
	}
	closedir(d);
	return count;
}
