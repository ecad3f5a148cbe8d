/*
 * record: the bytes of the log.  Layout: doc/format/log.md.
 *
 * Pure functions over buffers; nothing here touches a file.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"
#include "base/wire.h"
#include "store/store.h"

enum {
	SEGMENT_HEADER_BYTES = 4096,
	SEGMENT_VERSION = 1,
	RECORD_HEADER_BYTES = 24,
	RECORD_MAGIC = 0x5752,
	/* Any record, header and padding included. */
	RECORD_BYTES_MAX = 262144 / STORE_SCALE,
	/* The largest body record that frames are merged into. */
	BODY_BYTES_MAX = 196608 / STORE_SCALE,
	TABLE_ENTRY_BYTES = 80,
	TABLE_ENTRIES_MAX = 512 / STORE_SCALE,
	TABLE_BYTES_MAX =
	    RECORD_HEADER_BYTES + 8 + TABLE_ENTRIES_MAX * TABLE_ENTRY_BYTES,
	CHECKPOINT_BYTES = RECORD_HEADER_BYTES + 48,
	END_BYTES = RECORD_HEADER_BYTES + 32,
	EXTENT_BYTES = 16,
	SEGMENT_BYTES_MIN = (1 << 20) / STORE_SCALE,
	SEGMENT_BYTES_MAX = 1 << 30,
};

enum record_type {
	RECORD_NONE,
	RECORD_BODY,	 /* octets of a body */
	RECORD_RCPTS,	 /* encoded recipients */
	RECORD_STATE,	 /* like RESULT; counts only if an ENVELOPE says so */
	RECORD_ENVELOPE, /* the message exists */
	RECORD_RESULT,	 /* state of recipients, next due time, end */
	RECORD_HOLD,
	RECORD_RELEASE,
	RECORD_REMOVE,	   /* the message ends */
	RECORD_CHECKPOINT, /* first of each batch: what is proven durable */
	RECORD_TABLE,	   /* what recovery must know of the records before */
	RECORD_END,	   /* last of a closed segment, at its very end */
	RECORD_TYPE_COUNT
};

enum record_flag {
	RECORD_JOINED = 1, /* void unless the record after it is whole */
	RECORD_FLAG_MASK = 1,
};

/* A record's header, decoded. */
struct record {
	uint32_t crc;
	uint8_t type;
	uint8_t flags;
	uint32_t payload_bytes;
	uint64_t id; /* message; 0: none */
};

/* Static text, for messages; "unknown" beyond the last type. */
const char *record_type_name(unsigned type);

/* Bytes in the log of a record with such a payload. */
static inline size_t
record_bytes(size_t payload_bytes)
{
	return (RECORD_HEADER_BYTES + payload_bytes + 7) & ~(size_t)7;
}

/*
 * record_seal(at, segment, type, flags, id, payload_bytes, payload_crc):
 * Write the header at at; the payload lies after it, followed by zeros up to
 * record_bytes.  payload_crc is record_payload_crc of it.
 */
void record_seal(unsigned char *at, uint64_t segment, unsigned type,
    unsigned flags, uint64_t id, uint32_t payload_bytes, uint32_t payload_crc);
/* CRC of payload and padding, without the header. */
uint32_t record_crc_pad(uint32_t crc, uint32_t payload_bytes);

/*
 * record_peek(data, r):
 * Decode a header without trusting it.  False: this is no record (magic,
 * type, flags, or length above RECORD_BYTES_MAX).
 */
bool record_peek(struct slice data, struct record *r);
/*
 * record_verify(data, segment, r, payload_out):
 * The record at the start of data, whole and with the right CRC for that
 * segment.  False: it is not.  payload_out is borrowed from data.
 */
bool record_verify(struct slice data, uint64_t segment, struct record *r,
    struct slice *payload_out);

/* ---- header of a segment ---- */

struct segment_header {
	uint32_t version;
	uint64_t number;
	uint64_t prev; /* number of the segment before it; 0: the first */
	uint64_t segment_bytes;
	int64_t created_ms;
	uint64_t spool_id;
	uint64_t id_floor; /* no id below it is given out from here on */
};

/* All SEGMENT_HEADER_BYTES, with their CRC. */
void segment_header_put(const struct segment_header *h,
    unsigned char buf[static SEGMENT_HEADER_BYTES]);
