/*
 * scan: reading a segment record by record through one bounded window.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"
#include "store/record.h"

struct acct;
struct disk;

enum { SCAN_BUFFER_BYTES = 2 * RECORD_BYTES_MAX };

struct scan {
	struct disk *disk;
	unsigned char *buf; /* SCAN_BUFFER_BYTES */
	int fd;
	uint64_t segment;
	uint64_t bytes;	 /* of the segment */
	uint64_t at;	 /* offset in the file of buf[0] */
	size_t len;	 /* valid bytes in buf */
	bool unreadable; /* a read failed; those bytes read as zeros */
	uint64_t unreadable_from, unreadable_to; /* around all of them */
};

/* buf is borrowed, SCAN_BUFFER_BYTES; fd is borrowed. */
void scan_init(struct scan *s, struct disk *d, unsigned char *buf, int fd,
    uint64_t segment, uint64_t bytes);
/*
 * The record at offset.  OK, with the payload borrowed until the next call;
 * ERR_CORRUPT: there is none that verifies (or it cannot be read).
 */
MUST_CHECK enum err scan_record(struct scan *s, uint32_t offset,
    struct record *r, struct slice *payload_out);
/* Does [from, to) touch what could not be read?  Then nobody knows whether it
 * is damaged. */
bool scan_is_unreadable(const struct scan *s, uint64_t from, uint64_t to);
/* The first record that verifies at or after offset; false: none. */
bool scan_find(struct scan *s, uint32_t offset, uint32_t *offset_out);

/*
 * scan_tables(s, a, fn, arg):
 * Give every entry of a closed segment's tables, in the order of the log.
 * a: charged for the list of tables during the call.  ERR_CORRUPT: the
 * segment is not closed or a table is damaged (some entries may have been
 * given); ERR_NOMEM; else what fn returned.
 */
typedef enum err scan_entry_fn(void *arg, const struct log_entry *e);
MUST_CHECK enum err scan_tables(struct scan *s, struct acct *a,
    struct rec_end *end_out, scan_entry_fn *fn, void *arg);

/*
 * scan_walk(s, from, to, fn, damage, arg):
 * Give every record from offset from, up to to; damaged stretches are
 * skipped and told.  Joined records are the caller's matter.  Returns OK or
 * what fn returned first.
 */
typedef enum err scan_record_fn(void *arg, const struct record *r,
    struct slice payload, struct store_pos pos);
typedef void scan_damage_fn(void *arg, uint32_t from, uint32_t to);
MUST_CHECK enum err scan_walk(struct scan *s, uint32_t from, uint32_t to,
    scan_record_fn *fn, scan_damage_fn *damage, void *arg);
