/*
 * client_page: what all smtpd processes know together about their clients.
 *
 * One block of shared memory (a sealed memfd made by the master): the gate
 * of incoming sessions, and a table of client addresses with the sessions
 * each has open, its rates and whether it is proven.  Every smtpd maps it
 * writable, so a limit holds for all of them together and is never split.
 *
 * All of it is guarded by one lock that is held for some hundred
 * nanoseconds; who finds it taken sleeps until it is free.  From a process
 * that is stopped while it holds it, it is taken after a second.  Every session
 * slot names the process that holds it; when a process dies the master calls
 * client_page_release, which also breaks a lock that the process died with and
 * counts everything anew.  What stands in the block is never trusted: indices
 * are checked, there are no pointers.
 *
 * A client that is not proven is also held to what its network may take: its
 * sessions and rates are counted for the network, too.  Who is proven is not
 * refused for its neighbours' sake.
 *
 * The table is in sets of CLIENT_WAYS entries, one for each client and each
 * network.  A new client takes the place
 * of the entry of its set that is worth least: never one with open sessions;
 * unproven before proven, then the one not seen for longest.  A client for
 * which there is no place is let in uncounted (the hash is keyed, so nobody
 * can choose to fill a set).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/time.h"

enum {
	CLIENT_WAYS = 8,
	CLIENT_SLOTS_MAX = 1 << 17,
	CLIENT_PROCESSES_MAX = 250, /* smtpd */
	CLIENT_NO_SLOT = 0xffffffff,
	/* Besides session_max, for local clients: whoever fills the gate from
	 * outside, the administrator gets in. */
	CLIENT_LOCAL_SLOTS = 4,
};

struct shared_page;
struct entry;

/* A mapping, in the caller's storage: what was checked of its header, and
 * where its parts are. */
struct client_page {
	struct shared_page *shared; /* NULL: not mapped */
	struct entry *entries;
	size_t bytes;
	uint32_t slot_count, entry_count, proven_max;
	uint32_t lock_word; /* as this process last took the lock */
};

/* A client: its IPv4 address as v4-mapped, or the /64 of its IPv6 address (one
 * subscriber has at least that many addresses), zero after it.  Its network,
 * which the page finds for itself: the /24, or the /48. */
struct client_key {
	uint8_t octets[16];
};

enum client_rate {
	CLIENT_RATE_CONNECTION,
	CLIENT_RATE_MESSAGE,
	CLIENT_RATE_RCPT,
	CLIENT_RATE_ERROR,
	CLIENT_RATE_COUNT
};

enum client_verdict {
	CLIENT_IN,	      /* a slot is held */
	CLIENT_OVER_COUNT,    /* the client has its share open: 421 4.7.0 */
	CLIENT_OVER_RATE,     /* of connections: 421 4.7.0 */
	CLIENT_NETWORK_COUNT, /* the same two of its network */
	CLIENT_NETWORK_RATE,
	CLIENT_SHARE_FULL, /* the unproven share is full: 421 4.3.2 */
	CLIENT_FULL,	   /* everything is full */
};

/* Rules for one new session; 0 means no limit for the first four. */
struct client_rules {
	unsigned count_max;	    /* sessions of one client */
	unsigned rate_max;	    /* connections of one client a minute */
	unsigned network_count_max; /* unproven sessions of one network */
	unsigned network_rate_max;  /* their connections a minute */
	unsigned unproven_max;	    /* sessions of all unproven clients */
	unsigned earned_max; /* sessions in all, beyond which only trusted
				clients get in; 0: no limit */
	bool trusted;	     /* as good as proven (mynetworks) */
	bool local;	     /* may have the places kept for it */
	bool known_only;     /* unproven clients are refused (overload) */
};

/* Bytes of a page, for the plan. */
size_t client_page_bytes(unsigned session_max, unsigned proven_max);

/*
 * client_page_create(session_max, proven_max, fd_out, et):
 * For the master.  session_max: the incoming gate (1 to CLIENT_SLOTS_MAX);
 * proven_max: proven clients remembered.  The descriptor is sealed against
 * changes of its size.
 */
MUST_CHECK enum err client_page_create(unsigned session_max,
    unsigned proven_max, int *fd_out, struct errtext *et);

/* session_max of client_page_create. */
unsigned client_page_session_max(const struct client_page *p);

/* Map a page; size and header are checked.  fd stays the caller's. */
MUST_CHECK enum err client_page_map(int fd, struct client_page *out,
    struct errtext *et);
void client_page_unmap(struct client_page *p); /* no-op if not mapped */

/* The master, after smtpd number owner died: frees the slots that it held.
 * Returns how many. */
unsigned client_page_release(struct client_page *p, unsigned owner);

/*
 * client_page_enter(p, owner, key, rules, now, slot_out):
 * A new session of smtpd number owner.  slot_out is set with CLIENT_IN only.
 */
enum client_verdict client_page_enter(struct client_page *p, unsigned owner,
    const struct client_key *key, const struct client_rules *rules,
    struct mono now, uint32_t *slot_out);

/* The session is over.  No-op for CLIENT_NO_SLOT. */
void client_page_leave(struct client_page *p, unsigned owner, uint32_t slot);

/*
 * client_page_rate(p, slot, rate, events, limits, now):
 * Count events against a client's rate and, while it is unproven, against that
 * of its network.  With nothing counted when they exceed one of them; a full
 * minute's worth may come at once.  events 0 only asks whether one more would
 * pass.
 */
struct client_limits {
	unsigned client, network; /* events a minute; 0: no limit */
};

enum client_over { CLIENT_PASSED, CLIENT_OVER_OWN, CLIENT_OVER_NETWORK };

enum client_over client_page_rate(struct client_page *p, uint32_t slot,
    enum client_rate rate, unsigned events, struct client_limits limits,
    struct mono now);

/* The client delivered good mail: it counts as proven for ttl_ms.  True: one
 * that was proven still had to be forgotten for it (proven_max). */
bool client_page_prove(struct client_page *p, uint32_t slot, int64_t ttl_ms,
    struct mono now);
/* The holder of this slot counts against the unproven share. */
bool client_page_is_unproven(struct client_page *p, uint32_t slot);

struct client_figures {
	unsigned session_max;
	unsigned sessions; /* open in all processes */
	unsigned unproven; /* of these */
	unsigned clients;  /* entries in use, networks among them */
	unsigned proven;   /* of these */
	unsigned sessions_high, unproven_high; /* the most there ever were */
	uint64_t changes;	/* grows with every enter and leave */
	uint64_t refused;	/* CLIENT_FULL */
	uint64_t share_refused; /* CLIENT_SHARE_FULL */
	uint64_t waited;	/* client_page_waited */
};

/* A process found the gate full and lets its listening sockets wait. */
void client_page_waited(struct client_page *p);
/* A snapshot without the lock; each figure is right for itself. */
void client_page_figures(struct client_page *p, struct client_figures *out);
/* The slot after this one that a process holds (CLIENT_NO_SLOT: the first);
 * CLIENT_NO_SLOT: there is none. */
uint32_t client_page_next(const struct client_page *p, unsigned owner,
    uint32_t slot);
/* Slots that a process holds, to be compared with its sessions. */
unsigned client_page_held(struct client_page *p, unsigned owner);
