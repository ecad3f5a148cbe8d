/*
 * passwd: users of the system, remembered for a moment.
 *
 * The user database is a file that is read anew, or a network, for each
 * question; a burst of mail asks for the same users again and again.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/slice.h"
#include "base/time.h"

enum {
	PASSWD_KNOWN_COUNT = 64, /* by hash of the name; the newer one stays */
	PASSWD_KNOWN_MS = 1000,
	/* Name, home and shell together; longer ones are asked each time. */
	PASSWD_TEXT_BYTES = 512,
};

/* The strings live until the next call. */
struct passwd_user {
	uid_t uid;
	gid_t gid;
	const char *name, *home, *shell;
};

/* The rows of the limits page. */
void passwd_limits(void);
/*
 * passwd_find(name, now, out):
 * 0 and *out; ENOENT: there is no such user, which is not remembered; another
 * errno: it cannot be known now.  May block in the system's user database.
 */
int passwd_find(struct slice name, struct mono now, struct passwd_user *out);
