/*
 * lookup/mailbox: recipients with a virtual mailbox.
 */
#include <stdio.h>
#include <string.h>

#include "lookup/internal.h"

static const char unknown_virtual[] = "User unknown in virtual mailbox table";

/* A numeric id from a table; 0 when there are no tables for it. */
static enum err
lookup_id(struct resolver *r, struct tables *ts, const char *parameter,
    uint64_t least, uint32_t *out, struct errtext *et)
{
	struct table_answer a;
	uint64_t id;
	enum err e;

	*out = 0;
	if (ts->count == 0)
		return OK;
	e = tables_lookup_address(ts, TABLE_ORDER_MAILBOX, &r->keys, &a, et);
	if (e == ERR_NOTFOUND)
		return err_set(et, ERR_LOOKUP, "%s has no entry for <%.*s>",
		    parameter, SLICE_ARGS(r->address.text));
	if (e != OK)
		return e;
	resolve_say_table(r, parameter, &a);
	if (!slice_to_u64(a.value, UINT32_MAX - 1, &id) || id < least)
		return err_set(et, ERR_LOOKUP,
		    "%s:%u: \"%.*s\" is not an id of %llu or more", a.table,
		    a.line, SLICE_ARGS(slice_sub(a.value, 0, 32)),
		    (unsigned long long)least);
	*out = (uint32_t)id;
	return OK;
}

static enum err
set_owner(struct resolver *r, struct fr_resolved *out, struct errtext *et)
{
	enum err e;

	e = lookup_id(r, &r->uids, "virtual_uid_maps",
	    (uint64_t)r->conf->virtual_minimum_uid, &out->uid, et);
	if (e != OK)
		return e;
	return lookup_id(r, &r->gids, "virtual_gid_maps", 1, &out->gid, et);
}

bool
resolve_virtual_known(struct resolver *r, struct fr_resolved *out)
{
	struct errtext et = { "" };
	struct table_answer a;
	enum err e;

	if (r->mailboxes.count == 0) {
		resolve_say_param(r, "virtual_mailbox_maps",
		    "there are none: every address is a recipient");
		return true;
	}
	e = tables_lookup_address(&r->mailboxes, TABLE_ORDER_MAILBOX, &r->keys,
	    &a, &et);
	if (e == OK) {
		resolve_say_table(r, "virtual_mailbox_maps", &a);
		return true;
	}
	if (e == ERR_NOTFOUND) {
		resolve_say_param(r, "virtual_mailbox_maps", "no entry");
		resolve_refuse(r, out, 550, "5.1.1", "%s", unknown_virtual);
	} else {
		resolve_fail(r, out, &et);
	}
	return false;
}

static enum err
find_mailbox(struct resolver *r, struct fr_resolved *out, struct errtext *et)
{
	struct table_answer a;
	size_t len = 0;
	enum err e;

	e = tables_lookup_address(&r->mailboxes, TABLE_ORDER_MAILBOX, &r->keys,
	    &a, et);
	if (e == ERR_NOTFOUND)
		resolve_say_param(r, "virtual_mailbox_maps", "no entry");
	if (e != OK)
		return e;
	resolve_say_table(r, "virtual_mailbox_maps", &a);
	e = mailpath_make(a.value, &r->keys, r->mailbox, sizeof(r->mailbox) - 1,
	    &len);
	if (e == ERR_NOTFOUND)
		resolve_say(r, "", "this address cannot be part of a path");
	if (e == ERR_CONFIG)
		return err_set(et, ERR_LOOKUP,
		    "%s:%u: \"%.*s\" is not a path below "
		    "virtual_mailbox_base",
		    a.table, a.line, SLICE_ARGS(slice_sub(a.value, 0, 100)));
	out->mailbox = slice_of(r->mailbox, len);
	return e;
}

bool
resolve_virtual_mailbox(struct resolver *r, struct fr_resolved *out)
{
	struct errtext et = { "" };
	enum err e;

	e = find_mailbox(r, out, &et);
	if (e == OK)
		e = set_owner(r, out, &et);
	if (e == OK)
		return true;
	if (e == ERR_NOTFOUND)
		resolve_refuse(r, out, 550, "5.1.1", "%s", unknown_virtual);
	else
		resolve_fail(r, out, &et);
	return false;
}
