/*
 * tool: what the small programs of qmail's family have in common: messages
 * like "tcprules: fatal: unable to create x: file does not exist".
 *
 * Each message is one line and one write.  Control characters and bytes
 * outside ASCII are escaped.
 */
#pragma once

#include <stdarg.h>

#include "base/err.h"

enum { TOOL_PERM = 100, TOOL_TEMP = 111 };

/* The name in front of every message (static storage). */
void tool_name_set(const char *name);

/* The text of an error in the words that qmail's own programs use, and readers
 * of their logs look for; static storage. */
const char *tool_errno_text(int errnum);

/* "NAME: TEXT" to standard error. */
void tool_say(const char *fmt, ...) PRINTF(1, 2);

/* "NAME: warning: TEXT: ERROR"; errnum 0: without an error. */
void tool_warn(int errnum, const char *fmt, ...) PRINTF(2, 3);

/* "NAME: fatal: TEXT: ERROR", then exit(status). */
_Noreturn void tool_die(int status, int errnum, const char *fmt, ...)
    PRINTF(3, 4);
