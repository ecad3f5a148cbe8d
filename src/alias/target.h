/*
 * alias/target: lists of targets, in values of alias tables, in .forward and
 * in :include: files.
 *
 *   user, user@domain, Name <user@domain> (comment)
 *   \user              that user's mailbox, without aliases and .forward
 *   |command, "|command", |"command"
 *   /file              an mbox; with a slash at its end a Maildir
 *   :include:/file     the targets in that file
 *
 * Targets are separated by commas and, in files, by the ends of lines.  A
 * target may be quoted as a whole; a backslash in quotes protects the next
 * character.  In files a line that begins with # is a comment, and a quoted
 * target may go on in the next line if that begins with white space.  Whether
 * a kind is allowed where it stands is the caller's affair.
 *
 * Bytes are fed as they come; a target is found whatever the pieces are.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"

enum { ALIAS_TARGET_BYTES_MAX = 4096 };

enum alias_kind {
	ALIAS_ADDRESS, /* for address_parse() with ADDRESS_BARE */
	ALIAS_USER,
	ALIAS_COMMAND, /* for the shell, without the bar */
	ALIAS_MBOX,    /* an absolute path */
	ALIAS_MAILDIR, /* likewise, with its slash */
	ALIAS_INCLUDE, /* likewise */
};

struct alias_target {
	enum alias_kind kind;
	struct slice text; /* in the scanner, until the next call; no NUL */
	uint32_t line;	   /* on which it begins, from 1 */
};

enum alias_source {
	ALIAS_SOURCE_VALUE, /* of a table: no comments, no lines */
	ALIAS_SOURCE_FILE,
};

enum alias_scan_state {
	ALIAS_SCAN_BEGIN,     /* before a target */
	ALIAS_SCAN_HASH,      /* in a comment line */
	ALIAS_SCAN_BODY,      /* in a target, outside quotes */
	ALIAS_SCAN_QUOTED,    /* in quotes */
	ALIAS_SCAN_ESCAPED,   /* behind a backslash in quotes */
	ALIAS_SCAN_FOLD,      /* a line ended in quotes */
	ALIAS_SCAN_PAREN,     /* in a comment of an address */
	ALIAS_SCAN_PAREN_ESC, /* behind a backslash there */
	ALIAS_SCAN_ANGLE,     /* between < and > */
	ALIAS_SCAN_SKIP,      /* to the end of a target with a mistake */
};

/* Everything is in here; nothing to free. */
struct alias_scan {
	enum alias_source source;
	enum alias_scan_state state;
	bool line_begun; /* something but blanks stood on this line */
	bool raw;	 /* the target is no address: ( and < mean nothing */
	unsigned depth;	 /* of parentheses */
	uint32_t line;	 /* of the next byte */
	uint32_t first_line; /* of the target in text */
	const char *mistake; /* in the target that is skipped */
	size_t len;
	char text[ALIAS_TARGET_BYTES_MAX];
};

/* At the beginning of a list. */
void alias_scan_init(struct alias_scan *s, enum alias_source source);

/*
 * alias_scan_next(s, in, last, out, et):
 * Take bytes from *in until a target is complete.  last: nothing comes behind
 * *in.
 *
 * OK with *out; ERR_AGAIN: *in is used up, give more; ERR_NOTFOUND: the end;
 * ERR_CONFIG with et: a target is malformed or too long; the next call goes
 * on behind it.
 */
MUST_CHECK enum err alias_scan_next(struct alias_scan *s, struct slice *in,
    bool last, struct alias_target *out, struct errtext *et);
