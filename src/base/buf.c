#include "base/buf.h"

#include <string.h>

#include "base/assert.h"
#include "base/mem.h"

void
buf_init(struct buf *b, struct acct *a, size_t size_min, size_t size_max)
{
	ASSERT(size_min > 0);
	ASSERT(size_max >= size_min);
	*b = (struct buf){
		.acct = a,
		.size_min = size_min,
		.size_max = size_max,
	};
}

static void
drop_block(struct buf *b)
{
	mem_free(b->acct, b->data);
	b->data = NULL;
	b->first = b->len = b->size = 0;
}

void
buf_fini(struct buf *b)
{
	drop_block(b);
}

/* A block of at least need bytes in all, by doubling. */
static enum err
grow(struct buf *b, size_t need)
{
	size_t size = b->size == 0 ? b->size_min : b->size;
	char *data;

	while (size < need)
		size *= 2;
	if (size > b->size_max)
		size = b->size_max;
	data = mem_alloc(b->acct, size);
	if (data == NULL)
		return ERR_FULL;
	if (b->len > 0)
		memcpy(data, b->data + b->first, b->len);
	mem_free(b->acct, b->data);
	b->data = data;
	b->size = size;
	b->first = 0;
	return OK;
}

enum err
buf_room(struct buf *b, size_t want, char **at_out, size_t *room_out)
{
	size_t end = b->first + b->len;
	enum err e;

	if (want > b->size_max - b->len)
		return ERR_TOOBIG;
	if (b->data == NULL || want > b->size - b->len) {
		e = grow(b, b->len + want);
		if (e != OK)
			return e;
	} else if (want > b->size - end) {
		memmove(b->data, b->data + b->first, b->len);
		b->first = 0;
	}
	end = b->first + b->len;
	*at_out = b->data + end;
	*room_out = b->size - end;
	return OK;
}

void
buf_grew(struct buf *b, size_t bytes)
{
	ASSERT(bytes <= b->size - b->first - b->len);
	b->len += bytes;
}

enum err
buf_put(struct buf *b, struct slice s)
{
	size_t room;
	char *at;
	enum err e;

	if (s.len == 0)
		return OK;
	e = buf_room(b, s.len, &at, &room);
	if (e != OK)
		return e;
	memcpy(at, s.data, s.len);
	buf_grew(b, s.len);
	return OK;
}

struct slice
buf_data(const struct buf *b)
{
	if (b->len == 0)
		return SLICE_NONE;
	return slice_of(b->data + b->first, b->len);
}

void
buf_take(struct buf *b, size_t bytes)
{
	ASSERT(bytes <= b->len);
	b->first += bytes;
	b->len -= bytes;
	if (b->len == 0)
		b->first = 0;
}

void
buf_drop_end(struct buf *b, size_t bytes)
{
	ASSERT(bytes <= b->len);
	b->len -= bytes;
	if (b->len == 0)
		b->first = 0;
}

void
buf_release(struct buf *b)
{
	if (b->len == 0 && b->data != NULL)
		drop_block(b);
}
