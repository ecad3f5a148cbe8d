/*
 * client_page_internal: the layout of the page, for client_page.c, which keeps
 * the clients in it, client_page_lock.c, and client_page_map.c, which makes and
 * maps it.
 */
#pragma once

#include <stdatomic.h>
#include <stdint.h>

#include "ipc/client_page.h"

/* One client, or one network of them.  tat_us: for each rate the instant at
 * which all that was counted will have been paid for (the virtual scheduling
 * algorithm). */
struct entry {
	struct client_key key;
	int64_t seen_ms;	 /* last session, monotonic; 0: free */
	int64_t proven_until_ms; /* 0: not proven */
	int64_t tat_us[CLIENT_RATE_COUNT];
	uint32_t sessions; /* of a network: those of unproven clients */
	uint32_t unused;
};

struct slot {
	uint8_t owner; /* process + 1; 0: free */
	uint8_t unproven;
	uint16_t unused;
	uint32_t entry;	  /* of its client; NO_ENTRY: not counted */
	uint32_t network; /* of its network, while it is unproven; likewise */
};

struct shared_page {
	uint32_t magic, version;
	uint32_t slot_count, entry_count, proven_max;
	uint32_t hint; /* where to look for a free slot */
	uint64_t hash_key;
	_Atomic uint32_t lock; /* client_page_lock.c says how it is read */
	_Atomic uint32_t sessions, unproven, clients, proven;
	_Atomic uint32_t sessions_high, unproven_high;
	_Atomic uint64_t changes, refused, share_refused, waited;
	struct slot slots[];
};

/* ---- client_page_lock.c ---- */

enum {
	LOCK_MASTER = 255, /* the master as holder */
	LOCK_NOBODY_KNOWN = 254,
};

/* who: a process + 1, or one of the above. */
void client_page_lock(struct client_page *p, uint32_t who);
void client_page_unlock(struct client_page *p);
/* dead: a holder that is known to have died; 0: none.  False: the lock was
 * taken from somebody, who may have been in the middle of a change. */
bool client_page_lock_from(struct client_page *p, uint32_t who, uint32_t dead);

/* ---- client_page_rate.c ---- */

/* Count events (0: only look) at both entries, or at neither if one would be
 * over its limit.  network may be NULL; a limit of 0 is none. */
enum client_over client_entry_rate(struct entry *e, struct entry *network,
    enum client_rate rate, unsigned events, struct client_limits limits,
    int64_t now_ms);

/* ---- client_page.c ---- */

/* Every figure and count made anew from the slots and entries. */
void client_page_recount(struct client_page *p);
