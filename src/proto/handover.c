/*
 * handover: RELAYCLIENT and the rest of a connection's environment.
 */
#include "proto/handover.h"

#include <string.h>

#include "proto/address.h"

enum name_of {
#define X(name) NAME_##name,
	HANDOVER_NAMES(X)
#undef X
	    NAME_COUNT
};

static const struct slice names[NAME_COUNT] = {
#define X(name) { #name, sizeof(#name) - 1 },
	HANDOVER_NAMES(X)
#undef X
};

static bool
printable(struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.data[i] <= ' ' || s.data[i] > '~')
			return false;
	return true;
}

static const char *
set_relay(struct handover *h, struct slice value)
{
	char buf[ADDRESS_BYTES_MAX];
	size_t len;

	h->relays = true;
	h->relay = value;
	if (value.len == 0)
		return NULL;
	/* Seen here, or no recipient at all would be taken. */
	if (!printable(value) ||
	    !handover_rcpt(SLICE_LIT("a@b.example"), value, buf, &len))
		return "RELAYCLIENT does not make addresses";
	return NULL;
}

static const char *
set_size(struct handover *h, struct slice value)
{
	h->has_size = true;
	value = slice_trim(value);
	if (value.len > 0 && !slice_to_u64(value, INT64_MAX, &h->size))
		return "DATABYTES is not a number";
	return NULL;
}

static const char *
set(struct handover *h, enum name_of name, struct slice value)
{
	switch (name) {
	case NAME_TCPREMOTEIP: h->ip = value; return NULL;
	case NAME_TCPREMOTEHOST: h->host = value; return NULL;
	case NAME_TCPREMOTEINFO: h->info = value; return NULL;
	case NAME_RELAYCLIENT: return set_relay(h, value);
	case NAME_DATABYTES: return set_size(h, value);
	case NAME_COUNT: break;
	}
	return "a name of no meaning";
}

/* One "NAME=value"; seen: set of names that came. */
static const char *
set_variable(struct handover *h, struct slice variable, unsigned *seen)
{
	size_t at = slice_find(variable, '=');
	struct slice name = slice_sub(variable, 0, at);
	struct slice value = slice_sub(variable, at + 1, variable.len);
	unsigned n = 0;

	while (n < NAME_COUNT && !slice_eq(name, names[n]))
		n++;
	if (at == variable.len || n == NAME_COUNT || (*seen & 1u << n) ||
	    value.len > HANDOVER_VALUE_BYTES_MAX)
		return "it is malformed";
	*seen |= 1u << n;
	return set(h, (enum name_of)n, value);
}

bool
handover_get(struct slice packet, struct handover *out, const char **why_out)
{
	static const struct slice magic = { HANDOVER_MAGIC,
		sizeof(HANDOVER_MAGIC) };
	unsigned seen = 0;

	*out = (struct handover){ .relays = false };
	*why_out = "it is malformed";
	if (packet.len < magic.len ||
	    memcmp(packet.data, magic.data, magic.len) != 0 ||
	    packet.data[packet.len - 1] != '\0')
		return false;
	packet = slice_sub(packet, magic.len, packet.len);
	while (packet.len > 0) {
		size_t end = slice_find(packet, '\0');

		*why_out = set_variable(out, slice_sub(packet, 0, end), &seen);
		if (*why_out != NULL)
			return false;
		packet = slice_sub(packet, end + 1, packet.len);
	}
	*why_out = NULL;
	return true;
}

bool
handover_rcpt(struct slice address, struct slice relay,
    char buf[static ADDRESS_BYTES_MAX], size_t *len_out)
{
	char raw[LOCAL_PART_BYTES_MAX + DOMAIN_BYTES_MAX + 1 +
		 HANDOVER_VALUE_BYTES_MAX];
	char local[LOCAL_PART_BYTES_MAX];
	struct slice all, domain;
	struct address a;
	size_t len, at;

	if (relay.len > HANDOVER_VALUE_BYTES_MAX)
		return false;
	address_split(address, &a);
	if (a.domain.len > DOMAIN_BYTES_MAX ||
	    !address_local_unquote(a.local, raw, &len))
		return false;
	if (a.domain.len > 0) {
		raw[len++] = '@';
		memcpy(raw + len, a.domain.data, a.domain.len);
		len += a.domain.len;
	}
	memcpy(raw + len, relay.data, relay.len);
	all = slice_of(raw, len + relay.len);
	at = slice_rfind(all, '@');
	domain = slice_sub(all, at + 1, all.len);
	if (!address_local_quote(slice_sub(all, 0, at), local, &len))
		return false;
	if (at == all.len) { /* still none: one of ours */
		memcpy(buf, local, len);
		*len_out = len;
		return true;
	}
	if ((!domain_valid(domain, true) && !address_literal_valid(domain)) ||
	    len + 1 + domain.len > ADDRESS_BYTES_MAX)
		return false;
	memcpy(buf, local, len);
	buf[len] = '@';
	memcpy(buf + len + 1, domain.data, domain.len);
	*len_out = len + 1 + domain.len;
	return true;
}
