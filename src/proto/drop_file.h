/*
 * drop_file: a message as the sendmail command leaves it for pickup while no
 * server runs.  Written by any local user: pickup trusts no byte of it.
 *
 * Layout (base/wire): DROP_FILE_MAGIC, the sender's part, one record for each
 * recipient, the message with CRLF lines, and a trailer of fixed size that
 * says how long the message is; without it the file was cut off.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "base/wire.h"
#include "proto/envelope.h"

enum {
	DROP_FILE_RCPTS_MAX = ENVELOPE_RCPTS_MAX,
	DROP_FILE_HEAD_BYTES_MAX =
	    8 + 1 + 2 + ADDRESS_BYTES_MAX + 2 + ENVID_BYTES_MAX + 4,
	DROP_FILE_RCPT_BYTES_MAX = 1 + 2 + ADDRESS_BYTES_MAX,
	DROP_FILE_TRAILER_BYTES = 16,
};

struct drop_file {
	uint8_t ret;	     /* enum envelope_ret */
	struct slice sender; /* empty: null sender */
	struct slice envid;  /* xtext; empty: none */
	uint32_t rcpt_count;
};

/*
 * The head, then rcpt_count recipients, the message, the trailer.  They
 * append to w; an address or envelope id that is too long, or a w without
 * room, sets w->full.  notify: enum envelope_notify set; message_bytes: of
 * the message alone.
 */
void drop_file_put(struct wr *w, const struct drop_file *d);
void drop_file_rcpt_put(struct wr *w, uint8_t notify, struct slice address);
void drop_file_trailer_put(struct wr *w, uint64_t message_bytes);

/* False when malformed; slices are borrowed.  What follows stays in r. */
bool drop_file_get(struct rd *r, struct drop_file *d);
bool drop_file_rcpt_get(struct rd *r, uint8_t *notify_out,
    struct slice *address_out);
/* r holds exactly the trailer. */
bool drop_file_trailer_get(struct rd *r, uint64_t *message_bytes_out);
