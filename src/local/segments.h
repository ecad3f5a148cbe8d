/*
 * segments: the descriptors of the log's segments that the queue lends, and
 * reading a message's body out of them.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/list.h"
#include "base/mem.h"
#include "ipc/job.h"

enum { SEGMENTS_MAX = 1024 };

struct segments {
	struct pool pool;
	struct list list; /* most recently used first */
};

/* An empty table; its entries, at most SEGMENTS_MAX, are of account a. */
void segments_init(struct segments *s, struct acct *a);
void segments_clear(struct segments *s); /* closes all */

/* Owns fd from here on, also on failure.  A number that is known already
 * gets the new descriptor.  ERR_FULL. */
MUST_CHECK enum err segments_add(struct segments *s, uint64_t number, int fd);
void segments_drop(struct segments *s, uint64_t number); /* may be unknown */
/* Borrowed descriptor; -1: unknown. */
int segments_find(struct segments *s, uint64_t number);

/* A body, or its beginning, on its way. */
struct body_source {
	struct segments *segments;
	const struct extent *extents; /* borrowed */
	uint32_t extent_count;
	uint32_t extent_index; /* the one being sent */
	uint32_t offset_bytes; /* sent of it */
	uint64_t left_bytes;
};

/* The first bytes of a body, limit_bytes of it at most. */
void body_source_init(struct body_source *b, struct segments *segments,
    const struct extent *extents, uint32_t extent_count, uint64_t limit_bytes);

/*
 * body_source_send(b, pipe_fd):
 * As much as the pipe takes, without copying it through this process.
 * OK: all was sent.  ERR_AGAIN: the pipe is full.  ERR_CLOSED: nobody reads
 * it any more.  ERR_NOTFOUND: a segment is unknown, ERR_CORRUPT: it is
 * shorter than the extent, ERR_IO: it cannot be read.
 */
MUST_CHECK enum err body_source_send(struct body_source *b, int pipe_fd);

/* The next bytes into buf, size at most; *len_out is 0 at the end.  OK, or the
 * last three errors above. */
MUST_CHECK enum err body_source_read(struct body_source *b, char *buf,
    size_t size, size_t *len_out);
