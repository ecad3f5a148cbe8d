/*
 * lookup/alias: what an address stands for, in virtual_alias_maps or in
 * alias_maps.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lookup/internal.h"
#include "proto/header_addresses.h"

/* "TABLE:LINE: " in front, as far as there is a line. */
static enum err PRINTF(3, 4) bad_entry(struct errtext *et,
    const struct table_answer *a, const char *fmt, ...)
{
	char text[ERRTEXT_BYTES];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (a->line > 0)
		return err_set(et, ERR_LOOKUP, "%.100s:%u: %s", a->table,
		    a->line, text);
	return err_set(et, ERR_LOOKUP, "%.100s: \"%.*s\": %s", a->table,
	    SLICE_ARGS(slice_sub(a->key, 0, 64)), text);
}

/* ---- finding ---- */

/* Owners have no owners. */
static bool
is_owner_name(struct slice name)
{
	return slice_starts_nocase(name, SLICE_LIT("owner-"));
}

/* Is there an owner-NAME?  Then the entry is looked up once more: a table's
 * answer lasts until its next lookup. */
static enum err
find_owner(struct resolver *r, struct alias_entry *entry, struct errtext *et)
{
	char name[LOCAL_PART_BYTES_MAX + 8];
	struct table_answer a;
	int n;
	enum err e;

	if (is_owner_name(entry->name))
		return OK;
	n = snprintf(name, sizeof(name), "owner-%.*s", SLICE_ARGS(entry->name));
	e = tables_lookup(&r->locals, slice_of(name, (size_t)n), &a, et);
	if (e == ERR_NOTFOUND)
		entry->owner = false;
	else if (e == OK)
		entry->owner = true;
	else
		return e;
	return tables_lookup(&r->locals, entry->name, &entry->answer, et);
}

static enum err
find_local(struct resolver *r, struct alias_entry *entry, struct errtext *et)
{
	enum err e;

	entry->name = r->keys.local;
	e = tables_lookup(&r->locals, entry->name, &entry->answer, et);
	if (e == ERR_NOTFOUND && r->keys.user.len < r->keys.local.len) {
		entry->name = r->keys.user;
		e = tables_lookup(&r->locals, entry->name, &entry->answer, et);
	}
	return e == OK ? find_owner(r, entry, et) : e;
}

static enum err
find_virtual(struct resolver *r, struct alias_entry *entry, struct errtext *et)
{
	r->keys.bare =
	    slice_eq_nocase(r->address.domain, slice_str(r->conf->myorigin)) ||
	    conf_list_has_domain(&r->conf->mydestination, r->address.domain);
	return tables_lookup_address(&r->aliases, TABLE_ORDER_ALIAS, &r->keys,
	    &entry->answer, et);
}

enum err
alias_find(struct resolver *r, enum alias_level level, struct alias_entry *out,
    struct errtext *et)
{
	enum err e;

	*out = (struct alias_entry){ .level = level };
	if ((level == LEVEL_VIRTUAL ? r->aliases : r->locals).count == 0)
		return ERR_NOTFOUND;
	e = level == LEVEL_VIRTUAL ? find_virtual(r, out, et)
				   : find_local(r, out, et);
	if (e != OK)
		return e;
	resolve_say_table(r,
	    level == LEVEL_VIRTUAL ? "virtual_alias_maps" : "alias_maps",
	    &out->answer);
	if (out->owner)
		resolve_say(r, "",
		    "owner-%.*s stands in alias_maps too: the sender of the "
		    "list",
		    SLICE_ARGS(out->name));
	return OK;
}

bool
alias_owner(struct resolver *r, const struct alias_entry *entry,
    char buf[static ADDRESS_BYTES_MAX], size_t *len_out)
{
	struct slice domain = slice_str(r->conf->myorigin);
	char name[LOCAL_PART_BYTES_MAX + 8], local[LOCAL_PART_BYTES_MAX];
	size_t len;
	int n;

	n = snprintf(name, sizeof(name), "owner-%.*s", SLICE_ARGS(entry->name));
	if (!address_local_quote(slice_of(name, (size_t)n), local, &len))
		return false;
	/* Its bounces come here, whatever myorigin may be. */
	if (!conf_list_has_domain(&r->conf->mydestination, domain))
		domain = r->address.domain;
	n = snprintf(buf, ADDRESS_BYTES_MAX, "%.*s@%.*s", (int)len, local,
	    SLICE_ARGS(domain));
	*len_out = (size_t)n;
	return n < ADDRESS_BYTES_MAX;
}

/* ---- reading ---- */

struct walk {
	struct resolver *r;
	const struct alias_entry *entry;
	alias_target_fn *fn;
	void *arg;
	struct errtext *et;
	unsigned count;
	bool stopped;
};

/* The extension that the key has not goes into the target.  False: it becomes
 * too long. */
