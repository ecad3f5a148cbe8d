/*
 * lookup/resolve: where the mail for an address goes.
 *
 * Happy path: split the address, add myorigin where there is no domain; follow
 * virtual_alias_maps; find the class of the domain; ask transport_maps; in
 * class local follow alias_maps; see that the recipient exists where the class
 * is local or virtual; say transport and next hop.  An alias for one address
 * is followed here, from the beginning; one for anything else is expanded
 * later, by whoever delivers to it (expand.h).
 *
 * Failure modes: a table that cannot be read, a user database that does not
 * answer, an entry that makes no sense, too many steps: all of them 451,
 * logged, nothing is returned to anybody because of them.  An alias that leads
 * back to itself stands for itself; if there is no such recipient it is
 * refused as a loop.
 */
#include <string.h>

#include "lookup/internal.h"
#include "table/assigned.h"

/* ---- recipients ---- */

/* Somebody of mydestination: an alias or a user. */
static enum resolve_next
find_local(struct resolver *r, struct fr_resolved *out)
{
	bool here = slice_eq(out->transport, SLICE_LIT("local"));
	struct alias_entry entry;
	struct errtext et = { "" };
	enum resolve_next next;
	enum err e;

	if (here) {
		next = resolve_follow(r, LEVEL_LOCAL, out);
		if (next != NEXT_NONE)
			return next;
	} else {
		e = alias_find(r, LEVEL_LOCAL, &entry, &et);
		if (e != ERR_NOTFOUND)
			return e == OK ? NEXT_DONE
				       : resolve_fail_now(r, out, &et);
	}
	next = resolve_local_user(r, out);
	if (!here)
		out->mailbox = SLICE_NONE;
	return next;
}

static bool
is_postmaster(const struct resolver *r)
{
	return slice_eq_nocase(r->keys.local, SLICE_LIT("postmaster"));
}

/* Of virtual_mailbox_domains. */
static enum resolve_next
find_virtual(struct resolver *r, enum resolve_class class,
    struct fr_resolved *out)
{
	uint8_t verdict = out->verdict;

	if (slice_eq(out->transport, SLICE_LIT("virtual")) &&
	    resolve_virtual_mailbox(r, out))
		return NEXT_DONE;
	if (!slice_eq(out->transport, SLICE_LIT("virtual")) &&
	    (class != CLASS_VIRTUAL || resolve_virtual_known(r, out)))
		return NEXT_DONE;
	if (out->code != 550 || !is_postmaster(r) || class != CLASS_VIRTUAL)
		return NEXT_DONE;
	/* RFC 5321 4.5.1: every domain that receives mail has one. */
	out->verdict = verdict;
	out->code = 0;
	out->status = out->text = SLICE_NONE;
	resolve_say_param(r, "postmaster_mailbox",
	    "postmaster is always accepted");
	if (!resolve_set_way(r, out, SLICE_LIT("local"), r->address.domain))
		return NEXT_DONE;
	return find_local(r, out);
}

/* Has the mailbox of a recipient that is ours, or the refusal. */
static enum resolve_next
find_recipient(struct resolver *r, enum resolve_class class,
    struct fr_resolved *out)
{
	if (slice_eq(out->transport, SLICE_LIT("discard")))
		return NEXT_DONE;
	if (class == CLASS_LOCAL || class == CLASS_ALIAS ||
	    slice_eq(out->transport, SLICE_LIT("local")))
		return find_local(r, out);
	return find_virtual(r, class, out);
}

/* ---- the whole ---- */

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
	       !slice_eq_nocase(r->address.domain,
		   slice_str(r->conf->srs_domain)) &&
	       r->local_domains.count == 0 && r->virtual_domains.count == 0 &&
	       r->relay_domains.count == 0 && r->more_domains.count == 0 &&
	       r->conf->percenthack.count == 0 && r->alias_domains.count == 0 &&
	       r->aliases.count == 0 && r->transports.count == 0;
}

static void
refuse_syntax(struct resolver *r, struct fr_resolved *out)
{
	resolve_refuse(r, out, 501, "5.1.3", "Bad recipient address syntax");
}

