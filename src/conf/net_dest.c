/*
 * conf/net_dest: where to listen and where to send, as text.
 */
#include <string.h>
#include <sys/un.h>

#include "conf/net.h"

static bool
starts_unix(struct slice s)
{
	return s.len >= 5 && memcmp(s.data, "unix:", 5) == 0;
}

static enum err
unix_parse(struct slice s, bool may_be_relative, struct slice *path_out,
    struct errtext *et)
{
	struct slice path = slice_sub(s, 5, s.len);

	if (path.len == 0 || (path.data[0] != '/' && !may_be_relative))
		return err_set(et, ERR_SYNTAX,
		    "the path of a socket is absolute; write unix:/PATH");
	if (path.len >= sizeof(((struct sockaddr_un *)NULL)->sun_path))
		return err_set(et, ERR_SYNTAX,
		    "the path of a socket has at most %zu bytes; write a "
		    "shorter one",
		    sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1);
	*path_out = path;
	return OK;
}

static enum err
port_parse(struct slice s, uint16_t *out, struct errtext *et)
{
	uint64_t port;

	if (!slice_to_u64(s, 65535, &port) || port == 0)
		return err_set(et, ERR_SYNTAX,
		    "not a port; write a number from 1 to 65535 after the "
		    "last colon");
	*out = (uint16_t)port;
	return OK;
}

/* Splits at the last colon outside brackets; an address with several colons
 * and no brackets is IPv6 without a port. */
static bool
port_split(struct slice s, struct slice *host_out, struct slice *port_out)
{
	size_t colon = slice_rfind(s, ':'), close = slice_rfind(s, ']');

	*host_out = s;
	*port_out = SLICE_NONE;
	if (colon == s.len)
		return false;
	if (close != s.len ? colon < close : slice_find(s, ':') != colon)
		return false;
	*host_out = slice_sub(s, 0, colon);
	*port_out = slice_sub(s, colon + 1, s.len);
	return true;
}

enum err
net_listen_parse(struct slice s, struct net_listen *out, struct errtext *et)
{
	struct slice host, port;

	*out = (struct net_listen){ 0 };
	if (starts_unix(s))
		return unix_parse(s, false, &out->path, et);
	if (!port_split(s, &host, &port))
		return err_set(et, ERR_SYNTAX,
		    "no port; write ADDRESS:PORT, *:PORT, [IPv6]:PORT or "
		    "unix:/PATH");
	if (slice_eq(host, SLICE_LIT("*")))
		out->any = true;
	else if (!net_addr_parse(host, &out->addr))
		return err_set(et, ERR_SYNTAX,
		    "not an address; write an IPv4 address, [IPv6] or * "
		    "before the port");
	return port_parse(port, &out->port, et);
}

enum err
net_addr_port_parse(struct slice s, uint16_t default_port,
    struct net_addr *addr_out, uint16_t *port_out, struct errtext *et)
{
	struct slice host, port;

	*port_out = default_port;
	if (port_split(s, &host, &port)) {
		enum err e = port_parse(port, port_out, et);

		if (e != OK)
			return e;
	}
	if (!net_addr_parse(host, addr_out))
		return err_set(et, ERR_SYNTAX,
		    "not an address; write ADDRESS, ADDRESS:PORT or "
		    "[IPv6]:PORT");
	return OK;
}

/* [host], [host]:port, [192.0.2.1], [IPv6:2001:db8::1] */
static enum err
bracketed_parse(struct slice s, struct net_nexthop *out, struct errtext *et)
{
	size_t close = slice_find(s, ']');
	struct slice rest;

	if (close == s.len)
		return err_set(et, ERR_SYNTAX, "no ]; write [HOST]:PORT");
	out->bracketed = true;
	out->host = slice_sub(s, 1, close);
	rest = slice_sub(s, close + 1, s.len);
	if (!net_addr_parse(slice_sub(s, 0, close + 1), &out->addr) &&
	    !net_host_valid(out->host))
		return err_set(et, ERR_SYNTAX,
		    "not a host or an address; write [HOST] or [ADDRESS]");
	if (rest.len == 0)
		return OK;
	if (rest.data[0] != ':')
		return err_set(et, ERR_SYNTAX,
		    "text after ]; write [HOST]:PORT");
	return port_parse(slice_sub(rest, 1, rest.len), &out->port, et);
}

enum err
net_nexthop_parse(struct slice s, struct net_nexthop *out, struct errtext *et)
{
	struct slice port;
	enum err e;

	*out = (struct net_nexthop){ 0 };
	if (starts_unix(s))
		return unix_parse(s, true, &out->path, et);
	if (s.len >= 5 && memcmp(s.data, "inet:", 5) == 0)
		s = slice_sub(s, 5, s.len);
	if (s.len > 0 && s.data[0] == '[')
		return bracketed_parse(s, out, et);
	if (port_split(s, &out->host, &port)) {
		e = port_parse(port, &out->port, et);
		if (e != OK)
			return e;
	}
	/* As an address it needs no MX lookup, brackets or not. */
	if (net_addr_parse(out->host, &out->addr)) {
		out->bracketed = true;
		return OK;
	}
	if (!net_host_valid(out->host))
		return err_set(et, ERR_SYNTAX,
		    "not a domain; write DOMAIN, [HOST] or [ADDRESS], each "
		    "with :PORT if needed");
	return OK;
}

