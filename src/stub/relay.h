/*
 * relay: between standard input and output and a socket of our own.
 */
#pragma once

#include <stdint.h>

/*
 * relay_run(fd, control):
 * Standard input to fd, fd to standard output, until control, where smtpd says
 * how the session ended; then what is left for standard output.  Blocks;
 * only the client's reader, and that after the end, can hold it up, for at
 * most RELAY_LAST_MS.  The exit status that smtpd gave; -1: none came.
 */
enum { RELAY_BYTES = 16384, RELAY_LAST_MS = 60000 };
int relay_run(int fd, int control);
