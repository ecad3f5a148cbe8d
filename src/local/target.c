/*
 * target: from recipient to mailbox.
 *
 * A path that ends with a slash is a Maildir, any other an mbox file.  User
 * id 0 never owns a mailbox: mail for root is held back with a text that
 * says so, since an alias can mend that.
 */
#include "local/target.h"

#include <errno.h>
#include <pwd.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/log.h"
#include "conf/conf.h"
#include "local/path.h"
#include "local/request.h"

enum { USER_BYTES_MAX = 256, PASSWD_BYTES_MAX = 16384 };

static bool
no_memory(struct outcome *o)
{
	return outcome_set(o, JOB_DEFERRED, "4.3.1", "out of memory");
}

/* A copy that lives as long as the job. */
static bool
keep(struct arena *arena, struct slice s, struct slice *out, struct outcome *o)
{
	char *copy = arena_copy(arena, s.data, s.len);

	if (copy == NULL)
		return no_memory(o);
	*out = slice_of(copy, s.len);
	return true;
}

static uint8_t
kind_of(struct slice path)
{
	return path.len > 0 && path.data[path.len - 1] == '/' ? MAILBOX_MAILDIR
							      : MAILBOX_MBOX;
}

static bool
set_path(struct target *t, struct slice base, struct slice path,
    struct arena *arena, struct outcome *o)
{
	if (base.len == 0 || base.data[0] != '/' || base.len > PATH_BYTES_MAX ||
	    !path_is_safe(path))
		return outcome_set(o, JOB_DEFERRED, "4.3.5",
		    "mailbox path \"%.*s\" below \"%.*s\" is not usable",
		    SLICE_ARGS(path), SLICE_ARGS(base));
	t->kind = kind_of(path);
	return keep(arena, base, &t->base, o) && keep(arena, path, &t->path, o);
}

static bool
find_virtual(const struct target_env *env, const struct job_rcpt *rcpt,
    struct arena *arena, struct target *t, struct outcome *o)
{
	t->owner = (struct owner){ rcpt->uid, rcpt->gid, rcpt->gid };
	t->flags = REQUEST_CREATE;
	/* Without virtual_uid_maps the mailboxes are Weir's own. */
	if (!env->is_root || rcpt->uid == 0)
		t->owner = env->own;
	else if (rcpt->uid < (uint64_t)env->conf->virtual_minimum_uid &&
		 rcpt->uid != env->own.uid)
		return outcome_set(o, JOB_DEFERRED, "4.3.5",
		    "user id %u of the mailbox is below virtual_minimum_uid",
		    (unsigned)rcpt->uid);
	if (t->owner.gid == 0 && env->is_root)
		t->owner.gid = t->owner.spool_gid = env->own.gid;
	return set_path(t, slice_str(env->conf->virtual_mailbox_base),
	    rcpt->mailbox, arena, o);
}

void
target_prepare(const struct target_env *env)
{
	const char *base = env->conf->virtual_mailbox_base;

	if (base[0] == '\0')
		return;
	if (mkdir(base, 0755) < 0) {
		if (errno != EEXIST)
			log_warning("cannot create virtual_mailbox_base %s: %m",
			    base);
		return;
	}
	if (env->is_root && lchown(base, env->own.uid, env->own.gid) < 0)
		log_warning("cannot give away virtual_mailbox_base %s: %m",
		    base);
}

static bool
find_postmaster(const struct target_env *env, struct arena *arena,
    struct target *t, struct outcome *o)
{
	struct slice path = slice_str(env->conf->postmaster_mailbox);
	struct slice data = slice_str(env->conf->data_directory);

	if (path.len == 0)
		return outcome_set(o, JOB_DEFERRED, "4.3.5",
		    "there is no user postmaster and no postmaster_mailbox");
	t->owner = env->own;
	t->flags = REQUEST_CREATE;
	/* Below our own directory no symbolic link is passed. */
	if (data.len > 1 && path.len > data.len + 1 &&
	    memcmp(path.data, data.data, data.len) == 0 &&
	    path.data[data.len] == '/')
		return set_path(t, data,
		    slice_sub(path, data.len + 1, path.len), arena, o);
	return set_path(t, SLICE_LIT("/"), slice_sub(path, 1, path.len), arena,
	    o);
}

