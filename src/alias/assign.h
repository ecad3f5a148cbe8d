/*
 * alias/assign: qmail's users/assign, and users/cdb that is made of it.
 *
 *   =local:user:uid:gid:home:dash:ext:    this local part
 *   +prefix:user:uid:gid:home:dash:pre:   all that begin so; the rest is
 *                                         added to pre
 *   .                                     the last line
 *
 * Of several lines for the same the first holds; an exact one beats all
 * prefixes, a longer prefix beats a shorter one.
 *
 * Keys of the cdb: "!local\0", "!prefix", and the empty one, whose value
 * holds the last characters of all prefixes.  Its values are user, uid, gid,
 * home, dash and ext with NULs between.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"

enum {
	ASSIGN_LOCAL_BYTES_MAX = 256,
	ASSIGN_KEY_BYTES_MAX = ASSIGN_LOCAL_BYTES_MAX + 2,
	ASSIGN_VALUE_BYTES_MAX = 4096,
};

/* Who gets mail, and with which extension. */
struct assign_user {
	struct slice user;
	uint32_t uid; /* never 0 */
	uint32_t gid;
	struct slice home; /* absolute */
	struct slice dash;
	struct slice ext; /* of a prefix: before the rest of the local part */
};

struct assign_line {
	bool wild;	    /* +: a prefix */
	struct slice local; /* or the prefix, as it is written */
	struct assign_user to;
};

/*
 * assign_parse_line(line, out, et):
 * A line without its end; out borrows it.  OK; ERR_NOTFOUND: the final dot;
 * ERR_CONFIG with et: none of these.  Comments there are none.
 */
MUST_CHECK enum err assign_parse_line(struct slice line,
    struct assign_line *out, struct errtext *et);

/* Does the line serve local (any case)?  Of a prefix, rest_out is what is
 * behind it; of an exact one it is empty. */
bool assign_line_matches(const struct assign_line *l, struct slice local,
    struct slice *rest_out);

/* The key of a line in the cdb, in lower case; its length, 0 if it is too
 * long.  And the value; 0 likewise. */
size_t assign_key(const struct assign_line *l,
    char key[static ASSIGN_KEY_BYTES_MAX]);
size_t assign_value(const struct assign_line *l,
    char value[static ASSIGN_VALUE_BYTES_MAX]);

/* The keys to ask a cdb for, one after the other. */
struct assign_search {
	char key[ASSIGN_KEY_BYTES_MAX]; /* !local\0 */
	size_t local_len;
	size_t at;		/* length of the key asked last; 0: none yet */
	uint8_t last_chars[32]; /* a bit for each; of assign_search_chars */
};

/* ERR_TOOBIG: nobody has such a name. */
MUST_CHECK enum err assign_search_begin(struct assign_search *s,
    struct slice local);
/* The value of the empty key, asked first; without it (there is none)
 * nothing but the exact key and the empty prefix is tried. */
void assign_search_chars(struct assign_search *s, struct slice value);
/* False: there are no more.  rest_len_out: how many bytes at the end of the
 * local part are to be added to ext if this key is found. */
bool assign_search_next(struct assign_search *s, struct slice *key_out,
    size_t *rest_len_out);
/* A value found; ERR_CONFIG with et when it is malformed. */
MUST_CHECK enum err assign_parse_value(struct slice value,
    struct assign_user *out, struct errtext *et);
