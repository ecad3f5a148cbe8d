#include "smtp/agent.h"

#include <ifaddrs.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/assert.h"
#include "base/log.h"
#include "conf/conf.h"
#include "ipc/frames.h"
#include "smtp/body.h"
#include "smtp/conn.h"
#include "smtp/job.h"
#include "smtp/path.h"
#include "smtp/route.h"

enum { BUCKETS = 1024 };

/* ---- frames ---- */

static bool
on_segment(struct agent *g, struct frame *f)
{
	struct fr_segment s;

	if (!get_segment(f, &s) || f->fd < 0)
		return false;
	/* Refused: jobs that need it are deferred when they read. */
	if (segments_add(&g->segments, s.number, f->fd) != OK)
		log_warning("no room for segment %llu of the queue",
		    (unsigned long long)s.number);
	f->fd = -1;
	return true;
}

static bool
on_segment_drop(struct agent *g, const struct frame *f)
{
	struct fr_segment_drop s;

	if (!get_segment_drop(f, &s))
		return false;
	segments_drop(&g->segments, s.number);
	return true;
}

static void
on_queue_frame(void *arg, struct chan *c, struct frame *f)
{
	struct agent *g = arg;
	bool ok = false;

	switch (f->type) {
	case FRAME_SEGMENT: ok = on_segment(g, f); break;
	case FRAME_SEGMENT_DROP: ok = on_segment_drop(g, f); break;
	case FRAME_JOB_EXTENTS: ok = job_on_extents(g, f); break;
	case FRAME_JOB_RCPTS: ok = job_on_rcpts(g, f); break;
	case FRAME_JOB: ok = job_on_job(g, f); break;
	default: break;
	}
	if (!ok)
		chan_bad(c, "malformed frame of a delivery");
}

static void
on_queue_room(void *arg, struct chan *c)
{
	struct agent *g = arg;
	struct list_node *n;

	(void)c;
	/* Each either ends or uses the room up. */
	for (size_t left = g->job_pool.in_use; left > 0; left--) {
		n = list_pop_front(&g->reporting);
		if (n == NULL)
			return;
		job_report(CONTAINER(n, struct job, reporting));
	}
}

static void
drop_jobs(struct agent *g)
{
	while (!list_empty(&g->jobs))
		job_drop(CONTAINER(list_first(&g->jobs), struct job, link));
}

static void
on_queue_closed(void *arg, struct chan *c, bool bad, const char *why)
{
	struct agent *g = arg;

	chan_close(c);
	g->queue = NULL;
	drop_jobs(g);
	if (bad)
		g->events->on_bad_peer(g->arg, ROLE_QUEUE, why);
	agent_check_drained(g);
}

static void
on_dns_frame(void *arg, struct chan *c, struct frame *f)
{
	if (f->type != FRAME_DNS_FOUND || !route_on_found(arg, f))
		chan_bad(c, "malformed answer of the resolver");
}

static void
on_dns_closed(void *arg, struct chan *c, bool bad, const char *why)
{
	struct agent *g = arg;

	chan_close(c);
	g->dns = NULL; /* the timers of the jobs that wait go on */
	route_forget_asked(g);
	if (bad)
		g->events->on_bad_peer(g->arg, ROLE_DNS, why);
}

static void
on_dns_room(void *arg, struct chan *c)
{
	(void)c;
	route_ask_again(arg);
}

static void
on_lookup_frame(void *arg, struct chan *c, struct frame *f)
{
	if (f->type != FRAME_SOCKET_CONNECTED || !path_on_connected(arg, f))
		chan_bad(c, "malformed answer about a socket");
}

static void
on_lookup_closed(void *arg, struct chan *c, bool bad, const char *why)
{
	struct agent *g = arg;

	chan_close(c);
	g->lookup = NULL; /* the timers of the jobs that wait go on */
	path_forget_asked(g);
	if (bad)
		g->events->on_bad_peer(g->arg, ROLE_LOOKUP, why);
}

static void
on_lookup_room(void *arg, struct chan *c)
{
	(void)c;
	path_ask_again(arg);
}

static const struct chan_events queue_events = {
	.on_frame = on_queue_frame,
	.on_closed = on_queue_closed,
	.on_room = on_queue_room,
};

static const struct chan_events dns_events = {
	.on_frame = on_dns_frame,
	.on_closed = on_dns_closed,
	.on_room = on_dns_room,
};

static const struct chan_events lookup_events = {
	.on_frame = on_lookup_frame,
	.on_closed = on_lookup_closed,
	.on_room = on_lookup_room,
};

/* What a peer's channel is, and what happens when it comes and goes. */
struct peer {
	enum role role;
	const struct chan_events *events;
	size_t queue_bytes;
	size_t offset; /* of its channel in struct agent */
	void (*gone)(struct agent *g);
	void (*come)(struct agent *g); /* NULL: nothing */
};

static const struct peer peers[] = {
	{ ROLE_QUEUE, &queue_events, AGENT_QUEUE_BYTES,
	    offsetof(struct agent, queue), drop_jobs, NULL },
	{ ROLE_DNS, &dns_events, AGENT_DNS_BYTES, offsetof(struct agent, dns),
	    route_forget_asked, route_ask_again },
	{ ROLE_LOOKUP, &lookup_events, AGENT_LOOKUP_BYTES,
	    offsetof(struct agent, lookup), path_forget_asked, path_ask_again },
};

