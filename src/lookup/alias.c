/*
 * lookup/alias: one step through virtual_alias_maps.
 */
#include <string.h>

#include "lookup/internal.h"
#include "proto/header_addresses.h"

struct target {
	struct resolver *r;
	size_t len;
	unsigned count;
};

static enum err
take(void *arg, struct slice address)
{
	struct target *t = arg;

	if (t->count++ == 0) {
		memcpy(t->r->target, address.data, address.len);
		t->len = address.len;
	}
	return OK;
}

/* Into r->target.  @domain keeps the local part of the address. */
static enum err
read_target(struct resolver *r, const struct table_answer *a, size_t *len_out,
    struct errtext *et)
{
	struct slice value = slice_trim(a->value), local = r->address.local;
	struct header_addresses h;
	struct target t = { .r = r };
	enum err e;

	if (value.len > 1 && value.data[0] == '@' &&
	    local.len + value.len <= sizeof(r->target)) {
		memcpy(r->target, local.data, local.len);
		memcpy(r->target + local.len, value.data, value.len);
		*len_out = local.len + value.len;
		return OK;
	}
	header_addresses_init(&h, take, &t);
	e = header_addresses_feed(&h, value);
	if (e == OK)
		e = header_addresses_end(&h);
	if (e == OK && t.count == 1) {
		*len_out = t.len;
		return OK;
	}
	return err_set(et, ERR_LOOKUP, "%s:%u: \"%.*s\" is not %s", a->table,
	    a->line, SLICE_ARGS(slice_sub(value, 0, 100)),
	    e == OK && t.count > 1 ? "one address" : "an address");
}

/* The extension that the key has not goes into the target. */
static bool
keep_extension(struct resolver *r, const struct table_answer *a, size_t *len)
{
	struct slice local = r->keys.local, user = r->keys.user;
	struct slice extension = slice_sub(local, user.len, local.len);
	size_t at = slice_find(a->key, '@'), to;

	/* A key that is @domain, or the whole local part, keeps what it is. */
	if (extension.len == 0 || at == 0 ||
	    !slice_eq_nocase(slice_sub(a->key, 0, at), user))
		return true;
	to = slice_rfind(slice_of(r->target, *len), '@');
	if (to > 0 && r->target[to - 1] == '"')
		return true; /* a local part in quotes stays as it is */
	if (*len + extension.len > sizeof(r->target))
		return false;
	memmove(r->target + to + extension.len, r->target + to, *len - to);
	memcpy(r->target + to, extension.data, extension.len);
	*len += extension.len;
	return true;
}

enum err
resolve_alias(struct resolver *r, struct slice *target, struct errtext *et)
{
	struct table_answer a;
	size_t len;
	enum err e;

	if (r->aliases.count == 0)
		return ERR_NOTFOUND;
	r->keys.bare =
	    slice_eq_nocase(r->address.domain, slice_str(r->conf->myorigin)) ||
	    conf_list_has_domain(&r->conf->mydestination, r->address.domain);
	e = tables_lookup_address(&r->aliases, TABLE_ORDER_ALIAS, &r->keys, &a,
	    et);
	if (e != OK)
		return e;
	e = read_target(r, &a, &len, et);
	if (e != OK)
		return e;
	if (!keep_extension(r, &a, &len))
		return err_set(et, ERR_LOOKUP,
		    "%s:%u: with the extension of <%.*s> it is too long",
		    a.table, a.line, SLICE_ARGS(r->address.text));
	*target = slice_of(r->target, len);
	resolve_say_table(r, "virtual_alias_maps", &a);
	return slice_eq_nocase(*target, r->address.text) ? ERR_NOTFOUND : OK;
}
