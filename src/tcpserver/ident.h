/*
 * ident: what the client's host says about who opened the connection (RFC
 * 1413).  A claim, not a proof.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "tcpserver/address.h"

enum { IDENT_BYTES_MAX = 1000 };

/*
 * ident_ask(local, remote, timeout_s, out):
 * Ask port 113 of remote; blocks for at most timeout_s seconds.  False, with
 * out empty: no answer.  An answer that names no user gives true and "".
 */
bool ident_ask(const struct address *local, const struct address *remote,
    uint32_t timeout_s, char out[static IDENT_BYTES_MAX + 1]);
