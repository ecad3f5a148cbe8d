/*
 * target: where a mailbox lies, and whose it is.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/slice.h"
#include "ipc/job.h"
#include "local/outcome.h"

struct assigned;
struct conf;

/* As whom a worker runs. */
struct owner {
	uid_t uid;
	gid_t gid;
	gid_t
	    spool_gid; /* of a group-writable mail_spool_directory; else gid */
};

struct target {
	struct owner owner;
	uint8_t kind;	   /* enum mailbox_kind */
	uint32_t flags;	   /* enum request_flag */
	struct slice base; /* in the arena, or static */
	struct slice path;
};

/* What does not change while the role runs. */
struct target_env {
	const struct conf *conf;   /* the one in force */
	bool is_root;		   /* else everything belongs to own */
	struct owner own;	   /* of mail without a user: Weir's own */
	struct assigned *assigned; /* users_assign; NULL: there is none */
};

/*
 * target_prepare(env):
 * At start and after a reload: make virtual_mailbox_base, owned by env->own,
 * if the directory above it exists and it does not.  A failure is logged;
 * deliveries will say it again.
 */
void target_prepare(const struct target_env *env);

struct party;

/*
 * target_find(env, transport, rcpt, arena, out, o):
 * The mailbox of a recipient who is no user of the system.  transport is
 * "virtual" (rcpt->mailbox is a path below virtual_mailbox_base) or "local"
 * (rcpt->mailbox is "postmaster", whose mailbox is postmaster_mailbox).
 * False, with o set: there is no such mailbox (failed 5.1.1), or it cannot be
 * used now (deferred).
 */
bool target_find(const struct target_env *env, struct slice transport,
    const struct job_rcpt *rcpt, struct arena *arena, struct target *out,
    struct outcome *o);

/* Where a user's mail goes by itself: home_mailbox, or his file in
 * mail_spool_directory.  Likewise. */
bool target_default(const struct target_env *env, const struct party *party,
    struct arena *arena, struct target *out, struct outcome *o);

/* A mailbox that an alias or a dot file names; kind: enum mailbox_kind; path
 * is absolute, or relative to the party's home.  Likewise. */
bool target_path(const struct party *party, uint8_t kind, struct slice path,
    struct arena *arena, struct target *out, struct outcome *o);
