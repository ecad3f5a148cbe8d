/*
 * Happy path: a request asks its first question (MX, PTR, or at once the
 * addresses), the answer gives it targets, it asks for the addresses of each,
 * and ends when nothing is outstanding.
 * Failure modes: the first question fails: the end, with its verdict; an
 * address fails: the target stays without it, and when none has any the
 * verdict is temporary if one failure was; the time is over: what is there.
 */
#include "dns/request.h"

#include <idn2.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/limits.h"
#include "base/log.h"
#include "conf/conf.h"
#include "ev/loop.h"

enum {
	ARENA_CHUNK_BYTES = 1024,
	ARENA_BYTES = DNS_MX_MAX * (int)sizeof(struct request_target) + 2048,
	/* MX or PTR first, then A and AAAA of each target. */
	ASKS_MAX = 1 + 2 * DNS_MX_MAX,
};

enum stage { STAGE_FIRST, STAGE_ADDRESSES };

struct request;

/* A question under way; slot 0 is the first one, then A and AAAA of each. */
struct ask {
	struct request *request;
	struct resolver_query *query; /* NULL: answered */
	enum dns_type type;
	struct request_target *target; /* NULL: the first question */
};

struct request {
	struct list_node link;	  /* in requests.all */
	struct list_node waiting; /* in requests.waiting */
	struct requests *owner_set;
	void *owner;
	uint32_t tag;
	enum stage stage;
	bool by_name; /* DNS_NAME */
	enum dns_type first_type;
	unsigned protocols;
	char domain[DNS_NAME_BYTES];
	uint8_t octets[16]; /* of DNS_NAME */
	unsigned octet_count;
	struct arena arena;
	struct request_target *targets;
	unsigned target_count;
	struct ask *asks;
	unsigned ask_count, ask_next; /* those before ask_next were asked */
	unsigned outstanding;
	bool any_temp, insecure;
	struct ev_timer timer;
};

static void pump(struct requests *s);

/* ---- the end ---- */

static void
release(struct request *r)
{
	struct requests *s = r->owner_set;

	for (unsigned i = 0; i < r->ask_next; i++)
		resolver_forget(r->asks[i].query);
	ev_timer_clear(&r->timer);
	list_remove(&r->link);
	list_remove(&r->waiting);
	arena_fini(&r->arena);
	pool_put(&s->pool, r);
}

static void
finish(struct request *r, const struct request_answer *a)
{
	r->owner_set->fn(r->owner, r->tag, a);
	release(r);
}

static void
fail(struct request *r, enum dns_verdict verdict, const char *type,
    const char *why)
{
	char text[REQUEST_TEXT_BYTES];
	struct request_answer a = { .verdict = verdict, .text = text };

	snprintf(text, sizeof(text),
	    "Name service error for name=%s type=%s: %s", r->domain, type, why);
	finish(r, &a);
}

static const char *
type_name(enum dns_type t)
{
	switch (t) {
	case DNS_TYPE_MX: return "MX";
	case DNS_TYPE_PTR: return "PTR";
	case DNS_TYPE_A: return "A";
	default: return "AAAA";
	}
}

/* DNS_NAME: is the address among those of the name? */
static bool
confirms(const struct request *r)
{
	const struct request_target *t = &r->targets[0];

	for (unsigned i = 0; i < t->v4_count && r->octet_count == 4; i++)
		if (memcmp(t->v4[i], r->octets, 4) == 0)
			return true;
	for (unsigned i = 0; i < t->v6_count && r->octet_count == 16; i++)
		if (memcmp(t->v6[i], r->octets, 16) == 0)
			return true;
	return false;
}

/* All addresses are in, or the time is over. */
static void
conclude(struct request *r, bool late)
{
	struct request_answer a = { .verdict = DNS_FOUND,
		.secure = !r->insecure,
		.targets = r->targets,
		.target_count = r->target_count };
	unsigned found = 0;

	for (unsigned i = 0; i < r->target_count; i++)
		found += r->targets[i].v4_count + r->targets[i].v6_count;
	if (r->by_name && found > 0 && confirms(r)) {
		a.name = r->targets[0].name;
		finish(r, &a);
	} else if (!r->by_name && found > 0) {
		finish(r, &a);
	} else if (late || r->any_temp) {
		fail(r, DNS_TEMP,
		    r->stage == STAGE_FIRST ? type_name(r->first_type)
					    : "A/AAAA",
		    late ? "no answer in time" : "Host not found, try again");
	} else {
		fail(r, DNS_NONE, "A/AAAA", "Host not found");
	}
}

static void
on_timeout(void *arg, struct ev_timer *t)
{
	struct request *r = arg;

	(void)t;
	limit_refused(r->owner_set->late);
	conclude(r, true);
}

/* ---- addresses ---- */

static void
want_turn(struct request *r)
{
	if (r->ask_next < r->ask_count && !list_linked(&r->waiting))
		list_push_back(&r->owner_set->waiting, &r->waiting);
}

