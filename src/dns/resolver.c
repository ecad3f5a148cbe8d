/*
 * Happy path: ub_resolve_event sends a question, libunbound watches its
 * sockets on our loop and calls back with the message, which is parsed at
 * once; local data (localhost, /etc/hosts, the cache) is answered inside the
 * call.
 * Failure modes: anything but an answer is RESOLVER_TEMP; a forged answer is
 * RESOLVER_BOGUS; who asked is gone: the answer is dropped.
 */
#include "dns/resolver.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unbound-event.h>
#include <unbound.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/limits.h"
#include "base/log.h"
#include "conf/conf.h"
#include "conf/net.h"
#include "ev/loop.h"

enum {
	RESOLV_CONF_BYTES = 16384,
	DNS_PORT = 53,
	CLASS_INET = 1,
	RCODE_NXDOMAIN = 3,
	NAME_MAX_OCTETS = 253, /* without the last dot (RFC 1035 2.3.4) */
	LABEL_MAX_OCTETS = 63,
	SEC_BOGUS = 1,
	SEC_SECURE = 2,
};

struct resolver_query {
	struct resolver *resolver;
	resolver_fn *fn; /* NULL: forgotten */
	void *arg;
	enum dns_type type;
	bool answered; /* inside resolver_ask */
	bool asking;
	char name[DNS_NAME_BYTES];
};

/* ---- configuration ---- */

static void
add_server(struct resolver *r, struct slice s)
{
	if (r->system_count < RESOLVER_SERVERS_MAX &&
	    slice_copy(s, r->system[r->system_count], RESOLVER_SERVER_BYTES))
		r->system_count++;
}

/* nameserver lines of resolv.conf(5); a missing file has none. */
static void
read_system_servers(struct resolver *r)
{
	char buf[RESOLV_CONF_BYTES];
	struct slice rest, line, word;
	int fd = open("/etc/resolv.conf", O_RDONLY | O_CLOEXEC);
	ssize_t n;

	r->system_count = 0;
	if (fd < 0)
		return;
	n = read(fd, buf, sizeof(buf));
	(void)close(fd);
	rest = slice_of(buf, n > 0 ? (size_t)n : 0);
	while (slice_word(&rest, "\r\n", &line))
		if (slice_word(&line, " \t", &word) &&
		    slice_eq(word, SLICE_LIT("nameserver")) &&
		    slice_word(&line, " \t", &word))
			add_server(r, word);
}

static enum err
set_forward(struct resolver *r, const char *server, struct errtext *et)
{
	int e = ub_ctx_set_fwd(r->ctx, server);

	if (e != 0)
		return err_set(et, ERR_CONFIG, "name server %s: %s", server,
		    ub_strerror(e));
	return OK;
}

static enum err
set_servers(struct resolver *r, const struct conf *conf, struct errtext *et)
{
	const struct conf_list *list = &conf->resolver_addresses;
	char ip[NET_ADDR_TEXT_BYTES], server[RESOLVER_SERVER_BYTES];
	enum err e = OK;

	for (size_t i = 0; i < list->count && e == OK; i++) {
		struct net_addr addr;
		uint16_t port;

		e = net_addr_port_parse(list->items[i], DNS_PORT, &addr, &port,
		    et);
		if (e != OK)
			break;
		net_addr_text(&addr, ip);
		snprintf(server, sizeof(server), "%s@%u", ip, port);
		e = set_forward(r, server, et);
	}
	if (list->count > 0)
		return e;
	read_system_servers(r);
	for (unsigned i = 0; i < r->system_count && e == OK; i++)
		e = set_forward(r, r->system[i], et);
	return e;
}

