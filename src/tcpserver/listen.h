/*
 * listen: the socket that tcpserver waits on.
 */
#pragma once

#include "tcpserver/address.h"
#include "tcpserver/options.h"

/*
 * listen_open(o, local_out):
 * Look up o->host and o->port, bind, listen.  host "" and "0" are any IPv4
 * address, "::" any address at all, a name its first address.  Blocks while a
 * name is looked up; on failure says so and ends the process.
 * The descriptor is non-blocking and closed on exec.
 */
int listen_open(const struct options *o, struct address *local_out);
