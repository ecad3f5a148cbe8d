/*
 * quota_internal: between quota.c, which keeps maildirsize, and those who read
 * its text and count the Maildir.
 */
#pragma once

#include "base/slice.h"
#include "local/quota.h"

struct quota_usage {
	int64_t bytes, count;
};

/* What a maildirsize says. */
struct quota_book {
	struct slice line;	       /* the first, as it is written */
	uint64_t bytes_max, count_max; /* 0: no limit */
	struct quota_usage used;
	unsigned entry_count; /* lines behind the first */
	bool sound;	      /* used is right, as far as we can see */
	bool recent; /* written within QUOTA_TRUST_S; not of the text */
};

/* text is borrowed; whole: nothing of it was left out. */
void quota_book_parse(struct quota_book *b, struct slice text, bool whole);
/* For one more message of bytes; the book must be sound. */
bool quota_book_has_room(const struct quota_book *b, uint64_t bytes);

/* Every message of the Maildir and its folders, but in .Trash and those marked
 * as deleted; blocking.  False with o set. */
bool quota_count(int dir_fd, struct quota_usage *u, struct outcome *o);
