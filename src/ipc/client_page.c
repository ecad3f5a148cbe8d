/*
 * client_page: gate and table.
 *
 * Happy path: lock, find or make the entries of the client and, while it is
 * unproven, of its network, check their limits, take a slot, unlock.  Failure
 * modes: client_page_lock.c.  A corrupt page costs accounting, never memory
 * safety.
 */
#include "ipc/client_page.h"

#include <string.h>

#include "base/assert.h"
#include "base/time.h"
#include "ipc/client_page_internal.h"

enum {
	NO_ENTRY = 0xffffffff,
};

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
keep_high(_Atomic uint32_t *high, uint32_t figure)
{
	if (figure > get(high))
		atomic_store_explicit(high, figure, memory_order_relaxed);
}

static void
count(_Atomic uint64_t *figure)
{
	atomic_fetch_add_explicit(figure, 1, memory_order_relaxed);
}

static uint64_t
counted(_Atomic uint64_t *figure)
{
	return atomic_load_explicit(figure, memory_order_relaxed);
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

		if (e->seen_ms != 0 && !memcmp(&e->key, key, sizeof(*key))) {
			e->seen_ms = now_ms;
			return i;
		}
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

/* NULL: NO_ENTRY, or nonsense. */
static struct entry *
entry_at(struct client_page *p, uint32_t i)
{
	return i < p->entry_count ? &p->entries[i] : NULL;
}

/* The entry of a slot's client. */
static struct entry *
entry_of(struct client_page *p, uint32_t slot)
{
	return slot < p->slot_count ? entry_at(p, p->shared->slots[slot].entry)
				    : NULL;
}

/* And of its network, while it is unproven. */
static struct entry *
network_of(struct client_page *p, uint32_t slot)
{
	return slot < p->slot_count && p->shared->slots[slot].unproven
		   ? entry_at(p, p->shared->slots[slot].network)
		   : NULL;
}

/* False: local clients have none.  No address begins as the key of a network
 * does: these are of groups. */
static bool
network_key(const struct client_key *key, struct client_key *out)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	static const uint8_t nothing[8];

	*out = (struct client_key){ { 0xff } };
	if (memcmp(key->octets, mapped, sizeof(mapped)) == 0)
		memcpy(out->octets + 12, key->octets + 12, 3);
	else if (memcmp(key->octets, nothing, sizeof(nothing)) != 0)
		memcpy(out->octets + 2, key->octets, 6);
	else
		return false;
	return true;
}

/* ---- rates ---- */

enum client_over
client_page_rate(struct client_page *p, uint32_t slot, enum client_rate rate,
    unsigned events, struct client_limits limits, struct mono now)
{
	enum client_over over;

	ASSERT(rate < CLIENT_RATE_COUNT);
	if (slot >= p->slot_count || (limits.client | limits.network) == 0)
		return CLIENT_PASSED;
	client_page_lock(p, owner_of(p, slot));
	over = client_entry_rate(entry_of(p, slot), network_of(p, slot), rate,
	    events, limits, now.ms);
	client_page_unlock(p);
	return over;
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

/* Its network must not take the place that the client has just got. */
static uint32_t
find_network(struct client_page *p, const struct client_key *client,
    struct entry *e, int64_t now_ms)
{
	struct client_key key;
	uint32_t i;

	if (!network_key(client, &key))
		return NO_ENTRY;
	if (e != NULL)
		e->sessions++;
	i = find(p, &key, now_ms);
	if (e != NULL)
		e->sessions--;
	return i;
}

static enum client_verdict
enter(struct client_page *p, unsigned owner, const struct client_key *key,
    const struct client_rules *rules, int64_t now_ms, uint32_t *slot_out)
{
	const struct client_limits rates = { rules->rate_max,
		rules->network_rate_max };
	uint32_t i = find(p, key, now_ms), ni = NO_ENTRY, at;
	struct entry *e = entry_at(p, i), *network;
	bool unproven = !rules->trusted && !(e && is_proven(e, now_ms));
	enum client_over over;

	if (unproven)
		ni = find_network(p, key, e, now_ms);
	network = entry_at(p, ni);
	over = client_entry_rate(e, network, CLIENT_RATE_CONNECTION, 1, rates,
	    now_ms);
	if (over != CLIENT_PASSED)
		return over == CLIENT_OVER_OWN ? CLIENT_OVER_RATE
					       : CLIENT_NETWORK_RATE;
	if (e != NULL && rules->count_max != 0 &&
	    e->sessions >= rules->count_max)
		return CLIENT_OVER_COUNT;
	if (network != NULL && rules->network_count_max != 0 &&
	    network->sessions >= rules->network_count_max)
		return CLIENT_NETWORK_COUNT;
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
		.network = ni,
	};
	if (e != NULL)
		e->sessions++;
	if (network != NULL)
		network->sessions++;
	add(&p->shared->sessions, 1);
	add(&p->shared->unproven, unproven);
	keep_high(&p->shared->sessions_high, get(&p->shared->sessions));
	keep_high(&p->shared->unproven_high, get(&p->shared->unproven));
	count(&p->shared->changes);
	*slot_out = at;
	return CLIENT_IN;
}