/* ERR_CORRUPT; ERR_VERSION: a newer one, the other fields are not set. */
MUST_CHECK enum err segment_header_get(
    const unsigned char buf[static SEGMENT_HEADER_BYTES],
    struct segment_header *h);

/* ---- payloads ---- */

/*
 * Payloads are put field by field: a w without room sets w->full, and a
 * longer text of a result is cut to its limit.  They are decoded without
 * trust: false when something is short, or has a value that no writer
 * gives.  What is decoded borrows its texts from the payload.
 */
/* count extents of EXTENT_BYTES each. */
void extent_list_put(struct wr *w, const struct store_extent *e,
    uint32_t count);
/* Decode one; false when it lies outside any segment. */
bool extent_list_get(struct rd *r, struct store_extent *e);

/* ENVELOPE, with its lists borrowed. */
struct rec_envelope {
	int64_t due_ms;
	uint32_t flags;
	uint8_t moved; /* an older ENVELOPE of this id exists or existed */
	uint64_t dest;
	uint64_t first_segment;
	uint64_t bytes;
	uint32_t rcpt_total;
	struct store_pos state; /* last STATE record; segment 0: none */
	uint32_t extent_count;
	uint32_t rcpt_extent_count;
	struct slice extents;	   /* encoded */
	struct slice rcpt_extents; /* encoded */
	struct slice envelope;
	struct slice rcpts;
};

/* The payload: head, the two lists by extent_list_put, tail, and then the
 * recipients raw. */
void rec_envelope_head_put(struct wr *w, const struct rec_envelope *e);
void rec_envelope_tail_put(struct wr *w, const struct rec_envelope *e);
bool rec_envelope_get(struct slice payload, struct rec_envelope *e);

/* RESULT and STATE: the head; results follow, each by rec_result_get. */
struct rec_update {
	int64_t due_ms;
	uint32_t flags;
	uint64_t dest;
	uint8_t over;
	struct store_pos prev; /* the RESULT or STATE before it */
	uint32_t result_count;
};

/* The head, and each of the result_count results after it. */
void rec_update_put(struct wr *w, const struct rec_update *u);
bool rec_update_get(struct rd *r, struct rec_update *u);
void rec_result_put(struct wr *w, const struct store_result *r);
bool rec_result_get(struct rd *r, struct store_result *out);

struct rec_checkpoint {
	uint64_t durable_segment; /* everything before was synced when */
	uint32_t durable_offset;  /* this batch was written */
	uint8_t clean;		  /* the log ends here on purpose */
	uint64_t next_id;	  /* with clean: first id not given out */
	uint64_t id_ceiling;	  /* ids below may have been given out */
	int64_t wall_ms;
};

/* The whole payload. */
void rec_checkpoint_put(struct wr *w, const struct rec_checkpoint *c);
bool rec_checkpoint_get(struct slice payload, struct rec_checkpoint *c);

struct rec_end {
	uint32_t last_table; /* offset; 0: none */
	uint32_t end;	     /* offset after the last record */
	uint32_t table_count;
	uint64_t id_ceiling;
};

/* The whole payload. */
void rec_end_put(struct wr *w, const struct rec_end *e);
bool rec_end_get(struct slice payload, struct rec_end *e);

/*
 * What replay must know of a record: ENVELOPE, RESULT, HOLD, RELEASE and
 * REMOVE have an entry in the tables of their segment.
 */
struct log_entry {
	uint8_t type;
	uint8_t over;  /* RESULT */
	uint8_t moved; /* ENVELOPE */
	uint32_t flags;
	uint64_t id;
	struct store_pos pos;
	struct store_pos state; /* ENVELOPE */
	int64_t due_ms;
	uint64_t dest;
	uint64_t first_segment;
	uint64_t bytes;
};

/* One entry of a table, TABLE_ENTRY_BYTES.  Its positions lie in the segment
 * of the table: segment says which, it is not stored. */
void log_entry_put(struct wr *w, const struct log_entry *e);
bool log_entry_get(struct rd *r, uint64_t segment, struct log_entry *e);
/* The entry of a verified record; false: it has none, or does not decode. */
bool log_entry_of(const struct record *r, struct slice payload,
    struct store_pos pos, struct log_entry *e);
