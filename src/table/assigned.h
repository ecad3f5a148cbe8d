/*
 * table/assigned: qmail's users/assign, the text or the cdb made of it
 * (alias/assign.h), asked for local parts.
 *
 * A file that is missing or makes no sense is a temporary error, never "not
 * found"; so is a text without its last line, a dot: it may be half of one.
 * A text is searched from its beginning, so it has a bound: large ones are for
 * the cdb.  The file is read again when it has changed.  Blocks on it.  Not for
 * several threads.
 */
#pragma once

#include "alias/assign.h"
#include "base/err.h"
#include "base/slice.h"

struct acct;
struct assigned;

enum {
	ASSIGNED_TEXT_BYTES_MAX = 1 << 20,
	ASSIGNED_EXTENSION_BYTES_MAX = 512,
};

/* Who gets the mail for a local part; borrowed until the next lookup. */
struct assigned_user {
	struct assign_user to;
	struct slice extension; /* ext with the rest of the local part */
	const char *path;	/* where it was found */
	unsigned line;		/* 0: it has no lines */
};

/*
 * assigned_open(a, path, out):
 * path is an absolute one: a cdb if its name is, or ends with, cdb; else a
 * text.  The file need not exist yet.  ERR_NOMEM.
 */
MUST_CHECK enum err assigned_open(struct acct *a, const char *path,
    struct assigned **out);
void assigned_close(struct assigned *as); /* NULL is allowed */

/* OK with *out; ERR_NOTFOUND; ERR_LOOKUP: it cannot be known now, et says
 * why. */
MUST_CHECK enum err assigned_find(struct assigned *as, struct slice local,
    struct assigned_user *out, struct errtext *et);
