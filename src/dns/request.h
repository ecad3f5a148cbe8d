/*
 * request: what a role asks (DNS_HOSTS, DNS_NAME), made of questions.
 *
 * Hosts of a domain: MX, then the addresses of at most DNS_MX_MAX names, at
 * most DNS_ADDRESSES_MAX each and family; without MX the domain itself (RFC
 * 5321 5.1).  Name of an address: PTR, then the addresses of that name, which
 * must hold the address (RFC 1912 2.1).  Each request has dns_timeout_ms in
 * all; what was found by then counts.  Questions of all requests take turns
 * for the places of the resolver.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/slice.h"
#include "dns/resolver.h"
#include "ipc/frames.h"

struct ev_loop;
struct limit_row;

enum {
	/* Requests that wait or run, for each place of the resolver. */
	REQUESTS_PER_QUERY = 4,
	REQUEST_TEXT_BYTES = 300,
};

/* A host with its addresses, as the answer has them. */
struct request_target {
	uint16_t preference;
	char name[DNS_NAME_BYTES];
	uint8_t v4[DNS_ADDRESSES_MAX][4];
	uint8_t v6[DNS_ADDRESSES_MAX][16];
	unsigned v4_count, v6_count;
};

/* The end of a request; borrowed for the call. */
struct request_answer {
	enum dns_verdict verdict;
	bool secure;	  /* every answer that was needed was validated */
	const char *text; /* why not FOUND */
	const struct request_target *targets; /* by preference */
	unsigned target_count;
	const char *name; /* of DNS_NAME: verified */
};

typedef void request_fn(void *owner, uint32_t tag,
    const struct request_answer *answer);

struct requests {
	struct ev_loop *loop;
	struct resolver *resolver;
	struct acct *acct;
	struct pool pool;
	struct list all;
	struct list waiting; /* have a question to ask, in turn */
	int64_t timeout_ms;
	struct limit_row *late; /* dns_timeout, and how often it passed */
	bool pumping;
	request_fn *fn;
};

/*
 * requests_init(s, loop, a, resolver, count_max, timeout_ms, fn):
 * At most count_max requests at once (dns_query_limit), each answered through
 * fn after timeout_ms (dns_timeout) at the latest.  loop, a and resolver are
 * borrowed until requests_fini; resolver->on_room is taken for s.
 */
void requests_init(struct requests *s, struct ev_loop *loop, struct acct *a,
    struct resolver *resolver, unsigned count_max, int64_t timeout_ms,
    request_fn *fn);
/* Every request under way is dropped; fn is not called for it. */
void requests_fini(struct requests *s);

/*
 * fn is called once, maybe before these return, unless request_drop comes
 * first.  protocols: enum conf_inet set.
 */
void request_hosts(struct requests *s, void *owner, uint32_t tag,
    enum dns_kind kind, unsigned protocols, struct slice domain);
void request_name(struct requests *s, void *owner, uint32_t tag,
    const uint8_t *octets, unsigned octet_count);
/* Drop all of an owner. */
void requests_drop(struct requests *s, void *owner);
