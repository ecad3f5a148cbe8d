/*
 * client_page_lock: the lock of the page.
 *
 * Held for some hundred nanoseconds.  Failure modes: a process dies with it
 * (the master breaks it and counts anew); a process is stopped with it, for so
 * long that it was taken from it (when it goes on it counts anew).
 */
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/time.h"
#include "ipc/client_page_internal.h"

enum {
	LOCK_SPINS = 50,
	/* A holder that does nothing for so long is stopped: it needs some
	 * hundred nanoseconds, on a crowded machine some time slices. */
	LOCK_STUCK_MS = 1000,
	/* The lock is taken from others after so many turns in any case. */
	LOCK_TURNS_MAX = 1000,
};

/* The lock's word: who holds it (process + 1; 0: nobody), whether somebody
 * sleeps until it is free, and how often it was taken. */
enum {
	LOCK_HOLDER = 0xff,
	LOCK_SLEEPERS = 0x100,
	LOCK_TAKEN_ONE = 0x200,
};

static void
sleep_while(struct client_page *p, uint32_t word, int64_t ms)
{
	struct timespec limit = {
		.tv_sec = ms / 1000,
		.tv_nsec = ms % 1000 * 1000000,
	};

	/* Why it came back does not matter: the word is read again. */
	(void)syscall(SYS_futex, &p->shared->lock, FUTEX_WAIT, word, &limit,
	    NULL, 0);
}

/* Take it if the word still is what was read of it. */
static bool
take(struct client_page *p, uint32_t word, uint32_t who, bool sleepers)
{
	uint32_t mine = ((word & ~(uint32_t)(LOCK_HOLDER | LOCK_SLEEPERS)) |
			    (sleepers ? (uint32_t)LOCK_SLEEPERS : 0) | who) +
			LOCK_TAKEN_ONE;

	if (!atomic_compare_exchange_strong_explicit(&p->shared->lock, &word,
		mine, memory_order_acquire, memory_order_relaxed))
		return false;
	p->lock_word = mine & ~(uint32_t)LOCK_SLEEPERS;
	return true;
}

bool
client_page_lock_from(struct client_page *p, uint32_t who, uint32_t dead)
{
	int64_t since_ns = 0;
	uint32_t seen = 0;

	for (unsigned turn = 0;; turn++) {
		uint32_t word = atomic_load_explicit(&p->shared->lock,
		    memory_order_relaxed);
		uint32_t holder = word & LOCK_HOLDER;
		bool sleepers = turn >= LOCK_SPINS || (word & LOCK_SLEEPERS);
		int64_t left_ms = LOCK_STUCK_MS;

		if (holder == 0 || holder == dead || turn >= LOCK_TURNS_MAX) {
			if (take(p, word, who, sleepers))
				return holder == 0;
			continue;
		}
		if (turn < LOCK_SPINS)
			continue;
		if (since_ns == 0 || (word | LOCK_SLEEPERS) != seen) {
			since_ns = clock_ns();
			seen = word | LOCK_SLEEPERS;
		} else {
			left_ms -= (clock_ns() - since_ns) / 1000000;
		}
		if (left_ms <= 0 && take(p, word, who, true))
			return false;
		if (left_ms > 0 &&
		    ((word & LOCK_SLEEPERS) ||
			atomic_compare_exchange_strong_explicit(
			    &p->shared->lock, &word, word | LOCK_SLEEPERS,
			    memory_order_relaxed, memory_order_relaxed)))
			sleep_while(p, word | LOCK_SLEEPERS, left_ms);
	}
}

void
client_page_lock(struct client_page *p, uint32_t who)
{
	(void)client_page_lock_from(p, who, 0);
}

/* False: it had been taken from this process meanwhile. */
static bool
let_go(struct client_page *p)
{
	uint32_t word = p->lock_word;
	uint32_t free_word = word & ~(uint32_t)LOCK_HOLDER;

	if (atomic_compare_exchange_strong_explicit(&p->shared->lock, &word,
		free_word, memory_order_release, memory_order_relaxed))
		return true;
	if (word != (p->lock_word | LOCK_SLEEPERS) ||
	    !atomic_compare_exchange_strong_explicit(&p->shared->lock, &word,
		free_word, memory_order_release, memory_order_relaxed))
		return false;
	(void)syscall(SYS_futex, &p->shared->lock, FUTEX_WAKE, 1, NULL, NULL,
	    0);
	return true;
}

void
client_page_unlock(struct client_page *p)
{
	uint32_t who = p->lock_word & LOCK_HOLDER;

	if (let_go(p))
		return;
	/* Two changed the page at once: what they made of it is counted. */
	client_page_lock(p, who);
	client_page_recount(p);
	(void)let_go(p);
}
