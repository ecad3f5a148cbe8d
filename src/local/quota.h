/*
 * quota: the Maildir++ quota of a Maildir.
 *
 * A file maildirsize in the Maildir says how much may lie in it ("10000000S",
 * "1000C", or both with a comma) and, line by line, what has come and gone:
 * bytes and messages, negative for what went.  Whoever changes the Maildir
 * adds a line; what does not add up is counted anew.  No such file, no quota.
 * The quota of a folder (".Name") is that of its Maildir.  Counting anew does
 * not see what is written just then: up to WORKER_REQUESTS_MAX messages may
 * come in beyond the quota.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "local/outcome.h"

enum {
	/* A longer file is replaced by what was counted. */
	QUOTA_FILE_BYTES_MAX = 5120,
	/* A sum that is too large is believed for so long after a count. */
	QUOTA_TRUST_S = 15 * 60,
	QUOTA_ENTRIES_MAX = 1000 * 1000, /* of all directories counted */
};

struct quota {
	int dir_fd; /* of the Maildir; -1: no quota */
};

/* dir_fd is borrowed; is_folder: it may be a folder in a Maildir.  False with
 * o set: there is a quota, and it cannot be known. */
bool quota_open(struct quota *q, int dir_fd, bool is_folder, struct outcome *o);
void quota_close(struct quota *q); /* also when not open */

/*
 * quota_take(q, bytes, bounces, o):
 * One more message of bytes, which need not be published yet.  May count the
 * whole Maildir.  False with o set: it is full (outcome_full), or that cannot
 * be known.  True without a quota.
 */
bool quota_take(const struct quota *q, uint64_t bytes, bool bounces,
    struct outcome *o);
/* It was not published after all. */
void quota_give_back(const struct quota *q, uint64_t bytes);
