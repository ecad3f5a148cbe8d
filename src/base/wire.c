#include "base/wire.h"

struct rd
rd_of(struct slice s)
{
	return (struct rd){ (const unsigned char *)s.data, s.len, false };
}

/* The next len bytes, or NULL and the sticky error. */
static const unsigned char *
rd_take(struct rd *r, size_t len)
{
	const unsigned char *at = r->at;

	if (r->bad || len > r->left) {
		r->bad = true;
		return NULL;
	}
	if (len > 0) {
		r->at += len;
		r->left -= len;
	}
	return at;
}

static uint64_t
rd_uint(struct rd *r, unsigned width)
{
	const unsigned char *p = rd_take(r, width);
	uint64_t v = 0;

	if (p == NULL)
		return 0;
	for (unsigned i = 0; i < width; i++)
		v |= (uint64_t)p[i] << (8 * i);
	return v;
}

uint8_t
rd_u8(struct rd *r)
{
	return (uint8_t)rd_uint(r, 1);
}

uint16_t
rd_u16(struct rd *r)
{
	return (uint16_t)rd_uint(r, 2);
}

uint32_t
rd_u32(struct rd *r)
{
	return (uint32_t)rd_uint(r, 4);
}

uint64_t
rd_u64(struct rd *r)
{
	return rd_uint(r, 8);
}

static struct slice
rd_bounded(struct rd *r, size_t len, size_t max)
{
	if (len > max)
		r->bad = true;
	return rd_raw(r, len);
}

struct slice
rd_str(struct rd *r, size_t max)
{
	return rd_bounded(r, rd_u16(r), max);
}

struct slice
rd_blob(struct rd *r, size_t max)
{
	return rd_bounded(r, rd_u32(r), max);
}

struct slice
rd_raw(struct rd *r, size_t len)
{
	const unsigned char *p = rd_take(r, len);

	return p == NULL ? SLICE_NONE : slice_of(p, len);
}

bool
rd_done(const struct rd *r)
{
	return !r->bad && r->left == 0;
}

struct wr
wr_of(void *buf, size_t size)
{
	return (struct wr){ buf, size, 0, false };
}

/* Room for len bytes, taken; or NULL and the sticky error. */
static unsigned char *
wr_take(struct wr *w, size_t len)
{
	unsigned char *at;

	if (w->full || len > w->size - w->len) {
		w->full = true;
		return NULL;
	}
	at = w->buf + w->len;
	w->len += len;
	return at;
}

static void
put_uint(unsigned char *p, uint64_t v, unsigned width)
{
	for (unsigned i = 0; i < width; i++)
		p[i] = (unsigned char)(v >> (8 * i));
}

static void
wr_uint(struct wr *w, uint64_t v, unsigned width)
{
	unsigned char *p = wr_take(w, width);

	if (p != NULL)
		put_uint(p, v, width);
}

void
wr_u8(struct wr *w, uint8_t v)
{
	wr_uint(w, v, 1);
}

void
wr_u16(struct wr *w, uint16_t v)
{
	wr_uint(w, v, 2);
}

void
wr_u32(struct wr *w, uint32_t v)
{
	wr_uint(w, v, 4);
}

void
wr_u64(struct wr *w, uint64_t v)
{
	wr_uint(w, v, 8);
}

/* Length and bytes are one field: both are written, or neither. */
static void
wr_counted(struct wr *w, struct slice s, size_t max, unsigned width)
{
	unsigned char *p;

	if (s.len > max || s.len > (width == 2 ? UINT16_MAX : UINT32_MAX) ||
	    w->size - w->len < width) {
		w->full = true;
		return;
	}
	if (s.len > w->size - w->len - width) {
		w->full = true;
		return;
	}
	p = wr_take(w, width + s.len);
	if (p == NULL)
		return;
	put_uint(p, s.len, width);
	if (s.len > 0)
		memcpy(p + width, s.data, s.len);
}

void
wr_str(struct wr *w, struct slice s, size_t max)
{
	wr_counted(w, s, max, 2);
}

void
wr_blob(struct wr *w, struct slice s, size_t max)
{
	wr_counted(w, s, max, 4);
}

void
wr_raw(struct wr *w, struct slice s)
{
	unsigned char *p = wr_take(w, s.len);

	if (p != NULL && s.len > 0)
		memcpy(p, s.data, s.len);
}

struct slice
wr_done(const struct wr *w)
{
	return slice_of(w->buf, w->len);
}
