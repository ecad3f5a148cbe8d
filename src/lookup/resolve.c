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
#include <string.h>

#include "lookup/internal.h"

/* ---- class ---- */

enum err
resolve_domain_in(struct resolver *r, const char *parameter,
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
	e = resolve_domain_in(r, "mydestination", &c->mydestination,
	    &r->local_domains, et);
	if (e != ERR_NOTFOUND)
		return e;
	e = resolve_virtualdomains(r, out, et);
	if (e != ERR_NOTFOUND)
		return e;
	*out = CLASS_VIRTUAL;
	e = resolve_domain_in(r, "virtual_mailbox_domains",
	    &c->virtual_mailbox_domains, &r->virtual_domains, et);
	if (e != ERR_NOTFOUND)
		return e;
	*out = CLASS_ALIAS;
	e = resolve_domain_in(r, "virtual_alias_domains",
	    &c->virtual_alias_domains, &r->alias_domains, et);
	if (e != ERR_NOTFOUND)
		return e;
	*out = CLASS_RELAY;
	e = resolve_domain_in(r, "relay_domains", &c->relay_domains,
	    &r->relay_domains, et);
	if (e != ERR_NOTFOUND)
		return e;
	*out = CLASS_REMOTE;
	resolve_say(r, "",
	    "%.*s is in none of mydestination, virtual_mailbox_domains and "
	    "relay_domains: another server's",
	    SLICE_ARGS(r->address.domain));
	return OK;
}

/* ---- the whole ---- */

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
	return resolve_make_keys(r);
}

static bool
is_postmaster(const struct resolver *r)
{
	return slice_eq_nocase(r->keys.local, SLICE_LIT("postmaster"));
}

/* Has the mailbox of a recipient that is ours, or the refusal. */
static void
find_recipient(struct resolver *r, enum resolve_class class,
    struct fr_resolved *out)
{
	if (slice_eq(out->transport, SLICE_LIT("discard")))
		return;
	if (class == CLASS_LOCAL || class == CLASS_ALIAS ||
	    slice_eq(out->transport, SLICE_LIT("local"))) {
		if (resolve_local_user(r, out) &&
		    conf_transport_remote(out->transport))
			out->mailbox = SLICE_NONE;
		return;
	}
	if (slice_eq(out->transport, SLICE_LIT("virtual")) &&
	    resolve_virtual_mailbox(r, out))
		return;
	if (!slice_eq(out->transport, SLICE_LIT("virtual")) &&
	    (class != CLASS_VIRTUAL || resolve_virtual_known(r, out)))
		return;
	if (out->code != 550 || !is_postmaster(r) || class != CLASS_VIRTUAL)
		return;
	/* RFC 5321 4.5.1: every domain that receives mail has one. */
	out->verdict = RESOLVE_OK;
	out->code = 0;
	out->status = out->text = SLICE_NONE;
	resolve_say_param(r, "postmaster_mailbox",
	    "postmaster is always accepted");
	if (!resolve_set_way(r, out, SLICE_LIT("local"), r->address.domain))
		return;
	(void)resolve_local_user(r, out);
}

/* Through virtual_alias_maps; *given is the class of the address before the
 * first step, known if there was one. */
static enum err
follow(struct resolver *r, enum resolve_class *given, bool *followed,
    struct errtext *et)
{
	struct slice target;
	enum err e;

	for (unsigned depth = 0; depth < RESOLVE_ALIAS_DEPTH_MAX; depth++) {
		e = resolve_alias(r, &target, et);
		if (e == ERR_NOTFOUND)
			return OK;
		if (e != OK)
			return e;
		if (!*followed)
			e = find_class(r, given, et);
		if (e != OK)
			return e;
		*followed = true;
		if (!set_address(r, target))
			return err_set(et, ERR_LOOKUP,
			    "virtual_alias_maps: \"%.*s\" is not an address",
			    SLICE_ARGS(target));
	}
	return err_set(et, ERR_LOOKUP,
	    "virtual_alias_maps: more than %d steps, the last to %.*s",
	    RESOLVE_ALIAS_DEPTH_MAX, SLICE_ARGS(r->address.text));
}

