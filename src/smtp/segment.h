/*
 * segment: the log's segments that the queue has lent, by number.
 *
 * Read-only descriptors; each is kept until the queue says SEGMENT_DROP.
 */
#pragma once

#include <stdint.h>

#include "base/err.h"
#include "base/hash.h"
#include "base/mem.h"

enum {
	SEGMENT_COUNT_MAX = 1024, /* the queue holds no more open itself */
	SEGMENT_BUCKETS = 256,
};

struct segments {
	struct pool pool;
	struct hash by_number;
};

/* Memory is charged to a. */
MUST_CHECK enum err segments_init(struct segments *s, struct acct *a);
void segments_fini(struct segments *s); /* closes all */
/* Owns fd from here on, also on error: ERR_FULL.  Replaces one of the same
 * number. */
MUST_CHECK enum err segments_add(struct segments *s, uint64_t number, int fd);
void segments_drop(struct segments *s, uint64_t number); /* no-op if absent */
/* -1: not lent. */
int segments_fd(const struct segments *s, uint64_t number);
