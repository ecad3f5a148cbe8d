/*
 * conf/transport: the built-in transports and their limits.
 */
#include "conf/conf.h"

#define TRANSPORTS(X) \
	X(local) X(virtual) X(smtp) X(lmtp) X(relay) X(error) X(discard)

bool
conf_transport_known(const struct conf *c, struct slice transport)
{
	return conf_transport_built_in(transport) ||
	       conf_pipe_find(c, transport) != NULL;
}

bool
conf_transport_built_in(struct slice transport)
{
#define X(name)                                    \
	if (slice_eq(transport, SLICE_LIT(#name))) \
		return true;
	TRANSPORTS(X)
#undef X
	return false;
}

bool
conf_transport_remote(struct slice transport)
{
	return slice_eq(transport, SLICE_LIT("smtp")) ||
	       slice_eq(transport, SLICE_LIT("lmtp")) ||
	       slice_eq(transport, SLICE_LIT("relay"));
}

void
conf_way_split(struct slice s, struct slice *transport_out,
    struct slice *nexthop_out)
{
	size_t colon = slice_find(s, ':');

	*transport_out = slice_trim(slice_sub(s, 0, colon));
	*nexthop_out = colon == s.len
			   ? SLICE_NONE
			   : slice_trim(slice_sub(s, colon + 1, s.len));
}

int64_t
conf_transport_limit(const struct conf *c, struct slice transport,
    enum conf_transport_which which)
{
	const struct conf_pipe *pipe = conf_pipe_find(c, transport);
	int64_t limits[] = {
		[CONF_TRANSPORT_CONCURRENCY] =
		    c->default_destination_concurrency_limit,
		[CONF_TRANSPORT_RECIPIENTS] =
		    c->default_destination_recipient_limit,
		[CONF_TRANSPORT_INITIAL] = c->initial_destination_concurrency,
	};

#define X(name)                                                \
	if (slice_eq(transport, SLICE_LIT(#name))) {           \
		limits[CONF_TRANSPORT_CONCURRENCY] =           \
		    c->name##_destination_concurrency_limit;   \
		limits[CONF_TRANSPORT_RECIPIENTS] =            \
		    c->name##_destination_recipient_limit;     \
		limits[CONF_TRANSPORT_INITIAL] =               \
		    c->name##_initial_destination_concurrency; \
	}
	TRANSPORTS(X)
#undef X
	if (pipe != NULL) {
		limits[CONF_TRANSPORT_CONCURRENCY] = pipe->concurrency_limit;
		limits[CONF_TRANSPORT_RECIPIENTS] = pipe->recipient_limit;
		limits[CONF_TRANSPORT_INITIAL] = pipe->initial_concurrency;
	}
	return limits[which];
}

unsigned
conf_inet_protocols(const struct conf *c)
{
	const struct conf_list *list = &c->inet_protocols;
	unsigned set = 0;

	if (conf_list_has(list, SLICE_LIT("all")))
		set = CONF_INET4 | CONF_INET6;
	if (conf_list_has(list, SLICE_LIT("ipv4")))
		set |= CONF_INET4;
	if (conf_list_has(list, SLICE_LIT("ipv6")))
		set |= CONF_INET6;
	return set;
}
