/*
 * lookup/follow: an address through the aliases of one level, a step at a
 * time.
 */
#include <string.h>

#include "base/hash.h"
#include "lookup/internal.h"

enum resolve_next
resolve_fail_now(struct resolver *r, struct fr_resolved *out,
    const struct errtext *et)
{
	resolve_fail(r, out, et);
	return NEXT_DONE;
}

bool
resolve_seen(struct resolver *r, enum alias_level level, bool *full)
{
	uint64_t hash =
	    hash_bytes_nocase(r->address.text.data, r->address.text.len) ^
	    (uint64_t)level;

	*full = false;
	for (unsigned i = 0; i < r->step_count; i++)
		if (r->seen[i] == hash)
			return true;
	if (r->step_count == RESOLVE_ALIAS_DEPTH_MAX)
		*full = true;
	else
		r->seen[r->step_count++] = hash;
	return false;
}

/* The only target, if it is an address: into r->target. */
struct only {
	struct resolver *r;
	size_t len;
	unsigned count;
	bool is_address;
};

static enum err
take_only(void *arg, const struct alias_target *target, struct errtext *et)
{
	struct only *o = arg;

	(void)et;
	if (o->count++ > 0)
		return ERR_FULL;
	o->is_address = target->kind == ALIAS_ADDRESS;
	if (!o->is_address)
		return ERR_FULL;
	memcpy(o->r->target, target->text.data, target->text.len);
	o->len = target->text.len;
	return OK;
}

/* Whoever delivers asks what it stands for. */
static enum resolve_next
expand_later(struct resolver *r, struct fr_resolved *out)
{
	out->mailbox = SLICE_NONE;
	(void)resolve_set_way(r, out, SLICE_LIT("local"), r->address.domain);
	return NEXT_DONE;
}

/* Whether anybody may send to an address is said by its own class, not by
 * that of what it stands for. */
static enum err
know_given(struct resolver *r, struct fr_resolved *out, struct errtext *et)
{
	enum resolve_class class;
	enum err e;

	if (r->step_count > 1)
		return OK;
	e = resolve_class_of(r, &class, et);
	if (e == OK)
		e = resolve_may_anybody(r, class, et);
	if (e == ERR_NOTFOUND) {
		out->verdict = RESOLVE_REMOTE;
		e = OK;
	}
	/* virtualdomains may have rewritten it. */
	if (e == OK && !resolve_set_address(r, resolve_given(r)))
		e = ERR_SYNTAX;
	return e;
}

static enum resolve_next
follow_entry(struct resolver *r, const struct alias_entry *entry,
    struct fr_resolved *out)
{
	struct only only = { .r = r };
	struct errtext et = { "" };
	enum err e = OK;

	if (entry->owner)
		return expand_later(r, out);
	e = alias_each(r, entry, take_only, &only, &et);
	if (e == ERR_FULL)
		return expand_later(r, out);
	if (e == OK && !resolve_set_address(r, slice_of(r->target, only.len)))
		e = err_set(&et, ERR_LOOKUP, "%.100s:%u: not an address",
		    entry->answer.table, entry->answer.line);
	return e == OK ? NEXT_FOLLOWED : resolve_fail_now(r, out, &et);
}

/* One step through the aliases of a level. */
enum resolve_next
resolve_follow(struct resolver *r, enum alias_level level,
    struct fr_resolved *out)
{
	struct alias_entry entry;
	struct errtext et = { "" };
	bool full;
	enum err e;

	if (r->purpose == RESOLVE_ITSELF ||
	    (r->purpose == RESOLVE_EXPANDED && level == LEVEL_VIRTUAL))
		return NEXT_NONE;
	e = alias_find(r, level, &entry, &et);
	if (e == ERR_NOTFOUND)
		return NEXT_NONE;
	/* Else it was followed when it was expanded. */
	if (e == OK && r->purpose == RESOLVE_EXPANDED && !entry.owner)
		return NEXT_NONE;
	if (e == OK && resolve_seen(r, level, &full)) {
		resolve_say(r, "", "<%.*s> leads back to itself",
		    SLICE_ARGS(r->address.text));
		r->looped = true;
		return NEXT_NONE;
	}
	if (e == OK && full)
		e = err_set(&et, ERR_LOOKUP,
		    "more than %d steps through aliases, the last to %.*s",
		    RESOLVE_ALIAS_DEPTH_MAX, SLICE_ARGS(r->address.text));
	if (e == OK && level == LEVEL_VIRTUAL)
		e = know_given(r, out, &et);
	return e == OK ? follow_entry(r, &entry, out)
		       : resolve_fail_now(r, out, &et);
}
