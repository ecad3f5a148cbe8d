/*
 * frames: tables, encoders and decoders made from ipc/frames.def.
 */
#include "ipc/frames.h"

#include <stddef.h>

#include "base/assert.h"
#include "base/wire.h"

/* ---- what is known of each type ---- */

#define MIN_U8(n)	 +1
#define MIN_U16(n)	 +2
#define MIN_U32(n)	 +4
#define MIN_U64(n)	 +8
#define MIN_STR(n, max)	 +2
#define MIN_BLOB(n, max) +4
#define MAX_STR(n, max)	 +2 + (max)
#define MAX_BLOB(n, max) +4 + (max)

#define FIELDS_MIN(NAME) \
	(0 F_##NAME(MIN_U8, MIN_U16, MIN_U32, MIN_U64, MIN_STR, MIN_BLOB))
#define FIELDS_MAX(NAME) \
	(0 F_##NAME(MIN_U8, MIN_U16, MIN_U32, MIN_U64, MAX_STR, MAX_BLOB))
/* Room to encode all fields but the bytes of the blob. */
#define FIELDS_HEAD(NAME) \
	(0 F_##NAME(MIN_U8, MIN_U16, MIN_U32, MIN_U64, MAX_STR, MIN_BLOB))

#define TEXT_U8(n)	  "U8(" #n ") "
#define TEXT_U16(n)	  "U16(" #n ") "
#define TEXT_U32(n)	  "U32(" #n ") "
#define TEXT_U64(n)	  "U64(" #n ") "
#define TEXT_STR(n, max)  "STR(" #n ", " #max ") "
#define TEXT_BLOB(n, max) "BLOB(" #n ", " #max ") "

static const struct frame_info infos[FRAME_TYPE_COUNT] = {
#define FRAME(NAME, name_, from_, to_, fd_max_)                           \
	[FRAME_##NAME] = {                                                \
		.name = #NAME,                                            \
		.fields = F_##NAME(TEXT_U8, TEXT_U16, TEXT_U32, TEXT_U64, \
		    TEXT_STR, TEXT_BLOB),                                 \
		.from = (from_),                                          \
		.to = (to_),                                              \
		.fd_max = (fd_max_),                                      \
		.bytes_min = FIELDS_MIN(NAME),                            \
		.bytes_max = FIELDS_MAX(NAME),                            \
	},
#include "ipc/frames.def"
#undef FRAME
};

#define FRAME(NAME, name, from, to, fd_max)                    \
	_Static_assert(FIELDS_MAX(NAME) + CHAN_HEADER_BYTES <= \
			   CHAN_FRAME_BYTES_MAX,               \
	    "frame " #NAME " is too large");                   \
	_Static_assert((fd_max) <= CHAN_FDS_MAX, "too many descriptors");
#include "ipc/frames.def"
#undef FRAME

const struct frame_info *
frame_info(uint16_t type)
{
	if (type == FRAME_NONE || type >= FRAME_TYPE_COUNT)
		return NULL;
	return &infos[type];
}

size_t
chan_frame_bytes_max(enum role from, enum role to)
{
	size_t most = 0;

	for (unsigned t = FRAME_NONE + 1; t < FRAME_TYPE_COUNT; t++) {
		const struct frame_info *i = &infos[t];

		if ((i->from & (1u << from)) && (i->to & (1u << to)) &&
		    i->bytes_max + CHAN_HEADER_BYTES > most)
			most = i->bytes_max + CHAN_HEADER_BYTES;
	}
	return most;
}

/* ---- encoders ---- */

#define PUT_U8(n)	wr_u8(&w, f->n);
#define PUT_U16(n)	wr_u16(&w, f->n);
#define PUT_U32(n)	wr_u32(&w, f->n);
#define PUT_U64(n)	wr_u64(&w, f->n);
#define PUT_STR(n, max) wr_str(&w, f->n, max);
/* The bytes of the blob follow as they lie, without a copy. */
#define PUT_BLOB(n, max)                \
	ASSERT(f->n.len <= (max));      \
	wr_u32(&w, (uint32_t)f->n.len); \
	blob = f->n;

#define FRAME(NAME, name, from, to, fd_max)                                    \
	enum err send_##name(struct chan *c, uint32_t tag,                     \
	    const struct fr_##name *f, int fd)                                 \
	{                                                                      \
		unsigned char room[FIELDS_HEAD(NAME)];                         \
		struct wr w = wr_of(room, sizeof(room));                       \
		struct slice blob = SLICE_NONE;                                \
                                                                               \
		F_##NAME(PUT_U8, PUT_U16, PUT_U32, PUT_U64, PUT_STR,           \
		    PUT_BLOB);                                                 \
		ASSERT(!w.full);                                               \
		return chan_send(c, FRAME_##NAME, tag, wr_done(&w), blob, fd); \
	}
#include "ipc/frames.def"
#undef FRAME

/* ---- decoders ---- */

#define GET_U8(n)	 out->n = rd_u8(&r);
#define GET_U16(n)	 out->n = rd_u16(&r);
#define GET_U32(n)	 out->n = rd_u32(&r);
#define GET_U64(n)	 out->n = rd_u64(&r);
#define GET_STR(n, max)	 out->n = rd_str(&r, max);
#define GET_BLOB(n, max) out->n = rd_blob(&r, max);

#define FRAME(NAME, name, from, to, fd_max)                           \
	bool get_##name(const struct frame *f, struct fr_##name *out) \
	{                                                             \
		struct rd r = rd_of(f->fields);                       \
                                                                      \
		F_##NAME(GET_U8, GET_U16, GET_U32, GET_U64, GET_STR,  \
		    GET_BLOB) return f->type == FRAME_##NAME &&       \
		    rd_done(&r);                                      \
	}
#include "ipc/frames.def"
#undef FRAME
