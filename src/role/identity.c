/*
 * identity: finding and taking the user of a role.
 */
#include "role/identity.h"

#include <errno.h>
#include <grp.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf/conf.h"
#include "role/sandbox.h"
#include "role/users.h"

static const char *const texts[] = {
	[IDENTITY_SAME] = "the user who started it",
	[IDENTITY_PACKAGE] = "users weir and weirq",
	[IDENTITY_OWNER] = "the owner of queue_directory",
	[IDENTITY_NOBODY] = "user nobody",
};

const char *
identity_text(enum identity_kind kind)
{
	return texts[kind];
}

static void
become(struct identity *id, enum identity_kind kind, struct users_entry u)
{
	id->kind = kind;
	id->uid = u.uid;
	id->gid = u.gid;
	id->drop_gid = u.gid;
}

enum err
identity_find(const struct conf *c, enum role role, struct identity *out,
    struct errtext *et)
{
	const struct sandbox_rights *rights = sandbox_rights(role);
	const struct users *users;
	struct stat st;

	*out = (struct identity){ .stay_root = rights->user == NULL };
	if (geteuid() != 0) {
		out->kind = IDENTITY_SAME;
		out->uid = geteuid();
		out->gid = getegid();
		out->drop_gid = out->gid; /* he cannot give files to another */
		out->stay_root = false;
		return OK;
	}
	/* All or none: one user missing must not leave a half dropped. */
	users = users_get();
	if (users->weir.uid != 0 && users->weirq.uid != 0) {
		bool spool =
		    rights->user != NULL && strcmp(rights->user, "weirq") == 0;

		become(out, IDENTITY_PACKAGE,
		    spool ? users->weirq : users->weir);
		if (users->weirdrop != 0)
			out->drop_gid = users->weirdrop;
		return OK;
	}
	if (stat(c->queue_directory, &st) == 0 && st.st_uid != 0)
		become(out, IDENTITY_OWNER,
		    (struct users_entry){ st.st_uid, st.st_gid });
	else if (users->nobody.uid != 0)
		become(out, IDENTITY_NOBODY, users->nobody);
	else
		return err_set(et, ERR_SYS,
		    "no users weir and weirq, and no user nobody");
	return OK;
}

enum err
identity_borrow(const struct identity *id, struct errtext *et)
{
	if (id->kind == IDENTITY_SAME || id->stay_root)
		return OK;
	if (setgroups(0, NULL) != 0)
		return err_sys(et, errno, "setgroups");
	if (setegid(id->gid) != 0 || seteuid(id->uid) != 0)
		return err_sys(et, errno, "cannot become user %u",
		    (unsigned)id->uid);
	return OK;
}

enum err
identity_return(const struct identity *id, struct errtext *et)
{
	if (id->kind == IDENTITY_SAME || id->stay_root)
		return OK;
	if (seteuid(0) != 0 || setegid(0) != 0)
		return err_sys(et, errno, "cannot become root again");
	return OK;
}

enum err
identity_drop(const struct identity *id, struct errtext *et)
{
	if (id->kind == IDENTITY_SAME || id->stay_root)
		return OK;
	if (setgroups(0, NULL) != 0)
		return err_sys(et, errno, "setgroups");
	if (setresgid(id->gid, id->gid, id->gid) != 0 ||
	    setresuid(id->uid, id->uid, id->uid) != 0)
		return err_sys(et, errno, "cannot become user %u",
		    (unsigned)id->uid);
	/* It must not be possible to go back. */
	if (setuid(0) == 0 || seteuid(0) == 0)
		return err_set(et, ERR_SYS, "root's rights were not dropped");
	/* Under a sanitizer its leak check at exit must be able to look. */
	if (prctl(PR_SET_DUMPABLE, sandbox_sanitized() ? 1 : 0) != 0)
		return err_sys(et, errno, "prctl");
	return OK;
}
