/*
 * names: the names of the two ends of a connection, by the system's resolver,
 * within a time.
 *
 * The resolver blocks as long as it likes, so it runs in a thread that is left
 * behind when the time is over; the exec of the program ends it.
 */
#pragma once

#include <netdb.h>

#include <stdbool.h>
#include <stdint.h>

#include "tcpserver/address.h"

struct names_want {
	const struct address *local;  /* NULL: not wanted */
	const struct address *remote; /* likewise */
	bool paranoid; /* remote's name counts if it leads back */
};

struct names {
	char local[NI_MAXHOST]; /* "": not found, or not in time */
	char remote[NI_MAXHOST];
};

/* Blocks for at most timeout_s seconds.  Once in a process. */
void names_find(const struct names_want *want, uint32_t timeout_s,
    struct names *out);
