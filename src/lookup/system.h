/*
 * lookup/system: users and addresses of this machine.
 */
#pragma once

#include "base/time.h"
#include "lookup/resolve.h"

enum {
	SYSTEM_ADDRESS_COUNT_MAX = 64,
	SYSTEM_PASSWD_BYTES = 16384,
	SYSTEM_CACHE_COUNT = 512, /* a power of two */
	SYSTEM_CACHE_NAME_BYTES = 40,
	SYSTEM_FOUND_MS = 5000,
	SYSTEM_MISSING_MS = 1000,
};

/* What the user database said a moment ago: asking it costs 20 us for a
 * user and 200 us for none. */
struct system_user {
	char name[SYSTEM_CACHE_NAME_BYTES]; /* empty: nothing here */
	struct mono expires;
	uint32_t uid;
	bool exists;
};

struct system_facts {
	struct resolve_system ops; /* for resolver_open */
	struct net_addr own[SYSTEM_ADDRESS_COUNT_MAX];
	size_t own_count;
	struct system_user users[SYSTEM_CACHE_COUNT]; /* by hash of the name */
	char passwd[SYSTEM_PASSWD_BYTES]; /* scratch of getpwnam_r */
};

/* Reads the machine's addresses once: those that it gets later are not its
 * own until the next start.  Never fails; what cannot be read is left out. */
void system_facts_init(struct system_facts *f);
