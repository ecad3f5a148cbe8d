/*
 * rotate: current becomes an old file.  Private to logdir.
 */
#pragma once

#include "multilog/logdir.h"

/* fd is current, written and not yet synced; afterwards it is a new, empty
 * one. */
void rotate_current(struct logdir *d);
/* What an outage left is set aside: previous, processed, current. */
void rotate_recover(struct logdir *d);
/* A warning "WHAT, pausing: ERROR" and a pause; errno. */
void rotate_pause(const char *what, const struct logdir *d, const char *name);
