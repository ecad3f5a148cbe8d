/*
 * conf/net: addresses and destinations as weir.conf writes them.
 */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/err.h"
#include "base/slice.h"
#include "conf/conf.h"

/* An IP address; v4-mapped IPv6 addresses are kept as IPv4. */
struct net_addr {
	uint8_t family;	    /* 4 or 6; 0: none */
	uint8_t octets[16]; /* network order; the first 4 of IPv4 */
};

/* "192.0.2.1", "2001:db8::1", "[2001:db8::1]".  False: not an address. */
bool net_addr_parse(struct slice s, struct net_addr *out);
/* Of 16 octets; one that is mapped (RFC 4291 2.5.5.2) is that of IPv4. */
struct net_addr net_addr_from6(const uint8_t octets[16]);
/* From the address of a socket; family 0 unless AF_INET or AF_INET6. */
struct net_addr net_addr_of(const struct sockaddr *sa);
enum { NET_ADDR_TEXT_BYTES = 46 };
void net_addr_text(const struct net_addr *a, char buf[NET_ADDR_TEXT_BYTES]);
bool net_addr_eq(const struct net_addr *a, const struct net_addr *b);

struct net_range {
	struct net_addr base; /* bits past prefix are 0 */
	uint8_t prefix;	      /* bits */
	bool negated;
};

/* "127.0.0.0/8", "[::1]/128", "[fe80::]/10", "192.0.2.7", "!10.1.2.3".
 * ERR_SYNTAX, with et; bits past the prefix must be 0. */
MUST_CHECK enum err net_range_parse(struct slice s, struct net_range *out,
    struct errtext *et);

/* Is the address in a list such as mynetworks?  The first item that matches
 * decides, a negated one says no.  Linear in the list. */
bool conf_list_has_addr(const struct conf_list *list, const struct net_addr *a);

/* An item of smtp_listen. */
struct net_listen {
	bool any;	      /* "*": every address of inet_protocols */
	struct net_addr addr; /* unless any or path */
	uint16_t port;
	struct slice path; /* unix:PATH; empty: not one.  Borrowed. */
};

/* "ADDRESS:PORT", "[IPv6]:PORT", "*:PORT" or "unix:/PATH".  ERR_SYNTAX, with
 * et. */
MUST_CHECK enum err net_listen_parse(struct slice s, struct net_listen *out,
    struct errtext *et);

/* ADDRESS, ADDRESS:PORT or [IPv6]:PORT (resolver_addresses). */
MUST_CHECK enum err net_addr_port_parse(struct slice s, uint16_t default_port,
    struct net_addr *addr_out, uint16_t *port_out, struct errtext *et);

/* A next hop: "example.org", "[mail.example.org]:2525", "[192.0.2.1]",
 * "[IPv6:2001:db8::1]:25", each with "inet:" in front or without;
 * "unix:/run/lmtp", "unix:private/lmtp" (below queue_directory). */
struct net_nexthop {
	struct slice host;    /* domain, host or address; borrowed */
	bool bracketed;	      /* no MX lookup */
	struct net_addr addr; /* family 0 unless host is an address */
	uint16_t port;	      /* 0: the default */
	struct slice path;    /* unix:PATH; then host is empty.  May be
				 relative */
};

/* out->path and out->host are borrowed from s; an address counts as bracketed,
 * brackets or not.  ERR_SYNTAX, with et. */
MUST_CHECK enum err net_nexthop_parse(struct slice s, struct net_nexthop *out,
    struct errtext *et);

/*
 * net_transport_split(s, transport_out, nexthop_out):
 * "NAME:NEXTHOP" as in transport_maps.  Either part may be empty (":host"
 * keeps the transport, "smtp:" keeps the next hop).  Borrowed from s.
 * ERR_SYNTAX: no colon.
 */
MUST_CHECK enum err net_transport_split(struct slice s,
    struct slice *transport_out, struct slice *nexthop_out, struct errtext *et);

/* An item of smtproutes: "DOMAIN:HOST", ".SUFFIX:HOST:PORT", ":HOST",
 * "DOMAIN:". */
struct net_route {
	struct slice domain; /* with the dot of a suffix; empty: all */
	struct slice host;   /* without brackets; empty: MX of the domain */
	uint16_t port;	     /* 0: the default */
};

/* Everything in out is borrowed from s.  ERR_SYNTAX, with et. */
MUST_CHECK enum err net_route_parse(struct slice s, struct net_route *out,
    struct errtext *et);

/* Does the route concern domain? */
bool net_route_fits(const struct net_route *r, struct slice domain);

/* An item of virtualdomains: "USER@DOMAIN:PREPEND", "DOMAIN:PREPEND",
 * ".SUFFIX:PREPEND", ":PREPEND"; PREPEND may be empty. */
struct net_prepend {
	struct slice key; /* before the last colon; empty: all */
	struct slice prepend;
};

/* Everything in out is borrowed from s.  ERR_SYNTAX, with et. */
MUST_CHECK enum err net_prepend_parse(struct slice s, struct net_prepend *out,
    struct errtext *et);

/*
 * net_prepend_rank(p, local, domain):
 * How well the item fits an address, as qmail-send asks: 0 not at all; else
 * the address itself, then its domain, then the suffixes, the longest first,
 * then the empty key have the greater ranks.
 */
unsigned net_prepend_rank(const struct net_prepend *p, struct slice local,
    struct slice domain);

/* A host or domain name: labels of letters, digits, hyphen and underscore,
 * octets above 127 (UTF-8); at most 255. */
bool net_host_valid(struct slice s);
