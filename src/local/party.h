/*
 * party: a user of the system, as whom and for whom something is done.
 */
#pragma once

#include <stdbool.h>

#include "base/slice.h"
#include "local/target.h"

struct arena;
struct job_rcpt;

struct party {
	struct owner owner;
	struct slice user; /* login name */
	struct slice home; /* absolute */
	struct slice shell;
	/* What follows the user in the address; see struct request. */
	struct slice extension, dash, delimiter;
	/* An extension without a dot file is no mailbox: of the alias user,
	 * and of addresses in the manner of qmail. */
	bool strict;
};

enum party_result {
	PARTY_FOUND,
	PARTY_NONE,   /* there is no such user */
	PARTY_FAILED, /* the outcome says why: deferred */
};

/*
 * party_named(env, name, arena, out, o):
 * The user of that name, asked of the system, which may block; without an
 * extension.  Strings live as long as the arena.
 */
enum party_result party_named(const struct target_env *env, struct slice name,
    struct arena *arena, struct party *out, struct outcome *o);

/* The user whom mailbox names: he who has the local part of address in
 * users/assign, if that is his name; else one of the system, with what the
 * local part has behind his name.  As party_named. */
enum party_result party_find(const struct target_env *env, struct slice mailbox,
    struct slice address, struct arena *arena, struct party *out,
    struct outcome *o);

/* The user whom mailbox names, with that extension, as CHECK gives them: behind
 * a hyphen; without a name whoever has it in users/assign.  As party_named. */
enum party_result party_with_extension(const struct target_env *env,
    struct slice mailbox, struct slice extension, struct arena *arena,
    struct party *out, struct outcome *o);

/* As whom commands and files of aliases are served: default_privs.  False,
 * with o set: deferred, there is no such user, or he is root. */
bool party_default(const struct target_env *env, struct arena *arena,
    struct party *out, struct outcome *o);
