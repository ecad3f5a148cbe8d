/*
 * wire: the only way to touch encoded bytes.  Little-endian, fixed widths,
 * strings with a length in front.  Both ends keep a sticky error, so a
 * sequence of calls is checked once, at its end.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

/* Reader over borrowed bytes. */
struct rd {
	const unsigned char *at;
	size_t left;
	bool bad; /* something was short or out of bounds; all later reads 0 */
};

/* Writer into a caller's buffer. */
struct wr {
	unsigned char *buf;
	size_t size;
	size_t len;
	bool full; /* something did not fit; len is at the last whole field */
};

/* A reader at the start of s. */
struct rd rd_of(struct slice s);
/* Numbers, little-endian; 0 when bad. */
uint8_t rd_u8(struct rd *r);
uint16_t rd_u16(struct rd *r);
uint32_t rd_u32(struct rd *r);
uint64_t rd_u64(struct rd *r);
/* A string with u16 length; longer than max is bad.  Borrowed from r. */
struct slice rd_str(struct rd *r, size_t max);
/* Bytes with u32 length; longer than max is bad.  Borrowed from r. */
struct slice rd_blob(struct rd *r, size_t max);
/* len raw bytes. */
struct slice rd_raw(struct rd *r, size_t len);
/* True when everything was read, nothing is left, and nothing was bad. */
bool rd_done(const struct rd *r);

/* A writer at the start of buf. */
struct wr wr_of(void *buf, size_t size);
/* Numbers, little-endian. */
void wr_u8(struct wr *w, uint8_t v);
void wr_u16(struct wr *w, uint16_t v);
void wr_u32(struct wr *w, uint32_t v);
void wr_u64(struct wr *w, uint64_t v);
/* With its length in front; longer than max sets full. */
void wr_str(struct wr *w, struct slice s, size_t max);
void wr_blob(struct wr *w, struct slice s, size_t max);
void wr_raw(struct wr *w, struct slice s);
struct slice wr_done(const struct wr *w); /* what was written */

/* CRC32C (Castagnoli) of data, continuing from crc (0 at the start). */
uint32_t crc32c(uint32_t crc, const void *data, size_t len);
/* The same without the processor's help; for its test. */
uint32_t crc32c_portable(uint32_t crc, const void *data, size_t len);
