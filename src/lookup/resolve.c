/*
 * lookup/resolve: the class of an address, and the way of its mail.
 *
 * Happy path: split the address, add myorigin where there is no domain; find
 * the class of the domain; ask transport_maps; see that the recipient exists
 * where the class is local or virtual; say transport and next hop.
 *
 * Failure modes: a table that cannot be read, a user database that does not
 * answer, an entry that makes no sense: all of them 451, logged, nothing is
 * returned to anybody because of them.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "lookup/internal.h"

/* ---- steps and refusals ---- */

static void
say(struct resolver *r, const char *place, const char *fmt, va_list ap)
{
	char text[900];

	(void)vsnprintf(text, sizeof(text), fmt, ap);
	r->step(r->step_arg, place, text);
}

void
resolve_say(struct resolver *r, const char *place, const char *fmt, ...)
{
	va_list ap;

	if (r->step == NULL)
		return;
	va_start(ap, fmt);
	say(r, place, fmt, ap);
	va_end(ap);
}

void
resolve_say_param(struct resolver *r, const char *parameter, const char *fmt,
    ...)
{
	char source[CONF_SOURCE_BYTES], place[CONF_SOURCE_BYTES + 64];
	va_list ap;

	if (r->step == NULL)
		return;
	conf_source(r->conf, parameter, source);
	(void)snprintf(place, sizeof(place), "%s: %s", source, parameter);
	va_start(ap, fmt);
	say(r, place, fmt, ap);
	va_end(ap);
}

void
resolve_say_table(struct resolver *r, const char *parameter,
    const struct table_answer *a)
{
	char place[512];

	if (r->step == NULL)
		return;
	if (strncmp(a->table, "inline:", 7) == 0 ||
	    strncmp(a->table, "static:", 7) == 0) {
		/* The table is its own place: weir.conf. */
		resolve_say_param(r, parameter, "%.*s is %.*s",
		    SLICE_ARGS(a->key),
		    SLICE_ARGS(slice_sub(a->value, 0, 400)));
		return;
	}
	if (a->line > 0)
		(void)snprintf(place, sizeof(place), "%s:%u", a->table,
		    a->line);
	else
		(void)snprintf(place, sizeof(place), "%s", a->table);
	resolve_say(r, place, "%s: %.*s is %.*s", parameter, SLICE_ARGS(a->key),
	    SLICE_ARGS(slice_sub(a->value, 0, 400)));
}

void
resolve_refuse(struct resolver *r, struct fr_resolved *out, int code,
    const char *status, const char *fmt, ...)
{
	va_list ap;
	size_t n = 0;

	out->verdict = RESOLVE_REFUSE;
	out->code = (uint16_t)code;
	(void)snprintf(r->status, sizeof(r->status), "%s", status);
	out->status = slice_str(r->status);
	if (code != 501)
		n = (size_t)snprintf(r->reply, sizeof(r->reply),
		    "<%.*s>: Recipient address rejected: ",
		    SLICE_ARGS(slice_sub(r->address.text, 0, 256)));
	va_start(ap, fmt);
	(void)vsnprintf(r->reply + n, sizeof(r->reply) - n, fmt, ap);
	va_end(ap);
	out->text = slice_str(r->reply);
	out->transport = out->nexthop = out->mailbox = SLICE_NONE;
}

void
resolve_fail(struct resolver *r, struct fr_resolved *out,
    const struct errtext *et)
{
	static struct log_limit_site site;
	struct mono now = clock_system.mono(&clock_system);

	/* At most one line a minute: a missing table concerns every mail. */
	if (!site.seen || mono_sub(now, site.next) >= 0) {
		log_warning("lookup of <%.*s>: %s", SLICE_ARGS(r->address.text),
		    et->text);
		site.seen = true;
		site.next = mono_add(now, 60000);
	}
	resolve_say(r, "", "temporary failure: %s", et->text);
	resolve_refuse(r, out, 451, "4.3.0", "Temporary lookup failure");
}

/* ---- class ---- */

static enum err
domain_in(struct resolver *r, const char *parameter,
    const struct conf_list *list, struct tables *ts, struct errtext *et)
{
	struct slice domain = r->address.domain;
	struct table_answer a;
	enum err e;

	if (conf_list_has_domain(list, domain)) {
		resolve_say_param(r, parameter, "has %.*s", SLICE_ARGS(domain));
		return OK;
	}
	e = tables_lookup(ts, domain, &a, et);
	if (e == OK)
		resolve_say_table(r, parameter, &a);
	return e;
}

static bool
is_own_literal(struct resolver *r)
{
	struct net_addr a;

	if (!r->address.literal || !net_addr_parse(r->address.domain, &a) ||
	    !r->sys->is_own(r->sys->arg, &a))
		return false;
	resolve_say(r, "system", "%.*s is an address of this machine",
	    SLICE_ARGS(r->address.domain));
	return true;
}