static void
drop_session(struct entry *e)
{
	if (e != NULL && e->sessions > 0)
		e->sessions--;
}

static void
vacate(struct client_page *p, uint32_t at)
{
	struct slot *slot = &p->shared->slots[at];

	drop_session(entry_of(p, at));
	drop_session(network_of(p, at));
	add(&p->shared->sessions, -1);
	add(&p->shared->unproven, -(slot->unproven != 0));
	*slot = (struct slot){ 0 };
	count(&p->shared->changes);
}

enum client_verdict
client_page_enter(struct client_page *p, unsigned owner,
    const struct client_key *key, const struct client_rules *rules,
    struct mono now, uint32_t *slot_out)
{
	enum client_verdict v;

	ASSERT(owner < CLIENT_PROCESSES_MAX);
	client_page_lock(p, owner + 1);
	/* seen_ms 0 means free: time begins at 1. */
	v = enter(p, owner, key, rules, now.ms > 0 ? now.ms : 1, slot_out);
	client_page_unlock(p);
	if (v == CLIENT_FULL)
		count(&p->shared->refused);
	else if (v == CLIENT_SHARE_FULL)
		count(&p->shared->share_refused);
	return v;
}

void
client_page_waited(struct client_page *p)
{
	count(&p->shared->waited);
}

void
client_page_leave(struct client_page *p, unsigned owner, uint32_t slot)
{
	if (slot >= p->slot_count)
		return;
	client_page_lock(p, owner + 1);
	if (p->shared->slots[slot].owner == owner + 1)
		vacate(p, slot);
	client_page_unlock(p);
}

/* Make room among the proven: the one not seen for longest is no more.  True:
 * it would have been. */
static bool
unprove_oldest(struct client_page *p, int64_t now_ms)
{
	struct entry *oldest = NULL;
	bool was_proven;

	for (uint32_t i = 0; i < p->entry_count; i++) {
		struct entry *e = &p->entries[i];

		if (e->proven_until_ms != 0 &&
		    (oldest == NULL || e->seen_ms < oldest->seen_ms))
			oldest = e;
	}
	if (oldest == NULL)
		return false;
	was_proven = is_proven(oldest, now_ms);
	oldest->proven_until_ms = 0;
	add(&p->shared->proven, -1);
	return was_proven;
}

bool
client_page_prove(struct client_page *p, uint32_t slot, int64_t ttl_ms,
    struct mono now)
{
	struct entry *e = entry_of(p, slot);
	bool forgot = false;
	struct slot *s;

	if (slot >= p->slot_count)
		return false;
	client_page_lock(p, owner_of(p, slot));
	s = &p->shared->slots[slot];
	if (e != NULL) {
		if (e->proven_until_ms == 0) {
			if (get(&p->shared->proven) >= p->proven_max)
				forgot = unprove_oldest(p, now.ms);
			add(&p->shared->proven, 1);
		}
		e->proven_until_ms = now.ms + ttl_ms;
		if (s->unproven) {
			drop_session(network_of(p, slot));
			s->unproven = 0;
			add(&p->shared->unproven, -1);
		}
	}
	client_page_unlock(p);
	return forgot;
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
		.sessions_high = get(&p->shared->sessions_high),
		.unproven_high = get(&p->shared->unproven_high),
		.changes = counted(&p->shared->changes),
		.refused = counted(&p->shared->refused),
		.share_refused = counted(&p->shared->share_refused),
		.waited = counted(&p->shared->waited),
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

void
client_page_recount(struct client_page *p)
{
	uint32_t sessions = 0, unproven = 0, clients = 0, proven = 0;

	for (uint32_t i = 0; i < p->entry_count; i++) {
		p->entries[i].sessions = 0;
		clients += p->entries[i].seen_ms != 0;
		proven += p->entries[i].proven_until_ms != 0;
	}
	for (uint32_t i = 0; i < p->slot_count; i++) {
		struct slot *slot = &p->shared->slots[i];
		struct entry *e = entry_of(p, i), *network = network_of(p, i);

		if (slot->owner == 0)
			continue;
		sessions++;
		unproven += slot->unproven != 0;
		if (e != NULL)
			e->sessions++;
		if (network != NULL)
			network->sessions++;
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
	whole = client_page_lock_from(p, LOCK_MASTER, owner + 1);
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
		client_page_recount(p);
	count(&p->shared->changes);
	client_page_unlock(p);
	return freed;
}
