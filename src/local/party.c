/*
 * party: users of the system, and those of users/assign.
 *
 * User id 0 is never served: mail for root is held back with a text that says
 * so, since an alias can mend that.
 */
#include "local/party.h"

#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "conf/conf.h"
#include "local/passwd.h"
#include "local/request.h"
#include "proto/address.h"
#include "table/assigned.h"

static bool
keep(struct arena *arena, struct slice s, struct slice *out)
{
	char *copy = arena_copy(arena, s.data, s.len);

	*out = slice_of(copy, s.len);
	return copy != NULL;
}

static enum party_result
failed(struct outcome *o)
{
	outcome_set(o, JOB_DEFERRED, "4.3.1", "out of memory");
	return PARTY_FAILED;
}

static enum party_result
check(const struct target_env *env, const struct passwd_user *u,
    struct outcome *o)
{
	const char *home = u->home;

	if (u->uid == 0)
		outcome_set(o, JOB_DEFERRED, "4.3.5",
		    "nothing is delivered as root: alias %s to a person",
		    u->name);
	else if (!env->is_root && u->uid != env->own.uid)
		outcome_set(o, JOB_DEFERRED, "4.3.5",
		    "weir does not run as root and cannot deliver to user %s",
		    u->name);
	else if (home[0] != '/' || strlen(home) > PATH_BYTES_MAX)
		outcome_set(o, JOB_DEFERRED, "4.3.5",
		    "the home directory of user %s is not usable", u->name);
	else
		return PARTY_FOUND;
	return PARTY_FAILED;
}

enum party_result
party_named(const struct target_env *env, struct slice name,
    struct arena *arena, struct party *out, struct outcome *o)
{
	struct passwd_user u;
	int errnum = passwd_find(name, clock_system.mono(&clock_system), &u);

	if (errnum == ENOENT)
		return PARTY_NONE;
	if (errnum != 0) {
		outcome_errno(o, errnum, "cannot ask for user");
		return PARTY_FAILED;
	}
	if (check(env, &u, o) != PARTY_FOUND)
		return PARTY_FAILED;
	*out = (struct party){
		.owner = { u.uid, u.gid, u.gid },
	};
	if (!keep(arena, slice_str(u.name), &out->user) ||
	    !keep(arena, slice_str(u.home), &out->home) ||
	    !keep(arena, slice_str(u.shell), &out->shell))
		return failed(o);
	if (out->shell.len > PATH_BYTES_MAX)
		out->shell = SLICE_NONE;
	return PARTY_FOUND;
}

static bool
has_word(const struct conf_list *list, struct slice word)
{
	for (size_t i = 0; i < list->count; i++)
		if (slice_eq(list->items[i], word))
			return true;
	return false;
}

static void
set_extension(const struct target_env *env, struct party *p,
    struct slice delimiter, struct slice extension)
{
	p->delimiter = delimiter;
	p->extension = extension;
	p->dash = SLICE_LIT("-");
	/* In qmail's manner joe-list without .qmail-list is nobody; with
	 * any other delimiter it is joe. */
	p->strict = slice_eq(delimiter, SLICE_LIT("-")) &&
		    has_word(&env->conf->dot_files, SLICE_LIT(".qmail"));
}

static bool
is_alias_user(const struct party *p)
{
	return slice_eq(p->user, SLICE_LIT("alias"));
}

/* All that the alias user is asked for is an extension. */
static void
set_alias(struct party *p, struct slice local)
{
	p->extension = local;
	p->dash = SLICE_LIT("-");
	p->delimiter = SLICE_NONE;
	p->strict = true;
}

/* Is what users/assign says usable?  It was checked for user id 0. */
static enum party_result
check_assigned(const struct target_env *env, const struct assigned_user *u,
    struct outcome *o)
{
	if (!env->is_root && u->to.uid != env->own.uid)
		outcome_set(o, JOB_DEFERRED, "4.3.5",
		    "weir does not run as root and cannot deliver to user "
		    "%.*s",
		    SLICE_ARGS(u->to.user));
	else if (u->to.user.len > USER_NAME_BYTES_MAX ||
		 u->to.home.len > PATH_BYTES_MAX ||
		 u->to.dash.len > DASH_BYTES_MAX ||
		 u->extension.len > EXTENSION_BYTES_MAX)
		outcome_set(o, JOB_DEFERRED, "4.3.5", "%s:%u: a name too long",
		    u->path, u->line);
	else
		return PARTY_FOUND;
	return PARTY_FAILED;
}

