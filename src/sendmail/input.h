/*
 * input: the message on standard input, as it will be stored: lines ended by
 * CRLF, an end at a lone dot if that is wanted, lines of any length.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "proto/body_scan.h"

enum {
	INPUT_RAW_BYTES = 16 * 1024,
	/* What input_read may give at once. */
	INPUT_PIECE_BYTES = 2 * INPUT_RAW_BYTES + 2 * BODY_SCAN_SLACK_BYTES
};

/* Finds the line that holds a dot alone, in pieces of any size. */
struct dot_scan {
	bool wanted;
	uint8_t state; /* enum dot_state, in the .c */
	bool ended;
};

struct input {
	int fd;
	bool over; /* nothing more comes */
	struct dot_scan dot;
	struct body_scan scan;
};

/* At the beginning of a message.  wanted: a lone dot ends it; else every
 * byte passes. */
void dot_scan_init(struct dot_scan *d, bool wanted);
/*
 * dot_scan_feed(d, in, len, out):
 * Copy in to out (room for len + 3), without the line of a lone dot and all
 * behind it, also one that the input ends with.  Returns the bytes written.
 */
size_t dot_scan_feed(struct dot_scan *d, const char *in, size_t len, char *out);
/* Nothing is read yet; fd is borrowed.  dot_ends: as dot_scan_init. */
void input_init(struct input *in, int fd, bool dot_ends);
/*
 * input_read(in, out, len_out):
 * The next piece into out, which has INPUT_PIECE_BYTES; *len_out is 0 at the
 * end.  The last line is ended if it was not.  Blocks.  ERR_IO.
 */
MUST_CHECK enum err input_read(struct input *in, char *out, size_t *len_out);
