/*
 * commit: putting envelopes and updates; for commit.c and the mover.
 */
#pragma once

#include "store/record.h"

struct store;

/* An envelope record about to be written; row.result: the state so far. */
struct commit_envelope {
	struct slice envelope;
	struct slice rcpts; /* inline */
	uint32_t rcpt_total;
	const struct store_extent *extents;
	uint32_t extent_count;
	const struct store_extent *rcpt_extents;
	uint32_t rcpt_extent_count;
	bool moved;
	uint64_t state_segment; /* where the state so far begins; 0: none */
	struct store_row row;	/* envelope and first_segment are set by put */
};

/* False: beyond a record's limit.  bytes_out: of the payload, at most. */
bool commit_envelope_fits(const struct commit_envelope *c, size_t *bytes_out);
/* Put the record; log_room was asked. */
void commit_put_envelope(struct store *s, struct commit_envelope *c,
    bool joined);
/* Enter it into the track and the segment's table. */
void commit_enter_envelope(struct store *s, const struct commit_envelope *c);
/* Put a RESULT or STATE; log_room was asked. */
struct store_pos commit_put_update(struct store *s, unsigned type, uint64_t id,
    const struct store_update *u, struct store_pos prev);
