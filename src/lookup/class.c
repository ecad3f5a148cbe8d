/*
 * lookup/class: an address taken apart, and the class of its domain.
 */
#include <string.h>

#include "lookup/internal.h"

bool
resolve_complete(const struct conf *c, struct slice text,
    char buf[static ADDRESS_BYTES_MAX], size_t *len_out)
{
	struct slice origin = slice_str(c->myorigin);
	struct address a;

	for (size_t i = 0; i < text.len; i++)
		if ((unsigned char)text.data[i] < ' ' || text.data[i] == 0x7f)
			return false;
	if (text.len == 0 || text.len > ADDRESS_BYTES_MAX)
		return false;
	memmove(buf, text.data, text.len);
	*len_out = text.len;
	address_split(slice_of(buf, text.len), &a);
	if (a.domain.len > 0)
		return true;
	if (buf[text.len - 1] == '@' ||
	    text.len + 1 + origin.len > ADDRESS_BYTES_MAX)
		return false;
	buf[text.len] = '@';
	memcpy(buf + text.len + 1, origin.data, origin.len);
	*len_out += 1 + origin.len;
	return true;
}

bool
resolve_set_address(struct resolver *r, struct slice text)
{
	size_t given_len = text.len, len;

	if (!resolve_complete(r->conf, text, r->text, &len))
		return false;
	address_split(slice_of(r->text, len), &r->address);
	if (len > given_len)
		resolve_say_param(r, "myorigin", "added: %.*s",
		    SLICE_ARGS(r->address.text));
	resolve_rewrite(r);
	if (r->address.literal ? !address_literal_valid(r->address.domain)
			       : !domain_valid(r->address.domain, true))
		return false;
	return resolve_make_keys(r);
}

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

/* The domain, or a suffix of it, as a key of morercpthosts. */
static enum err
more_domains_have(struct resolver *r, struct errtext *et)
{
	struct slice key = r->address.domain;
	struct table_answer a;
	enum err e;

	e = tables_lookup(&r->more_domains, key, &a, et);
	while (e == ERR_NOTFOUND && key.len > 0) {
		key = slice_sub(key, 1, key.len);
		key = slice_sub(key, slice_find(key, '.'), key.len);
		e = tables_lookup(&r->more_domains, key, &a, et);
	}
	if (e == OK)
		resolve_say_table(r, "morercpthosts", &a);
	return e;
}

/* relay_domains and morercpthosts. */
static enum err
is_relayed(struct resolver *r, struct errtext *et)
{
	enum err e = resolve_domain_in(r, "relay_domains",
	    &r->conf->relay_domains, &r->relay_domains, et);

	return e == ERR_NOTFOUND ? more_domains_have(r, et) : e;
}

enum err
resolve_may_anybody(struct resolver *r, enum resolve_class class,
    struct errtext *et)
{
	bool ours = class < CLASS_RELAY;
	enum err e;

	if (class == CLASS_RELAY ||
	    (ours && (r->bare || !r->conf->rcpthosts_decide)))
		return OK;
	/* An exception in virtualdomains may stand in relay_domains. */
	e = is_relayed(r, et);
	r->closed = e == ERR_NOTFOUND && ours;
	if (r->closed)
		resolve_say_param(r, "rcpthosts_decide",
		    "strangers may not send to %.*s: it is not in "
		    "relay_domains",
		    SLICE_ARGS(r->address.domain));
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

enum err
resolve_class_of(struct resolver *r, enum resolve_class *out,
    struct errtext *et)
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
	e = is_relayed(r, et);
	if (e != ERR_NOTFOUND)
		return e;
	*out = CLASS_REMOTE;
	resolve_say(r, "",
	    "%.*s is in none of mydestination, virtual_mailbox_domains and "
	    "relay_domains: another server's",
	    SLICE_ARGS(r->address.domain));
	return OK;
}
