/*
 * client_page: lock, gate and table.
 *
 * Happy path: lock, find or make the client's entry, check its limits, take a
 * slot, unlock.  Failure modes: a process dies with the lock (the master
 * breaks it and counts anew); a process is stopped with the lock, for so long
 * that it was taken from it (when it goes on it counts anew).  A corrupt page
 * costs accounting, never memory safety.
 */
#include "ipc/client_page.h"

#include <linux/futex.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/time.h"
#include "ipc/client_page_internal.h"

enum {
	NO_ENTRY = 0xffffffff,
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
	LOCK_MASTER = 255, /* the master as holder */
	LOCK_NOBODY_KNOWN = 254,
};

/* ---- the lock ---- */

static void recount(struct client_page *p);

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

/* dead: a holder that is known to have died; 0: none.  False: the lock was
 * taken from somebody, who may have been in the middle of a change. */
static bool
lock_from(struct client_page *p, uint32_t who, uint32_t dead)
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

static void
lock(struct client_page *p, uint32_t who)
{
	(void)lock_from(p, who, 0);
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

static void
unlock(struct client_page *p)
{
	uint32_t who = p->lock_word & LOCK_HOLDER;

	if (let_go(p))
		return;
	/* Two changed the page at once: what they made of it is counted. */
	lock(p, who);
	recount(p);
	(void)let_go(p);
}

/* Who asks for what concerns a slot: its owner, as far as the page says. */
static uint32_t
owner_of(const struct client_page *p, uint32_t slot)
{
	uint32_t who = p->shared->slots[slot].owner;

	return who != 0 ? who : LOCK_NOBODY_KNOWN;
}

/* Figures are plain numbers that readers see without the lock. */
static uint32_t
get(_Atomic uint32_t *figure)
{
	return atomic_load_explicit(figure, memory_order_relaxed);
}

static void
add(_Atomic uint32_t *figure, int by)
{
	atomic_store_explicit(figure, get(figure) + (uint32_t)by,
	    memory_order_relaxed);
}

static void
changed(struct client_page *p)
{
	atomic_fetch_add_explicit(&p->shared->changes, 1, memory_order_relaxed);
}

/* ---- entries ---- */

static bool
is_proven(const struct entry *e, int64_t now_ms)
{
	return e->proven_until_ms > now_ms;
}

/* First entry of the set in which a key stands.  A keyed mix, good enough
 * against a stranger who never sees the table. */
static uint32_t
set_of(const struct client_page *p, const struct client_key *key)
{
	uint64_t part[2], h = p->shared->hash_key;

	memcpy(part, key, sizeof(part));
	for (int i = 0; i < 2; i++) {
		h ^= part[i];
		h *= 0x9e3779b97f4a7c15u;
		h ^= h >> 32;
		h *= 0xd6e8feb86659fd93u;
		h ^= h >> 29;
	}
	return (uint32_t)h & (p->entry_count - 1) &
	       ~(uint32_t)(CLIENT_WAYS - 1);
}

static void
forget(struct client_page *p, struct entry *e)
{
	if (e->seen_ms != 0)
		add(&p->shared->clients, -1);
	if (e->proven_until_ms != 0)
		add(&p->shared->proven, -1);
	*e = (struct entry){ 0 };
}

/* Would a give up its place before b? */
static bool
worth_less(const struct entry *a, const struct entry *b, int64_t now_ms)
{
	if (is_proven(a, now_ms) != is_proven(b, now_ms))
		return is_proven(b, now_ms);
	return a->seen_ms < b->seen_ms;
}

/* The client's entry, made if need be; NO_ENTRY when its set is full of
 * clients with open sessions. */
static uint32_t
find(struct client_page *p, const struct client_key *key, int64_t now_ms)
{
	uint32_t first = set_of(p, key);
	struct entry *victim = NULL;

	for (uint32_t i = first; i < first + CLIENT_WAYS; i++) {
		struct entry *e = &p->entries[i];

		if (e->seen_ms != 0 && !memcmp(&e->key, key, sizeof(*key)))
			return i;
		if (e->sessions == 0 &&
		    (victim == NULL || worth_less(e, victim, now_ms)))
			victim = e;
	}
	if (victim == NULL)
		return NO_ENTRY;
	forget(p, victim);
	victim->key = *key;
	victim->seen_ms = now_ms;
	add(&p->shared->clients, 1);
	return (uint32_t)(victim - p->entries);
}

/* The entry that a slot names; NULL: none, or nonsense. */
static struct entry *
entry_of(struct client_page *p, uint32_t slot)
{
	uint32_t i;

	if (slot >= p->slot_count)
		return NULL;
	i = p->shared->slots[slot].entry;
	return i < p->entry_count ? &p->entries[i] : NULL;
}

/* ---- rates ---- */

static const int64_t minute_us = 60 * 1000000LL;

static bool
rate_take(struct entry *e, enum client_rate rate, unsigned events,
    unsigned per_minute, int64_t now_ms)
{
	int64_t now_us = now_ms * 1000, tat = e->tat_us[rate], cost;

	if (per_minute == 0)
		return true;
	if (tat < now_us)
		tat = now_us;
	cost = minute_us / per_minute;
	if (tat + cost * (events > 0 ? events : 1) > now_us + minute_us)
		return false;
	if (events > 0)
		e->tat_us[rate] = tat + cost * events;
	return true;
}

bool
client_page_rate(struct client_page *p, uint32_t slot, enum client_rate rate,
    unsigned events, unsigned per_minute, struct mono now)
{
	struct entry *e = entry_of(p, slot);
	bool passed;

	ASSERT(rate < CLIENT_RATE_COUNT);
	if (e == NULL || per_minute == 0)
		return true;
	lock(p, owner_of(p, slot));
	passed = rate_take(e, rate, events, per_minute, now.ms);
	unlock(p);
	return passed;
}

/* ---- sessions ---- */

static uint32_t
free_slot(struct client_page *p)
{
	uint32_t at = p->shared->hint % p->slot_count;

	for (uint32_t n = 0; n < p->slot_count; n++) {
		if (p->shared->slots[at].owner == 0) {
			p->shared->hint = at + 1;
			return at;
		}
		at = at + 1 == p->slot_count ? 0 : at + 1;
	}
	return CLIENT_NO_SLOT;
}

static enum client_verdict
enter(struct client_page *p, unsigned owner, const struct client_key *key,
    const struct client_rules *rules, int64_t now_ms, uint32_t *slot_out)
{
	uint32_t i = find(p, key, now_ms), at;
	struct entry *e = i == NO_ENTRY ? NULL : &p->entries[i];
	bool unproven = !rules->trusted && !(e && is_proven(e, now_ms));

	if (e != NULL) {
		e->seen_ms = now_ms;
		if (!rate_take(e, CLIENT_RATE_CONNECTION, 1, rules->rate_max,
			now_ms))
			return CLIENT_OVER_RATE;
		if (rules->count_max != 0 && e->sessions >= rules->count_max)
			return CLIENT_OVER_COUNT;
	}
	if (unproven && (rules->known_only ||
			    get(&p->shared->unproven) >= rules->unproven_max))
		return CLIENT_SHARE_FULL;
	if (!rules->trusted && rules->earned_max != 0 &&
	    get(&p->shared->sessions) >= rules->earned_max)
		return CLIENT_SHARE_FULL;
	if (!rules->local &&
	    get(&p->shared->sessions) >= client_page_session_max(p))
		return CLIENT_FULL;
	at = free_slot(p);
	if (at == CLIENT_NO_SLOT)
		return CLIENT_FULL;
	p->shared->slots[at] = (struct slot){
		.owner = (uint8_t)(owner + 1),
		.unproven = unproven,
		.entry = i,
	};
	if (e != NULL)
		e->sessions++;
	add(&p->shared->sessions, 1);
	add(&p->shared->unproven, unproven);
	changed(p);
	*slot_out = at;
	return CLIENT_IN;
}

static void
vacate(struct client_page *p, uint32_t at)
{
	struct slot *slot = &p->shared->slots[at];
	struct entry *e = entry_of(p, at);

	if (e != NULL && e->sessions > 0)
		e->sessions--;
	add(&p->shared->sessions, -1);
	add(&p->shared->unproven, -(slot->unproven != 0));
	*slot = (struct slot){ 0 };
	changed(p);
}

enum client_verdict
client_page_enter(struct client_page *p, unsigned owner,
    const struct client_key *key, const struct client_rules *rules,
    struct mono now, uint32_t *slot_out)
{
	enum client_verdict v;

	ASSERT(owner < CLIENT_PROCESSES_MAX);
	lock(p, owner + 1);
	/* seen_ms 0 means free: time begins at 1. */
	v = enter(p, owner, key, rules, now.ms > 0 ? now.ms : 1, slot_out);
	unlock(p);
	return v;
}

void
client_page_leave(struct client_page *p, unsigned owner, uint32_t slot)
{
	if (slot >= p->slot_count)
		return;
	lock(p, owner + 1);
	if (p->shared->slots[slot].owner == owner + 1)
		vacate(p, slot);
	unlock(p);
}

/* Make room among the proven: the one not seen for longest is no more. */
static void
unprove_oldest(struct client_page *p)
{
	struct entry *oldest = NULL;

	for (uint32_t i = 0; i < p->entry_count; i++) {
		struct entry *e = &p->entries[i];

		if (e->proven_until_ms != 0 &&
		    (oldest == NULL || e->seen_ms < oldest->seen_ms))
			oldest = e;
	}
	if (oldest == NULL)
		return;
	oldest->proven_until_ms = 0;
	add(&p->shared->proven, -1);
}

void
client_page_prove(struct client_page *p, uint32_t slot, int64_t ttl_ms,
    struct mono now)
{
	struct entry *e = entry_of(p, slot);
	struct slot *s;

	if (slot >= p->slot_count)
		return;
	lock(p, owner_of(p, slot));
	s = &p->shared->slots[slot];
	if (e != NULL) {
		if (e->proven_until_ms == 0) {
			if (get(&p->shared->proven) >= p->proven_max)
				unprove_oldest(p);
			add(&p->shared->proven, 1);
		}
		e->proven_until_ms = now.ms + ttl_ms;
		if (s->unproven) {
			s->unproven = 0;
			add(&p->shared->unproven, -1);
		}
	}
	unlock(p);
}

bool
client_page_is_unproven(struct client_page *p, uint32_t slot)
{
	return slot < p->slot_count && p->shared->slots[slot].unproven != 0;
}

/* ---- figures and repair ---- */

unsigned
client_page_session_max(const struct client_page *p)
{
	return p->slot_count - CLIENT_LOCAL_SLOTS;
}

void
client_page_figures(struct client_page *p, struct client_figures *out)
{
	*out = (struct client_figures){
		.session_max = client_page_session_max(p),
		.sessions = get(&p->shared->sessions),
		.unproven = get(&p->shared->unproven),
		.clients = get(&p->shared->clients),
		.proven = get(&p->shared->proven),
		.changes = atomic_load_explicit(&p->shared->changes,
		    memory_order_relaxed),
	};
}

uint32_t
client_page_next(const struct client_page *p, unsigned owner, uint32_t slot)
{
	/* CLIENT_NO_SLOT + 1 is 0. */
	for (uint32_t i = slot + 1; i < p->slot_count; i++)
		if (p->shared->slots[i].owner == owner + 1)
			return i;
	return CLIENT_NO_SLOT;
}

unsigned
client_page_held(struct client_page *p, unsigned owner)
{
	unsigned held = 0;

	for (uint32_t i = 0; i < p->slot_count; i++)
		held += p->shared->slots[i].owner == owner + 1;
	return held;
}

/* Every figure and count made anew from the slots and entries. */
static void
recount(struct client_page *p)
{
	uint32_t sessions = 0, unproven = 0, clients = 0, proven = 0;

	for (uint32_t i = 0; i < p->entry_count; i++) {
		p->entries[i].sessions = 0;
		clients += p->entries[i].seen_ms != 0;
		proven += p->entries[i].proven_until_ms != 0;
	}
	for (uint32_t i = 0; i < p->slot_count; i++) {
		struct slot *slot = &p->shared->slots[i];
		struct entry *e = entry_of(p, i);

		if (slot->owner == 0)
			continue;
		sessions++;
		unproven += slot->unproven != 0;
		if (e != NULL)
			e->sessions++;
	}
	atomic_store(&p->shared->sessions, sessions);
	atomic_store(&p->shared->unproven, unproven);
	atomic_store(&p->shared->clients, clients);
	atomic_store(&p->shared->proven, proven);
}

unsigned
client_page_release(struct client_page *p, unsigned owner)
{
	unsigned freed = 0;
	bool whole;

	ASSERT(owner < CLIENT_PROCESSES_MAX);
	/* The lock may be the dead one's. */
	whole = lock_from(p, LOCK_MASTER, owner + 1);
	for (uint32_t i = 0; i < p->slot_count; i++) {
		struct slot *slot = &p->shared->slots[i];

		if (slot->owner != owner + 1)
			continue;
		*slot = (struct slot){ 0 };
		freed++;
	}
	/* At the start there is nothing to repair, and counting would touch
	 * each page of a table that may never be used. */
	if (freed > 0 || !whole)
		recount(p);
	changed(p);
	unlock(p);
	return freed;
}
