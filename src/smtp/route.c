/*
 * Happy path: an address or a path needs no question; a host in brackets is
 * asked for its addresses, a domain for its MX hosts.  Hosts of the same
 * preference are shuffled, the rest keeps the order of preference (RFC 5321
 * 5.1), and at most smtp_mx_address_limit addresses are kept, of both
 * families if there are both.
 * Failure modes: no such domain (5.4.4), null MX (5.1.10), this system is the
 * best MX (5.4.6), a temporary failure or no answer in time (4.4.3).
 */
#include "smtp/route.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/hash.h"
#include "conf/conf.h"
#include "ipc/chan.h"
#include "ipc/frames.h"
#include "smtp/agent.h"
#include "smtp/job.h"

enum {
	/* Beyond dns_timeout: the dns role is not there, or hangs. */
	DNS_GRACE_MS = 5000,
};

/* An answer's record, borrowed from the frame. */
struct found {
	uint16_t preference;
	uint64_t order; /* random */
	struct slice name;
	struct net_addr addr; /* family 0: the name has no address */
};

static void
fail(struct job *j, enum job_status status, const char *dsn, const char *text)
{
	j->host_count = 0;
	job_set_trouble(j, status, dsn, SLICE_NONE, text);
	job_routed(j);
}

/* ---- records ---- */

static bool
get_found(struct rd *r, struct found *out)
{
	struct slice octets = SLICE_NONE;

	*out = (struct found){ .preference = rd_u16(r) };
	out->name = rd_str(r, 255);
	out->addr.family = rd_u8(r);
	if (out->addr.family == 4)
		octets = rd_raw(r, 4);
	else if (out->addr.family == 6)
		octets = rd_raw(r, 16);
	else if (out->addr.family != 0)
		r->bad = true;
	if (!r->bad && octets.len > 0)
		memcpy(out->addr.octets, octets.data, octets.len);
	out->order = random_u64();
	return !r->bad;
}

static bool
comes_before(const struct found *a, const struct found *b)
{
	if (a->preference != b->preference)
		return a->preference < b->preference;
	return a->order < b->order;
}

/* Insertion sort: at most DNS_HOSTS_MAX, mostly sorted. */
static void
sort(struct found *list, unsigned count)
{
	for (unsigned i = 1; i < count; i++) {
		struct found f = list[i];
		unsigned at = i;

		for (; at > 0 && comes_before(&f, &list[at - 1]); at--)
			list[at] = list[at - 1];
		list[at] = f;
	}
}

/* ---- loops ---- */

static bool
is_unspecified(const struct net_addr *a)
{
	for (unsigned i = 0; i < (a->family == 4 ? 4u : 16u); i++)
		if (a->octets[i] != 0)
			return false;
	return true;
}

/* No host has such an address, and the kernel takes some of them for this
 * system: "this network", multicast, and what is reserved (RFC 6890). */
static bool
is_nowhere(const struct net_addr *a)
{
	if (a->family == 4)
		return a->octets[0] == 0 || a->octets[0] >= 224;
	return a->family == 6 && (is_unspecified(a) || a->octets[0] == 0xff);
}

/* As the kernel will understand it. */
static struct net_addr
meant(const struct net_addr *a)
{
	return a->family == 6 ? net_addr_from6(a->octets) : *a;
}

/* Is that host this system?  By name always: its address may be that of a
 * router in front of it.  By address if this system takes mail at that port:
 * another server may share the address. */
static bool
is_self(const struct agent *g, const struct found *f, uint16_t port)
{
	struct net_addr addr = meant(&f->addr);
	bool listens = false;

	if (slice_eq_nocase(f->name, slice_str(g->conf->myhostname)))
		return true;
	for (unsigned i = 0; i < g->port_count; i++)
		listens |= g->ports[i] == port;
	if (!listens)
		return false;
	if (addr.family == 0)
		return false;
	if (addr.family == 4 && (addr.octets[0] == 127 || addr.octets[0] == 0))
		return true;
	if (is_unspecified(&addr))
		return true;
	for (unsigned i = 0; i < g->own_count; i++)
		if (net_addr_eq(&g->own[i], &addr))
			return true;
	return false;
}

