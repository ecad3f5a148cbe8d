/*
 * body: sends a stored body as the data of a transaction, straight from the
 * segments to the socket.
 *
 * No buffer belongs to a body: a piece is read into one buffer that all share,
 * encoded (proto/smtp_body) and written at once.  What the socket did not
 * take is read again when it is writable; only the place and the state of
 * the encoder are kept.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "ipc/job.h"
#include "proto/smtp_body.h"

struct segments;

enum {
	BODY_PIECE_BYTES = 65536,
	BODY_PIECES_PER_TURN = 4, /* then other connections have their turn */
};

struct body {
	const struct extent *extents; /* borrowed */
	unsigned extent_count;
	unsigned extent;       /* where the next piece begins */
	uint32_t offset;       /* in it */
	struct smtp_body wire; /* state of the encoder there */
	size_t sent;	       /* of the next piece's wire form */
	uint64_t sent_bytes;   /* all together, for progress */
};

/* At the beginning of a body; extents are borrowed until it is sent. */
void body_init(struct body *b, const struct extent *extents, unsigned count);

enum body_step {
	BODY_MORE,  /* the socket is full, or others should have a turn */
	BODY_DONE,  /* all was written, the final dot too */
	BODY_LOCAL, /* the segment could not be read: et */
	BODY_LOST,  /* the socket failed: et */
};

/* Write as much as fd takes; buf has BODY_PIECE_BYTES.  Non-blocking on the
 * network, may block on the disk. */
enum body_step body_send(struct body *b, const struct segments *s, int fd,
    char *buf, struct errtext *et);
