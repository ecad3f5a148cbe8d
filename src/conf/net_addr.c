/*
 * conf/net_addr: IP addresses and networks as text.
 */
#include <arpa/inet.h>
#include <string.h>

#include "conf/net.h"

static bool
is_mapped(const uint8_t octets[16])
{
	static const uint8_t prefix[12] = { [10] = 0xff, [11] = 0xff };

	return memcmp(octets, prefix, sizeof(prefix)) == 0;
}

struct net_addr
net_addr_from6(const uint8_t octets[16])
{
	struct net_addr a = { 0 };

	if (is_mapped(octets)) {
		a.family = 4;
		memcpy(a.octets, octets + 12, 4);
	} else {
		a.family = 6;
		memcpy(a.octets, octets, 16);
	}
	return a;
}

bool
net_addr_parse(struct slice s, struct net_addr *out)
{
	char text[NET_ADDR_TEXT_BYTES];
	uint8_t octets[16];
	bool bracketed = false;

	*out = (struct net_addr){ 0 };
	if (s.len >= 2 && s.data[0] == '[' && s.data[s.len - 1] == ']') {
		s = slice_sub(s, 1, s.len - 1);
		bracketed = true;
	}
	if (bracketed && slice_starts_nocase(s, SLICE_LIT("IPv6:")))
		s = slice_sub(s, 5, s.len);
	if (s.len == 0 || !slice_copy(s, text, sizeof(text)))
		return false;
	if (inet_pton(AF_INET, text, octets) == 1) {
		out->family = 4;
		memcpy(out->octets, octets, 4);
		return true;
	}
	if (inet_pton(AF_INET6, text, octets) == 1) {
		*out = net_addr_from6(octets);
		return true;
	}
	return false;
}

struct net_addr
net_addr_of(const struct sockaddr *sa)
{
	struct net_addr a = { 0 };
	struct sockaddr_in in4;
	struct sockaddr_in6 in6;

	if (sa->sa_family == AF_INET) {
		memcpy(&in4, sa, sizeof(in4));
		a.family = 4;
		memcpy(a.octets, &in4.sin_addr, 4);
	} else if (sa->sa_family == AF_INET6) {
		memcpy(&in6, sa, sizeof(in6));
		a = net_addr_from6(in6.sin6_addr.s6_addr);
	}
	return a;
}

void
net_addr_text(const struct net_addr *a, char buf[NET_ADDR_TEXT_BYTES])
{
	buf[0] = '\0';
	if (a->family != 0)
		(void)inet_ntop(a->family == 4 ? AF_INET : AF_INET6, a->octets,
		    buf, NET_ADDR_TEXT_BYTES);
}

bool
net_addr_eq(const struct net_addr *a, const struct net_addr *b)
{
	return a->family == b->family &&
	       memcmp(a->octets, b->octets, sizeof(a->octets)) == 0;
}

/* Do the first bits of two addresses agree?  What is past them in a must be
 * 0 when b is a itself, see net_range_parse. */
static bool
prefix_eq(const uint8_t *a, const uint8_t *b, unsigned bits)
{
	unsigned whole = bits / 8, rest = bits % 8;
	unsigned mask = (0xff00u >> rest) & 0xff;

	if (memcmp(a, b, whole) != 0)
		return false;
	return rest == 0 || ((a[whole] ^ b[whole]) & mask) == 0;
}

static bool
has_host_bits(const struct net_addr *a, unsigned bits)
{
	unsigned total = a->family == 4 ? 32 : 128;

	for (unsigned i = bits; i < total; i++)
		if (a->octets[i / 8] & (0x80u >> (i % 8)))
			return true;
	return false;
}

enum err
net_range_parse(struct slice s, struct net_range *out, struct errtext *et)
{
	size_t slash;
	uint64_t prefix;
	unsigned total;

	*out = (struct net_range){ 0 };
	if (s.len > 0 && s.data[0] == '!') {
		out->negated = true;
		s = slice_sub(s, 1, s.len);
	}
	slash = slice_rfind(s, '/');
	if (!net_addr_parse(slice_sub(s, 0, slash), &out->base))
		return err_set(et, ERR_SYNTAX,
		    "not an address or network; write 192.0.2.0/24, "
		    "[2001:db8::]/32 or an address");
	total = out->base.family == 4 ? 32 : 128;
	out->prefix = (uint8_t)total;
	if (slash == s.len)
		return OK;
	if (!slice_to_u64(slice_sub(s, slash + 1, s.len), total, &prefix))
		return err_set(et, ERR_SYNTAX,
		    "not a prefix length; write 0 to %u after the slash",
		    total);
	if (has_host_bits(&out->base, (unsigned)prefix))
		return err_set(et, ERR_SYNTAX,
		    "bits are set after the first %u; write the network's "
		    "own address, with zeros there",
		    (unsigned)prefix);
	out->prefix = (uint8_t)prefix;
	return OK;
}

bool
conf_list_has_addr(const struct conf_list *list, const struct net_addr *a)
{
	struct net_range r;

	for (size_t i = 0; i < list->count; i++) {
		if (net_range_parse(list->items[i], &r, NULL) != OK)
			continue; /* none in a list that was checked */
		if (r.base.family == a->family &&
		    prefix_eq(r.base.octets, a->octets, r.prefix))
			return !r.negated;
	}
	return false;
}
