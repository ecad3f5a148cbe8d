/*
 * copy: standard input to standard output in large pieces, for filters.
 */
#pragma once

#include "base/slice.h"

/* Append to what is written next; writes when there is much. */
void copy_put(struct slice text);
/* Read until the end and give each piece to take; what take put is written
 * before the next read blocks.  The exit status: 0, 111. */
int copy_run(void (*take)(struct slice piece));
