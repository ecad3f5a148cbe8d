/*
 * store/fsck_out: what a pass of weir-fsck says.
 *
 * While a pass may still be repeated nothing of it is printed.  A spool of
 * 1,000,000 messages, all of them damaged, makes hundreds of megabytes of
 * text: too much for memory (also that of a memfd or a tmpfs), and a file is no
 * way out, for fsck changes nothing and runs where nothing can be written.  So
 * a pass keeps FSCK_OUT_BYTES at most, in this process.  What does not fit is
 * left out of a pass that can be repeated, and then it is; from the last one
 * it is printed as it is found.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum {
	FSCK_OUT_BYTES = 1 << 20,
	/* One entry: a path and a text of ours, escaped. */
	FSCK_ENTRY_BYTES_MAX = 32768,
};

struct fsck_out {
	size_t len;   /* kept */
	bool printed; /* some of it has gone to standard output */
	bool left_out;
	char data[FSCK_OUT_BYTES];
};

/* Forget what is kept. */
void fsck_out_begin(struct fsck_out *o);
/* One entry, whole or not at all; is_last: it may be printed. */
void fsck_out_put(struct fsck_out *o, const char *entry, size_t len,
    bool is_last);
/* Print what is kept; false: standard output failed. */
bool fsck_out_end(struct fsck_out *o);
