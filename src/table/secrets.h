/*
 * secrets: a small file of secrets, one a line.
 *
 * It is read each time that one is needed, so that a change is in force at
 * once; that is rare enough.
 */
#pragma once

#include <stddef.h>

#include "base/err.h"
#include "base/slice.h"

enum { SECRETS_FILE_BYTES_MAX = 4096, SECRETS_COUNT_MAX = 8 };

struct secrets {
	struct slice items[SECRETS_COUNT_MAX]; /* in text */
	size_t count;
	char text[SECRETS_FILE_BYTES_MAX];
};

/*
 * secrets_read(s, path, et):
 * What path holds; blocks on it.  Empty lines and those that begin with # are
 * nothing.  ERR_LOOKUP with et: it cannot be read, is larger than the bound,
 * or holds none or too many.
 */
MUST_CHECK enum err secrets_read(struct secrets *s, const char *path,
    struct errtext *et);
