/*
 * alloc: libevent's memory, charged.
 *
 * It comes from the loop's account, and from a reserve when that refuses:
 * libevent's tables grow by doubling, and a refused growth would lose the
 * watcher of something that was already accepted.
 */
#pragma once

struct acct;

/* From now on libevent allocates from a.  Before its first call. */
void alloc_begin(struct acct *a);
/* Everything of libevent's must have been freed: its globals are, here. */
void alloc_end(void);
