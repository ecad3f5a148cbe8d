/*
 * lookup/way: transport and next hop of an address whose class is known.
 */
#include <stdio.h>
#include <string.h>

#include "lookup/internal.h"

bool
resolve_set_way(struct resolver *r, struct fr_resolved *out,
    struct slice transport, struct slice nexthop)
{
	if (!slice_copy(transport, r->transport, sizeof(r->transport)) ||
	    !slice_copy(nexthop, r->nexthop, sizeof(r->nexthop)))
		return false;
	/* One destination, however its name is written. */
	if (strncmp(r->nexthop, "unix:", 5) != 0)
		for (char *p = r->nexthop; *p != '\0'; p++)
			if (*p >= 'A' && *p <= 'Z')
				*p = (char)(*p - 'A' + 'a');
	out->transport = slice_str(r->transport);
	out->nexthop = slice_str(r->nexthop);
	return true;
}

/* smtproutes: the longest that fits; the first of two that are the same. */
static bool
ask_routes(struct resolver *r, struct slice *nexthop)
{
	const struct conf_list *list = &r->conf->smtproutes;
	struct net_route route, best = { 0 };
	bool found = false;

	for (size_t i = 0; i < list->count; i++) {
		if (net_route_parse(list->items[i], &route, NULL) != OK ||
		    !net_route_fits(&route, r->address.domain) ||
		    (found && route.domain.len <= best.domain.len))
			continue;
		best = route;
		found = true;
	}
	if (!found)
		return false;
	if (best.host.len > 0) {
		int n = snprintf(r->route, sizeof(r->route), "[%.*s]",
		    SLICE_ARGS(best.host));

		if (best.port != 0)
			(void)snprintf(r->route + n,
			    sizeof(r->route) - (size_t)n, ":%u",
			    (unsigned)best.port);
		*nexthop = slice_str(r->route);
	}
	resolve_say_param(r, "smtproutes", "%.*s goes to %.*s",
	    best.domain.len > 0 ? (int)best.domain.len : 10,
	    best.domain.len > 0 ? best.domain.data : "everything",
	    SLICE_ARGS(*nexthop));
	return true;
}

bool
resolve_way_of(struct resolver *r, struct fr_resolved *out, const char *name,
    const char *value)
{
	struct slice transport, nexthop;

	conf_way_split(slice_str(value), &transport, &nexthop);
	resolve_say_param(r, name, "is %s", value);
	if (nexthop.len == 0)
		nexthop = r->address.domain;
	if (resolve_set_way(r, out, transport, nexthop))
		return true;
	resolve_refuse(r, out, 501, "5.1.3", "Bad recipient address syntax");
	return false;
}

void
resolve_default_way(struct resolver *r, struct fr_resolved *out,
    enum resolve_class class)
{
	static const char *const names[] = {
		[CLASS_LOCAL] = "local",
		[CLASS_VIRTUAL] = "virtual",
		[CLASS_ALIAS] = "local", /* its postmaster */
		[CLASS_RELAY] = "relay",
		[CLASS_REMOTE] = "smtp",
	};
	struct slice nexthop = r->address.domain;

	if (class == CLASS_VIRTUAL &&
	    strcmp(r->conf->virtual_transport, "virtual") != 0) {
		(void)resolve_way_of(r, out, "virtual_transport",
		    r->conf->virtual_transport);
		return;
	}
	if (class >= CLASS_RELAY && !ask_routes(r, &nexthop) &&
	    r->conf->relayhost[0] != '\0') {
		nexthop = slice_str(r->conf->relayhost);
		resolve_say_param(r, "relayhost", "is %.*s",
		    SLICE_ARGS(nexthop));
	}
	/* Neither a domain nor a checked relayhost can be too long. */
	if (!resolve_set_way(r, out, slice_str(names[class]), nexthop))
		resolve_refuse(r, out, 501, "5.1.3",
		    "Bad recipient address syntax");
}

/* "5.1.1 text" or "text" of transport error. */
static void
refuse_as_told(struct resolver *r, struct fr_resolved *out, struct slice text)
{
	struct slice rest = text, status;
	char buf[13];

	if (!slice_word(&rest, " ", &status) || status.len < 5 ||
	    (status.data[0] != '4' && status.data[0] != '5') ||
	    status.data[1] != '.' || !slice_copy(status, buf, sizeof(buf))) {
		(void)snprintf(buf, sizeof(buf), "5.1.0");
		rest = text;
	}
	rest = slice_trim(rest);
	resolve_refuse(r, out, buf[0] == '4' ? 450 : 550, buf, "%.*s",
	    rest.len > 0 ? (int)rest.len : 20,
	    rest.len > 0 ? rest.data : "Mail is not accepted");
}

/* What an entry means on top of what follows from the class; borrowed.
 * ERR_CONFIG, with et, for one that means nothing. */
static enum err
read_entry(struct resolver *r, const struct fr_resolved *out,
    struct slice value, struct slice *transport, struct slice *nexthop,
    struct errtext *et)
{
	struct net_nexthop parsed;

	if (conf_transport_entry(r->conf, value, transport, nexthop, et) != OK)
		return ERR_CONFIG;
	if (slice_eq(*transport, SLICE_LIT("error")))
		return OK;
	if (transport->len == 0 && nexthop->len == 0)
		*nexthop = out->nexthop; /* ":" says that nothing changes */
	else if (nexthop->len == 0)
		*nexthop = r->address.domain;
	if (transport->len == 0)
		*transport = out->transport;
	if (conf_transport_remote(*transport) &&
	    net_nexthop_parse(*nexthop, &parsed, et) != OK)
		return ERR_CONFIG;
	return OK;
}

bool
resolve_transport_maps(struct resolver *r, struct fr_resolved *out)
{
	char name[sizeof(r->transport)], next[sizeof(r->nexthop)];
	struct slice transport, nexthop;
	struct errtext et = { "" }, why;
	struct table_answer a;
	enum err e;

	e = tables_lookup_address(&r->transports, TABLE_ORDER_TRANSPORT,
	    &r->keys, &a, &et);
	if (e == ERR_NOTFOUND)
		return true;
	if (e != OK) {
		resolve_fail(r, out, &et);
		return false;
	}
	resolve_say_table(r, "transport_maps", &a);
	e = read_entry(r, out, a.value, &transport, &nexthop, &et);
	if (e == OK && slice_eq(transport, SLICE_LIT("error"))) {
		refuse_as_told(r, out, nexthop);
		return false;
	}
	/* They may lie where the way is kept: copied first. */
	if (e == OK && (!slice_copy(transport, name, sizeof(name)) ||
			   !slice_copy(nexthop, next, sizeof(next))))
		e = err_set(&et, ERR_CONFIG, "too long");
	if (e == OK &&
	    resolve_set_way(r, out, slice_str(name), slice_str(next)))
		return true;
	(void)err_set(&why, ERR_LOOKUP, "%s:%u: \"%.*s\": %s", a.table, a.line,
	    SLICE_ARGS(slice_sub(a.value, 0, 80)), et.text);
	resolve_fail(r, out, &why);
	return false;
}