/* How many of the sorted list are better than this system itself. */
static unsigned
better_than_self(const struct job *j, const struct found *list, unsigned count)
{
	unsigned n = 0;

	for (unsigned i = 0; i < count; i++)
		if (is_self(j->agent, &list[i], j->nexthop.port)) {
			while (list[n].preference < list[i].preference)
				n++;
			return n;
		}
	return count;
}

/* ---- choice ---- */

static bool
is_duplicate(const struct job *j, const struct net_addr *a)
{
	for (unsigned i = 0; i < j->host_count; i++)
		if (net_addr_eq(&j->hosts[i].addr, a))
			return true;
	return false;
}

static bool
set_host(struct job *j, unsigned at, const struct found *f)
{
	const char *name = arena_copy(&j->arena, f->name.data, f->name.len);

	if (name == NULL)
		return false;
	j->hosts[at] = (struct job_host){ name, f->addr, j->nexthop.port };
	return true;
}

/* Take the first addresses, at least one of each family that there is. */
static enum err
choose(struct job *j, const struct found *list, unsigned count)
{
	int64_t limit = j->agent->conf->smtp_mx_address_limit;
	unsigned max = count, families = 0;

	if (limit > 0 && max > limit)
		max = (unsigned)limit;
	j->hosts = arena_alloc(&j->arena, max * sizeof(*j->hosts) + 1);
	if (j->hosts == NULL)
		return ERR_FULL;
	for (unsigned i = 0; i < count; i++) {
		const struct found *f = &list[i];
		unsigned family = f->addr.family == 6 ? 2 : 1;
		struct net_addr addr = meant(&f->addr);

		if (addr.family == 0 || is_nowhere(&addr) ||
		    is_duplicate(j, &f->addr))
			continue;
		if (j->host_count < max) {
			if (!set_host(j, j->host_count, f))
				return ERR_FULL;
			j->host_count++;
			families |= family;
		} else if (max > 1 && !(families & family)) {
			return set_host(j, max - 1, f) ? OK : ERR_FULL;
		}
	}
	return OK;
}

static void
on_hosts(struct job *j, struct found *list, unsigned count)
{
	char text[400];
	unsigned usable;

	sort(list, count);
	usable = j->by_mx ? better_than_self(j, list, count) : count;
	if (count > 0 && usable == 0) {
		snprintf(text, sizeof(text),
		    "mail for %.*s loops back to myself",
		    SLICE_ARGS(j->nexthop.host));
		fail(j, JOB_FAILED, "5.4.6", text);
		return;
	}
	if (choose(j, list, usable) != OK) {
		fail(j, JOB_DEFERRED, "4.3.1", "out of memory");
		return;
	}
	if (j->host_count == 0) {
		snprintf(text, sizeof(text),
		    "Host or domain name not found. No mail exchanger of %.*s "
		    "has a usable address",
		    SLICE_ARGS(j->nexthop.host));
		fail(j, JOB_DEFERRED, "4.4.3", text);
		return;
	}
	job_routed(j);
}

/* ---- dns ---- */

static void
on_timeout(void *arg, struct ev_timer *t)
{
	struct job *j = arg;

	(void)t;
	agent_late(j->agent, AGENT_ROW_DNS, false, j->nexthop.host);
	fail(j, JOB_DEFERRED, "4.4.3",
	    "Host or domain name not found. The resolver does not answer");
}

/* A question that cannot be sent now is sent by route_ask_again. */
static void
ask(struct job *j)
{
	struct agent *g = j->agent;
	struct fr_dns_hosts q = {
		.kind = j->by_mx ? DNS_MX : DNS_ADDRESS,
		.protocols = (uint8_t)conf_inet_protocols(g->conf),
		.domain = j->nexthop.host,
	};

	j->asked =
	    g->dns != NULL && send_dns_hosts(g->dns, j->tag, &q, -1) == OK;
}

