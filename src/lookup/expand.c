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
#include "lookup/expand.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lookup/internal.h"

enum { CHUNK_BYTES = 16384, BUCKETS = 4096 };

struct expand_item {
	struct hash_node node;
	struct expand_item *next;
	struct expand_item *parent; /* whose target it is; NULL: the first */
	uint8_t kind;		    /* enum alias_kind */
	uint8_t depth;
	uint8_t replaced_on; /* a bit for each level that had an entry */
	uint8_t skip;	     /* levels not to be asked: it stands for itself */
	uint8_t again; /* a bit for each skip for which it was put again */
	uint16_t len;
	char text[];
};

/* Where a target stands. */
struct source {
	struct expand *x;
	struct expand_item *parent;
};

/* ---- how it ends ---- */

static enum err PRINTF(5, 6) end(struct expand *x, enum err error, int code,
    const char *status, const char *fmt, ...)
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
	return end(x, ERR_LOOKUP, 451, status, "%s", et->text);
}

static enum err
over(struct expand *x)
{
	if (x->given == 0 && x->loop_len > 0)
		return end(x, ERR_LOOP, 554, "5.4.6",
		    "alias database loop for %.*s",
		    (int)(x->loop_len < 300 ? x->loop_len : 300), x->loop);
	return ERR_NOTFOUND;
}

/* ---- the list ---- */

static uint64_t
hash_of(uint8_t kind, struct slice text)
{
	return (kind == ALIAS_ADDRESS ? hash_bytes_nocase(text.data, text.len)
				      : hash_bytes(text.data, text.len)) ^
	       kind;
}

static bool
is_same(const struct expand_item *i, uint8_t kind, struct slice text)
{
	struct slice other = slice_of(i->text, i->len);

	return i->kind == kind &&
	       (kind == ALIAS_ADDRESS ? slice_eq_nocase(other, text)
				      : slice_eq(other, text));
}

static struct expand_item *
find(const struct expand *x, uint8_t kind, struct slice text)
{
	struct hash_node *n = hash_first(&x->known, hash_of(kind, text));

	while (n != NULL &&
	       !is_same(CONTAINER(n, struct expand_item, node), kind, text))
		n = hash_next(n);
	return n == NULL ? NULL : CONTAINER(n, struct expand_item, node);
}

static enum err
add(struct expand *x, struct expand_item *parent, uint8_t kind,
    struct slice text, uint8_t skip, struct errtext *et)
{
	struct expand_item *i;

	if (x->count == (unsigned)x->resolver->conf->expansion_limit)
		return err_set(et, ERR_LOOKUP,
		    "more than %u targets (expansion_limit)", x->count);
	if (parent != NULL && parent->depth == EXPAND_DEPTH_MAX)
		return err_set(et, ERR_LOOKUP,
		    "aliases more than %d deep, the last %.*s",
		    EXPAND_DEPTH_MAX, (int)parent->len, parent->text);
	i = arena_alloc(&x->items, sizeof(*i) + text.len);
	if (i == NULL)
		return err_set(et, ERR_LOOKUP,
		    "no memory for %u targets (memory_budget)", x->count);
	i->parent = parent;
	i->kind = kind;
	i->depth = parent == NULL ? 0 : (uint8_t)(parent->depth + 1);
	i->skip = skip;
	i->len = (uint16_t)text.len;
	memcpy(i->text, text.data, text.len);
	if (skip == 0)
		hash_add(&x->known, &i->node, hash_of(kind, text));
	if (x->last != NULL)
		x->last->next = i;
	else
		x->first = i;
	x->last = i;
	if (x->cursor == NULL)
		x->cursor = i;
	x->count++;
	return OK;
}

/* A known address once more: behind itself it stands for itself; anywhere
 * else it is served already. */
static enum err
add_again(struct expand *x, struct expand_item *parent,
    struct expand_item *known, struct slice text, struct errtext *et)
{
	uint8_t skip = 0;

