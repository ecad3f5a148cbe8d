/*
 * lock: fcntl lock, flock and dotlock of an mbox.
 *
 * A dotlock is NAME.lock in the directory of the mailbox (base/dotlock.h).  One
 * whose owner was killed, or that is older than stale_lock_time, is broken.
 */
#include "local/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/dotlock.h"

enum { LOCK_NAME_BYTES = 300 };
enum lock_try { LOCK_OK, LOCK_BUSY, LOCK_FAILED };

enum lock_kind
lock_kind_of(struct slice name)
{
	if (slice_eq_nocase(name, SLICE_LIT("fcntl")))
		return LOCK_FCNTL;
	if (slice_eq_nocase(name, SLICE_LIT("dotlock")))
		return LOCK_DOTLOCK;
	if (slice_eq_nocase(name, SLICE_LIT("flock")))
		return LOCK_FLOCK;
	return LOCK_NONE;
}

void
lock_policy_add(struct lock_policy *p, enum lock_kind kind)
{
	int i;

	for (i = 0; i < LOCK_ORDER_MAX; i++) {
		if (p->order[i] == kind)
			return;
		if (p->order[i] == LOCK_NONE) {
			p->order[i] = (uint8_t)kind;
			return;
		}
	}
}

static enum lock_try
try_fcntl(struct mailbox_lock *l)
{
	struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	if (fcntl(l->fd, F_SETLK, &whole) == 0)
		return LOCK_OK;
	return errno == EAGAIN || errno == EACCES ? LOCK_BUSY : LOCK_FAILED;
}

static enum lock_try
try_flock(struct mailbox_lock *l)
{
	if (flock(l->fd, LOCK_EX | LOCK_NB) == 0)
		return LOCK_OK;
	return errno == EWOULDBLOCK || errno == EINTR ? LOCK_BUSY : LOCK_FAILED;
}

static bool
dot_name(const struct mailbox_lock *l, char name[static LOCK_NAME_BYTES])
{
	int n = snprintf(name, LOCK_NAME_BYTES, "%s.lock", l->name);

	return n > 0 && n < LOCK_NAME_BYTES;
}

static enum lock_try
try_dotlock(struct mailbox_lock *l, const struct lock_policy *policy)
{
	char name[LOCK_NAME_BYTES];
	int attempt;

	if (!dot_name(l, name)) {
		errno = ENAMETOOLONG;
		return LOCK_FAILED;
	}
	for (attempt = 0; attempt < 2; attempt++) {
		if (dotlock_make(l->dir_fd, name, &l->dot))
			return LOCK_OK;
		if (errno != EEXIST)
			return LOCK_FAILED;
		if (!dotlock_break_stale(l->dir_fd, name, policy->stale_ms,
			&l->broke_old))
			return LOCK_BUSY;
	}
	return LOCK_BUSY;
}

static void
drop_dotlock(struct mailbox_lock *l)
{
	char name[LOCK_NAME_BYTES];

	if (dot_name(l, name))
		dotlock_drop(l->dir_fd, name, &l->dot);
}

void
mailbox_lock_drop(struct mailbox_lock *l)
{
	struct flock whole = { .l_type = F_UNLCK, .l_whence = SEEK_SET };

	if (l->held & 1u << LOCK_DOTLOCK)
		drop_dotlock(l);
	if (l->held & 1u << LOCK_FCNTL)
		(void)fcntl(l->fd, F_SETLK, &whole);
	if (l->held & 1u << LOCK_FLOCK)
		(void)flock(l->fd, LOCK_UN);
	l->held = 0;
}

static enum lock_try
try_kind(struct mailbox_lock *l, enum lock_kind kind,
    const struct lock_policy *policy)
{
	switch (kind) {
	case LOCK_FCNTL: return try_fcntl(l);
	case LOCK_DOTLOCK: return try_dotlock(l, policy);
	case LOCK_FLOCK: return try_flock(l);
	default: return LOCK_OK;
	}
}

/* All locks or none; failed_out names the one that could not be had. */
static enum lock_try
try_all(struct mailbox_lock *l, const struct lock_policy *policy,
    enum lock_kind *failed_out)
{
	enum lock_try r = LOCK_OK;
	int i, saved_errno;

	for (i = 0; i < LOCK_ORDER_MAX && r == LOCK_OK; i++) {
		*failed_out = (enum lock_kind)policy->order[i];
		r = try_kind(l, *failed_out, policy);
		if (r == LOCK_OK)
			l->held |= 1u << *failed_out;
	}
	if (r != LOCK_OK) {
		saved_errno = errno;
		mailbox_lock_drop(l);
		errno = saved_errno;
	}
	return r;
}

bool
mailbox_lock_take(struct mailbox_lock *l, int dir_fd, const char *name, int fd,
    const struct lock_policy *policy, struct outcome *o)
{
	static const char *const kind_names[LOCK_KINDS] = {
		[LOCK_NONE] = "no",
		[LOCK_FCNTL] = "fcntl",
		[LOCK_DOTLOCK] = "dotlock",
		[LOCK_FLOCK] = "flock",
	};
	enum lock_kind kind = LOCK_NONE;
	enum lock_try r;
	uint32_t attempt;

	*l = (struct mailbox_lock){ .dir_fd = dir_fd, .fd = fd, .name = name };
	for (attempt = 0; attempt < policy->attempts; attempt++) {
		if (attempt > 0)
			(void)poll(NULL, 0, (int)policy->delay_ms);
		r = try_all(l, policy, &kind);
		if (r == LOCK_OK)
			return true;
		if (r == LOCK_FAILED) {
			outcome_set(o, JOB_DEFERRED, "4.2.0",
			    "cannot make %s lock on mailbox: %m",
			    kind_names[kind]);
			return false;
		}
	}
	outcome_set(o, JOB_DEFERRED, "4.2.0",
	    "mailbox is locked by another process (%s lock, %u attempts)",
	    kind_names[kind], policy->attempts);
	o->limit = OUTCOME_LIMIT_LOCK;
	return false;
}
