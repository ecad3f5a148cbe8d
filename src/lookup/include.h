/*
 * lookup/include: the targets in an :include: file of an alias.
 *
 * The file is opened by weir-lookup as it is, so it must be readable for the
 * user weir; it must be a regular file that not everybody may write to.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "alias/target.h"
#include "base/err.h"
#include "base/slice.h"

enum {
	INCLUDE_PATH_BYTES_MAX = 4096,
	INCLUDE_BYTES_MAX = 16 << 20, /* comments and all */
};

struct include {
	int fd; /* -1: none is open */
	bool ended;
	uint64_t left_bytes; /* that may still be read */
	struct slice rest;   /* read, not taken yet; in buf */
	struct alias_scan scan;
	char path[INCLUDE_PATH_BYTES_MAX + 1];
	char buf[4096];
};

/* ERR_LOOKUP with et, which names the file: it cannot be opened, or is no such
 * file.  Then nothing is open. */
MUST_CHECK enum err include_open(struct include *f, struct slice path,
    struct errtext *et);
/* OK with *out, borrowed until the next call; ERR_NOTFOUND: there are no more;
 * ERR_LOOKUP with et, which names file and line.  Blocks on the file. */
MUST_CHECK enum err include_next(struct include *f, struct alias_target *out,
    struct errtext *et);
/* Nothing if none is open. */
void include_close(struct include *f);