static void
add_ask(struct request *r, enum dns_type type, struct request_target *target)
{
	ASSERT(r->ask_count < ASKS_MAX);
	r->asks[r->ask_count++] =
	    (struct ask){ .request = r, .type = type, .target = target };
}

/* Ask for the addresses of all targets. */
static void
ask_addresses(struct request *r)
{
	unsigned p = r->protocols;

	if (r->by_name)
		p = r->octet_count == 4 ? CONF_INET4 : CONF_INET6;
	r->stage = STAGE_ADDRESSES;
	for (unsigned i = 0; i < r->target_count; i++) {
		if (p & CONF_INET4)
			add_ask(r, DNS_TYPE_A, &r->targets[i]);
		if (p & CONF_INET6)
			add_ask(r, DNS_TYPE_AAAA, &r->targets[i]);
	}
	want_turn(r);
}

static bool
add_targets(struct request *r, unsigned count)
{
	r->targets = arena_alloc(&r->arena, count * sizeof(*r->targets));
	if (r->targets != NULL)
		return true;
	fail(r, DNS_TEMP, type_name(r->first_type), "out of memory");
	return false;
}

/* The domain itself is the host, and so is one without MX. */
static void
ask_domain(struct request *r)
{
	if (!add_targets(r, 1))
		return;
	memcpy(r->targets[0].name, r->domain, sizeof(r->domain));
	r->target_count = 1;
	ask_addresses(r);
}

static void
keep_addresses(struct request_target *t, enum dns_type type,
    const struct dns_answer *a)
{
	for (unsigned i = 0; i < a->count && i < DNS_ADDRESSES_MAX; i++)
		if (type == DNS_TYPE_A)
			memcpy(t->v4[t->v4_count++], a->records[i].octets, 4);
		else
			memcpy(t->v6[t->v6_count++], a->records[i].octets, 16);
}

/* ---- the first question ---- */

static void
on_mx(struct request *r, const struct dns_answer *a)
{
	struct request_answer null_mx = { .verdict = DNS_NULL_MX, .text = "" };

	/* RFC 7505 3: a single record with the root as its name. */
	if (a->count == 1 && a->records[0].name[0] == '\0') {
		finish(r, &null_mx);
		return;
	}
	if (!add_targets(r, a->count))
		return;
	for (unsigned i = 0; i < a->count; i++) {
		struct request_target *t = &r->targets[r->target_count];

		if (a->records[i].name[0] == '\0')
			continue;
		t->preference = a->records[i].preference;
		memcpy(t->name, a->records[i].name, sizeof(t->name));
		r->target_count++;
	}
	ask_addresses(r);
}

static void
on_ptr(struct request *r, const struct dns_answer *a)
{
	if (!add_targets(r, 1))
		return;
	/* One name is enough: who has several is asked about the first. */
	memcpy(r->targets[0].name, a->records[0].name,
	    sizeof(r->targets[0].name));
	r->target_count = 1;
	ask_addresses(r);
}

static void
on_first(struct request *r, enum resolver_result result,
    const struct dns_answer *a)
{
	const char *type = type_name(r->first_type);

	switch (result) {
	case RESOLVER_FOUND:
		if (r->by_name)
			on_ptr(r, a);
		else
			on_mx(r, a);
		break;
	case RESOLVER_NO_DATA:
		if (r->by_name)
			fail(r, DNS_NONE, type, "Host not found");
		else
			ask_domain(r);
		break;
	case RESOLVER_NO_NAME: fail(r, DNS_NONE, type, "Host not found"); break;
	case RESOLVER_BOGUS:
		fail(r, DNS_TEMP, type, "DNSSEC validation failed");
		break;
	default: fail(r, DNS_TEMP, type, "Host not found, try again"); break;
	}
}

static void
on_answer(void *arg, enum resolver_result result, const struct dns_answer *a,
    bool secure)
{
	struct ask *ask = arg;
	struct request *r = ask->request;

	ask->query = NULL;
	r->outstanding--;
	r->insecure |= !secure;
	if (ask->target == NULL) {
		on_first(r, result, a);
		return;
	}
	if (result == RESOLVER_FOUND)
		keep_addresses(ask->target, ask->type, a);
	else if (result == RESOLVER_TEMP || result == RESOLVER_BOGUS)
		r->any_temp = true;
	if (r->outstanding == 0 && r->ask_next == r->ask_count)
		conclude(r, false);
}

/* ---- turns ---- */

static void
ask_one(struct requests *s, struct request *r)
{
	struct ask *ask = &r->asks[r->ask_next++];
	struct resolver_query *q;
	char reverse[DNS_NAME_BYTES];
	const char *name = r->domain;

	if (ask->target != NULL)
		name = ask->target->name;
	else if (r->by_name) {
		dns_reverse_name(r->octets, r->octet_count, reverse);
		name = reverse;
	}
	r->outstanding++;
	/* Before the question: its answer may come, and end r, at once. */
	want_turn(r);
	q = resolver_ask(s->resolver, name, ask->type, on_answer, ask);
	if (q != NULL)
		ask->query = q;
}

/* Give each waiting request a turn while there are places.  An answer inside
 * comes back here: only the outermost call goes on. */
