/*
 * log_sink: where finished lines go.  Private to base/log*.c.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/log.h"

/* How lines are made up now; set by log_open. */
struct log_style {
	enum log_format format;
	bool syslog;   /* lines go to a syslog socket */
	bool levels;   /* the journal reads "<N>" at the head of a line */
	bool bare;     /* before log_open */
	char name[32]; /* syslog_name */
	char role[32];
	char tag[80]; /* "NAME/ROLE[PID]: " or, bare, "weir: " */
	int pid;
};

/* Valid until the next log_open. */
const struct log_style *log_style(void);

/* Queue one line of len bytes, without newline.  It is copied. */
void log_sink_line(const char *text, size_t len);
