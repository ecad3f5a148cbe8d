/*
 * record: headers, checksums and payloads of the log.
 *
 * The CRC covers the payload, its padding, the header after the CRC field
 * and the segment's number, in this order: the payload's part can be summed
 * while frames arrive, before the length is known.
 */
#include "store/record.h"

static const char *const type_names[RECORD_TYPE_COUNT] = {
	"none",
	"body",
	"recipients",
	"state",
	"envelope",
	"result",
	"hold",
	"release",
	"remove",
	"checkpoint",
	"table",
	"end",
};

const char *
record_type_name(unsigned type)
{
	return type < RECORD_TYPE_COUNT ? type_names[type] : "unknown";
}

uint32_t
record_crc_pad(uint32_t crc, uint32_t payload_bytes)
{
	static const unsigned char zeros[8];
	size_t pad =
	    record_bytes(payload_bytes) - RECORD_HEADER_BYTES - payload_bytes;

	return crc32c(crc, zeros, pad);
}

static uint32_t
crc_header(uint32_t crc, const unsigned char *header, uint64_t segment)
{
	unsigned char number[8];
	struct wr w = wr_of(number, sizeof(number));

	wr_u64(&w, segment);
	crc = crc32c(crc, header + 4, RECORD_HEADER_BYTES - 4);
	return crc32c(crc, number, sizeof(number));
}

void
record_seal(unsigned char *at, uint64_t segment, unsigned type, unsigned flags,
    uint64_t id, uint32_t payload_bytes, uint32_t payload_crc)
{
	struct wr w = wr_of(at, RECORD_HEADER_BYTES);

	wr_u32(&w, 0);
	wr_u16(&w, RECORD_MAGIC);
	wr_u8(&w, (uint8_t)type);
	wr_u8(&w, (uint8_t)flags);
	wr_u32(&w, payload_bytes);
	wr_u32(&w, 0);
	wr_u64(&w, id);
	w = wr_of(at, 4);
	wr_u32(&w, crc_header(payload_crc, at, segment));
}

bool
record_peek(struct slice data, struct record *r)
{
	struct rd rd;
	uint16_t magic;
	uint32_t zero;

	if (data.len < RECORD_HEADER_BYTES)
		return false;
	rd = rd_of(slice_sub(data, 0, RECORD_HEADER_BYTES));
	r->crc = rd_u32(&rd);
	magic = rd_u16(&rd);
	r->type = rd_u8(&rd);
	r->flags = rd_u8(&rd);
	r->payload_bytes = rd_u32(&rd);
	zero = rd_u32(&rd);
	r->id = rd_u64(&rd);
	return magic == RECORD_MAGIC && zero == 0 && r->type != RECORD_NONE &&
	       r->type < RECORD_TYPE_COUNT && !(r->flags & ~RECORD_FLAG_MASK) &&
	       r->payload_bytes <= RECORD_BYTES_MAX - RECORD_HEADER_BYTES - 8;
}

bool
record_verify(struct slice data, uint64_t segment, struct record *r,
    struct slice *payload_out)
{
	const unsigned char *at = (const unsigned char *)data.data;
	size_t bytes;
	uint32_t crc;

	if (!record_peek(data, r))
		return false;
	bytes = record_bytes(r->payload_bytes);
	if (data.len < bytes)
		return false;
	crc = crc32c(0, at + RECORD_HEADER_BYTES, bytes - RECORD_HEADER_BYTES);
	if (crc_header(crc, at, segment) != r->crc)
		return false;
	*payload_out = slice_of(at + RECORD_HEADER_BYTES, r->payload_bytes);
	return true;
}

/* ---- header of a segment ---- */

static const char segment_magic[8] = { 'W', 'e', 'i', 'r', 's', 'e', 'g', 0 };
enum { SEGMENT_CRC_AT = 12, SEGMENT_FIELDS_BYTES = 64 };

void
segment_header_put(const struct segment_header *h,
    unsigned char buf[static SEGMENT_HEADER_BYTES])
{
	struct wr w = wr_of(buf, SEGMENT_HEADER_BYTES);

	memset(buf, 0, SEGMENT_HEADER_BYTES);
	wr_raw(&w, slice_of(segment_magic, sizeof(segment_magic)));
	wr_u32(&w, h->version);
	wr_u32(&w, 0);
	wr_u64(&w, h->number);
	wr_u64(&w, h->prev);
	wr_u64(&w, h->segment_bytes);
	wr_u64(&w, (uint64_t)h->created_ms);
	wr_u64(&w, h->spool_id);
	wr_u64(&w, h->id_floor);
	w = wr_of(buf + SEGMENT_CRC_AT, 4);
	wr_u32(&w, crc32c(0, buf, SEGMENT_HEADER_BYTES));
}

enum err
segment_header_get(const unsigned char buf[static SEGMENT_HEADER_BYTES],
    struct segment_header *h)
{
	static const unsigned char zero[4];
	struct rd r = rd_of(slice_of(buf, SEGMENT_FIELDS_BYTES));
	struct slice magic = rd_raw(&r, sizeof(segment_magic));
	uint32_t crc, sum;

	if (memcmp(magic.data, segment_magic, sizeof(segment_magic)) != 0)
		return ERR_CORRUPT;
	h->version = rd_u32(&r);
	crc = rd_u32(&r);
	sum = crc32c(0, buf, SEGMENT_CRC_AT);
	sum = crc32c(sum, zero, sizeof(zero));
	sum = crc32c(sum, buf + SEGMENT_CRC_AT + 4,
	    SEGMENT_HEADER_BYTES - SEGMENT_CRC_AT - 4);
	if (sum != crc)
		return ERR_CORRUPT;
	if (h->version == 0)
		return ERR_CORRUPT;
	if (h->version > SEGMENT_VERSION)
		return ERR_VERSION;
	h->number = rd_u64(&r);
	h->prev = rd_u64(&r);
	h->segment_bytes = rd_u64(&r);
	h->created_ms = (int64_t)rd_u64(&r);
	h->spool_id = rd_u64(&r);
	h->id_floor = rd_u64(&r);
	if (h->segment_bytes < SEGMENT_BYTES_MIN ||
	    h->segment_bytes > SEGMENT_BYTES_MAX)
		return ERR_CORRUPT;
	return OK;
}