/* Who has this local part in users/assign. */
static enum party_result
find_assigned(const struct target_env *env, struct slice local,
    struct arena *arena, struct party *out, struct outcome *o)
{
	struct errtext et = { "" };
	struct assigned_user u;
	enum err e;

	if (env->assigned == NULL)
		return PARTY_NONE;
	e = assigned_find(env->assigned, local, &u, &et);
	if (e == ERR_NOTFOUND)
		return PARTY_NONE;
	if (e != OK) {
		outcome_set(o, JOB_DEFERRED, "4.3.0", "%s", et.text);
		return PARTY_FAILED;
	}
	if (check_assigned(env, &u, o) != PARTY_FOUND)
		return PARTY_FAILED;
	*out = (struct party){
		.owner = { u.to.uid, u.to.gid, u.to.gid },
		.strict = (u.to.dash.len > 0 || u.extension.len > 0) &&
			  has_word(&env->conf->dot_files, SLICE_LIT(".qmail")),
	};
	if (!keep(arena, u.to.user, &out->user) ||
	    !keep(arena, u.to.home, &out->home) ||
	    !keep(arena, u.to.dash, &out->dash) ||
	    !keep(arena, u.extension, &out->extension))
		return failed(o);
	return PARTY_FOUND;
}

enum party_result
party_find(const struct target_env *env, struct slice mailbox,
    struct slice address, struct arena *arena, struct party *out,
    struct outcome *o)
{
	char buf[LOCAL_PART_BYTES_MAX];
	struct slice local = SLICE_NONE, user = mailbox;
	enum party_result r;
	struct address a;
	size_t len;

	address_split(address, &a);
	if (address_local_unquote(a.local, buf, &len) &&
	    !keep(arena, slice_of(buf, len), &local))
		return failed(o);
	r = find_assigned(env, local, arena, out, o);
	/* Another one may be meant: \user in an alias. */
	if (r == PARTY_FAILED ||
	    (r == PARTY_FOUND && slice_eq(out->user, mailbox)))
		return r;
	r = party_named(env, mailbox, arena, out, o);
	if (r != PARTY_FOUND || slice_eq_nocase(local, user))
		return r;
	if (local.len > user.len &&
	    slice_eq_nocase(slice_sub(local, 0, user.len), user) &&
	    strchr(env->conf->recipient_delimiter, local.data[user.len]) !=
		NULL)
		set_extension(env, out,
		    slice_sub(local, user.len, user.len + 1),
		    slice_sub(local, user.len + 1, local.len));
	else if (is_alias_user(out) && local.len > 0)
		set_alias(out, local);
	return PARTY_FOUND;
}

enum party_result
party_with_extension(const struct target_env *env, struct slice mailbox,
    struct slice extension, struct arena *arena, struct party *out,
    struct outcome *o)
{
	enum party_result r;
	struct slice kept;

	if (mailbox.len == 0)
		return find_assigned(env, extension, arena, out, o);
	r = party_named(env, mailbox, arena, out, o);
	if (r != PARTY_FOUND || extension.len == 0)
		return r;
	if (!keep(arena, extension, &kept))
		return failed(o);
	if (is_alias_user(out))
		set_alias(out, kept);
	else
		set_extension(env, out, SLICE_LIT("-"), kept);
	return PARTY_FOUND;
}

bool
party_default(const struct target_env *env, struct arena *arena,
    struct party *out, struct outcome *o)
{
	const char *name = env->conf->default_privs;

	if (!env->is_root) {
		*out = (struct party){ .owner = env->own,
			.user = slice_str(name),
			.home = SLICE_LIT("/") };
		return true;
	}
	switch (party_named(env, slice_str(name), arena, out, o)) {
	case PARTY_FOUND: break;
	case PARTY_NONE:
		return outcome_set(o, JOB_DEFERRED, "4.3.5",
		    "default_privs: there is no user %s", name);
	case PARTY_FAILED: return false;
	}
	/* It has no home of its own. */
	out->home = SLICE_LIT("/");
	return true;
}
