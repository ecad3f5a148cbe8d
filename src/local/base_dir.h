/*
 * base_dir: the directory that a request begins in.
 */
#pragma once

#include <stdbool.h>

#include "local/outcome.h"
#include "local/request.h"

/*
 * base_open(q, fd_out, o):
 * Open q->base, the caller's to close; symbolic links on the way are the
 * administrator's.  With REQUEST_HOME it must be the user's own, or root's,
 * and not writable for all.  False with o set (deferred).
 */
bool base_open(const struct request *q, int *fd_out, struct outcome *o);
