/*
 * target: from recipient to mailbox.
 *
 * A path that ends with a slash is a Maildir, any other an mbox file.
 */
#include "local/target.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/log.h"
#include "conf/conf.h"
#include "local/party.h"
#include "local/path.h"
#include "local/request.h"

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
in_spool(const struct target_env *env, const struct party *party,
    struct arena *arena, struct target *t, struct outcome *o)
{
	const char *spool = env->conf->mail_spool_directory;
	struct slice dir = slice_str(spool);
	char name[USER_NAME_BYTES_MAX + 1];
	size_t len = party->user.len;
	bool maildir = dir.len > 1 && dir.data[dir.len - 1] == '/';

	ASSERT(len <= USER_NAME_BYTES_MAX);
	memcpy(name, party->user.data, len);
	if (maildir)
		name[len++] = '/';
	t->flags = 0;
	if (env->is_root)
		t->owner.spool_gid = spool_gid(spool, party->owner.gid);
	return set_path(t, slice_sub(dir, 0, dir.len - maildir),
	    slice_of(name, len), arena, o);
}

bool
target_default(const struct target_env *env, const struct party *party,
    struct arena *arena, struct target *out, struct outcome *o)
{
	struct slice home_mailbox = slice_str(env->conf->home_mailbox);

	out->owner = party->owner;
	if (home_mailbox.len == 0)
		return in_spool(env, party, arena, out, o);
	out->flags = REQUEST_CREATE | REQUEST_HOME;
	return set_path(out, party->home, home_mailbox, arena, o);
}

bool
target_path(const struct party *party, uint8_t kind, struct slice path,
    struct arena *arena, struct target *out, struct outcome *o)
{
	bool ok;

	out->owner = party->owner;
	while (path.len > 1 && path.data[path.len - 1] == '/')
		path = slice_sub(path, 0, path.len - 1);
	if (path.len > 0 && path.data[0] == '/') {
		while (path.len > 0 && path.data[0] == '/')
			path = slice_sub(path, 1, path.len);
		out->flags = 0;
		ok = set_path(out, SLICE_LIT("/"), path, arena, o);
	} else {
		while (
		    path.len > 1 && path.data[0] == '.' && path.data[1] == '/')
			path = slice_sub(path, 2, path.len);
		out->flags = REQUEST_HOME;
		ok = set_path(out, party->home, path, arena, o);
	}
	out->kind = kind;
	return ok;
}

bool
target_find(const struct target_env *env, struct slice transport,
    const struct job_rcpt *rcpt, struct arena *arena, struct target *out,
    struct outcome *o)
{
	if (slice_eq(transport, SLICE_LIT("virtual")))
		return find_virtual(env, rcpt, arena, out, o);
	if (!slice_eq(transport, SLICE_LIT("local")))
		return outcome_set(o, JOB_DEFERRED, "4.3.5",
		    "no mailbox is served by transport \"%.*s\"",
		    SLICE_ARGS(transport));
	if (slice_eq_nocase(rcpt->mailbox, SLICE_LIT("postmaster")))
		return find_postmaster(env, arena, out, o);
	return outcome_set(o, JOB_FAILED, "5.1.1", "unknown user: \"%.*s\"",
	    SLICE_ARGS(rcpt->mailbox));
}