	/* At most EXPAND_DEPTH_MAX. */
	for (struct expand_item *p = parent; p != NULL; p = p->parent)
		if (is_same(p, ALIAS_ADDRESS, text))
			skip |= p->replaced_on;
	if (skip == 0 || (known->again & 1u << skip))
		return OK;
	known->again |= (uint8_t)(1u << skip);
	return add(x, parent, ALIAS_ADDRESS, text, skip, et);
}

static bool
may_stand(const struct source *s, const struct conf_list *allowed)
{
	return conf_list_has(allowed, s->parent->kind == ALIAS_INCLUDE
					  ? SLICE_LIT("include")
					  : SLICE_LIT("alias"));
}

/* Commands and files: not everywhere. */
static enum err
check_allowed(const struct source *s, const struct alias_target *target)
{
	const struct conf *c = s->x->resolver->conf;
	bool command = target->kind == ALIAS_COMMAND;

	if (!command && target->kind != ALIAS_MBOX &&
	    target->kind != ALIAS_MAILDIR)
		return OK;
	if (may_stand(s,
		command ? &c->allow_mail_to_commands : &c->allow_mail_to_files))
		return OK;
	(void)end(s->x, ERR_DENIED, 550, "5.7.1",
	    "%.*s: mail to %s is restricted", (int)s->parent->len,
	    s->parent->text, command ? "command" : "file");
	return ERR_DENIED;
}

static enum err
take(void *arg, const struct alias_target *target, struct errtext *et)
{
	struct source *s = arg;
	uint8_t kind = (uint8_t)target->kind;
	struct expand_item *known;

	if (kind == ALIAS_MBOX &&
	    slice_eq(target->text, SLICE_LIT("/dev/null")))
		return OK;
	if (check_allowed(s, target) != OK)
		return ERR_DENIED;
	known = find(s->x, kind, target->text);
	if (known == NULL)
		return add(s->x, s->parent, kind, target->text, 0, et);
	if (kind != ALIAS_ADDRESS)
		return OK;
	return add_again(s->x, s->parent, known, target->text, et);
}

static enum err
replaced(struct expand *x, struct errtext *et)
{
	x->count--;
	if (x->replaced++ == EXPAND_REPLACED_MAX)
		return err_set(et, ERR_LOOKUP,
		    "more than %d aliases and files in one",
		    EXPAND_REPLACED_MAX);
	return OK;
}

/* ---- files ---- */

static enum err
open_file(struct expand *x, struct expand_item *i)
{
	struct resolver *r = x->resolver;
	struct errtext et = { "" };
	enum err e;

	resolve_say(r, "", ":include:%.*s", (int)i->len, i->text);
	e = replaced(x, &et);
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
	struct source s = { x, x->reading };
	char text[ADDRESS_BYTES_MAX];
	struct address a;
	size_t len;

	if (target->kind != ALIAS_ADDRESS)
		return take(&s, target, et);
	if (address_parse(target->text, ADDRESS_BARE | ADDRESS_UTF8, text,
		&a) != OK ||
	    !resolve_complete(x->resolver->conf, a.text, text, &len))
		return err_set(et, ERR_LOOKUP,
		    "%.120s: line %u: \"%.*s\" is not an address",
		    x->include.path, target->line,
		    SLICE_ARGS(slice_sub(target->text, 0, 64)));
	target->text = slice_of(text, len);
	return take(&s, target, et);
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
	struct source s = { x, i };
	struct errtext et = { "" };
	size_t len;
	enum err e;

	if (entry->owner && x->end.owner.len == 0 &&
	    alias_owner(x->resolver, entry, x->owner, &len))
		x->end.owner = slice_of(x->owner, len);
	i->replaced_on |= (uint8_t)(1u << entry->level);
	e = replaced(x, &et);
	if (e == OK)
		e = alias_each(x->resolver, entry, take, &s, &et);
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
		return end(x, ERR_LOOKUP, 451, "4.3.0",
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
		return end(x, ERR_LOOKUP, 451, "4.3.0",
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
	e = add(x, NULL, ALIAS_ADDRESS, slice_of(text, len), 0, &et);
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
