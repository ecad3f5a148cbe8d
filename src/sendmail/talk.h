/*
 * talk: one side of an SMTP conversation over a blocking socket with timeouts.
 *
 * Failures leave their text in t->et.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

enum {
	REPLY_BYTES_MAX = 16 * 1024, /* one reply, all its lines */
	COMMANDS_BYTES = 16 * 1024,  /* put, and not yet flushed */
};

struct talk {
	int fd;
	struct errtext *et;
	size_t at, len; /* unread in in */
	char in[4096];
	int code;	/* of the last reply */
	int refused;	/* of one that refused everything; 0: none did */
	char text[512]; /* of its last line, printable */
	size_t out_len;
	char out[COMMANDS_BYTES];
};

/* Blocks until all is written. */
bool talk_write(struct talk *t, const char *data, size_t len);
/* Add a command, or a part of one; there must be room in t->out. */
void talk_put(struct talk *t, const char *fmt, ...) PRINTF(2, 3);
/* Write what was put. */
bool talk_flush(struct talk *t);
/* The next reply, all its lines, into t->code and t->text. */
bool talk_read_reply(struct talk *t);
