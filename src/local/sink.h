/*
 * sink: the end of a delivery where bytes become a file: one message copied
 * with few, large writes.  The first failed write is kept and ends it.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "local/copy.h"

enum { SINK_BUFFER_BYTES = 128 * 1024 };

struct sink {
	int fd;
	int errnum; /* of the write that failed; 0: none */
	struct copy copy;
	uint64_t written_bytes; /* in the file, not counting the buffer */
	size_t len;		/* in the buffer */
	char buffer[SINK_BUFFER_BYTES];
};

/* A new message goes to fd, which is borrowed; an earlier error is forgotten.
 * quote: as copy_init. */
void sink_begin(struct sink *s, int fd, bool quote);
/* Bytes as they are. */
void sink_raw(struct sink *s, struct slice bytes);
/* Bytes of the message, converted. */
void sink_message(struct sink *s, struct slice bytes);
/* End of the message; with end_line a last line without end gets one. */
void sink_message_end(struct sink *s, bool end_line);
/* Write what is buffered.  False when any write failed: see errnum. */
bool sink_flush(struct sink *s);
