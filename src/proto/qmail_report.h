/*
 * qmail_report: what became of a delivery, in the words that qmail's programs
 * have for it, for its log and its bounces.
 *
 * Readers of both know these texts.  Ours are made into them where there is
 * one that means the same; any other is kept, with its status code behind it.
 */
#pragma once

#include "base/slice.h"
#include "base/wire.h"

enum {
	/* The longest, given what JOB_TEXT_BYTES_MAX allows. */
	QMAIL_REPORT_BYTES_MAX = 2048,
};

struct qmail_report {
	bool sent;	    /* else it failed, or will be tried again */
	struct slice relay; /* "HOST[IP]:PORT"; no bracket: it was local */
	struct slice dsn;   /* "5.1.1" */
	struct slice text;  /* as postfix's format of the log has it */
};

/*
 * qmail_report_put(r, w):
 * Lines, each ended by \n; none is empty.  Foreign text is as it came.  w has
 * room for QMAIL_REPORT_BYTES_MAX bytes, else w->full.
 */
void qmail_report_put(const struct qmail_report *r, struct wr *w);

/*
 * qmail_safe(buf, len):
 * As in the lines of qmail-send: \n becomes "/", and "_" stands for blanks, %
 * and whatever is not printable ASCII.
 */
void qmail_safe(char *buf, size_t len);
