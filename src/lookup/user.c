/*
 * lookup/user: recipients that are users of this system, and what becomes of
 * mail for those who are not.
 */
#include <stdio.h>
#include <string.h>

#include "alias/macro.h"
#include "lookup/internal.h"
#include "table/assigned.h"

/* The user in whose home addresses of nobody are looked for, as qmail has it:
 * ~alias/.qmail-LOCAL. */
static const char alias_user[] = "alias";

/* Whom a local part means. */
struct found {
	uint32_t uid;
	char delimiter;		/* before the extension; 0: there is none */
	struct slice extension; /* in r->keys.local */
	bool assigned;		/* by users/assign */
	bool strict;		/* assigned: nobody without a file for it */
};

static void
set_postmaster(struct resolver *r, struct fr_resolved *out)
{
	(void)snprintf(r->mailbox, sizeof(r->mailbox), "postmaster");
	out->mailbox = slice_str(r->mailbox);
}

/* ---- users ---- */

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

/* In users/assign.  As try_user. */
static enum err
try_assigned(struct resolver *r, struct found *f, struct errtext *et)
{
	struct assigned_user u;
	char place[CONF_SOURCE_BYTES];
	enum err e;

	if (r->assigned == NULL)
		return ERR_NOTFOUND;
	e = assigned_find(r->assigned, r->keys.local, &u, et);
	if (e != OK)
		return e;
	if (!slice_copy(u.to.user, r->mailbox, sizeof(r->mailbox)))
		return err_set(et, ERR_LOOKUP, "%.200s: a name too long",
		    u.path);
	f->assigned = true;
	f->uid = u.to.uid;
	f->strict = u.to.dash.len > 0 || u.extension.len > 0;
	(void)snprintf(place, sizeof(place), u.line > 0 ? "%s:%u" : "%s",
	    u.path, u.line);
	resolve_say(r, place,
	    "users_assign: user %s, id %u, .qmail%.*s%.*s in %.*s", r->mailbox,
	    f->uid, SLICE_ARGS(u.to.dash), SLICE_ARGS(u.extension),
	    SLICE_ARGS(u.to.home));
	return OK;
}

/* OK: r->mailbox is the name; ERR_NOTFOUND: no such user. */
static enum err
try_user(struct resolver *r, struct slice name, uint32_t *uid_out,
    struct errtext *et)
{
	char buf[LOCAL_PART_BYTES_MAX + 1];
	enum err e;

	if (!user_name(name, buf, sizeof(buf)))
		return ERR_NOTFOUND;
	e = r->sys->user(r->sys->arg, buf, uid_out, et);
	if (e == ERR_NOTFOUND)
		resolve_say(r, "system", "no user %s", buf);
	if (e != OK)
		return e;
	resolve_say(r, "system", "user %s has id %u", buf, *uid_out);
	(void)snprintf(r->mailbox, sizeof(r->mailbox), "%s", buf);
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
try_users(struct resolver *r, struct found *f, struct errtext *et)
{
	size_t at[RESOLVE_USER_TRIES_MAX], count = 0;
	struct slice local = r->keys.local;
	enum err e;

	e = try_user(r, local, &f->uid, et);
	for (size_t i = 1; i < local.len && count < ARRAY_LEN(at); i++)
		if (is_delimiter(r, local.data[i]))
			at[count++] = i;
	while (e == ERR_NOTFOUND && count > 0) {
		count--;
		e = try_user(r, slice_sub(local, 0, at[count]), &f->uid, et);
		if (e != OK)
			continue;
		f->delimiter = local.data[at[count]];
		f->extension = slice_sub(local, at[count] + 1, local.len);
	}
	return e;
}

/* ---- what users want mail for ---- */

static bool
is_local(const struct fr_resolved *out)
{
	return slice_eq(out->transport, SLICE_LIT("local"));
}

/* Do users' .qmail files decide about this delivery? */
static bool
has_qmail_files(const struct resolver *r, const struct fr_resolved *out)
{
	return is_local(out) && r->conf->mailbox_transport[0] == '\0' &&
	       conf_list_has(&r->conf->dot_files, SLICE_LIT(".qmail"));
}

/* When the message is delivered his files are read anyway; so it is asked
 * before only if somebody else would get what he does not want. */
static bool
must_know(const struct resolver *r)
{
	return r->purpose == RESOLVE_RCPT ||
	       r->conf->fallback_transport[0] != '\0' ||
	       r->conf->luser_relay[0] != '\0' ||
	       slice_eq_nocase(r->keys.local, SLICE_LIT("postmaster"));
}

/* Does user want mail for this extension?  Errors as sys->check. */
static enum err
ask(struct resolver *r, struct slice user, struct slice extension,
    struct errtext *et)
{
	enum err e;

