/*
 * resolver: questions to name servers, through libunbound on our loop.
 *
 * A gate bounds how many are outstanding (dns_query_limit): each costs
 * libunbound about 33 KiB.  A question holds its place until libunbound has
 * answered, also when nobody waits for the answer any more.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
#include "dns/answer.h"

struct conf;
struct ev_loop;
struct ub_ctx;

enum {
	RESOLVER_SERVERS_MAX = 8,
	RESOLVER_SERVER_BYTES = 72, /* "IPv6%interface@port" */
};

enum resolver_result {
	RESOLVER_FOUND,	  /* answer has records */
	RESOLVER_NO_DATA, /* the name exists, not with this type */
	RESOLVER_NO_NAME, /* NXDOMAIN */
	RESOLVER_TEMP,	  /* no answer, SERVFAIL, damaged, no memory */
	RESOLVER_BOGUS,	  /* DNSSEC says that it is forged */
};

/* answer is set for FOUND only and valid during the call. */
typedef void resolver_fn(void *arg, enum resolver_result result,
    const struct dns_answer *answer, bool secure);

struct resolver {
	struct ev_loop *loop;
	struct ub_ctx *ctx;
	struct pool queries;	    /* outstanding: the gate */
	void (*on_room)(void *arg); /* a place became free; may be NULL */
	void *on_room_arg;
	/* Of /etc/resolv.conf, read at the start: not to be had later. */
	char system[RESOLVER_SERVERS_MAX][RESOLVER_SERVER_BYTES];
	unsigned system_count;
};

/* A question; the handle is good until the answer. */
struct resolver_query;

/*
 * resolver_init(r, loop, a, conf, et):
 * Reads /etc/resolv.conf, /etc/hosts and the trust anchor; asks
 * resolver_addresses if there are any, else the system's servers, else the
 * root servers.
 */
MUST_CHECK enum err resolver_init(struct resolver *r, struct ev_loop *loop,
    struct acct *a, const struct conf *conf, struct errtext *et);
/* Outstanding questions are never answered. */
void resolver_fini(struct resolver *r);

/* Is there a place for one more? */
bool resolver_has_room(const struct resolver *r);

/*
 * resolver_ask(r, name, type, fn, arg):
 * fn is called once, maybe before this returns (then NULL is returned).  Only
 * when there is room.
 */
struct resolver_query *resolver_ask(struct resolver *r, const char *name,
    enum dns_type type, resolver_fn *fn, void *arg);
/* Nobody waits any more: fn will not be called.  NULL is allowed. */
void resolver_forget(struct resolver_query *q);
