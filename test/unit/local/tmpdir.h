/*
 * tmpdir: a directory of its own for each test, removed afterwards.
 */
#pragma once

#include <stddef.h>

/* cmocka set-up and tear-down; *state is struct tmpdir *. */
struct tmpdir {
	char path[64];
	int fd;
};

int tmpdir_setup(void **state);
int tmpdir_teardown(void **state);

/* Whole contents of a file, terminated, in static storage; NULL if it cannot
 * be opened. */
const char *tmpdir_read(const struct tmpdir *t, const char *name);
void tmpdir_write(const struct tmpdir *t, const char *name, const char *text);
/* Number of entries of a directory; name_out (NULL: not wanted) gets one. */
int tmpdir_count(const struct tmpdir *t, const char *name, char *name_out,
    size_t size);
