/*
 * lock: the locks of an mbox file, in the administrator's order
 * (mailbox_delivery_lock).  Nobody who reads mail uses one kind only, so all
 * that are named must be held at once; while one is busy none is kept.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/dotlock.h"
#include "base/slice.h"
#include "local/outcome.h"

enum lock_kind { LOCK_NONE, LOCK_FCNTL, LOCK_DOTLOCK, LOCK_FLOCK, LOCK_KINDS };
/* Each kind once. */
enum { LOCK_ORDER_MAX = LOCK_KINDS - 1 };

struct lock_policy {
	uint8_t order[LOCK_ORDER_MAX]; /* enum lock_kind; LOCK_NONE ends it */
	uint32_t attempts;	       /* deliver_lock_attempts, at least 1 */
	uint32_t delay_ms;	       /* deliver_lock_delay, between them */
	uint32_t stale_ms;	       /* stale_lock_time of a dotlock */
};

/* What is held on one mailbox. */
struct mailbox_lock {
	int dir_fd;	  /* that holds the file; borrowed */
	int fd;		  /* of the file; borrowed */
	const char *name; /* of the file in it; borrowed */
	unsigned held;	  /* set of 1 << enum lock_kind */
	bool broke_old;	  /* stale_lock_time: a dotlock was in the way */
	struct dotlock dot;
};

/*
 * mailbox_lock_take(l, dir_fd, name, fd, policy, o):
 * Blocks for at most attempts * delay_ms.  False, with nothing held and o
 * set (deferred 4.2.0), when a lock stays busy or cannot be made.
 */
bool mailbox_lock_take(struct mailbox_lock *l, int dir_fd, const char *name,
    int fd, const struct lock_policy *policy, struct outcome *o);
void mailbox_lock_drop(struct mailbox_lock *l);

/* kind comes last in the order, unless it is in it already. */
void lock_policy_add(struct lock_policy *p, enum lock_kind kind);

/* "fcntl", "flock", "dotlock"; LOCK_NONE for anything else. */
enum lock_kind lock_kind_of(struct slice name);
