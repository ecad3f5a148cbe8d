/*
 * inspect: a spool opened for reading only, stopped or in use.
 *
 * The index is built anew in memory, so a tool sees what the log says and
 * nothing else.  Nothing is written, nothing is locked; every record is
 * verified when it is read, so a server that works meanwhile (in_use) can only
 * make messages appear damaged that it moves or ends at this moment, or remove
 * a segment before it is read (ERR_IO): look again.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "store/store.h"

struct arena;

/*
 * A store for store_list, store_peek and store_poll only, made with
 * store_conf_default and disk, acct, events, arg of c.  Blocks.  ERR_VERSION,
 * ERR_NOTFOUND: there is no log; ERR_IO, ERR_NOMEM.
 */
MUST_CHECK enum err inspect_open(const struct store_conf *c, struct store **out,
    bool *in_use_out, struct errtext *et);
void inspect_close(struct store *s);

struct inspect_counts {
	uint64_t segment_count;
	uint64_t record_count;
	uint64_t message_count;
	uint64_t damage_count;
};

/* Read every record of every segment, and every piece of every message;
 * damage is told by on_damage (a torn tail is not counted as damage). */
MUST_CHECK enum err inspect_all(struct store *s, struct inspect_counts *c,
    struct errtext *et);

/* Each living message, by id; fn returns OK to go on. */
typedef enum err inspect_fn(void *arg, const struct store_row *row);
MUST_CHECK enum err inspect_each(struct store *s, inspect_fn *fn, void *arg);

/*
 * inspect_export(s, directory, done_out, et):
 * Every message as one file directory/ID, made if need be: its envelope as a
 * line of JSON, then the body as it was received.  A message that cannot be
 * read is told by on_damage and left out.
 */
MUST_CHECK enum err inspect_export(struct store *s, const char *directory,
    uint64_t *done_out, struct errtext *et);
