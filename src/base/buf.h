/*
 * buf: a byte queue in one charged block; grows by doubling between a first
 * size and a hard maximum, and shrinks to nothing when it is empty.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/slice.h"

struct acct;

struct buf {
	struct acct *acct;
	char *data;	 /* NULL while empty */
	size_t first;	 /* of the unread bytes */
	size_t len;	 /* unread bytes */
	size_t size;	 /* allocated */
	size_t size_min; /* first allocation */
	size_t size_max; /* hard limit */
};

/* Empty; the first block has size_min bytes, none more than size_max. */
void buf_init(struct buf *b, struct acct *a, size_t size_min, size_t size_max);
/* Frees the block with what is in it. */
void buf_fini(struct buf *b);
/* Room for at least want more bytes at the end: pointer and how much there
 * is.  May move what is there: pointers into the buffer end.  ERR_TOOBIG past
 * size_max, ERR_FULL when the account refuses; both change nothing. */
MUST_CHECK enum err buf_room(struct buf *b, size_t want, char **at_out,
    size_t *room_out);
void buf_grew(struct buf *b, size_t bytes); /* bytes were put there */
MUST_CHECK enum err buf_put(struct buf *b, struct slice s);
struct slice buf_data(const struct buf *b);
/* Drop from the front.  The block stays until buf_release. */
void buf_take(struct buf *b, size_t bytes);
/* Drop from the end. */
void buf_drop_end(struct buf *b, size_t bytes);
void buf_release(struct buf *b); /* free the block if empty */