/* From one address to its answer, or to the next address. */
static enum resolve_next
take_step(struct resolver *r, bool bare_postmaster, struct fr_resolved *out)
{
	enum resolve_class class = CLASS_LOCAL;
	struct errtext et = { "" };
	enum resolve_next next;
	enum err e = OK;

	/* RFC 5321 4.5.1: <postmaster> alone is accepted, whatever myorigin
	 * says. */
	if (!bare_postmaster) {
		next = resolve_srs(r, out);
		if (next == NEXT_NONE)
			next = resolve_follow(r, LEVEL_VIRTUAL, out);
		if (next != NEXT_NONE)
			return next;
		e = resolve_class_of(r, &class, &et);
	}
	if (e == ERR_SYNTAX) {
		refuse_syntax(r, out);
		return NEXT_DONE;
	}
	if (e != OK)
		return resolve_fail_now(r, out, &et);
	if (r->step_count == 0) {
		e = resolve_may_anybody(r, class, &et);
		if (e == ERR_NOTFOUND)
			out->verdict = RESOLVE_REMOTE;
		else if (e != OK)
			return resolve_fail_now(r, out, &et);
	}
	if (class == CLASS_ALIAS && !is_postmaster(r)) {
		resolve_refuse(r, out, 550, "5.1.1",
		    "User unknown in virtual alias table");
		return NEXT_DONE;
	}
	resolve_default_way(r, out, class);
	if (is_of_domain(r, class))
		out->domain_ms = DOMAIN_MS;
	if (out->verdict == RESOLVE_REFUSE || !resolve_transport_maps(r, out))
		return NEXT_DONE;
	return find_recipient(r, class, out);
}

static void
resolve_address(struct resolver *r, enum resolve_purpose purpose,
    struct slice text, struct fr_resolved *out)
{
	bool bare = slice_eq_nocase(text, SLICE_LIT("postmaster"));

	*out = (struct fr_resolved){ .verdict = RESOLVE_OK };
	r->address = (struct address){ 0 };
	r->purpose = purpose;
	r->step_count = 0;
	r->looped = r->pending = r->closed = false;
	r->bare = slice_find(text, '@') == text.len;
	if (!resolve_set_address(r, text)) {
		refuse_syntax(r, out);
		return;
	}
	memcpy(r->given, r->address.text.data, r->address.text.len);
	r->given_len = r->address.text.len;
	/* Bounded by RESOLVE_ALIAS_DEPTH_MAX, which follow() counts. */
	while (take_step(r, bare, out) == NEXT_FOLLOWED)
		bare = false;
	if (r->looped && out->verdict == RESOLVE_REFUSE && out->code == 550)
		resolve_refuse(r, out, 550, "5.4.6",
		    "alias database loop for %.*s",
		    SLICE_ARGS(slice_sub(r->address.text, 0, 128)));
	out->address = r->address.text;
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

bool
resolve(struct resolver *r, enum resolve_purpose purpose, struct slice address,
    struct slice sender, struct fr_resolved *out)
{
	r->step = NULL;
	resolve_address(r, purpose, address, out);
	if (r->pending)
		return false;
	if (out->verdict != RESOLVE_REFUSE && is_bad_sender(r, sender))
		resolve_refuse(r, out, 553, "5.7.1",
		    "sorry, your envelope sender is in my badmailfrom list");
	if (sender.len > 0 && r->conf->badmailfrom.count > 0)
		out->domain_ms = 0;
	return true;
}

void
resolve_explain(struct resolver *r, struct slice address,
    struct fr_resolved *out, resolve_step_fn *step, void *arg)
{
	r->step = step;
	r->step_arg = arg;
	resolve_address(r, RESOLVE_ROUTE, address, out);
	r->step = NULL;
}

/* ---- life ---- */

void
resolver_close(struct resolver *r)
{
	tables_close(&r->local_domains);
	tables_close(&r->virtual_domains);
	tables_close(&r->relay_domains);
	tables_close(&r->more_domains);
	tables_close(&r->alias_domains);
	tables_close(&r->aliases);
	tables_close(&r->locals);
	assigned_close(r->assigned);
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
		{ &r->more_domains, &c->morercpthosts },
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
	if (e == OK)
		e = tables_open_as(&r->locals, a, &c->alias_maps,
		    TABLE_SYNTAX_ALIASES, et);
	if (e == OK && c->users_assign[0] != '\0') {
		e = assigned_open(a, c->users_assign, &r->assigned);
		if (e != OK)
			(void)err_set(et, e, "no memory for users_assign");
	}
	if (e != OK)
		resolver_close(r);
	return e;
}