static bool
keep_extension(const struct walk *w, char *text, size_t *len)
{
	const struct resolver *r = w->r;
	struct slice key = w->entry->answer.key;
	struct slice local = r->keys.local, user = r->keys.user;
	struct slice extension = slice_sub(local, user.len, local.len);
	size_t at = slice_find(key, '@'), to;

	/* A key that is @domain, or the whole local part, keeps what it is. */
	if (extension.len == 0 || at == 0 ||
	    !slice_eq_nocase(slice_sub(key, 0, at), user))
		return true;
	to = slice_rfind(slice_of(text, *len), '@');
	if (to > 0 && text[to - 1] == '"')
		return true; /* a local part in quotes stays as it is */
	if (*len + extension.len > ADDRESS_BYTES_MAX)
		return false;
	memmove(text + to + extension.len, text + to, *len - to);
	memcpy(text + to, extension.data, extension.len);
	*len += extension.len;
	return true;
}

static enum err
pass(struct walk *w, struct alias_target *target)
{
	enum err e = w->fn(w->arg, target, w->et);

	w->count++;
	w->stopped = e != OK;
	return e;
}

static enum err
pass_address(struct walk *w, struct alias_target *target)
{
	char text[ADDRESS_BYTES_MAX];
	struct address a;
	size_t len;
	enum err e;

	e = address_parse(target->text, ADDRESS_BARE | ADDRESS_UTF8, text, &a);
	len = a.text.len;
	if (e == OK && w->entry->level == LEVEL_VIRTUAL &&
	    !keep_extension(w, text, &len))
		e = ERR_TOOBIG;
	if (e == OK &&
	    !resolve_complete(w->r->conf, slice_of(text, len), text, &len))
		e = ERR_SYNTAX;
	if (e != OK) {
		w->stopped = true;
		return bad_entry(w->et, &w->entry->answer,
		    "\"%.*s\" is not an address",
		    SLICE_ARGS(slice_sub(target->text, 0, 100)));
	}
	target->text = slice_of(text, len);
	return pass(w, target);
}

static enum err
on_address(void *arg, struct slice address)
{
	struct walk *w = arg;
	struct alias_target target = {
		.kind = ALIAS_ADDRESS,
		.text = address,
		.line = w->entry->answer.line,
	};

	return pass_address(w, &target);
}

/* @domain keeps the local part of the address. */
static enum err
other_domain(struct walk *w, struct slice value)
{
	struct slice local = w->r->address.local;
	char text[ADDRESS_BYTES_MAX];

	if (local.len + value.len > sizeof(text))
		return bad_entry(w->et, &w->entry->answer,
		    "with the local part of <%.*s> it is too long",
		    SLICE_ARGS(w->r->address.text));
	memcpy(text, local.data, local.len);
	memcpy(text + local.len, value.data, value.len);
	return on_address(w, slice_of(text, local.len + value.len));
}

static enum err
each_virtual(struct walk *w)
{
	struct slice value = slice_trim(w->entry->answer.value);
	struct header_addresses h;
	enum err e;

	if (value.len > 1 && value.data[0] == '@')
		return other_domain(w, value);
	header_addresses_init(&h, on_address, w);
	e = header_addresses_feed(&h, value);
	if (e == OK)
		e = header_addresses_end(&h);
	if (e == OK || w->stopped)
		return e;
	return bad_entry(w->et, &w->entry->answer, "\"%.*s\" is not an address",
	    SLICE_ARGS(slice_sub(value, 0, 100)));
}

/* A value is one line to the scanner; which one of the table we know. */
static const char *
without_line(const char *text)
{
	const char *colon = strstr(text, ": ");

	return colon == NULL ? text : colon + 2;
}

static enum err
each_local(struct walk *w)
{
	struct slice rest = w->entry->answer.value;
	struct alias_scan *s = &w->r->scan;
	struct alias_target target;
	struct errtext why = { "" };
	enum err e;

	alias_scan_init(s, ALIAS_SOURCE_VALUE);
	for (;;) {
		e = alias_scan_next(s, &rest, true, &target, &why);
		if (e == ERR_NOTFOUND)
			return OK;
		if (e != OK)
			return bad_entry(w->et, &w->entry->answer, "%s",
			    without_line(why.text));
		target.line = w->entry->answer.line;
		e = target.kind == ALIAS_ADDRESS ? pass_address(w, &target)
						 : pass(w, &target);
		if (e != OK)
			return e;
	}
}

enum err
alias_each(struct resolver *r, const struct alias_entry *entry,
    alias_target_fn *fn, void *arg, struct errtext *et)
{
	struct walk w = { .r = r,
		.entry = entry,
		.fn = fn,
		.arg = arg,
		.et = et };
	enum err e;

	e = entry->level == LEVEL_VIRTUAL ? each_virtual(&w) : each_local(&w);
	if (e == OK && w.count == 0)
		return bad_entry(et, &entry->answer, "it stands for nothing");
	return e;
}
