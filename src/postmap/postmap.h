/*
 * postmap: what the files of the command share.
 */
#pragma once

#include <stdbool.h>

#include "base/mem.h"
#include "conf/conf.h"
#include "postmap/make.h"
#include "table/table.h"

enum { POSTMAP_KEY_COUNT_MAX = 64 };

struct postmap {
	const char *self; /* "postmap", "postalias", "newaliases" */
	enum table_syntax syntax;
	struct acct acct;
	struct conf_input input;
	const char *overrides[CONF_OVERRIDE_COUNT_MAX];
	const struct conf *conf; /* NULL: not read yet */

	const char *query;  /* -q */
	const char *remove; /* -d */
	bool add;	    /* -i */
	bool list;	    /* -s */
	bool replace;	    /* -r */
	bool quiet;	    /* -w: nothing about duplicates */
	bool keep_case;	    /* -f */
	bool with_nul;	    /* -N */
	bool private_mode;  /* -p: permissions are not taken from the source */
	bool verbose;	    /* -v */
};

/* A table as named by a word or by alias_database. */
struct postmap_table {
	const char *name;		/* as it was given */
	bool has_no_file;		/* inline:, static: */
	bool is_text;			/* text:, hash:, texthash: */
	enum make_kind kind;		/* unless is_text */
	char path[MAKE_PATH_BYTES_MAX]; /* the source */
};

/* "postmap: text" on standard error, foreign bytes escaped. */
void postmap_say(const struct postmap *p, const char *fmt, ...) PRINTF(2, 3);
/* The same, and the exit status for e. */
int postmap_fail(const struct postmap *p, enum err e, const char *text);

/* ---- build.c ---- */

/* Make the table of its source, or check the source of a text.  Returns an
 * exit status. */
int postmap_build(struct postmap *p, const struct postmap_table *t);
/* -i and -d: the finished file again, with entries from standard input more,
 * or keys less.  1: nothing was there to be removed. */
int postmap_change(struct postmap *p, const struct postmap_table *t);

/* ---- query.c ---- */

/* -q: the value of a key, or of the keys on standard input; 1: none found. */
int postmap_query(struct postmap *p, const struct postmap_table *t);
/* -s: all of them. */
int postmap_list(struct postmap *p, const struct postmap_table *t);
