/*
 * heap: a bound on the whole heap of this process.
 *
 * libunbound offers no hook for its memory, so malloc and its family are ours
 * in this program: they count, and refuse what goes beyond the limit.  The
 * accounts of our own code lie inside the same heap and limit.
 */
#pragma once

#include <stddef.h>

/* From now on no more than bytes (0: no limit), and a row in the limits page
 * that heap_show brings up to date. */
void heap_limit(size_t bytes);
void heap_show(void);
/* Bytes in use, with what malloc keeps beside each piece. */
size_t heap_used(void);
