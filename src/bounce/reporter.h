/*
 * reporter: the bounce role without its process: takes REPORTs of the queue,
 * composes them from the recipients' results and the original's segments, and
 * hands each in as a transaction under the report's tag.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct acct;
struct conf;
struct ev_loop;
struct reporter;

struct reporter_env {
	struct ev_loop *loop;
	struct acct *acct;
	const struct conf *conf; /* borrowed; reporter_reload replaces it */
	void *arg;
	/* Nothing to do for REPORTER_IDLE_MS. */
	void (*idle)(void *arg);
	/* The queue sent nonsense; its channel is closed. */
	void (*bad_queue)(void *arg, const char *why);
};

enum { REPORTER_IDLE_MS = 10000 };

/*
 * reporter_open(env, out):
 * A reporter without a channel; env is copied, what it points to is
 * borrowed until reporter_close.  The idle timer runs from now on.  All its
 * memory is of env->acct.  ERR_NOMEM: nothing is left behind.
 */
MUST_CHECK enum err reporter_open(const struct reporter_env *env,
    struct reporter **out);
void reporter_close(struct reporter *r); /* NULL is allowed */
/* The channel to the queue; owns fd; replaces an older one. */
void reporter_channel(struct reporter *r, int fd);
/* conf takes the place of the old one, which may go after the call; reports
 * under way take their names from it too. */
void reporter_reload(struct reporter *r, const struct conf *conf);
