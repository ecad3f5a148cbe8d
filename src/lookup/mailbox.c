/*
 * lookup/mailbox: recipients of this machine.
 */
#include <stdio.h>
#include <string.h>

#include "lookup/internal.h"

static const char unknown_local[] = "User unknown in local recipient table";
static const char unknown_virtual[] = "User unknown in virtual mailbox table";

void
resolve_postmaster(struct resolver *r, struct fr_resolved *out)
{
	(void)snprintf(r->mailbox, sizeof(r->mailbox), "postmaster");
	out->mailbox = slice_str(r->mailbox);
}

/* A name that the user database may be asked for, in lower case. */
static bool
user_name(struct slice s, char *buf, size_t size)
{
	if (s.len == 0 || s.data[0] == '-' || !slice_copy(s, buf, size))
		return false;
	for (char *p = buf; *p != '\0'; p++) {
		if (*p <= ' ' || *p == '/' || *p == ':' || *p == 0x7f)
			return false;
		if (*p >= 'A' && *p <= 'Z')
			*p = (char)(*p - 'A' + 'a');
	}
	return true;
}

/* A user's mail, to mailbox_transport if there is one. */
static void
hand_over(struct resolver *r, struct fr_resolved *out)
{
	const char *way = r->conf->mailbox_transport;

	if (way[0] == '\0' || !slice_eq(out->transport, SLICE_LIT("local")))
		return;
	out->mailbox = SLICE_NONE;
	(void)resolve_way_of(r, out, "mailbox_transport", way);
}

/* OK: the mailbox is known; ERR_NOTFOUND: no such user. */
static enum err
try_user(struct resolver *r, struct slice name, struct fr_resolved *out,
    struct errtext *et)
{
	char buf[LOCAL_PART_BYTES_MAX + 1];
	uint32_t uid;
	enum err e;

	if (!user_name(name, buf, sizeof(buf)))
		return ERR_NOTFOUND;
	e = r->sys->user(r->sys->arg, buf, &uid, et);
	if (e == ERR_NOTFOUND)
		resolve_say(r, "system", "no user %s", buf);
	if (e != OK)
		return e;
	resolve_say(r, "system", "user %s has id %u", buf, uid);
	(void)snprintf(r->mailbox, sizeof(r->mailbox), "%s", buf);
	out->mailbox = slice_str(r->mailbox);
	if (uid != 0) {
		hand_over(r, out);
		return OK;
	}
	resolve_say(r, "", "nothing is delivered as root: postmaster gets it");
	resolve_postmaster(r, out);
	return OK;
}

static bool
is_delimiter(const struct resolver *r, char c)
{
	return c != '\0' && strchr(r->conf->recipient_delimiter, c) != NULL;
}

/* user-with-extension: the whole name, then what stands before each of the
 * first delimiters, the longest first. */
static enum err
try_users(struct resolver *r, struct fr_resolved *out, struct errtext *et)
{
	size_t at[RESOLVE_USER_TRIES_MAX], count = 0;
	struct slice local = r->keys.local;
	enum err e;

	e = try_user(r, local, out, et);
	for (size_t i = 1; i < local.len && count < ARRAY_LEN(at); i++)
		if (is_delimiter(r, local.data[i]))
			at[count++] = i;
	while (e == ERR_NOTFOUND && count > 0)
		e = try_user(r, slice_sub(local, 0, at[--count]), out, et);
	return e;
}

bool
resolve_local_user(struct resolver *r, struct fr_resolved *out)
{
	struct errtext et = { "" };
	enum err e;

	e = try_users(r, out, &et);
	if (e == OK)
		return true;
	if (e == ERR_NOTFOUND &&
	    slice_eq_nocase(r->keys.local, SLICE_LIT("postmaster"))) {
		resolve_say_param(r, "postmaster_mailbox",
		    "postmaster is always accepted");
		resolve_postmaster(r, out);
		return true;
	}
	if (e == ERR_NOTFOUND && r->conf->fallback_transport[0] != '\0' &&
	    slice_eq(out->transport, SLICE_LIT("local")))
		return resolve_way_of(r, out, "fallback_transport",
		    r->conf->fallback_transport);
	if (e == ERR_NOTFOUND)
		resolve_refuse(r, out, 550, "5.1.1", "%s", unknown_local);
	else
		resolve_fail(r, out, &et);
	return false;
}

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
