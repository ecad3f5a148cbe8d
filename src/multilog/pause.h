/*
 * pause: the signals of multilog, and how it waits when something fails.
 *
 * TERM and ALRM are blocked and read from a descriptor, so that neither can
 * fall between two system calls.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum { PAUSE_MS = 5000 };

/* Call first.  Ends the process (status 111) if it cannot be done. */
void pause_init(void);
/* Wait until standard input can be read (true), or a signal came. */
bool pause_for_input(void);
/* Wait PAUSE_MS, or until ALRM comes: it means "now" here, too. */
void pause_here(void);
/* TERM came. */
bool pause_term(void);
/* ALRM came since the last call. */
bool pause_take_alrm(void);
/* In a child, before exec: signals as they were. */
void pause_leave(void);
