/*
 * scan: reading a segment, never trusting a byte of it.
 */
#include "store/scan.h"

#include <string.h>

#include "base/mem.h"
#include "store/disk.h"

enum { SCAN_SECTOR_BYTES = 4096, SCAN_TRIES = 3 };

void
scan_init(struct scan *s, struct disk *d, unsigned char *buf, int fd,
    uint64_t segment, uint64_t bytes)
{
	*s = (struct scan){ .disk = d,
		.buf = buf,
		.fd = fd,
		.segment = segment,
		.bytes = bytes };
}

/* A transient error must not count as damage. */
static bool
read_sector(struct scan *s, unsigned char *to, size_t len, uint64_t offset)
{
	for (unsigned i = 0; i < SCAN_TRIES; i++)
		if (disk_read_all(s->disk, s->fd, to, len, offset, NULL) == OK)
			return true;
	return false;
}

/* How much of a stretch is in the file: one that was cut short ends there,
 * and no second attempt will find more. */
static size_t
within_file(struct scan *s, size_t len, uint64_t offset)
{
	uint64_t size;

	if (s->disk->ops->size(s->disk, s->fd, &size) != 0)
		return len;
	if (offset >= size)
		return 0;
	return len < size - offset ? len : (size_t)(size - offset);
}

/* Read one stretch; what cannot be read becomes zeros, which never verify. */
static void
read_stretch(struct scan *s, unsigned char *to, size_t len, uint64_t offset)
{
	size_t step, there;

	if (disk_read_all(s->disk, s->fd, to, len, offset, NULL) == OK)
		return;
	there = within_file(s, len, offset);
	memset(to + there, 0, len - there);
	len = there;
	for (size_t at = 0; at < len; at += step) {
		step = SCAN_SECTOR_BYTES -
		       (size_t)((offset + at) % SCAN_SECTOR_BYTES);
		if (step > len - at)
			step = len - at;
		if (read_sector(s, to + at, step, offset + at))
			continue;
		memset(to + at, 0, step);
		if (!s->unreadable || offset + at < s->unreadable_from)
			s->unreadable_from = offset + at;
		s->unreadable = true;
		if (offset + at + step > s->unreadable_to)
			s->unreadable_to = offset + at + step;
	}
}

bool
scan_is_unreadable(const struct scan *s, uint64_t from, uint64_t to)
{
	return s->unreadable && from < s->unreadable_to &&
	       s->unreadable_from < to;
}

/* The bytes from offset on: at least want of them, or up to the end. */
static struct slice
window(struct scan *s, uint64_t offset, size_t want)
{
	uint64_t len;

	if (offset >= s->bytes)
		return SLICE_NONE;
	if (want > s->bytes - offset)
		want = (size_t)(s->bytes - offset);
	if (offset < s->at || offset + want > s->at + s->len) {
		len = s->bytes - offset;
		if (len > SCAN_BUFFER_BYTES)
			len = SCAN_BUFFER_BYTES;
		read_stretch(s, s->buf, (size_t)len, offset);
		s->at = offset;
		s->len = (size_t)len;
	}
	return slice_of(s->buf + (offset - s->at),
	    s->len - (size_t)(offset - s->at));
}

enum err
scan_record(struct scan *s, uint32_t offset, struct record *r,
    struct slice *payload_out)
{
	struct slice data = window(s, offset, RECORD_HEADER_BYTES);

	if (!record_peek(data, r))
		return ERR_CORRUPT;
	data = window(s, offset, record_bytes(r->payload_bytes));
	if (!record_verify(data, s->segment, r, payload_out))
		return ERR_CORRUPT;
	return OK;
}

/* The first place in data where a record's magic is, in the second word of
 * its header: nearly always decisive.  Beyond the last whole header: none. */
static size_t
find_magic(struct slice data)
{
	const unsigned char *p = (const unsigned char *)data.data;
	size_t at;

	for (at = 0; at + RECORD_HEADER_BYTES <= data.len; at += 8)
		if (p[at + 4] == (RECORD_MAGIC & 0xff) &&
		    p[at + 5] == RECORD_MAGIC >> 8)
			return at;
	return at;
}

