/*
 * dotfile: what a user's own files in his home say about his mail: .qmail and
 * its kin, .forward.
 *
 * Only the worker that has become the user reads them, so that they can show
 * nothing that he could not read himself.  A file is read when it is regular,
 * his or root's, not writable for others, and not too large; a symbolic link
 * may lead to it within the home, not out of it.  Anything wrong defers the
 * mail with a text that says what, until the user has mended it.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "local/outcome.h"
#include "local/request.h"

enum {
	DOT_FILE_BYTES_MAX = 1024 * 1024, /* of one file */
	DOT_INCLUDE_DEPTH_MAX = 8,	  /* :include: within :include: */
	DOT_INCLUDES_MAX = 100,		  /* of one plan */
};

/* Takes the actions of a plan, one after the other. */
struct action_sink {
	void (*put)(void *arg, enum action_kind kind, uint32_t line,
	    struct slice text);
	void *arg;
};

/*
 * dotfile_plan(q, loops, to, o):
 * Find the file that serves q->extension of q->user and give its actions to
 * to; blocking.  loops: the message carries our Delivered-To already.  o is
 * always set: sent, the plan is complete; else it must not be carried out.
 */
void dotfile_plan(const struct request *q, bool loops,
    const struct action_sink *to, struct outcome *o);
/* True: nothing is wrong, and no file serves the recipient: his mail goes where
 * it goes by itself. */
bool dotfile_is_default(const struct request *q);
/* Sent: there is a place for the extension; failed: there is none; deferred:
 * that cannot be known. */
void dotfile_check(const struct request *q, struct outcome *o);
