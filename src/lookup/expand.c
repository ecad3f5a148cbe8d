/*
 * lookup/expand: everything that an alias stands for.
 *
 * Happy path: the address asked for is the first item; steps take item after
 * item: aliases and files are replaced by what they hold, all else is given
 * out.
 *
 * Failure modes: a table or a file that cannot be read, or makes no sense, too
 * many or too deep: temporary, nothing is delivered until it is mended; a
 * command or a file where they are not allowed, and an alias that is nothing
 * but itself: refused.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lookup/expand_internal.h"

enum { CHUNK_BYTES = 16384, BUCKETS = 4096 };

/* ---- how it ends ---- */

enum err
expand_stop(struct expand *x, enum err error, int code, const char *status,
    const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(x->text, sizeof(x->text), fmt, ap);
	va_end(ap);
	x->end = (struct fr_expand_end){
		.error = (uint8_t)error,
		.code = (uint16_t)code,
		.status = slice_str(status),
		.text = slice_str(x->text),
	};
	return ERR_NOTFOUND;
}

static enum err
fail(struct expand *x, const char *status, const struct errtext *et)
{
	return expand_stop(x, ERR_LOOKUP, 451, status, "%s", et->text);
}

static enum err
over(struct expand *x)
{
	if (x->given == 0 && x->loop_len > 0)
		return expand_stop(x, ERR_LOOP, 554, "5.4.6",
		    "alias database loop for %.*s",
		    (int)(x->loop_len < 300 ? x->loop_len : 300), x->loop);
	return ERR_NOTFOUND;
}

/* ---- files ---- */

static enum err
open_file(struct expand *x, struct expand_item *i)
{
	struct resolver *r = x->resolver;
	struct errtext et = { "" };
	enum err e;

	resolve_say(r, "", ":include:%.*s", (int)i->len, i->text);
	e = expand_replaced(x, &et);
	if (e == OK)
		e = include_open(&x->include, slice_of(i->text, i->len), &et);
	if (e != OK)
		return fail(x, "4.2.4", &et);
	x->reading = i;
	return ERR_AGAIN;
}

/* Addresses get a domain. */
static enum err
take_line(struct expand *x, struct alias_target *target, struct errtext *et)
{
	struct expand_source s = { x, x->reading };
	char text[ADDRESS_BYTES_MAX];
	struct address a;
	size_t len;

	if (target->kind != ALIAS_ADDRESS)
		return expand_take(&s, target, et);
	if (address_parse(target->text, ADDRESS_BARE | ADDRESS_UTF8, text,
		&a) != OK ||
	    !resolve_complete(x->resolver->conf, a.text, text, &len))
		return err_set(et, ERR_LOOKUP,
		    "%.120s: line %u: \"%.*s\" is not an address",
		    x->include.path, target->line,
		    SLICE_ARGS(slice_sub(target->text, 0, 64)));
	target->text = slice_of(text, len);
	return expand_take(&s, target, et);
}

static enum err
read_file(struct expand *x)
{
	struct alias_target target;
	struct errtext et = { "" };
	enum err e = OK;

	for (unsigned n = 0; n < EXPAND_BATCH && e == OK; n++) {
		e = include_next(&x->include, &target, &et);
		if (e == OK)
			e = take_line(x, &target, &et);
	}
	if (e == OK)
		return ERR_AGAIN;
	include_close(&x->include);
	x->reading = NULL;
	if (e == ERR_NOTFOUND)
		return ERR_AGAIN;
	return e == ERR_DENIED ? ERR_NOTFOUND : fail(x, "4.2.4", &et);
}

/* ---- addresses ---- */

static enum err
give(struct expand *x, const struct expand_item *i, struct alias_target *out)
{
	*out = (struct alias_target){
		.kind = (enum alias_kind)i->kind,
		.text = slice_of(i->text, i->len),
	};
	x->given++;
	return OK;
}

/* Does it stand in alias_maps?  Only in class local, and where its mail is
 * delivered here. */
static enum err
find_local(struct expand *x, const struct expand_item *i,
    struct alias_entry *entry, struct errtext *et)
{
	struct fr_resolved way = { .verdict = RESOLVE_OK };
	struct resolver *r = x->resolver;
	enum resolve_class class;
	enum err e;

	/* That the first one does was found, and told, before. */
	if (i == x->first)
		return alias_find(r, LEVEL_LOCAL, entry, et);
	r->step = NULL; /* it would be told for each of them */
	e = resolve_class_of(r, &class, et);
	if (e == ERR_SYNTAX || (e == OK && class != CLASS_LOCAL))
		return ERR_NOTFOUND;
	if (e != OK)
		return e;
	resolve_default_way(r, &way, class);
	if (!resolve_transport_maps(r, &way) && way.code < 500)
		return err_set(et, ERR_LOOKUP,
		    "the transport of <%.*s> is "
		    "not known now",
		    (int)i->len, i->text);
	if (!slice_eq(way.transport, SLICE_LIT("local")))
		return ERR_NOTFOUND;
	r->step = x->step;
	return alias_find(r, LEVEL_LOCAL, entry, et);
}

