/*
 * body: the bytes that follow a request.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

/* Where bodies come from and where results go; blocking. */
struct worker_io {
	/* At most size bytes of the body; 0: it ended too early. */
	size_t (*read_body)(void *arg, char *buf, size_t size);
	void (*report)(void *arg, struct slice results);
	void *arg;
};

struct body {
	const struct worker_io *io;
	uint64_t left_bytes; /* not yet read */
	bool broken;	     /* it ended too early */
};

/* io is borrowed.  One body at a time: they share a static buffer. */
void body_begin(struct body *y, const struct worker_io *io, uint64_t bytes);
/* The next piece, until the next call; empty at the end, and when broken. */
struct slice body_next(struct body *y);
/* Read what is left and drop it; false: broken. */
bool body_drain(struct body *y);
