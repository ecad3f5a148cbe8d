/*
 * sched: which recipients are delivered next.
 *
 * Pure: no descriptor, no clock, no log; time is passed in.
 *
 * A recipient that is to be delivered belongs to a message and to a
 * destination (transport and next hop).  Recipients of one message at one
 * destination wait together in an entry, a `peer`.  A class (local, remote)
 * has a gate: its concurrency.  When the gate has a free slot:
 *
 *   - it goes round robin over the messages that have something to start,
 *   - within the message, round robin over its peers,
 *   - and a delivery takes at most rcpts_max recipients of the peer.
 *
 * A destination has a window (queue/window.h).  Peers of a destination with
 * room are ready.  A peer that meets a full window when its turn comes waits
 * at the destination, first come, first served; each slot that comes free
 * there wakes one of them, which then holds that slot until it starts, first
 * in its message.  A peer with more recipients goes to the end of the line.
 * So a list of any length delays a single message by at most one delivery at
 * the destination and one at the gate.
 *
 * A destination that cannot be reached (a window's worth of failures) is
 * dead for a while: what waits for it is handed back to be deferred, and
 * sched_add refuses more.
 *
 * Room in memory is shared by a threshold that moves (sched_set_room): no
 * more messages wait for a destination than there is room left for, and at
 * most four times as many recipients; what its window takes at once may wait
 * in any case, up to half of the places, and a destination that takes all
 * that waits for it within SCHED_QUICK_MS is not bound at all.  So one slow
 * destination has half of the places at most, two have a third each, n leave
 * one part of n + 1 free, and a message for a destination for which few wait
 * finds a place.  Of what is refused, mail for a destination that takes
 * connections and nothing else is to be deferred; other mail waits on disk
 * and comes back at the pace at which the destination takes it, so that it is
 * read about once more.
 *
 * The objects that the caller has anyway (message, recipient, delivery)
 * embed the scheduler's part; peers and destinations are the scheduler's,
 * bounded in number and charged to its account.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/gate.h"
#include "base/hash.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/slice.h"
#include "base/time.h"
#include "ipc/job.h"
#include "queue/window.h"

enum sched_class {
	SCHED_LOCAL,  /* deliveries by the local role */
	SCHED_REMOTE, /* deliveries by the smtp role */
	SCHED_CLASS_COUNT
};

enum {
	SCHED_TRANSPORTS_MAX = 32,
	SCHED_NAME_BYTES = 33,
	/* Destinations without work that are remembered, because they are
	 * dead or their window has learned something. */
	SCHED_IDLE_MAX = 2000,
	SCHED_REASON_BYTES = 200,
	/* A destination takes nothing: its window is full, and for so long no
	 * delivery to it ended. */
	SCHED_STUCK_MS = 2000,
	/* Recipients of one destination, for each that there is room for. */
	SCHED_RCPT_SHARE = 4,
	/* A destination that takes all that waits for it sooner than this is
	 * in nobody's way. */
	SCHED_QUICK_MS = 2000,
	/* What is refused comes back after so long at least. */
	SCHED_AGAIN_MS_MIN = 1000,
};

/* What bounds a destination. */
enum sched_limit_which {
	SCHED_LIMIT_WINDOW,  /* window_max */
	SCHED_LIMIT_RCPTS,   /* rcpts_max */
	SCHED_LIMIT_INITIAL, /* the window below window_max: what it begins
				with, and what it learned since */
	SCHED_LIMIT_COUNT
};

struct sched_transport {
	char name[SCHED_NAME_BYTES];
	enum sched_class class;
	unsigned window_initial; /* initial_destination_concurrency */
	unsigned window_max; /* NAME_destination_concurrency_limit; 0: none */
	unsigned rcpts_max;  /* NAME_destination_recipient_limit; at least 1 */
	/* Borrowed; waits are counted there.  NULL: nowhere. */
	struct limit_row *rows[SCHED_LIMIT_COUNT];
};

struct sched_peer;
struct sched_dest;

/* Embedded in a message. */
struct sched_msg {
	struct {
		struct list ready;     /* peers that may start now */
		struct list_node node; /* in the class's ring */
	} class[SCHED_CLASS_COUNT];
	unsigned waiting; /* recipients in the scheduler */
	bool internal;	  /* a report or the like: may use reserved slots */
	bool parked;	  /* more recipients are on their way */
	bool singly;	  /* one recipient in a delivery: each has his sender */
};

/* Embedded in a recipient. */
struct sched_rcpt {
	struct list_node node;	 /* in its peer, later in a delivery */
	struct sched_peer *peer; /* NULL: does not wait here */
};

/* Embedded in a delivery. */
struct sched_job {
	struct sched_msg *msg;
	struct sched_dest *dest;
	enum sched_class class;
	struct list rcpts; /* sched_rcpt.node; the caller's from now on */
	unsigned rcpt_count;
	struct gate_slot slot;
	bool written; /* it holds no slot any more */
};

/* What waits for a destination that died.  reason is valid until the next
 * call. */
struct sched_suspended {
	struct sched_msg *msg;
	struct list rcpts;
	unsigned rcpt_count;
	struct slice reason;
};