static enum err
find_entry(struct expand *x, const struct expand_item *i,
    struct alias_entry *entry, struct errtext *et)
{
	enum err e = ERR_NOTFOUND;

	if (i == x->first)
		x->resolver->step = NULL;
	if (!(i->skip & 1u << LEVEL_VIRTUAL))
		e = alias_find(x->resolver, LEVEL_VIRTUAL, entry, et);
	if (e == ERR_NOTFOUND && !(i->skip & 1u << LEVEL_LOCAL))
		e = find_local(x, i, entry, et);
	return e;
}

/* Is there anything behind an alias that names itself? */
static enum err
stand_for_itself(struct expand *x, const struct expand_item *i,
    struct alias_target *out)
{
	struct errtext et = { "" };
	struct fr_resolved f;

	if (!resolve(x->resolver, RESOLVE_ITSELF, slice_of(i->text, i->len),
		SLICE_NONE, &f) ||
	    f.verdict != RESOLVE_REFUSE)
		return give(x, i, out);
	if (f.code < 500) {
		(void)err_set(&et, ERR_LOOKUP,
		    "<%.*s>: temporary lookup "
		    "failure",
		    (int)(i->len < 200 ? i->len : 200), i->text);
		return fail(x, "4.3.0", &et);
	}
	if (x->loop_len == 0) {
		memcpy(x->loop, i->text, i->len);
		x->loop_len = i->len;
	}
	return ERR_AGAIN;
}

static enum err
replace(struct expand *x, struct expand_item *i,
    const struct alias_entry *entry)
{
	struct expand_source s = { x, i };
	struct errtext et = { "" };
	size_t len;
	enum err e;

	if (entry->owner && x->end.owner.len == 0 &&
	    alias_owner(x->resolver, entry, x->owner, &len))
		x->end.owner = slice_of(x->owner, len);
	i->replaced_on |= (uint8_t)(1u << entry->level);
	e = expand_replaced(x, &et);
	if (e == OK)
		e = alias_each(x->resolver, entry, expand_take, &s, &et);
	if (e == OK)
		return ERR_AGAIN;
	return e == ERR_DENIED ? ERR_NOTFOUND : fail(x, "4.3.0", &et);
}

static enum err
take_address(struct expand *x, struct expand_item *i, struct alias_target *out)
{
	struct resolver *r = x->resolver;
	struct alias_entry entry;
	struct errtext et = { "" };
	enum err e;

	if (!resolve_set_address(r, slice_of(i->text, i->len)))
		return expand_stop(x, ERR_LOOKUP, 451, "4.3.0",
		    "<%.*s> is not an address",
		    (int)(i->len < 300 ? i->len : 300), i->text);
	memcpy(r->given, r->address.text.data, r->address.text.len);
	r->given_len = r->address.text.len;
	e = find_entry(x, i, &entry, &et);
	if (e == OK && entry.owner && i != x->first && i->skip == 0)
		return give(x, i, out);
	if (e == OK)
		return replace(x, i, &entry);
	if (e != ERR_NOTFOUND)
		return fail(x, "4.3.0", &et);
	if (i == x->first)
		return expand_stop(x, ERR_LOOKUP, 451, "4.3.0",
		    "<%.*s> is no alias any more",
		    (int)(i->len < 300 ? i->len : 300), i->text);
	return i->skip != 0 ? stand_for_itself(x, i, out) : give(x, i, out);
}

/* ---- all ---- */

enum err
expand_next(struct expand *x, struct alias_target *out)
{
	struct expand_item *i = x->cursor;

	x->resolver->step = x->step;
	x->resolver->step_arg = x->step_arg;
	if (x->reading != NULL)
		return read_file(x);
	if (i == NULL)
		return over(x);
	x->cursor = i->next;
	switch ((enum alias_kind)i->kind) {
	case ALIAS_ADDRESS: return take_address(x, i, out);
	case ALIAS_INCLUDE: return open_file(x, i);
	case ALIAS_USER:
	case ALIAS_COMMAND:
	case ALIAS_MBOX:
	case ALIAS_MAILDIR: break;
	}
	return give(x, i, out);
}

enum err
expand_open(struct expand *x, struct resolver *r, struct acct *a,
    struct slice address, resolve_step_fn *step, void *arg)
{
	char text[ADDRESS_BYTES_MAX];
	struct errtext et;
	size_t len;
	enum err e;

	memset(x, 0, sizeof(*x));
	x->resolver = r;
	x->acct = a;
	x->include.fd = -1;
	x->step = step;
	x->step_arg = arg;
	arena_init(&x->items, a, CHUNK_BYTES, EXPAND_BYTES_MAX);
	e = hash_init(&x->known, a, BUCKETS);
	if (e != OK)
		return ERR_NOMEM;
	if (!resolve_complete(r->conf, address, text, &len))
		len = 0;
	e = expand_add(x, NULL, ALIAS_ADDRESS, slice_of(text, len), 0, &et);
	if (e != OK)
		expand_close(x);
	return e == OK ? OK : ERR_NOMEM;
}

void
expand_close(struct expand *x)
{
	include_close(&x->include);
	hash_fini(&x->known);
	arena_fini(&x->items);
}
