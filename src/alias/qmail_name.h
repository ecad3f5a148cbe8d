/*
 * alias/qmail_name: which .qmail file serves user-ext, and what commands are
 * told about ext and host.
 *
 * qmail-local is called with a dash and an extension: "-" and "list-request"
 * for joe-list-request, both empty for joe.  In names of files the extension
 * is in lower case and its dots are colons, so that .. never occurs.  Tried
 * are, each in the home directory:
 *
 *   .qmail-list-request, .qmail-list-default, .qmail-default
 *
 * and for joe alone .qmail, whose absence means the default delivery.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/slice.h"

enum {
	QMAIL_EXT_BYTES_MAX = 256,
	QMAIL_DASH_BYTES_MAX = 64,
	/* .qmail, dash, extension, -owner-default */
	QMAIL_NAME_BYTES_MAX =
	    6 + QMAIL_DASH_BYTES_MAX + QMAIL_EXT_BYTES_MAX + 14,
};

struct qmail_names {
	struct slice ext; /* borrowed: as in the address */
	size_t dash_len;
	size_t at;  /* next prefix of the extension to try */
	bool begun; /* the whole name was given */
	bool ended;
	char name[QMAIL_NAME_BYTES_MAX + 1]; /* .qmail, dash, extension */
	size_t len;
	char out[QMAIL_NAME_BYTES_MAX + 1];
};

/* ERR_TOOBIG; ERR_SYNTAX when ext or dash holds a slash or a NUL: there is
 * no such file, and no such mailbox.  ext is borrowed. */
MUST_CHECK enum err qmail_names_begin(struct qmail_names *n, struct slice dash,
    struct slice ext);

/*
 * qmail_names_next(n, default_out):
 * The next name to try, terminated, until the next call; NULL: no more.
 * default_out: $DEFAULT if this file exists, borrowed from ext; data NULL:
 * it is not set.
 */
const char *qmail_names_next(struct qmail_names *n, struct slice *default_out);

/* The name of the whole extension with -owner or -owner-default behind it, as
 * qmail_names_next. */
const char *qmail_names_owner(struct qmail_names *n, bool of_default);

/* $EXT, $EXT2, $EXT3, $EXT4: ext behind its count-th dash, count 0..3; empty
 * when there are not so many. */
struct slice qmail_ext_after(struct slice ext, unsigned count);
/* $HOST, $HOST2, ...: host without its last count labels; the whole when
 * only one is left. */
struct slice qmail_host_before(struct slice host, unsigned count);
