/*
 * import: what import-qmail and import-postfix share: a weir.conf in the
 * making, and remarks on what could not be taken over.
 *
 * Definitions are offered one by one; in the end they are loaded together as
 * weir.conf would be, and one that is an error is taken out and remarked with
 * the reason, so that what is printed always loads.
 */
#pragma once

#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

struct cli;

enum {
	IMPORT_LINES_MAX = 2000,
	IMPORT_BYTES_MAX = 1 << 20,
};

struct import_line {
	char *text; /* "name = value"; NULL: taken out */
	const char *from;
	unsigned line; /* in that file; 0: of the file as a whole */
};

struct import {
	struct cli *cli;
	const char *source; /* what is imported, for the first line */
	struct import_line lines[IMPORT_LINES_MAX];
	unsigned count;
	struct buf remarks;
	bool full; /* something did not fit: nothing is printed */
};

/* NULL: no memory.  Everything is freed with the process. */
struct import *import_new(struct cli *cli, const char *source);

/* Offer name = value, found in line (from 1) of the file from, which stays the
 * caller's until import_print.  A later one of the same name replaces it. */
void import_put(struct import *im, const char *from, unsigned line,
    struct slice name, struct slice value);

/* "# from:line: text", below the configuration; line 0: none. */
void import_remark(struct import *im, const char *from, unsigned line,
    const char *fmt, ...) PRINTF(4, 5);

/* Load what was offered, take out what is wrong, print: EX_OK, or EX_SOFTWARE,
 * EX_TEMPFAIL after a message. */
int import_print(struct import *im);

/*
 * import_load(im, text, conf_out, report):
 * The configuration that text stands for, read as a file is; NULL with the
 * errors in report.
 */
struct conf;
struct conf_report;
MUST_CHECK enum err import_load(struct import *im, struct slice text,
    struct conf_report *report, const struct conf **out);

/* The line of weir.conf that a message of import_load is about; 0: none. */
unsigned import_message_line(const char *message, const char **rest_out);