static enum err
set_options(struct resolver *r, const struct conf *conf, struct errtext *et)
{
	char queries[24], half[24], quarter[24];
	unsigned protocols = conf_inet_protocols(conf);
	const struct {
		const char *name, *value;
	} options[] = {
		/* The pool of sockets: one for each outstanding question. */
		{ "outgoing-range:", queries },
		{ "num-queries-per-thread:", queries },
		{ "rrset-cache-size:", half },
		{ "msg-cache-size:", quarter },
		{ "key-cache-size:", quarter },
		{ "neg-cache-size:", "64k" },
		{ "infra-cache-numhosts:", "500" },
		/* A server that was down is tried again soon, not in 15
		 * minutes: mail waits for it. */
		{ "infra-host-ttl:", "60" },
		{ "infra-keep-probing:", "yes" },
		{ "do-not-query-localhost:", "no" },
		{ "do-ip4:", protocols & CONF_INET4 ? "yes" : "no" },
		{ "do-ip6:", protocols & CONF_INET6 ? "yes" : "no" },
		{ "edns-buffer-size:", "1232" },
		/* No answer that we need is longer. */
		{ "msg-buffer-size:", "16384" },
		/* Whoever asks shuffles. */
		{ "rrset-roundrobin:", "no" },
		/* Names of private addresses: our servers may know them. */
		{ "unblock-lan-zones:", "yes" },
		{ "insecure-lan-zones:", "yes" },
	};

	snprintf(queries, sizeof(queries), "%lld",
	    (long long)conf->dns_query_limit);
	snprintf(half, sizeof(half), "%lld",
	    (long long)conf->dns_cache_size_bytes / 2);
	snprintf(quarter, sizeof(quarter), "%lld",
	    (long long)conf->dns_cache_size_bytes / 4);
	for (size_t i = 0; i < ARRAY_LEN(options); i++) {
		int e = ub_ctx_set_option(r->ctx, options[i].name,
		    options[i].value);

		if (e != 0)
			return err_set(et, ERR_SYS, "libunbound: %s %s: %s",
			    options[i].name, options[i].value, ub_strerror(e));
	}
	return OK;
}

static enum err
set_files(struct resolver *r, const struct conf *conf, struct errtext *et)
{
	const char *anchor = conf->dns_trust_anchor_file;
	int e;

	/* Its absence is no error: localhost is known without it. */
	(void)ub_ctx_hosts(r->ctx, NULL);
	if (anchor[0] == '\0')
		return OK;
	if (access(anchor, R_OK) != 0)
		return err_set(et, ERR_CONFIG,
		    "dns_trust_anchor_file: %s cannot be read", anchor);
	e = ub_ctx_add_ta_file(r->ctx, anchor);
	return e == 0 ? OK
		      : err_set(et, ERR_CONFIG, "dns_trust_anchor_file: %s",
			    ub_strerror(e));
}

/* The first use reads the files; it must come before the sandbox.  Names
 * below "test" are for tests of mail systems too: not answered by libunbound
 * itself, as RFC 6761 6.2 lets it do. */
static enum err
finalize(struct resolver *r, struct errtext *et)
{
	int e = ub_ctx_zone_remove(r->ctx, "test.");

	return e == 0 ? OK
		      : err_set(et, ERR_SYS, "libunbound: %s", ub_strerror(e));
}

enum err
resolver_init(struct resolver *r, struct ev_loop *loop, struct acct *a,
    const struct conf *conf, struct errtext *et)
{
	enum err e;

	memset(r, 0, sizeof(*r));
	r->loop = loop;
	pool_init(&r->queries, a, "queries", "dns_query_limit",
	    sizeof(struct resolver_query), (unsigned)conf->dns_query_limit);
	(void)limits_row(LIMIT_SIZE, "answers kept", "dns_cache_size", 1,
	    conf->dns_cache_size_bytes);
	r->ctx = ub_ctx_create_event(ev_loop_base(loop));
	if (r->ctx == NULL)
		return err_set(et, ERR_NOMEM, "libunbound does not start");
	(void)ub_ctx_debugout(r->ctx, NULL);
	e = set_options(r, conf, et);
	if (e == OK)
		e = set_servers(r, conf, et);
	if (e == OK)
		e = set_files(r, conf, et);
	if (e == OK)
		e = finalize(r, et);
	if (e != OK) {
		ub_ctx_delete(r->ctx);
		r->ctx = NULL;
		pool_fini(&r->queries);
	}
	return e;
}

