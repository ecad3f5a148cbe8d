/*
 * session: what the process of one connection does before it becomes the
 * program.
 */
#pragma once

#include "base/mem.h"
#include "tcpserver/address.h"
#include "tcpserver/options.h"

/* fd is the connection.  Every wait in it is bounded by o->timeout_s. */
_Noreturn void session_run(const struct options *o, struct acct *acct, int fd,
    const struct address *remote);
