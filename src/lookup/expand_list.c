/*
 * lookup/expand_list: the targets of an expansion, each once.
 */
#include <string.h>

#include "lookup/expand_internal.h"

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

enum err
expand_add(struct expand *x, struct expand_item *parent, uint8_t kind,
    struct slice text, uint8_t skip, struct errtext *et)
{
	struct expand_item *i;

	if (x->count == (unsigned)x->resolver->conf->expansion_limit) {
		x->too_many = true;
		return err_set(et, ERR_LOOKUP,
		    "more than %u targets (expansion_limit)", x->count);
	}
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
	return expand_add(x, parent, ALIAS_ADDRESS, text, skip, et);
}

static bool
may_stand(const struct expand_source *s, const struct conf_list *allowed)
{
	return conf_list_has(allowed, s->parent->kind == ALIAS_INCLUDE
					  ? SLICE_LIT("include")
					  : SLICE_LIT("alias"));
}

/* Commands and files: not everywhere. */
static enum err
check_allowed(const struct expand_source *s, const struct alias_target *target)
{
	const struct conf *c = s->x->resolver->conf;
	bool command = target->kind == ALIAS_COMMAND;

	if (!command && target->kind != ALIAS_MBOX &&
	    target->kind != ALIAS_MAILDIR)
		return OK;
	if (may_stand(s,
		command ? &c->allow_mail_to_commands : &c->allow_mail_to_files))
		return OK;
	(void)expand_stop(s->x, ERR_DENIED, 550, "5.7.1",
	    "%.*s: mail to %s is restricted", (int)s->parent->len,
	    s->parent->text, command ? "command" : "file");
	return ERR_DENIED;
}

/* A file that is read because of itself: a loop, if it holds nothing else. */
static void
note_file_loop(struct expand *x, const struct expand_item *parent,
    struct slice path)
{
	static const struct slice front = SLICE_LIT(":include:");

	while (parent != NULL && !is_same(parent, ALIAS_INCLUDE, path))
		parent = parent->parent;
	if (parent == NULL || x->loop_len > 0 ||
	    front.len + path.len > sizeof(x->loop))
		return;
	memcpy(x->loop, front.data, front.len);
	memcpy(x->loop + front.len, path.data, path.len);
	x->loop_len = front.len + path.len;
}

enum err
expand_take(void *arg, const struct alias_target *target, struct errtext *et)
{
	struct expand_source *s = arg;
	uint8_t kind = (uint8_t)target->kind;
	struct expand_item *known;

	if (kind == ALIAS_MBOX &&
	    slice_eq(target->text, SLICE_LIT("/dev/null")))
		return OK;
	if (check_allowed(s, target) != OK)
		return ERR_DENIED;
	known = find(s->x, kind, target->text);
	if (known == NULL)
		return expand_add(s->x, s->parent, kind, target->text, 0, et);
	if (kind == ALIAS_INCLUDE)
		note_file_loop(s->x, s->parent, target->text);
	if (kind != ALIAS_ADDRESS)
		return OK;
	return add_again(s->x, s->parent, known, target->text, et);
}

enum err
expand_replaced(struct expand *x, struct errtext *et)
{
	x->count--;
	if (x->replaced++ == EXPAND_REPLACED_MAX)
		return err_set(et, ERR_LOOKUP,
		    "more than %d aliases and files in one",
		    EXPAND_REPLACED_MAX);
	return OK;
}