void
route_ask_again(struct agent *g)
{
	for (struct list_node *n = list_first(&g->jobs); n != NULL;
	     n = list_next(&g->jobs, n)) {
		struct job *j = CONTAINER(n, struct job, link);

		if (j->state == JOB_ROUTING && !j->asked)
			ask(j);
	}
}

void
route_forget_asked(struct agent *g)
{
	for (struct list_node *n = list_first(&g->jobs); n != NULL;
	     n = list_next(&g->jobs, n))
		CONTAINER(n, struct job, link)->asked = false;
}

static struct job *
find_routing(struct agent *g, uint32_t tag)
{
	struct hash_node *n = hash_first(&g->jobs_by_tag, hash_u64(tag));

	for (; n != NULL; n = hash_next(n)) {
		struct job *j = CONTAINER(n, struct job, by_tag);

		if (j->tag == tag)
			return j->state == JOB_ROUTING ? j : NULL;
	}
	return NULL;
}

bool
route_on_found(struct agent *g, const struct frame *f)
{
	struct found list[DNS_HOSTS_MAX];
	struct fr_dns_found a;
	unsigned count = 0;
	struct rd r;
	struct job *j;
	char text[400];

	if (!get_dns_found(f, &a) || a.verdict >= DNS_VERDICT_COUNT)
		return false;
	r = rd_of(a.hosts);
	while (r.left > 0)
		if (count == DNS_HOSTS_MAX || !get_found(&r, &list[count++]))
			return false;
	j = find_routing(g, f->tag);
	if (j == NULL)
		return true; /* an answer after its time */
	ev_timer_clear(&j->timer);
	snprintf(text, sizeof(text), "Host or domain name not found. %.*s",
	    SLICE_ARGS(a.text));
	switch ((enum dns_verdict)a.verdict) {
	case DNS_FOUND: on_hosts(j, list, count); break;
	case DNS_NONE: fail(j, JOB_FAILED, "5.4.4", text); break;
	case DNS_NULL_MX:
		snprintf(text, sizeof(text),
		    "Domain %.*s does not accept mail (nullMX)",
		    SLICE_ARGS(j->nexthop.host));
		fail(j, JOB_FAILED, "5.1.10", text);
		break;
	default: fail(j, JOB_DEFERRED, "4.4.3", text); break;
	}
	return true;
}

/* ---- start ---- */

/* A host that needs no question. */
static void
take_literal(struct job *j, const char *name, struct net_addr addr)
{
	j->hosts = arena_alloc(&j->arena, sizeof(*j->hosts));
	if (j->hosts == NULL || name == NULL) {
		fail(j, JOB_DEFERRED, "4.3.1", "out of memory");
		return;
	}
	j->hosts[0] = (struct job_host){ name, addr, j->nexthop.port };
	j->host_count = 1;
	job_routed(j);
}

void
route_start(struct job *j)
{
	struct agent *g = j->agent;
	struct net_nexthop *n = &j->nexthop;
	char text[NET_ADDR_TEXT_BYTES];

	j->state = JOB_ROUTING;
	j->host_count = j->host_next = 0;
	if (n->port == 0)
		n->port = (uint16_t)(j->lmtp ? g->conf->lmtp_tcp_port
					     : g->conf->smtp_remote_port);
	if (n->path.len > 0) {
		take_literal(j, g->conf->myhostname, n->addr);
		return;
	}
	if (n->addr.family != 0) {
		net_addr_text(&n->addr, text);
		take_literal(j, arena_copy(&j->arena, text, strlen(text)),
		    n->addr);
		return;
	}
	j->by_mx = !n->bracketed && !j->lmtp;
	ev_timer_init(&j->timer, g->loop, on_timeout, j);
	ev_timer_set(&j->timer, g->conf->dns_timeout_ms + DNS_GRACE_MS);
	ask(j);
}
