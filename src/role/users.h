/*
 * users: the numbers of Weir's own users and groups.
 *
 * The user database brings the C library's modules with it (on a system with
 * systemd a megabyte in each process that asks).  So a child that ends asks,
 * once, and the master tells the roles on their command lines.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

struct users_entry {
	uid_t uid; /* 0: there is none, or it is root, which does not count */
	gid_t gid;
};

struct users {
	struct users_entry weir, weirq, nobody;
	gid_t weirdrop; /* 0: no such group */
};

/* Made at the first call, which may wait for a server that holds users. */
const struct users *users_get(void);

/* For the command line of a role, and back.  "": nothing is known; users_get
 * asks then.  False: not such a text. */
enum { USERS_TEXT_BYTES = 96 };
void users_text(char buf[static USERS_TEXT_BYTES]);
bool users_take(const char *text);
