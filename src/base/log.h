/*
 * log: one event, one line, never blocking.
 *
 * Lines are collected in a bounded buffer and written once per turn of the
 * loop (log_flush).  A reader that is too slow loses lines; they are counted
 * and the count is logged when there is room again.  Control characters and
 * non-ASCII bytes of every line are escaped (\xNN) here, so no caller can
 * print foreign bytes raw and no event can become two lines.
 *
 * The tag is "NAME/ROLE[PID]: " (NAME is syslog_name).  Warnings and errors
 * have "warning: " or "error: " behind it.  Under format qmail, other than to
 * syslog, lines begin as qmail-send's do: its own (log_qmail) with their word,
 * warnings with "warning: ", errors with "alert: ", all others with "ROLE: ",
 * which none of qmail's lines begins with.  One thread; the process ignores
 * SIGPIPE.
 */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"
#include "base/time.h"

enum log_format { LOG_POSTFIX, LOG_QMAIL, LOG_JSON };
enum log_level { LOG_LEVEL_INFO, LOG_LEVEL_WARNING, LOG_LEVEL_ERROR };

enum { LOG_LINE_BYTES = 4096, LOG_BUFFER_BYTES = 65536 };

/*
 * log_open(name, role, destination, format, et):
 * name is syslog_name, role e.g. "smtpd".  destination: "stderr",
 * "syslog", or "multilog:...", whose reader the master has put behind standard
 * error (ERR_UNSUPPORTED: none of them; ERR_SYS: no syslog socket, which then
 * is tried again at each flush).  The descriptor is made non-blocking without
 * changing what the parent shares.  Before the first call lines go to stderr
 * unbuffered.
 */
MUST_CHECK enum err log_open(const char *name, const char *role,
    const char *destination, enum log_format format, struct errtext *et);

/* Another path than /dev/log (borrowed); call before log_open.  For tests. */
void log_syslog_path(const char *path);
/* Lines lost since the start. */
uint64_t log_lost_count(void);

/* Write what is buffered; as much as the destination takes.  Non-blocking. */
void log_flush(void);
/* log_flush, waiting at most timeout_ms: for the last words of a process. */
void log_close(int timeout_ms);
/* Open the destination anew (USR1). */
void log_reopen(void);

/* Plain lines. */
void log_info(const char *fmt, ...) PRINTF(1, 2);
void log_warning(const char *fmt, ...) PRINTF(1, 2);
void log_error(const char *fmt, ...) PRINTF(1, 2);
/* A line that is one of qmail's, in the format of that name. */
void log_qmail(const char *fmt, ...) PRINTF(1, 2);
/* A line about message id: "ID: ..." */
void log_message(uint64_t id, const char *fmt, ...) PRINTF(2, 3);

/*
 * Lines with fields: "ID: from=<a@b>, size=9, nrcpt=1 (queue active)" in
 * format postfix, an object in format json.  Usage: log_begin, any number of
 * log_field, at most one log_note, log_end.  The line is cut at
 * LOG_LINE_BYTES and then ends in "..."; as JSON it stays an object.
 * A value in angle brackets loses them in JSON.
 */
struct log_line {
	enum log_level level;
	uint64_t id; /* 0: none */
	size_t len;  /* bytes used in text */
	unsigned field_count;
	bool qmail; /* log_qmail */
	bool cut;   /* something did not fit */
	char text[LOG_LINE_BYTES];
};

/* Begin a line; what was in *l is forgotten. */
void log_begin(struct log_line *l, enum log_level level, uint64_t id,
    const char *event); /* event: "reject", "delivery", ...; json only */
/* "key=VALUE", fields parted by ", "; a string in JSON. */
void log_field(struct log_line *l, const char *key, const char *fmt, ...)
    PRINTF(3, 4);
/* A number: without quotes in JSON. */
void log_field_number(struct log_line *l, const char *key, int64_t value);
void log_note(struct log_line *l, const char *fmt, ...) PRINTF(2, 3);
void log_end(struct log_line *l);
/* For events whose text is not made of fields. */
bool log_is_json(void);

/*
 * A limit that was hit: at most one line a minute per site, with the count
 * since the last.  site is static storage of the caller, zeroed at start.
 * The line: "limit NAME (VALUE) reached by WHO: ACTION (N times)".
 */
struct log_limit_site {
	struct mono next; /* no line before this instant */
	uint64_t suppressed_count;
	bool seen;
};

struct limit_row;
/* True: no line is due, the hit was counted.  False: one is due, nothing was
 * counted, log_limit is to be called.  For what crowds do, whose names would
 * be put together for nothing. */
bool log_limit_is_quiet(struct log_limit_site *site, struct mono now);
/* log_limit with name and value of a row; a time is written with its unit,
 * "1000 ms".  Counts nothing. */
void log_limit_row(struct log_limit_site *site, struct mono now,
    const struct limit_row *row, struct slice who, const char *action);
/* who: foreign text is allowed; action: what was done, "452", "waits". */
void log_limit(struct log_limit_site *site, struct mono now, const char *name,
    int64_t value, struct slice who, const char *action);
