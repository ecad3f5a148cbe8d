/*
 * sink: buffered writing of one message.
 */
#include "local/sink.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

enum { PIECE_BYTES = 32 * 1024 };

_Static_assert(COPY_ROOM(PIECE_BYTES) <= SINK_BUFFER_BYTES,
    "a piece fits into an empty buffer");

void
sink_begin(struct sink *s, int fd, bool quote)
{
	s->fd = fd;
	s->errnum = 0;
	s->written_bytes = 0;
	s->len = 0;
	copy_init(&s->copy, quote);
}

bool
sink_flush(struct sink *s)
{
	size_t at = 0;
	ssize_t n;

	while (at < s->len && s->errnum == 0) {
		n = write(s->fd, s->buffer + at, s->len - at);
		if (n > 0) {
			at += (size_t)n;
			s->written_bytes += (uint64_t)n;
		} else if (n < 0 && errno != EINTR) {
			s->errnum = errno;
		} else if (n == 0) {
			s->errnum = ENOSPC;
		}
	}
	s->len = 0;
	return s->errnum == 0;
}

static void
make_room(struct sink *s, size_t want)
{
	if (sizeof(s->buffer) - s->len < want)
		(void)sink_flush(s);
}

void
sink_raw(struct sink *s, struct slice bytes)
{
	struct slice piece;
	size_t at;

	for (at = 0; at < bytes.len && s->errnum == 0; at += piece.len) {
		piece = slice_sub(bytes, at, at + PIECE_BYTES);
		make_room(s, piece.len);
		memcpy(s->buffer + s->len, piece.data, piece.len);
		s->len += piece.len;
	}
}

void
sink_message(struct sink *s, struct slice bytes)
{
	struct slice piece;
	size_t at;

	for (at = 0; at < bytes.len && s->errnum == 0; at += piece.len) {
		piece = slice_sub(bytes, at, at + PIECE_BYTES);
		make_room(s, COPY_ROOM(piece.len));
		s->len += copy_feed(&s->copy, piece, s->buffer + s->len);
	}
}

void
sink_message_end(struct sink *s, bool end_line)
{
	make_room(s, COPY_HELD_BYTES + 1);
	s->len += copy_end(&s->copy, s->buffer + s->len);
	if (end_line && !s->copy.ends_in_newline)
		s->buffer[s->len++] = '\n';
}