static enum err
find_class(struct resolver *r, enum resolve_class *out, struct errtext *et)
{
	const struct conf *c = r->conf;
	enum err e;

	*out = CLASS_LOCAL;
	if (is_own_literal(r))
		return OK;
	e = domain_in(r, "mydestination", &c->mydestination, &r->local_domains,
	    et);
	if (e != ERR_NOTFOUND)
		return e;
	*out = CLASS_VIRTUAL;
	e = domain_in(r, "virtual_mailbox_domains", &c->virtual_mailbox_domains,
	    &r->virtual_domains, et);
	if (e != ERR_NOTFOUND)
		return e;
	*out = CLASS_RELAY;
	e = domain_in(r, "relay_domains", &c->relay_domains, &r->relay_domains,
	    et);
	if (e != ERR_NOTFOUND)
		return e;
	*out = CLASS_REMOTE;
	resolve_say(r, "",
	    "%.*s is in none of mydestination, virtual_mailbox_domains and "
	    "relay_domains: another server's",
	    SLICE_ARGS(r->address.domain));
	return OK;
}

/* ---- way ---- */

static bool
set_way(struct resolver *r, struct fr_resolved *out, struct slice transport,
    struct slice nexthop)
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

static void
set_default_way(struct resolver *r, struct fr_resolved *out,
    enum resolve_class class)
{
	static const char *const names[] = {
		[CLASS_LOCAL] = "local",
		[CLASS_VIRTUAL] = "virtual",
		[CLASS_RELAY] = "relay",
		[CLASS_REMOTE] = "smtp",
	};
	struct slice nexthop = r->address.domain;

	if (class >= CLASS_RELAY && !ask_routes(r, &nexthop) &&
	    r->conf->relayhost[0] != '\0') {
		nexthop = slice_str(r->conf->relayhost);
		resolve_say_param(r, "relayhost", "is %.*s",
		    SLICE_ARGS(nexthop));
	}
	/* Neither a domain nor a checked relayhost can be too long. */
	if (!set_way(r, out, slice_str(names[class]), nexthop))
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

/* transport_maps.  False when out is final. */
static bool
ask_transport_maps(struct resolver *r, struct fr_resolved *out)
{
	struct slice transport, nexthop;
	struct table_answer a;
	struct errtext et = { "" };
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
	e = net_transport_split(a.value, &transport, &nexthop, &et);
	if (e == OK && transport.len > 0 && !conf_transport_known(transport))
		e = err_set(&et, ERR_CONFIG, "no transport of that name");
	if (e != OK) {
		struct errtext why;

		(void)err_set(&why, ERR_LOOKUP, "%s:%u: \"%.*s\": %s", a.table,
		    a.line, SLICE_ARGS(slice_sub(a.value, 0, 80)), et.text);
		resolve_fail(r, out, &why);
		return false;
	}
	if (slice_eq(transport, SLICE_LIT("error"))) {
		refuse_as_told(r, out, nexthop);
		return false;
	}
	if (transport.len == 0 && nexthop.len == 0)
		return true; /* ":" says that nothing changes */
	if (transport.len == 0)
		transport = out->transport;
	if (nexthop.len == 0)
		nexthop = r->address.domain;
	/* out->transport may be r->transport itself: copied first. */
	char name[sizeof(r->transport)];

	if (slice_copy(transport, name, sizeof(name)) &&
	    set_way(r, out, slice_str(name), nexthop))
		return true;
	(void)err_set(&et, ERR_LOOKUP, "%s:%u: too long", a.table, a.line);
	resolve_fail(r, out, &et);
	return false;
}

/* ---- the whole ---- */

/* Lower-case and unquoted forms for tables.  False: no such local part. */
static bool
make_keys(struct resolver *r)
{
	size_t len, cut = 0;

	if (!address_local_unquote(r->address.local, r->local, &len))
		return false;
	for (cut = 1; cut < len; cut++)
		if (strchr(r->conf->recipient_delimiter, r->local[cut]) != NULL)
			break;
	r->keys.local = slice_of(r->local, len);
	r->keys.user = slice_sub(r->keys.local, 0, cut);
	r->keys.domain = r->address.domain;
	return true;
}

/* text@myorigin where there is no domain. */
static bool
set_address(struct resolver *r, struct slice text)
{
	struct slice origin = slice_str(r->conf->myorigin);

	for (size_t i = 0; i < text.len; i++)
		if ((unsigned char)text.data[i] < ' ' || text.data[i] == 0x7f)
			return false;
	if (text.len == 0 || text.len > sizeof(r->text))
		return false;
	memcpy(r->text, text.data, text.len);
	address_split(slice_of(r->text, text.len), &r->address);
	if (r->address.domain.len == 0) {
		if (text.data[text.len - 1] == '@' ||
		    text.len + 1 + origin.len > sizeof(r->text))
			return false;
		r->text[text.len] = '@';
		memcpy(r->text + text.len + 1, origin.data, origin.len);
		address_split(slice_of(r->text, text.len + 1 + origin.len),
		    &r->address);
		resolve_say_param(r, "myorigin", "added: %.*s",
		    SLICE_ARGS(r->address.text));
	}
	if (r->address.literal ? !address_literal_valid(r->address.domain)
			       : !domain_valid(r->address.domain, true))
		return false;
	return make_keys(r);
}

/* Has the mailbox of a recipient that is ours, or the refusal. */
static void
find_recipient(struct resolver *r, enum resolve_class class,
    struct fr_resolved *out)
{
	bool is_postmaster =
	    slice_eq_nocase(r->keys.local, SLICE_LIT("postmaster"));

