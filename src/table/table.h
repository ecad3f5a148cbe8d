/*
 * table: lookup tables, TYPE:REST, behind one interface.
 *
 *   text:PATH, hash:PATH, texthash:PATH
 *                 key and value on each line, separated by white space; a
 *                 line that begins with white space continues the one above;
 *                 # begins a comment.  The file itself is read, whatever
 *                 stands beside it, and read again when it has changed.
 *   cdb:PATH      PATH.cdb, a constant database; opened again when changed.
 *   lmdb:PATH     PATH.lmdb, a B+tree of LMDB; likewise.
 *   inline:{ key = value, { key = value with blanks }, ... }
 *   static:VALUE  the same value for every key.
 *
 * Keys are compared without regard to ASCII case.  A key may be quoted, as a
 * local part with blanks must be; it is kept without its quotes.  A table that
 * cannot be read just now is a temporary error, never "not found": no mail is
 * refused because of a file that is missing for a moment.  Lookups block on
 * local files.  Not for several threads.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"

struct acct;
struct conf_list;
struct table;

enum {
	TABLE_FILE_BYTES_MAX = 64 << 20,
	TABLE_ENTRY_COUNT_MAX = 1 << 20,
	TABLE_KEY_BYTES_MAX = 1024,
	TABLE_VALUE_BYTES_MAX = 4096,
	TABLE_COUNT_MAX = 64, /* in one list */
	/* Of TABLE_SYNTAX_ALIASES: a list of some thousand addresses. */
	TABLE_ALIAS_VALUE_BYTES_MAX = 65536,
};

/* How the lines of text tables are written. */
enum table_syntax {
	TABLE_SYNTAX_MAP,     /* key, white space, value */
	TABLE_SYNTAX_ALIASES, /* name: value, as in aliases(5) */
};

/* Longest value of a table. */
size_t table_value_max(enum table_syntax syntax);

/* What a lookup found; borrowed until the next lookup in the same table. */
struct table_answer {
	struct slice key; /* that matched */
	struct slice value;
	const char *table; /* "text:/etc/weir/x"; of the table */
	unsigned line;	   /* 0: it has no lines */
};

/*
 * table_open(a, spec, out, et):
 * spec is borrowed for the call.  The file need not exist yet.
 *
 * ERR_CONFIG for a spec that is not one (et says why), ERR_NOMEM.
 */
MUST_CHECK enum err table_open(struct acct *a, struct slice spec,
    struct table **out, struct errtext *et);
/* The same for a text in another syntax; it also bounds the values. */
MUST_CHECK enum err table_open_as(struct acct *a, struct slice spec,
    enum table_syntax syntax, struct table **out, struct errtext *et);
void table_close(struct table *t); /* NULL is allowed */

/*
 * table_lookup(t, key, out, et):
 * OK with *out; ERR_NOTFOUND; ERR_LOOKUP when it cannot be known now (et
 * says why).  An empty key is never found.
 */
MUST_CHECK enum err table_lookup(struct table *t, struct slice key,
    struct table_answer *out, struct errtext *et);

/* The tables of a list parameter, asked in order. */
struct tables {
	struct acct *acct;
	struct table *list[TABLE_COUNT_MAX];
	size_t count;
	char key[TABLE_KEY_BYTES_MAX]; /* that was tried last */
};

/* Items that are not tables (domains in mydestination) are left out.  On
 * error nothing stays open. */
MUST_CHECK enum err tables_open(struct tables *ts, struct acct *a,
    const struct conf_list *list, struct errtext *et);
/* The same for alias_maps: texts are TABLE_SYNTAX_ALIASES. */
MUST_CHECK enum err tables_open_as(struct tables *ts, struct acct *a,
    const struct conf_list *list, enum table_syntax syntax, struct errtext *et);
void tables_close(struct tables *ts);
/* The first answer; an error of one table ends the search. */
MUST_CHECK enum err tables_lookup(struct tables *ts, struct slice key,
    struct table_answer *out, struct errtext *et);

/* Which keys stand for an address, in the order in which they are tried; the
 * first key is tried in all tables, then the second, and so on. */
enum table_order {
	/* user+ext@domain, user@domain, @domain: virtual(8) of Postfix */
	TABLE_ORDER_MAILBOX,
	/* user+ext@domain, user@domain, domain, .domain, .parent, ... , *:
	 * transport(5) of Postfix */
	TABLE_ORDER_TRANSPORT,
	/* user+ext@domain, user@domain; user+ext, user if bare; @domain:
	 * virtual(5) of Postfix */
	TABLE_ORDER_ALIAS,
};

/* An address as keys need it: local part unquoted. */
struct table_address {
	struct slice local; /* with extension */
	struct slice user;  /* without; the same if there is none */
	struct slice domain;
	bool bare; /* the domain goes without saying (TABLE_ORDER_ALIAS) */
};

/* As tables_lookup. */
MUST_CHECK enum err tables_lookup_address(struct tables *ts,
    enum table_order order, const struct table_address *address,
    struct table_answer *out, struct errtext *et);
