/*
 * table/source: the entries of a text file, one after the other, in bounded
 * memory.  For the commands that make indexed tables of it.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"
#include "table/table.h"

struct source;

struct source_entry {
	struct slice key;   /* borrowed until the next call */
	struct slice value; /* likewise */
	uint32_t line;	    /* on which it begins */
	const char *fault;  /* NULL: it is good; else what is wrong */
	bool too_long;	    /* the fault is a bound of ours */
};

/*
 * source_open(a, fd, syntax, fold, out):
 * fd is borrowed; it is read once, from where it stands.  fold: keys in lower
 * case.  ERR_NOMEM.
 */
MUST_CHECK enum err source_open(struct acct *a, int fd,
    enum table_syntax syntax, bool fold, struct source **out);
void source_close(struct source *s); /* NULL is allowed */

/*
 * source_next(s, out, et):
 * OK with *out, also for an entry with a fault; ERR_NOTFOUND at the end;
 * ERR_IO with et.  Blocks on the file.
 */
MUST_CHECK enum err source_next(struct source *s, struct source_entry *out,
    struct errtext *et);