	if (slice_eq(out->transport, SLICE_LIT("discard")))
		return;
	if (class == CLASS_LOCAL ||
	    slice_eq(out->transport, SLICE_LIT("local"))) {
		(void)resolve_local_user(r, out);
		return;
	}
	if (class != CLASS_VIRTUAL &&
	    !slice_eq(out->transport, SLICE_LIT("virtual")))
		return;
	if (resolve_virtual_mailbox(r, out) || out->code != 550 ||
	    !is_postmaster || class != CLASS_VIRTUAL)
		return;
	/* RFC 5321 4.5.1: every domain that receives mail has one. */
	out->verdict = RESOLVE_OK;
	out->code = 0;
	out->status = out->text = SLICE_NONE;
	resolve_say_param(r, "postmaster_mailbox",
	    "postmaster is always accepted");
	if (!set_way(r, out, SLICE_LIT("local"), r->address.domain))
		return;
	(void)resolve_local_user(r, out);
}

static void
resolve_address(struct resolver *r, struct slice text, struct fr_resolved *out)
{
	enum resolve_class class = CLASS_LOCAL;
	struct errtext et = { "" };

	*out = (struct fr_resolved){ .verdict = RESOLVE_OK };
	r->address = (struct address){ 0 };
	if (!set_address(r, text)) {
		resolve_refuse(r, out, 501, "5.1.3",
		    "Bad recipient address syntax");
		return;
	}
	out->address = r->address.text;
	/* RFC 5321 4.5.1: <postmaster> alone is accepted, whatever myorigin
	 * says. */
	if (!slice_eq_nocase(text, SLICE_LIT("postmaster")) &&
	    find_class(r, &class, &et) != OK) {
		resolve_fail(r, out, &et);
		return;
	}
	if (class == CLASS_REMOTE)
		out->verdict = RESOLVE_REMOTE;
	set_default_way(r, out, class);
	if (out->verdict != RESOLVE_REFUSE && ask_transport_maps(r, out))
		find_recipient(r, class, out);
}

void
resolve(struct resolver *r, struct slice address, struct fr_resolved *out)
{
	r->step = NULL;
	resolve_address(r, address, out);
}

void
resolve_explain(struct resolver *r, struct slice address,
    struct fr_resolved *out, resolve_step_fn *step, void *arg)
{
	r->step = step;
	r->step_arg = arg;
	resolve_address(r, address, out);
	r->step = NULL;
}

/* ---- life ---- */

void
resolver_close(struct resolver *r)
{
	tables_close(&r->local_domains);
	tables_close(&r->virtual_domains);
	tables_close(&r->relay_domains);
	tables_close(&r->mailboxes);
	tables_close(&r->uids);
	tables_close(&r->gids);
	tables_close(&r->transports);
}

enum err
resolver_open(struct resolver *r, struct acct *a, const struct conf *c,
    const struct resolve_system *sys, struct errtext *et)
{
	const struct {
		struct tables *tables;
		const struct conf_list *list;
	} all[] = {
		{ &r->local_domains, &c->mydestination },
		{ &r->virtual_domains, &c->virtual_mailbox_domains },
		{ &r->relay_domains, &c->relay_domains },
		{ &r->mailboxes, &c->virtual_mailbox_maps },
		{ &r->uids, &c->virtual_uid_maps },
		{ &r->gids, &c->virtual_gid_maps },
		{ &r->transports, &c->transport_maps },
	};
	enum err e = OK;

	memset(r, 0, sizeof(*r));
	r->acct = a;
	r->conf = c;
	r->sys = sys;
	for (size_t i = 0; i < ARRAY_LEN(all) && e == OK; i++)
		e = tables_open(all[i].tables, a, all[i].list, et);
	if (e != OK)
		resolver_close(r);
	return e;
}
