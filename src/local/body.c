/*
 * body: the bytes that follow a request, in pieces.
 */
#include "local/body.h"

#include "base/assert.h"

enum { BODY_BUFFER_BYTES = 64 * 1024 };

static char buffer[BODY_BUFFER_BYTES];

void
body_begin(struct body *y, const struct worker_io *io, uint64_t bytes)
{
	*y = (struct body){ .io = io, .left_bytes = bytes };
}

struct slice
body_next(struct body *y)
{
	size_t want = sizeof(buffer), n;

	if (y->left_bytes == 0 || y->broken)
		return SLICE_NONE;
	if (y->left_bytes < want)
		want = (size_t)y->left_bytes;
	n = y->io->read_body(y->io->arg, buffer, want);
	ASSERT(n <= want);
	y->broken = n == 0;
	y->left_bytes -= n;
	return slice_of(buffer, n);
}

bool
body_drain(struct body *y)
{
	while (body_next(y).len > 0)
		continue;
	return !y->broken;
}
