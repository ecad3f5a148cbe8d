/*
 * output: bytes to a pipe or a file.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* All len bytes; blocks.  False with errno: some were not written. */
bool output_write(int fd, const void *data, size_t len);