void
resolver_fini(struct resolver *r)
{
	if (r->ctx == NULL)
		return;
	ub_ctx_delete(r->ctx);
	r->ctx = NULL;
	/* Their callbacks will not come: the places go with the pool. */
	r->queries.in_use = 0;
	pool_fini(&r->queries);
}

/* ---- questions ---- */

bool
resolver_has_room(const struct resolver *r)
{
	return r->queries.in_use < r->queries.count_max;
}

static enum resolver_result
read_answer(const struct resolver_query *q, int rcode, void *packet, int len,
    int sec, struct dns_answer *out)
{
	if (sec == SEC_BOGUS)
		return RESOLVER_BOGUS;
	if (rcode == RCODE_NXDOMAIN)
		return RESOLVER_NO_NAME;
	if (rcode != 0 || packet == NULL || len <= 0)
		return RESOLVER_TEMP;
	if (!dns_answer_parse(slice_of(packet, (size_t)len), q->name, q->type,
		out))
		return RESOLVER_TEMP;
	/* libunbound's own code is 0 for whatever a server said. */
	if (out->rcode == RCODE_NXDOMAIN)
		return RESOLVER_NO_NAME;
	if (out->rcode != 0)
		return RESOLVER_TEMP;
	return out->count > 0 ? RESOLVER_FOUND : RESOLVER_NO_DATA;
}

static void
end_query(struct resolver_query *q)
{
	struct resolver *r = q->resolver;

	pool_put(&r->queries, q);
	if (r->on_room != NULL)
		r->on_room(r->on_room_arg);
}

static void
on_answer(void *arg, int rcode, void *packet, int len, int sec, char *why_bogus,
    int was_ratelimited)
{
	struct resolver_query *q = arg;
	struct dns_answer answer;
	enum resolver_result result;

	(void)was_ratelimited;
	result = read_answer(q, rcode, packet, len, sec, &answer);
	if (result == RESOLVER_BOGUS)
		log_warning("DNSSEC: %s: %s", q->name,
		    why_bogus != NULL ? why_bogus : "bogus");
	q->answered = true;
	if (q->fn != NULL)
		q->fn(q->arg, result, &answer, sec == SEC_SECURE);
	if (!q->asking)
		end_query(q);
}

/* libunbound says UB_SYNTAX of a name that it has no memory for, too; of one
 * that can be asked for it says nothing else. */
static bool
can_be_asked(const char *name)
{
	struct slice rest = slice_str(name);

	if (rest.len == 0 || rest.len > NAME_MAX_OCTETS ||
	    slice_find(rest, '\\') < rest.len)
		return false;
	for (size_t dot; rest.len > 0;
	     rest = slice_sub(rest, dot + 1, rest.len)) {
		dot = slice_find(rest, '.');
		if (dot == 0 || dot > LABEL_MAX_OCTETS)
			return false;
	}
	return true;
}

struct resolver_query *
resolver_ask(struct resolver *r, const char *name, enum dns_type type,
    resolver_fn *fn, void *arg)
{
	struct resolver_query *q = pool_get(&r->queries);
	int id = 0, e;

	if (q == NULL ||
	    !slice_copy(slice_str(name), q->name, sizeof(q->name))) {
		fn(arg, RESOLVER_TEMP, NULL, false);
		if (q != NULL)
			end_query(q);
		return NULL;
	}
	q->resolver = r;
	q->fn = fn;
	q->arg = arg;
	q->type = type;
	q->asking = true;
	e = ub_resolve_event(r->ctx, q->name, (int)type, CLASS_INET, q,
	    on_answer, &id);
	q->asking = false;
	if (e != 0 && !q->answered) {
		q->answered = true;
		fn(arg,
		    e == UB_SYNTAX && !can_be_asked(name) ? RESOLVER_NO_NAME
							  : RESOLVER_TEMP,
		    NULL, false);
	}
	if (!q->answered)
		return q;
	end_query(q);
	return NULL;
}

void
resolver_forget(struct resolver_query *q)
{
	if (q != NULL)
		q->fn = NULL;
}
