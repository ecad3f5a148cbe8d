#include "dns/service.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/log.h"
#include "base/wire.h"
#include "conf/conf.h"
#include "conf/net.h"
#include "ipc/frames.h"

enum { HOSTS_BYTES = 32768 }; /* of DNS_FOUND, frames.def */

/* ---- answers ---- */

static void
put_host(struct wr *w, const struct request_target *t, uint8_t family,
    const uint8_t *octets)
{
	wr_u16(w, t->preference);
	wr_str(w, slice_str(t->name), DNS_NAME_BYTES - 1);
	wr_u8(w, family);
	wr_raw(w, slice_of(octets, family == 4 ? 4 : family == 6 ? 16 : 0));
}

/* At most DNS_HOSTS_MAX records; a name without addresses has one, so that
 * who asks can see whether it is its own. */
static struct slice
put_hosts(struct service *s, const struct request_answer *a)
{
	struct wr w = wr_of(s->hosts, HOSTS_BYTES);
	unsigned count = 0;

	for (unsigned i = 0; i < a->target_count; i++) {
		const struct request_target *t = &a->targets[i];

		for (unsigned n = 0; n < t->v6_count; n++)
			if (count++ < DNS_HOSTS_MAX)
				put_host(&w, t, 6, t->v6[n]);
		for (unsigned n = 0; n < t->v4_count; n++)
			if (count++ < DNS_HOSTS_MAX)
				put_host(&w, t, 4, t->v4[n]);
		if (t->v4_count + t->v6_count == 0)
			if (count++ < DNS_HOSTS_MAX)
				put_host(&w, t, 0, NULL);
	}
	ASSERT(!w.full);
	return wr_done(&w);
}

static enum err
send_answer(struct service_peer *p, uint32_t tag,
    const struct request_answer *a)
{
	struct fr_dns_found found = { .verdict = (uint8_t)a->verdict,
		.secure = a->secure,
		.text = slice_str(a->text) };
	struct fr_dns_named named = { .verdict = (uint8_t)a->verdict,
		.name = slice_str(a->name) };

	if (p->role == ROLE_SMTPD)
		return send_dns_named(p->chan, tag, &named, -1);
	if (a->verdict == DNS_FOUND)
		found.hosts = put_hosts(p->service, a);
	return send_dns_found(p->chan, tag, &found, -1);
}

/* An answer that finds no room is lost: who asked has a time limit, and one
 * who reads no answers needs none. */
static void
on_answer(void *owner, uint32_t tag, const struct request_answer *a)
{
	struct service_peer *p = owner;
	static struct log_limit_site site;

	if (p->chan != NULL && send_answer(p, tag, a) == ERR_FULL)
		log_limit(&site, ev_now(p->service->loop), "channel",
		    SERVICE_QUEUE_BYTES, slice_str(role_name(p->role)),
		    "answer dropped");
}

/* ---- questions ---- */

static bool
on_hosts(struct service_peer *p, const struct frame *f)
{
	struct fr_dns_hosts q;

	if (!get_dns_hosts(f, &q) || q.kind > DNS_ADDRESS)
		return false;
	request_hosts(&p->service->requests, p, f->tag, (enum dns_kind)q.kind,
	    q.protocols, q.domain);
	return true;
}

static bool
on_name(struct service_peer *p, const struct frame *f)
{
	struct fr_dns_name q;
	struct net_addr addr;

	if (!get_dns_name(f, &q) || !net_addr_parse(q.address, &addr))
		return false;
	request_name(&p->service->requests, p, f->tag, addr.octets,
	    addr.family == 4 ? 4 : 16);
	return true;
}

static void
on_frame(void *arg, struct chan *c, struct frame *f)
{
	bool ok = false;

	switch (f->type) {
	case FRAME_DNS_HOSTS: ok = on_hosts(arg, f); break;
	case FRAME_DNS_NAME: ok = on_name(arg, f); break;
	default: break;
	}
	if (!ok)
		chan_bad(c, "malformed question to the resolver");
}

static void
drop_peer(struct service_peer *p)
{
	requests_drop(&p->service->requests, p);
	chan_close(p->chan);
	p->chan = NULL;
}

static void
on_closed(void *arg, struct chan *c, bool bad, const char *why)
{
	struct service_peer *p = arg;
	struct service *s = p->service;

	(void)c;
	drop_peer(p);
	if (bad)
		s->events->on_bad_peer(s->arg, p->role, p->index, why);
}

static const struct chan_events chan_events = {
	.on_frame = on_frame,
	.on_closed = on_closed,
};

static struct service_peer *
find_place(struct service *s, enum role role, unsigned index)
{
	struct service_peer *free_place = NULL;

	for (unsigned i = 0; i < SERVICE_PEERS_MAX; i++) {
		struct service_peer *p = &s->peers[i];

		if (p->chan == NULL)
			free_place = free_place != NULL ? free_place : p;
		else if (p->role == role && p->index == index)
			return p;
	}
	return free_place;
}

enum err
service_add(struct service *s, enum role role, unsigned index, int fd)
{
	struct service_peer *p = find_place(s, role, index);

	if (p == NULL)
		return ERR_FULL;
	if (p->chan != NULL)
		drop_peer(p);
	*p =
	    (struct service_peer){ .service = s, .role = role, .index = index };
	return chan_open(s->loop, s->acct, fd, ROLE_DNS, role, index,
	    &chan_events, p, SERVICE_QUEUE_BYTES, &p->chan);
}

enum err
service_init(struct service *s, struct ev_loop *loop, struct acct *a,
    const struct conf *conf, const struct service_events *events, void *arg,
    struct errtext *et)
{
	enum err e;

	memset(s, 0, sizeof(*s));
	s->loop = loop;
	s->acct = a;
	s->events = events;
	s->arg = arg;
	s->hosts = mem_alloc(a, HOSTS_BYTES);
	if (s->hosts == NULL)
		return err_set(et, ERR_FULL, "out of memory");
	e = resolver_init(&s->resolver, loop, a, conf, et);
	if (e != OK) {
		mem_free(a, s->hosts);
		return e;
	}
	requests_init(&s->requests, loop, a, &s->resolver,
	    (unsigned)conf->dns_query_limit * REQUESTS_PER_QUERY,
	    conf->dns_timeout_ms, on_answer);
	return OK;
}

void
service_fini(struct service *s)
{
	for (unsigned i = 0; i < SERVICE_PEERS_MAX; i++)
		if (s->peers[i].chan != NULL)
			drop_peer(&s->peers[i]);
	s->resolver.on_room = NULL;
	requests_fini(&s->requests);
	resolver_fini(&s->resolver);
	mem_free(s->acct, s->hosts);
}
