/*
 * identity: as whom a role runs.
 *
 * Started by an ordinary user, every role runs as that user.  Started by root,
 * each drops to its user of the package (weir, or weirq for the queue; local
 * stays root).  Where these users do not exist, to the owner of
 * queue_directory, and if that is root, to nobody.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"
#include "ipc/chan.h"

struct conf;

enum identity_kind {
	IDENTITY_SAME,	  /* not root: nothing to drop */
	IDENTITY_PACKAGE, /* users weir and weirq */
	IDENTITY_OWNER,	  /* owner of queue_directory */
	IDENTITY_NOBODY,
};

struct identity {
	enum identity_kind kind;
	uid_t uid;
	gid_t gid;
	gid_t drop_gid; /* weirdrop; that of the user where it is missing */
	bool stay_root; /* local: uid and gid are for files only */
};

/* By role/users.h.  ERR_SYS when there is not even nobody. */
MUST_CHECK enum err identity_find(const struct conf *c, enum role role,
    struct identity *out, struct errtext *et);

/* Effective ids only, to open files as the role; and back. */
MUST_CHECK enum err identity_borrow(const struct identity *id,
    struct errtext *et);
MUST_CHECK enum err identity_return(const struct identity *id,
    struct errtext *et);

/* For good: all ids, no supplementary groups; not dumpable. */
MUST_CHECK enum err identity_drop(const struct identity *id,
    struct errtext *et);

/* "users weir and weirq", ...: for the log. */
const char *identity_text(enum identity_kind kind);