/* The group that may make lock files and mailboxes in the spool of mbox
 * files, as Debian's /var/mail has it. */
static gid_t
spool_gid(const char *directory, gid_t own)
{
	struct stat st;

	if (stat(directory, &st) == 0 && (st.st_mode & S_IWGRP) &&
	    !(st.st_mode & S_IWOTH) && st.st_gid != 0)
		return st.st_gid;
	return own;
}

static bool
in_spool(const struct target_env *env, const struct passwd *pw,
    struct arena *arena, struct target *t, struct outcome *o)
{
	const char *spool = env->conf->mail_spool_directory;
	struct slice dir = slice_str(spool);
	char name[USER_BYTES_MAX + 2];
	size_t len = strlen(pw->pw_name);
	bool maildir = dir.len > 1 && dir.data[dir.len - 1] == '/';

	ASSERT(len <= USER_BYTES_MAX);
	memcpy(name, pw->pw_name, len);
	if (maildir)
		name[len++] = '/';
	t->flags = 0;
	if (env->is_root)
		t->owner.spool_gid = spool_gid(spool, pw->pw_gid);
	return set_path(t, slice_sub(dir, 0, dir.len - maildir),
	    slice_of(name, len), arena, o);
}

static bool
find_user(const struct target_env *env, const struct passwd *pw,
    struct arena *arena, struct target *t, struct outcome *o)
{
	struct slice home_mailbox = slice_str(env->conf->home_mailbox);

	if (pw->pw_uid == 0)
		return outcome_set(o, JOB_DEFERRED, "4.3.5",
		    "nothing is delivered as root: alias %s to a person",
		    pw->pw_name);
	t->owner = (struct owner){ pw->pw_uid, pw->pw_gid, pw->pw_gid };
	if (!env->is_root && pw->pw_uid != env->own.uid)
		return outcome_set(o, JOB_DEFERRED, "4.3.5",
		    "weir does not run as root and cannot deliver to user %s",
		    pw->pw_name);
	if (home_mailbox.len == 0)
		return in_spool(env, pw, arena, t, o);
	t->flags = REQUEST_CREATE | REQUEST_HOME;
	return set_path(t, slice_str(pw->pw_dir), home_mailbox, arena, o);
}

static bool
find_local(const struct target_env *env, const struct job_rcpt *rcpt,
    struct arena *arena, struct target *t, struct outcome *o)
{
	static char buffer[PASSWD_BYTES_MAX];
	struct passwd pw, *found = NULL;
	char name[USER_BYTES_MAX];
	int errnum = 0;

	if (rcpt->mailbox.len > 0 &&
	    slice_copy(rcpt->mailbox, name, sizeof(name)))
		errnum = getpwnam_r(name, &pw, buffer, sizeof(buffer), &found);
	if (found != NULL)
		return find_user(env, found, arena, t, o);
	/* POSIX leaves open how "no such user" looks. */
	if (errnum != 0 && errnum != ENOENT && errnum != ESRCH)
		return outcome_errno(o, errnum, "cannot ask for user");
	if (slice_eq_nocase(rcpt->mailbox, SLICE_LIT("postmaster")))
		return find_postmaster(env, arena, t, o);
	return outcome_set(o, JOB_FAILED, "5.1.1", "unknown user: \"%.*s\"",
	    SLICE_ARGS(rcpt->mailbox));
}

bool
target_find(const struct target_env *env, struct slice transport,
    const struct job_rcpt *rcpt, struct arena *arena, struct target *out,
    struct outcome *o)
{
	if (slice_eq(transport, SLICE_LIT("local")))
		return find_local(env, rcpt, arena, out, o);
	if (slice_eq(transport, SLICE_LIT("virtual")))
		return find_virtual(env, rcpt, arena, out, o);
	return outcome_set(o, JOB_DEFERRED, "4.3.5",
	    "no mailbox is served by transport \"%.*s\"",
	    SLICE_ARGS(transport));
}
