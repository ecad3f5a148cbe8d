/*
 * header_scan: the header section of a message as it passes, RFC 5322 2.2.
 *
 * Reads the result of body_scan, in pieces cut anywhere.  Counts header
 * fields, their bytes and the Received fields, keeps the Message-ID for the
 * log, and cuts a field (with its folded lines) that is longer than its
 * limit: the rest of that field is dropped, its CRLF kept, and everything
 * after it is untouched.  The section ends at the first empty line or at the
 * first line that is no header field.
 *
 * Constant memory, linear time; the address fields are not parsed.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

struct header_limits {
	uint32_t field_bytes_max; /* header_size_limit; at least 16 */
	uint64_t total_bytes_max; /* header_total_size_limit, after cuts */
	uint32_t count_max;	  /* header_count_limit */
	uint32_t hop_count_max;	  /* hopcount_limit */
};

enum header_fault {
	HEADER_OK,
	HEADER_TOO_MANY, /* fields: 552 5.3.4 */
	HEADER_TOO_BIG,	 /* bytes: 552 5.3.4 */
	HEADER_LOOP,	 /* Received fields: 554 5.4.6 */
};

enum { HEADER_NAME_KEPT_BYTES = 12, MESSAGE_ID_BYTES_MAX = 200 };

struct header_scan {
	uint8_t state;
	uint8_t tail;	  /* how a cut field ends; see the source */
	uint8_t fault;	  /* enum header_fault; the scan stops at it */
	bool cut;	  /* a field was cut */
	bool in_id;	  /* the open field is Message-ID */
	uint8_t name_len; /* bytes kept in name */
	char last;	  /* the byte put out last */
	uint16_t id_len;
	uint32_t name_bytes;  /* of the name that is open */
	uint32_t field_bytes; /* of the field that is open, after cuts */
	uint32_t field_count;
	uint32_t hop_count;
	uint64_t total_bytes;
	char name[HEADER_NAME_KEPT_BYTES]; /* lower case */
	char id[MESSAGE_ID_BYTES_MAX];	   /* Message-ID's value so far */
};

/* Before the first byte of a message. */
void header_scan_init(struct header_scan *h);

/*
 * header_scan(h, limits, data, len):
 * Read a piece, dropping in place what is cut.  Returns its new length.
 * After a fault or the end of the section it costs nothing.
 */
size_t header_scan(struct header_scan *h, const struct header_limits *limits,
    char *data, size_t len);

/*
 * header_scan_finish(h, out):
 * The message is over (BDAT may end within a header field).  Returns the bytes
 * put into out (0 or 1: the LF of a field that was cut at the very end).
 */
size_t header_scan_finish(struct header_scan *h, char out[static 1]);

/* True from the end of the header section on. */
bool header_scan_done(const struct header_scan *h);

/* The Message-ID's value, trimmed, cut at MESSAGE_ID_BYTES_MAX; empty: none. */
struct slice header_scan_message_id(const struct header_scan *h);