enum err
net_transport_split(struct slice s, struct slice *transport_out,
    struct slice *nexthop_out, struct errtext *et)
{
	size_t colon = slice_find(s, ':');

	if (colon == s.len)
		return err_set(et, ERR_SYNTAX,
		    "no colon; write TRANSPORT:NEXTHOP");
	*transport_out = slice_trim(slice_sub(s, 0, colon));
	*nexthop_out = slice_trim(slice_sub(s, colon + 1, s.len));
	return OK;
}

enum err
net_route_parse(struct slice s, struct net_route *out, struct errtext *et)
{
	size_t colon = slice_find(s, ':');
	struct slice rest = slice_sub(s, colon + 1, s.len), port;
	struct net_addr addr;

	*out = (struct net_route){ .domain = slice_sub(s, 0, colon) };
	if (colon == s.len)
		return err_set(et, ERR_SYNTAX,
		    "no colon; write DOMAIN:HOST or DOMAIN:HOST:PORT");
	if (port_split(rest, &out->host, &port) &&
	    port_parse(port, &out->port, et) != OK)
		return ERR_SYNTAX;
	s = out->domain;
	if (s.len > 0 && s.data[0] == '.')
		s = slice_sub(s, 1, s.len);
	if (out->domain.len > 0 && !net_host_valid(s))
		return err_set(et, ERR_SYNTAX,
		    "not a domain before the colon; write DOMAIN, .SUFFIX or "
		    "nothing there");
	s = out->host;
	if (s.len >= 2 && s.data[0] == '[' && s.data[s.len - 1] == ']')
		out->host = slice_sub(s, 1, s.len - 1);
	if (s.len > 0 && !net_host_valid(out->host) &&
	    !net_addr_parse(s, &addr))
		return err_set(et, ERR_SYNTAX,
		    "not a host after the colon; write HOST, [ADDRESS] or "
		    "nothing there");
	return OK;
}

bool
net_route_fits(const struct net_route *r, struct slice domain)
{
	if (r->domain.len == 0)
		return true;
	if (r->domain.data[0] == '.')
		return domain.len > r->domain.len &&
		       slice_ends_nocase(domain, r->domain);
	return slice_eq_nocase(domain, r->domain);
}

/* What may stand in front of a local part. */
static bool
prepend_valid(struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.data[i] <= ' ' || s.data[i] == 0x7f ||
		    strchr("@:<>()[]\\\",;", s.data[i]) != NULL)
			return false;
	return s.len <= 64;
}

enum err
net_prepend_parse(struct slice s, struct net_prepend *out, struct errtext *et)
{
	size_t colon = slice_rfind(s, ':');
	struct slice domain;

	*out = (struct net_prepend){ .key = slice_sub(s, 0, colon),
		.prepend = slice_sub(s, colon + 1, s.len) };
	if (colon == s.len)
		return err_set(et, ERR_SYNTAX,
		    "no colon; write DOMAIN:PREPEND or USER@DOMAIN:PREPEND");
	domain = slice_sub(out->key, slice_rfind(out->key, '@'), out->key.len);
	if (domain.len == 0)
		domain = out->key;
	if (domain.len > 0 && (domain.data[0] == '@' || domain.data[0] == '.'))
		domain = slice_sub(domain, 1, domain.len);
	if (out->key.len > 0 && !net_host_valid(domain))
		return err_set(et, ERR_SYNTAX,
		    "not a domain before the colon; write USER@DOMAIN, DOMAIN, "
		    ".SUFFIX or nothing there");
	if (!prepend_valid(out->prepend))
		return err_set(et, ERR_SYNTAX,
		    "not the beginning of a local part after the colon; write "
		    "a user name, or nothing for an exception");
	return OK;
}

unsigned
net_prepend_rank(const struct net_prepend *p, struct slice local,
    struct slice domain)
{
	enum { RANK_ALL = 1, RANK_SUFFIX, RANK_DOMAIN = 257, RANK_ADDRESS };
	size_t at = slice_rfind(p->key, '@');

	if (p->key.len == 0)
		return RANK_ALL;
	if (at < p->key.len)
		return slice_eq_nocase(slice_sub(p->key, 0, at), local) &&
			       slice_eq_nocase(
				   slice_sub(p->key, at + 1, p->key.len),
				   domain)
			   ? RANK_ADDRESS
			   : 0;
	if (p->key.data[0] != '.')
		return slice_eq_nocase(p->key, domain) ? RANK_DOMAIN : 0;
	if (domain.len <= p->key.len || !slice_ends_nocase(domain, p->key))
		return 0;
	return RANK_SUFFIX + (unsigned)p->key.len - 1;
}

static bool
label_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c >= '0' && c <= '9') || c == '-' || c == '_' || (c & 0x80);
}

bool
net_host_valid(struct slice s)
{
	size_t label = 0; /* bytes of the label so far */

	if (s.len == 0 || s.len > 255)
		return false;
	for (size_t i = 0; i < s.len; i++) {
		char c = s.data[i];

		if (c == '.') {
			if (label == 0 || s.data[i - 1] == '-')
				return false;
			label = 0;
			continue;
		}
		if (!label_char(c) || (label == 0 && c == '-') || label == 63)
			return false;
		label++;
	}
	return label > 0 && s.data[s.len - 1] != '-';
}
