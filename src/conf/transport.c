/*
 * conf/transport: the built-in transports and their limits.
 */
#include "conf/conf.h"
#include "conf/net.h"
#include "conf/param.h"

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

enum err
conf_transport_check(const struct conf *c, struct slice transport,
    struct errtext *et)
{
	struct slice shown = slice_sub(transport, 0, CONF_PIPE_NAME_BYTES);
	size_t distance = conf_near_limit(transport);
	const char *near = NULL;

	if (conf_transport_known(c, transport))
		return OK;
#define X(name) conf_near_consider(transport, #name, &near, &distance);
	TRANSPORTS(X)
#undef X
	for (size_t i = 0; i < c->pipe_count; i++)
		conf_near_consider(transport, c->pipes[i].name, &near,
		    &distance);
	if (near != NULL)
		return err_set(et, ERR_CONFIG,
		    "there is no transport %.*s; did you mean %s?",
		    SLICE_ARGS(shown), near);
	return err_set(et, ERR_CONFIG,
	    "there is no transport %.*s; write local, virtual, smtp, lmtp, "
	    "relay, error or discard, or define it: transport %.*s = pipe ...",
	    SLICE_ARGS(shown), SLICE_ARGS(shown));
}

enum err
conf_transport_entry(const struct conf *c, struct slice value,
    struct slice *transport_out, struct slice *nexthop_out, struct errtext *et)
{
	struct net_nexthop parsed;

	if (net_transport_split(value, transport_out, nexthop_out, et) != OK ||
	    (transport_out->len > 0 &&
		conf_transport_check(c, *transport_out, et) != OK) ||
	    (nexthop_out->len > 0 && conf_transport_remote(*transport_out) &&
		net_nexthop_parse(*nexthop_out, &parsed, et) != OK))
		return ERR_CONFIG;
	return OK;
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
