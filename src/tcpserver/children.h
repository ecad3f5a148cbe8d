/*
 * children: which processes run, and for which address; bounded by -c.
 */
#pragma once

#include "base/hash.h"
#include "base/mem.h"
#include "tcpserver/address.h"

struct children {
	struct pool children, peers;
	struct hash by_pid, by_ip;
	uint32_t count, limit;
	struct child *next; /* reserved by children_reserve */
};

/* Room for limit children is taken as they come, the table of them now:
 * ERR_FULL. */
MUST_CHECK enum err children_init(struct children *c, struct acct *acct,
    uint32_t limit);

/* How many run for this address. */
uint32_t children_of(const struct children *c, const struct address *a);

/* Memory for one more: ERR_FULL.  Then either children_add or
 * children_cancel. */
MUST_CHECK enum err children_reserve(struct children *c,
    const struct address *a);
void children_add(struct children *c, pid_t pid);
void children_cancel(struct children *c);

/* A process ended.  False if it was none of these: what the shell that became
 * tcpserver had started. */
bool children_remove(struct children *c, pid_t pid);
