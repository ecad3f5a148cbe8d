/*
 * dest: destinations of the scheduler; private to it.
 */
#pragma once

#include "queue/sched.h"

/* Where mail of one transport and next hop goes. */
struct sched_dest {
	struct hash_node node;
	struct list blocked;   /* peers that wait for the window */
	struct list_node idle; /* in sched.idle while without work */
	struct sched_transport *transport;
	struct window window;
	struct mono dead_until; /* while dead */
	struct mono moved;	/* a delivery ended, or the first one began */
	char *reason;		/* why it is dead; charged; or NULL */
	uint32_t in_flight;	/* deliveries that run */
	uint32_t written;	/* that run, but hold no slot any more */
	uint32_t woken;		/* peers that hold a slot, not started */
	uint32_t peer_count;
	uint32_t rcpt_count; /* that wait */
	uint32_t ended;	     /* deliveries, since: see dest_moved */
	struct mono since;
	uint32_t pace_us;     /* from one end to the next; 0: not known */
	uint32_t line_us;     /* of a millisecond, of line_end */
	struct mono line_end; /* of what was sent to wait on disk */
	bool dead;
	uint16_t nexthop_len;
	char nexthop[];
};

/* Recipients of one message at one destination. */
struct sched_peer {
	struct hash_node hash;
	struct list_node node; /* msg.ready, dest.blocked or sched.suspended */
	struct sched_msg *msg;
	struct sched_dest *dest;
	struct list waiting; /* sched_rcpt.node */
	uint32_t waiting_count;
	bool woken;
};

/* The destination if it is known; NULL else. */
struct sched_dest *dest_find(const struct sched *s,
    const struct sched_transport *t, struct slice nexthop);
/* Find or make it.  NULL: a bound or the account. */
struct sched_dest *dest_get(struct sched *s, struct sched_transport *t,
    struct slice nexthop);
/* It may have nothing to do any more: forget it, or keep what it learned. */
void dest_settle(struct sched *s, struct sched_dest *d);
/* Still dead at now?  Brings it back to life when its time is over. */
bool dest_is_dead(struct sched_dest *d, struct mono now);
void dest_kill(struct sched *s, struct sched_dest *d, struct slice reason,
    struct mono now);
/* As much waits for it as may: see sched_set_room. */
bool dest_has_share(const struct sched *s, const struct sched_dest *d,
    struct mono now);
/* A message has to wait for its window. */
void dest_waits(const struct sched_dest *d);
/* A message has more recipients than one delivery may. */
void dest_splits(const struct sched_dest *d);
/* It takes nothing. */
bool dest_is_stuck(const struct sched_dest *d, struct mono now);
/* The first delivery begins after none ran. */
void dest_begins(struct sched_dest *d, struct mono now);
/* A delivery ended: at what pace does it take mail?  That it became faster is
 * believed soon, that it became slower after a second, for results come in
 * bursts: the disk syncs them together. */
void dest_moved(struct sched_dest *d, struct mono now);
/* When one more message that must wait on disk is to come back: behind those
 * before it, a little faster than the destination takes them, and the first
 * when half of what waits here is gone. */
int64_t dest_queue_up(const struct sched *s, struct sched_dest *d,
    struct mono now);
/* A slot that nobody uses or holds. */
bool dest_has_room(const struct sched_dest *d);
void dest_free_all(struct sched *s);