static enum err
classify(struct resolver *r, enum resolve_class *class, struct fr_resolved *out,
    struct errtext *et)
{
	enum resolve_class given = CLASS_LOCAL;
	bool followed = false;
	enum err e = follow(r, &given, &followed, et);

	if (e == OK)
		e = find_class(r, class, et);
	if ((followed ? given : *class) == CLASS_REMOTE)
		out->verdict = RESOLVE_REMOTE;
	return e;
}

/* So long an answer may be used again for its domain: a change of the
 * configuration is in force everywhere after that. */
enum { DOMAIN_MS = 1000 };

/* Does the answer follow from the domain alone?  Tables may know each address,
 * and change at any time. */
static bool
is_of_domain(const struct resolver *r, enum resolve_class class)
{
	return (class == CLASS_RELAY || class == CLASS_REMOTE) &&
	       !r->address.literal && r->conf->virtualdomains.count == 0 &&
	       r->local_domains.count == 0 && r->virtual_domains.count == 0 &&
	       r->relay_domains.count == 0 && r->alias_domains.count == 0 &&
	       r->aliases.count == 0 && r->transports.count == 0;
}

static void
resolve_address(struct resolver *r, struct slice text, struct fr_resolved *out)
{
	enum resolve_class class = CLASS_LOCAL;
	struct errtext et = { "" };
	enum err e = OK;

	*out = (struct fr_resolved){ .verdict = RESOLVE_OK };
	r->address = (struct address){ 0 };
	if (!set_address(r, text)) {
		resolve_refuse(r, out, 501, "5.1.3",
		    "Bad recipient address syntax");
		return;
	}
	memcpy(r->given, r->address.text.data, r->address.text.len);
	r->given_len = r->address.text.len;
	/* RFC 5321 4.5.1: <postmaster> alone is accepted, whatever myorigin
	 * says. */
	if (!slice_eq_nocase(text, SLICE_LIT("postmaster")))
		e = classify(r, &class, out, &et);
	out->address = r->address.text;
	if (e == ERR_SYNTAX) {
		resolve_refuse(r, out, 501, "5.1.3",
		    "Bad recipient address syntax");
	} else if (e != OK) {
		resolve_fail(r, out, &et);
	} else if (class == CLASS_ALIAS && !is_postmaster(r)) {
		resolve_refuse(r, out, 550, "5.1.1",
		    "User unknown in virtual alias table");
	} else {
		resolve_default_way(r, out, class);
		if (out->verdict != RESOLVE_REFUSE &&
		    resolve_transport_maps(r, out))
			find_recipient(r, class, out);
		if (is_of_domain(r, class))
			out->domain_ms = DOMAIN_MS;
	}
}

static bool
is_bad_sender(const struct resolver *r, struct slice sender)
{
	const struct conf_list *list = &r->conf->badmailfrom;
	size_t at = slice_rfind(sender, '@');
	struct slice domain = slice_sub(sender, at, sender.len);

	return sender.len > 0 &&
	       (conf_list_has(list, sender) || conf_list_has(list, domain));
}

void
resolve(struct resolver *r, struct slice address, struct slice sender,
    struct fr_resolved *out)
{
	r->step = NULL;
	resolve_address(r, address, out);
	if (out->verdict != RESOLVE_REFUSE && is_bad_sender(r, sender))
		resolve_refuse(r, out, 553, "5.7.1",
		    "sorry, your envelope sender is in my badmailfrom list");
	if (sender.len > 0 && r->conf->badmailfrom.count > 0)
		out->domain_ms = 0;
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
	tables_close(&r->alias_domains);
	tables_close(&r->aliases);
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
		{ &r->alias_domains, &c->virtual_alias_domains },
		{ &r->aliases, &c->virtual_alias_maps },
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