struct sched {
	struct acct *acct;
	struct sched_transport transports[SCHED_TRANSPORTS_MAX];
	unsigned transport_count;
	struct gate *gates[SCHED_CLASS_COUNT];
	/* Messages with something to start: ordinary, internal. */
	struct list rings[SCHED_CLASS_COUNT][2];
	bool internal_next[SCHED_CLASS_COUNT]; /* whose turn it is */
	struct mono stalled_until[SCHED_CLASS_COUNT];
	unsigned class_next;
	struct hash dests, peers;
	struct pool peer_pool;
	struct list idle; /* destinations without work, oldest first */
	unsigned idle_count;
	unsigned dest_max;
	struct list suspended;		 /* peers of dead destinations */
	int64_t dead_ms;		 /* how long a destination stays dead */
	uint32_t msg_room, rcpt_room;	 /* sched_set_room */
	uint32_t share_max;		 /* messages of one destination */
	char reason[SCHED_REASON_BYTES]; /* of sched_next_suspended */
	struct limit_row *dest_row, *share_row;
	struct limit_row *dead_row; /* the caller's; or NULL */
};

struct sched_conf {
	unsigned msgs_max;  /* messages that may be in memory */
	unsigned rcpts_max; /* recipients that may wait here */
	int64_t dead_ms;    /* minimal_backoff_time */
};

/* Why sched_add refused, and what to do. */
struct sched_refusal {
	struct slice reason; /* ERR_BUSY; valid until the next call */
	int64_t again_ms;    /* ERR_AGAIN: wait on disk for so long */
};

/* Gates are borrowed.  ERR_FULL: the account refuses. */
MUST_CHECK enum err sched_init(struct sched *s, struct acct *a,
    const struct sched_conf *conf, struct gate *local, struct gate *remote);
/* All recipients must have left. */
void sched_fini(struct sched *s);
/* Give back what nothing uses of its memory; see pool_trim. */
bool sched_trim(struct sched *s);

/* Declare a transport or change its figures.  ERR_FULL: too many. */
MUST_CHECK enum err sched_transport_set(struct sched *s,
    const struct sched_transport *t);
/* NULL: unknown. */
const struct sched_transport *sched_transport_find(const struct sched *s,
    struct slice name);

/* A message without recipients; internal: see struct sched_msg. */
void sched_msg_init(struct sched_msg *m, bool internal);

/*
 * sched_msg_park(s, m, parked):
 * While a message is parked nothing of it starts that was not ready before,
 * so that recipients which are added one after another go out together, as
 * many in one delivery as the destination takes.
 */
void sched_msg_park(struct sched *s, struct sched_msg *m, bool parked);

/* Memory has room for so many more messages, of one recipient each, and for so
 * many recipients, beside those that came and are not added yet: the threshold
 * of sched_add.  Before the first call it is without bound. */
void sched_set_room(struct sched *s, uint32_t msgs, uint32_t rcpts);

/*
 * sched_add(s, m, r, transport, nexthop, now, why):
 * A recipient waits for delivery.  nexthop: for a transport that delivers one
 * recipient at a time the caller gives the recipient, so that destination
 * limits are per recipient, as with Postfix.
 *
 * ERR_FULL       a bound or the account: try later.
 * ERR_NOTFOUND   no such transport.
 * ERR_BUSY       defer it: the destination is dead, or takes nothing and has
 *                its share of the room; why->reason.
 * ERR_AGAIN      the destination has its share of the room, and takes mail:
 *                come back after why->again_ms, at most dead_ms.  Recipients
 *                of a message of which one waits there are not refused.
 */
MUST_CHECK enum err sched_add(struct sched *s, struct sched_msg *m,
    struct sched_rcpt *r, struct slice transport, struct slice nexthop,
    struct mono now, struct sched_refusal *why);

/* Take back a recipient that waits; no-op if it does not. */
void sched_remove(struct sched *s, struct sched_rcpt *r);

/*
 * sched_next(s, now, deadline, job):
 * Start a delivery: false if none can start now.  The slot of the gate is
 * held until sched_done, and at most until deadline.
 */
MUST_CHECK bool sched_next(struct sched *s, struct mono now,
    struct mono deadline, struct sched_job *job);

/* Recipients to be deferred because their destination died; false: none. */
MUST_CHECK bool sched_next_suspended(struct sched *s,
    struct sched_suspended *out);

/*
 * sched_written(s, job):
 * What is left of a delivery is to wait for the disk: the slots that it has of
 * its gate and its destination go to others, who will wait with it.  No-op
 * when it was said before.  sched_done follows all the same.
 */
void sched_written(struct sched *s, struct sched_job *job);

/*
 * sched_done(s, job, site, reason, now):
 * A delivery is over.  job->rcpts is not looked at.  reason: what to tell
 * those who wait for a destination that dies of this.
 */
void sched_done(struct sched *s, struct sched_job *job, enum job_site site,
    struct slice reason, struct mono now);

/* Of a delivery that runs.  The next hop ends at its first NUL, so that a
 * caller can put more behind it to tell destinations apart. */
const struct sched_transport *sched_job_transport(const struct sched_job *job);
struct slice sched_job_nexthop(const struct sched_job *job);

/* No agent for a class: start nothing until then.  A time in the past ends
 * it. */
void sched_stall(struct sched *s, enum sched_class class, struct mono until);

/* Slots of a gate that only internal messages may take: one in twenty, none
 * of fewer than twenty-one, so that the small defaults can be used in full
 * (internal messages still take turns with all others). */
unsigned sched_reserved(unsigned limit);

/* Destinations that are dead may be tried again at once. */
void sched_revive(struct sched *s);

/* For tests and the status: the window of a destination, 0 if dead or
 * unknown. */
unsigned sched_window(const struct sched *s, struct slice transport,
    struct slice nexthop, struct mono now);
