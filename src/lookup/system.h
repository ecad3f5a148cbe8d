/*
 * lookup/system: users and addresses of this machine.
 */
#pragma once

#include "lookup/resolve.h"

enum { SYSTEM_ADDRESS_COUNT_MAX = 64, SYSTEM_PASSWD_BYTES = 16384 };

struct system_facts {
	struct resolve_system ops; /* for resolver_open */
	struct net_addr own[SYSTEM_ADDRESS_COUNT_MAX];
	size_t own_count;
	char passwd[SYSTEM_PASSWD_BYTES]; /* scratch of getpwnam_r */
};

/* Reads the machine's addresses once: those that it gets later are not its
 * own until the next start.  Never fails; what cannot be read is left out. */
void system_facts_init(struct system_facts *f);
