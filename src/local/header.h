/*
 * header: the fields that a delivery adds, and the search for our own.
 *
 * A message that already carries "Delivered-To: " with the address that it
 * is delivered to has been here before: it loops.  The header is read as it
 * passes, in pieces of any size, with constant memory.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"
#include "proto/envelope.h"

enum {
	/* A header longer than this is not searched further: a loop still
	 * ends at hopcount_limit. */
	LOOP_SCAN_BYTES_MAX = 2 * 1024 * 1024,
	HEADER_ADDED_BYTES_MAX = 3 * (ADDRESS_BYTES_MAX + 32),
	FROM_LINE_BYTES_MAX = ADDRESS_BYTES_MAX + 64,
};

struct loop_scan {
	struct slice address; /* that we look for; borrowed */
	size_t scanned_bytes;
	uint8_t state;	    /* enum scan_state */
	uint8_t name_len;   /* bytes of "delivered-to" matched */
	uint16_t value_len; /* bytes in value; more than it holds: no match */
	char value[ADDRESS_BYTES_MAX];
	bool found; /* the address was met: a loop */
	bool done;  /* the header is over */
};

/* address is borrowed until the scan is over. */
void loop_scan_init(struct loop_scan *s, struct slice address);
/* The next bytes of the message, lines ending in CRLF or LF.  True when a
 * loop was found (now or before). */
bool loop_scan_feed(struct loop_scan *s, struct slice data);
/* The message ended: a header without body may end in a field. */
bool loop_scan_end(struct loop_scan *s);

/*
 * header_added(sender, address, original, out):
 * "Return-Path: <sender>", "X-Original-To:" when original is not empty and
 * differs from address, and "Delivered-To: address", each ended by LF.
 * Control characters of the addresses are written as '?'.  Returns the
 * number of bytes.
 */
size_t header_added(struct slice sender, struct slice address,
    struct slice original, char out[static HEADER_ADDED_BYTES_MAX]);

/*
 * header_chosen(which, sender, address, original, out):
 * The same, of which only those that are wanted, in that order; X-Original-To
 * with address when there is no other.
 */
enum header_field {
	HEADER_RETURN_PATH = 1,
	HEADER_ORIGINAL_TO = 2,
	HEADER_DELIVERED_TO = 4,
};
size_t header_chosen(unsigned which, struct slice sender, struct slice address,
    struct slice original, char out[static HEADER_ADDED_BYTES_MAX]);

/* "From sender date" with LF, as an mbox has it; MAILER-DAEMON for the null
 * sender, '-' for blanks and control characters, which would end the address.
 * The date is now, UTC.  Returns the number of bytes. */
size_t header_from_line(struct slice sender,
    char out[static FROM_LINE_BYTES_MAX]);