	if (!must_know(r))
		return OK;
	if (r->sys->check == NULL) {
		resolve_say(r, "",
		    "whether %.*s has a .qmail file for %.*s is seen when "
		    "mail comes",
		    SLICE_ARGS(user), SLICE_ARGS(extension));
		return OK;
	}
	e = r->sys->check(r->sys->arg, user, extension, et);
	if (e == ERR_AGAIN)
		r->pending = true;
	return e;
}

/* In the manner of qmail joe-list is nobody without a file of joe's. */
static enum err
check_extension(struct resolver *r, const struct found *f,
    const struct fr_resolved *out, struct errtext *et)
{
	if (!has_qmail_files(r, out))
		return OK;
	/* Without a name: whoever has the local part in users/assign. */
	if (f->assigned)
		return f->strict ? ask(r, SLICE_NONE, r->keys.local, et) : OK;
	if (f->delimiter != '-' || f->uid == 0)
		return OK;
	return ask(r, slice_str(r->mailbox), f->extension, et);
}

/* Nobody's address: may the alias user have a file for it? */
static enum err
try_alias_user(struct resolver *r, const struct fr_resolved *out,
    struct errtext *et)
{
	uint32_t uid;
	enum err e;

	if (!has_qmail_files(r, out))
		return ERR_NOTFOUND;
	e = r->sys->user(r->sys->arg, alias_user, &uid, et);
	if (e == OK && uid == 0)
		e = ERR_NOTFOUND;
	if (e != OK)
		return e;
	resolve_say(r, "system", "user %s has id %u: ~%s/.qmail-%.*s",
	    alias_user, uid, alias_user, SLICE_ARGS(r->keys.local));
	(void)snprintf(r->mailbox, sizeof(r->mailbox), "%s", alias_user);
	return ask(r, slice_str(alias_user), r->keys.local, et);
}

/* The mailbox of a user, or mailbox_transport. */
static void
take_user(struct resolver *r, const struct found *f, struct fr_resolved *out)
{
	const char *way = r->conf->mailbox_transport;

	out->mailbox = slice_str(r->mailbox);
	if (f->uid == 0) {
		resolve_say(r, "",
		    "nothing is delivered as root: postmaster gets it");
		set_postmaster(r, out);
	} else if (way[0] != '\0' && is_local(out)) {
		out->mailbox = SLICE_NONE;
		(void)resolve_way_of(r, out, "mailbox_transport", way);
	}
}

/* ---- nobody ---- */

/* luser_relay, with its names replaced, in r->target.  ERR_NOTFOUND: that is
 * no address; ERR_LOOKUP: it is no template. */
static enum err
make_relay(struct resolver *r, size_t *len_out, struct errtext *et)
{
	struct slice extension =
	    slice_sub(r->keys.local, r->keys.user.len + 1, r->keys.local.len);
	const struct macro_var vars[] = {
		{ "user", r->keys.user },
		{ "local", r->address.local },
		{ "extension", extension },
		{ "domain", r->address.domain },
		{ "recipient", r->address.text },
		{ "recipient_delimiter",
		    slice_str(r->conf->recipient_delimiter) },
		{ "home", SLICE_NONE },
		{ "shell", SLICE_NONE },
	};
	const struct macro_vars all = { vars, ARRAY_LEN(vars) };
	char text[ADDRESS_BYTES_MAX], parsed[ADDRESS_BYTES_MAX];
	struct address a;
	struct out o;
	enum err e;

	out_init(&o, text, sizeof(text));
	e = macro_expand(slice_str(r->conf->luser_relay), &all, MACRO_RAW, &o,
	    et);
	if (e == ERR_CONFIG) {
		(void)snprintf(text, sizeof(text), "%s", et->text);
		return err_set(et, ERR_LOOKUP, "luser_relay: %.200s", text);
	}
	/* What a stranger wrote may make no address. */
	if (e != OK || address_parse(out_text(&o), ADDRESS_BARE | ADDRESS_UTF8,
			   parsed, &a) != OK)
		return ERR_NOTFOUND;
	memcpy(r->target, parsed, a.text.len);
	*len_out = a.text.len;
	return OK;
}

static enum resolve_next
refuse_unknown(struct resolver *r, struct fr_resolved *out)
{
	resolve_refuse(r, out, 550, "5.1.1",
	    "User unknown in local recipient table");
	return NEXT_DONE;
}

static enum resolve_next
relay_unknown(struct resolver *r, struct fr_resolved *out)
{
	struct errtext et = { "" };
	bool full = false;
	size_t len = 0;
	enum err e;

	if (resolve_seen(r, LEVEL_UNKNOWN, &full))
		return refuse_unknown(r, out);
	e = full ? err_set(&et, ERR_LOOKUP, "luser_relay: too many steps")
		 : make_relay(r, &len, &et);
	if (e == ERR_NOTFOUND)
		return refuse_unknown(r, out);
	if (e != OK) {
		resolve_fail(r, out, &et);
		return NEXT_DONE;
	}
	resolve_say_param(r, "luser_relay", "unknown users' mail goes to %.*s",
	    (int)len, r->target);
	return resolve_set_address(r, slice_of(r->target, len))
		   ? NEXT_FOLLOWED
		   : refuse_unknown(r, out);
}

/* In the order of Postfix. */
static enum resolve_next
find_nobody(struct resolver *r, struct fr_resolved *out)
{
	bool here = is_local(out);

	if (here && r->conf->fallback_transport[0] != '\0') {
		(void)resolve_way_of(r, out, "fallback_transport",
		    r->conf->fallback_transport);
		return NEXT_DONE;
	}
	if (here && r->conf->luser_relay[0] != '\0')
		return relay_unknown(r, out);
	return refuse_unknown(r, out);
}

/* OK: out->mailbox or another way is set; errors as sys->check. */
static enum err
find_somebody(struct resolver *r, struct fr_resolved *out, struct errtext *et)
{
	struct found found = { 0 };
	enum err e;

	e = try_assigned(r, &found, et);
	if (e == ERR_NOTFOUND)
		e = try_users(r, &found, et);
	if (e == OK) {
		e = check_extension(r, &found, out, et);
		if (e == OK)
			take_user(r, &found, out);
		return e;
	}
	if (e == ERR_NOTFOUND) {
		e = try_alias_user(r, out, et);
		if (e == OK)
			out->mailbox = slice_str(r->mailbox);
	}
	if (e == ERR_NOTFOUND &&
	    slice_eq_nocase(r->keys.local, SLICE_LIT("postmaster"))) {
		resolve_say_param(r, "postmaster_mailbox",
		    "postmaster is always accepted");
		set_postmaster(r, out);
		e = OK;
	}
	return e;
}

enum resolve_next
resolve_local_user(struct resolver *r, struct fr_resolved *out)
{
	struct errtext et = { "" };
	enum err e = find_somebody(r, out, &et);

	if (e == ERR_NOTFOUND)
		return find_nobody(r, out);
	if (e != OK && !r->pending)
		resolve_fail(r, out, &et);
	return NEXT_DONE;
}
