/*
 * logger: multilog as the reader of standard error, for log_destination =
 * multilog:DIR.
 *
 * Every role writes to its standard error, a pipe; multilog reads it into DIR,
 * with timestamps.  The master keeps both ends: a multilog that dies is started
 * again, and what is in the pipe waits for it.  Lines that find the pipe full
 * are lost, counted and reported as those of any slow reader.
 *
 * It runs as the owner of DIR, or, if the master makes DIR, as the queue does.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"

struct conf;

/*
 * logger_start(c, et):
 * With another destination: nothing.  Else standard error of this process is
 * the pipe from now on.  ERR_CONFIG: DIR cannot be had; ERR_SYS and others.
 */
MUST_CHECK enum err logger_start(const struct conf *c, struct errtext *et);

enum { LOGGER_RESTART_MS = 1000 };

/* A process ended: is it multilog?  Then logger_retry is to be called after
 * LOGGER_RESTART_MS. */
bool logger_ended(pid_t pid, int status);
/* Start it again.  False: no process could be had. */
bool logger_retry(void);

/* Standard error as it was given to the master. */
int logger_stderr(void);

/* USR1: the file is closed, as multilog does at ALRM. */
void logger_reopen(void);

/* The last words were written: standard error is the old one, and multilog
 * ends when everybody has closed the pipe.  Waits at most timeout_ms. */
void logger_stop(int timeout_ms);
