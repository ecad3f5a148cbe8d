/*
 * alias/qmail_file: the lines of a .qmail file, as qmail-local takes them.
 *
 *   # text        nothing
 *   |command      run by the shell
 *   ./x, /x       an mbox; with a slash at the end a Maildir.  Any line that
 *                 begins with a dot or a slash.
 *   &address, or anything else: forward
 *   +list         from here on only forwards; any other + line is nothing
 *
 * Blanks at the end of a line are not part of it; at its beginning they are.
 * Empty lines are nothing, except that the first line must not be one.  A file
 * that is not a single byte long stands for the default delivery: empty says
 * so at the end.  A line is complete with its newline or at the end of the
 * file.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"

enum { QMAIL_LINE_BYTES_MAX = 4096 };

enum qmail_action {
	QMAIL_COMMAND, /* for the shell, without the bar; may be empty */
	QMAIL_MBOX,
	QMAIL_MAILDIR, /* with its slash */
	QMAIL_FORWARD, /* an address as it is written, without the & */
};

struct qmail_line {
	enum qmail_action action;
	struct slice text; /* in the scanner, until the next call; no NUL */
	uint32_t line;	   /* from 1 */
};

/* Everything is in here; nothing to free. */
struct qmail_scan {
	bool forward_only; /* execute bit, or +list was read */
	bool empty;	   /* no byte came yet */
	bool over;	   /* the line did not fit */
	bool stopped;	   /* by a mistake: qmail reads no further either */
	uint32_t line;	   /* of the next byte */
	size_t len;
	char text[QMAIL_LINE_BYTES_MAX];
};

/* executable: the file has an execute bit of its owner: forwards only. */
void qmail_scan_init(struct qmail_scan *s, bool executable);

/*
 * qmail_scan_next(s, in, last, out, et):
 * Take bytes from *in until a line says something.  last: nothing comes
 * behind *in.
 *
 * OK with *out; ERR_AGAIN: *in is used up, give more; ERR_NOTFOUND: the end;
 * ERR_CONFIG with et, which has qmail's text where qmail has one: the first
 * line is empty, a file or a command where only forwards may be, a line that
 * is too long or holds a NUL, an address that is empty.  Then no line follows.
 */
MUST_CHECK enum err qmail_scan_next(struct qmail_scan *s, struct slice *in,
    bool last, struct qmail_line *out, struct errtext *et);