static void
pump(struct requests *s)
{
	struct list_node *n;

	if (s->pumping)
		return;
	s->pumping = true;
	while (resolver_has_room(s->resolver) &&
	       (n = list_pop_front(&s->waiting)) != NULL)
		ask_one(s, CONTAINER(n, struct request, waiting));
	s->pumping = false;
}

static void
on_room(void *arg)
{
	pump(arg);
}

/* ---- start ---- */

void
requests_init(struct requests *s, struct ev_loop *loop, struct acct *a,
    struct resolver *resolver, unsigned count_max, int64_t timeout_ms,
    request_fn *fn)
{
	memset(s, 0, sizeof(*s));
	s->loop = loop;
	s->resolver = resolver;
	s->acct = a;
	s->timeout_ms = timeout_ms;
	s->fn = fn;
	list_init(&s->all);
	list_init(&s->waiting);
	pool_init(&s->pool, a, "requests", "dns_query_limit",
	    sizeof(struct request), count_max);
	s->late =
	    limits_row(LIMIT_DEADLINE, "request", "dns_timeout", 0, timeout_ms);
	(void)limits_row(LIMIT_COUNT, "mail exchangers of a domain", "",
	    sizeof(struct request_target), DNS_MX_MAX);
	(void)limits_row(LIMIT_COUNT, "addresses of a host, each family", "", 0,
	    DNS_ADDRESSES_MAX);
	(void)limits_row(LIMIT_COUNT, "aliases in a row", "", 0,
	    DNS_ALIASES_MAX);
	resolver->on_room = on_room;
	resolver->on_room_arg = s;
}

void
requests_fini(struct requests *s)
{
	while (!list_empty(&s->all))
		release(CONTAINER(list_first(&s->all), struct request, link));
	pool_fini(&s->pool);
}

static void
refuse(struct requests *s, void *owner, uint32_t tag)
{
	struct request_answer a = { .verdict = DNS_TEMP,
		.text = "the resolver is busy" };

	s->fn(owner, tag, &a);
}

static struct request *
new_request(struct requests *s, void *owner, uint32_t tag)
{
	struct request *r = pool_get(&s->pool);

	if (r == NULL) {
		refuse(s, owner, tag);
		return NULL;
	}
	r->owner_set = s;
	r->owner = owner;
	r->tag = tag;
	arena_init(&r->arena, s->acct, ARENA_CHUNK_BYTES, ARENA_BYTES);
	list_push_back(&s->all, &r->link);
	ev_timer_init(&r->timer, s->loop, on_timeout, r);
	r->asks = arena_alloc(&r->arena, ASKS_MAX * sizeof(*r->asks));
	if (r->asks == NULL) {
		release(r);
		refuse(s, owner, tag);
		return NULL;
	}
	ev_timer_set(&r->timer, s->timeout_ms);
	return r;
}

/* A domain as DNS knows it: U-labels become A-labels (RFC 5891 5). */
static bool
to_ascii(struct slice domain, char buf[static DNS_NAME_BYTES])
{
	bool ascii = true, ok;
	uint8_t *out = NULL;

	if (!slice_copy(domain, buf, DNS_NAME_BYTES) || domain.len == 0)
		return false;
	for (size_t i = 0; i < domain.len; i++)
		ascii &= (unsigned char)domain.data[i] < 128;
	if (ascii)
		return true;
	if (idn2_lookup_u8((const uint8_t *)buf, &out,
		IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL) != IDN2_OK)
		return false;
	ok = slice_copy(slice_str((const char *)out), buf, DNS_NAME_BYTES);
	idn2_free(out);
	return ok;
}

void
request_hosts(struct requests *s, void *owner, uint32_t tag, enum dns_kind kind,
    unsigned protocols, struct slice domain)
{
	struct request *r = new_request(s, owner, tag);

	if (r == NULL)
		return;
	r->first_type = DNS_TYPE_MX;
	r->protocols = protocols;
	if (!to_ascii(domain, r->domain))
		fail(r, DNS_NONE, "MX", "not a domain name");
	else if (kind == DNS_MX) {
		add_ask(r, DNS_TYPE_MX, NULL);
		want_turn(r);
	} else
		ask_domain(r);
	pump(s);
}

void
request_name(struct requests *s, void *owner, uint32_t tag,
    const uint8_t *octets, unsigned octet_count)
{
	struct request *r = new_request(s, owner, tag);

	if (r == NULL)
		return;
	r->by_name = true;
	r->first_type = DNS_TYPE_PTR;
	memcpy(r->octets, octets, octet_count);
	r->octet_count = octet_count;
	(void)slice_copy(SLICE_LIT("PTR"), r->domain, sizeof(r->domain));
	add_ask(r, DNS_TYPE_PTR, NULL);
	want_turn(r);
	pump(s);
}

void
requests_drop(struct requests *s, void *owner)
{
	struct list_node *n = list_first(&s->all), *next;

	for (; n != NULL; n = next) {
		struct request *r = CONTAINER(n, struct request, link);

		next = list_next(&s->all, n);
		if (r->owner == owner)
			release(r);
	}
}
