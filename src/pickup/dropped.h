/*
 * dropped: a file of the drop directory, read with suspicion: any local user
 * may have written it.
 */
#pragma once

#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"
#include "base/wire.h"
#include "proto/address.h"
#include "proto/drop_file.h"

struct dropped {
	int fd;				/* -1: not open */
	uint32_t uid;			/* of its owner */
	int64_t dropped_ms;		/* wall clock */
	struct drop_file head;		/* slices point into the fields below */
	char sender[ADDRESS_BYTES_MAX]; /* canonical */
	char envid[ENVID_BYTES_MAX];
	bool utf8;	   /* an address so far is not ASCII */
	uint64_t rcpts_at; /* place of the next recipient */
	uint32_t rcpts_left;
	uint64_t message_at; /* place of the next byte of the message */
	uint64_t message_end;
	uint64_t message_bytes; /* all of it */
	/* The first recipient, for the trace field, if it is the only one. */
	char only_rcpt[ADDRESS_BYTES_MAX];
	size_t only_rcpt_len;
};

/*
 * dropped_open(d, dir_fd, name, et):
 * Open and read all but recipients and message.  ERR_CORRUPT with et: it is
 * no message, set it aside.  Other errors are temporary.
 */
MUST_CHECK enum err dropped_open(struct dropped *d, int dir_fd,
    const char *name, struct errtext *et);
void dropped_close(struct dropped *d);

/*
 * dropped_rcpts(d, out, et):
 * Append as many recipients to out as fit, encoded as proto/envelope.h says;
 * d->rcpts_left tells how many are left.  Errors as dropped_open.
 */
MUST_CHECK enum err dropped_rcpts(struct dropped *d, struct wr *out,
    struct errtext *et);

/* The next bytes of the message; *len_out 0 at its end. */
MUST_CHECK enum err dropped_read(struct dropped *d, char *buf, size_t size,
    size_t *len_out, struct errtext *et);