enum err
agent_set_channel(struct agent *g, enum role role, unsigned index, int fd)
{
	const struct peer *p = peers;
	struct chan **at;
	enum err e;

	while (p < peers + ARRAY_LEN(peers) && p->role != role)
		p++;
	ASSERT(p < peers + ARRAY_LEN(peers));
	at = (struct chan **)(void *)((char *)g + p->offset);
	if (*at != NULL) {
		chan_close(*at);
		*at = NULL;
		p->gone(g);
	}
	e = chan_open(g->loop, &g->conn_acct, fd, ROLE_SMTP, role, index,
	    p->events, g, p->queue_bytes, at);
	if (e == OK && p->come != NULL)
		p->come(g);
	return e;
}

/* ---- what this system is, for loops ---- */

static void
read_own_addresses(struct agent *g)
{
	struct ifaddrs *all, *i;

	g->own_count = 0;
	if (getifaddrs(&all) != 0) {
		log_warning("cannot list the addresses of this system: a mail "
			    "loop will be found by its hop count only");
		return;
	}
	for (i = all; i != NULL && g->own_count < AGENT_OWN_MAX;
	     i = i->ifa_next) {
		if (i->ifa_addr == NULL)
			continue;
		g->own[g->own_count] = net_addr_of(i->ifa_addr);
		if (g->own[g->own_count].family != 0)
			g->own_count++;
	}
	freeifaddrs(all);
}

static void
read_ports(struct agent *g, const struct conf *conf)
{
	g->port_count = 0;
	for (size_t i = 0; i < conf->smtp_listen.count; i++) {
		struct net_listen l;

		if (g->port_count < AGENT_PORTS_MAX &&
		    net_listen_parse(conf->smtp_listen.items[i], &l, NULL) ==
			OK &&
		    l.path.len == 0)
			g->ports[g->port_count++] = l.port;
	}
}

/* ---- life ---- */

static unsigned
job_count_max(const struct conf *conf)
{
	return conf->concurrency_remote > 0 ? (unsigned)conf->concurrency_remote
					    : 1;
}

void
agent_configure(struct agent *g, const struct conf *conf)
{
	g->conf = conf;
	snprintf(g->helo_name, sizeof(g->helo_name), "%s",
	    conf->smtp_helo_name[0] != '\0' ? conf->smtp_helo_name
					    : conf->myhostname);
	snprintf(g->lhlo_name, sizeof(g->lhlo_name), "%s",
	    conf->lmtp_lhlo_name[0] != '\0' ? conf->lmtp_lhlo_name
					    : conf->myhostname);
	read_ports(g, conf);
	agent_show_limits(g);
	pool_set_max(&g->job_pool, job_count_max(conf));
	pool_set_max(&g->conn_pool, 2 * job_count_max(conf));
}

static void
on_drained(void *arg, struct ev_task *t)
{
	struct agent *g = arg;

	(void)t;
	if (g->draining && list_empty(&g->jobs) && list_empty(&g->conns))
		g->events->on_drained(g->arg);
}

enum err
agent_init(struct agent *g, struct ev_loop *loop, struct acct *a,
    const struct conf *conf, const struct agent_events *events, void *arg)
{
	enum err e;

	memset(g, 0, sizeof(*g));
	g->loop = loop;
	g->events = events;
	g->arg = arg;
	list_init(&g->jobs);
	list_init(&g->reporting);
	list_init(&g->idle);
	list_init(&g->conns);
	ev_task_init(&g->drained, on_drained, g);
	acct_init(&g->job_acct, a, "deliveries", 0, true, "memory_budget");
	acct_init(&g->conn_acct, a, "connections", 0, true, "memory_budget");
	pool_init(&g->job_pool, &g->job_acct, "deliveries",
	    "concurrency_remote", sizeof(struct job), job_count_max(conf));
	pool_init(&g->conn_pool, &g->conn_acct, "connections",
	    "concurrency_remote", sizeof(struct conn), 2 * job_count_max(conf));
	e = segments_init(&g->segments, &g->job_acct);
	if (e != OK)
		return e;
	e = hash_init(&g->jobs_by_tag, &g->job_acct, BUCKETS);
	if (e != OK)
		return e;
	e = hash_init(&g->idle_by_key, &g->conn_acct, BUCKETS);
	if (e != OK)
		return e;
	g->piece = mem_alloc(&g->conn_acct, BODY_PIECE_BYTES);
	if (g->piece == NULL)
		return ERR_FULL;
	read_own_addresses(g);
	agent_configure(g, conf);
	return OK;
}

void
agent_fini(struct agent *g)
{
	drop_jobs(g);
	while (conn_close_oldest(g))
		;
	while (!list_empty(&g->conns))
		conn_close(CONTAINER(list_first(&g->conns), struct conn, link));
	chan_close(g->queue);
	chan_close(g->dns);
	chan_close(g->lookup);
	ev_task_cancel(&g->drained);
	segments_fini(&g->segments);
	hash_fini(&g->jobs_by_tag);
	hash_fini(&g->idle_by_key);
	mem_free(&g->conn_acct, g->piece);
	pool_fini(&g->job_pool);
	pool_fini(&g->conn_pool);
	acct_fini(&g->job_acct);
	acct_fini(&g->conn_acct);
}

void
agent_drain(struct agent *g)
{
	g->draining = true;
	agent_check_drained(g);
}

void
agent_check_drained(struct agent *g)
{
	if (!g->draining || !list_empty(&g->jobs))
		return;
	conn_quit_idle(g);
	if (list_empty(&g->conns))
		ev_defer(g->loop, &g->drained);
}