bool
scan_find(struct scan *s, uint32_t offset, uint32_t *offset_out)
{
	uint64_t at = (offset + 7) & ~(uint64_t)7;
	struct slice data, payload;
	struct record r;

	for (;; at += 8) {
		do {
			data = window(s, at, RECORD_HEADER_BYTES);
			if (data.len < RECORD_HEADER_BYTES)
				return false;
			at += find_magic(data);
		} while (at + RECORD_HEADER_BYTES > s->at + s->len);
		if (scan_record(s, (uint32_t)at, &r, &payload) == OK) {
			*offset_out = (uint32_t)at;
			return true;
		}
	}
}

static enum err
read_end(struct scan *s, struct rec_end *end)
{
	struct slice payload;
	struct record r;
	enum err e;

	e = scan_record(s, (uint32_t)(s->bytes - END_BYTES), &r, &payload);
	if (e != OK || r.type != RECORD_END || !rec_end_get(payload, end))
		return ERR_CORRUPT;
	if (end->end > s->bytes - END_BYTES ||
	    end->table_count > s->bytes / RECORD_HEADER_BYTES)
		return ERR_CORRUPT;
	return OK;
}

static enum err
read_table(struct scan *s, uint32_t offset, struct rd *rd, uint32_t *prev,
    uint32_t *count)
{
	struct slice payload;
	struct record r;
	enum err e;

	e = scan_record(s, offset, &r, &payload);
	if (e != OK || r.type != RECORD_TABLE)
		return ERR_CORRUPT;
	*rd = rd_of(payload);
	*prev = rd_u32(rd);
	*count = rd_u32(rd);
	if (rd->bad || *prev >= offset || *count > TABLE_ENTRIES_MAX ||
	    rd->left != *count * (size_t)TABLE_ENTRY_BYTES)
		return ERR_CORRUPT;
	return OK;
}

/* Collect the tables' offsets, which are chained backwards. */
static enum err
list_tables(struct scan *s, const struct rec_end *end, uint32_t *offsets)
{
	uint32_t at = end->last_table, prev, count;
	struct rd rd;

	for (uint32_t i = end->table_count; i > 0; i--) {
		if (read_table(s, at, &rd, &prev, &count) != OK)
			return ERR_CORRUPT;
		offsets[i - 1] = at;
		at = prev;
	}
	return at == 0 ? OK : ERR_CORRUPT;
}

enum err
scan_tables(struct scan *s, struct acct *a, struct rec_end *end_out,
    scan_entry_fn *fn, void *arg)
{
	uint32_t *offsets, prev, count;
	struct log_entry entry;
	struct rd rd;
	enum err e;

	e = read_end(s, end_out);
	if (e != OK || end_out->table_count == 0)
		return e;
	offsets = mem_alloc_array(a, end_out->table_count, sizeof(*offsets));
	if (offsets == NULL)
		return ERR_NOMEM;
	e = list_tables(s, end_out, offsets);
	for (uint32_t i = 0; e == OK && i < end_out->table_count; i++) {
		e = read_table(s, offsets[i], &rd, &prev, &count);
		while (e == OK && count-- > 0) {
			if (!log_entry_get(&rd, s->segment, &entry))
				e = ERR_CORRUPT;
			else
				e = fn(arg, &entry);
		}
	}
	mem_free(a, offsets);
	return e;
}

enum err
scan_walk(struct scan *s, uint32_t from, uint32_t to, scan_record_fn *fn,
    scan_damage_fn *damage, void *arg)
{
	struct slice payload;
	struct store_pos pos;
	struct record r;
	uint32_t next;
	enum err e;

	while (from < to) {
		if (scan_record(s, from, &r, &payload) != OK) {
			if (!scan_find(s, from + 8, &next) || next > to)
				next = to;
			damage(arg, from, next);
			from = next;
			continue;
		}
		pos = (struct store_pos){ s->segment, from,
			(uint32_t)record_bytes(r.payload_bytes) };
		e = fn(arg, &r, payload, pos);
		if (e != OK)
			return e;
		from += pos.length;
	}
	return OK;
}
