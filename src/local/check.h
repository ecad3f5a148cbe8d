/*
 * check: does a user want mail for an extension?  Asked by lookup while a
 * client waits for the answer to RCPT; answered by the user's worker, who may
 * look into his home.
 */
#pragma once

#include "base/err.h"

struct acct;
struct chan;
struct checks;
struct ev_loop;
struct frame;
struct target_env;
struct workers;

enum {
	CHECKS_MAX = 128, /* at once; more are answered "unknown" */
	/* Then the answer is "unknown", whatever the worker does. */
	CHECK_TIMEOUT_MS = 15 * 1000,
};

/* env and workers are borrowed. */
MUST_CHECK enum err checks_new(struct ev_loop *loop, struct acct *a,
    const struct target_env *env, struct workers *workers, struct checks **out);
/* After workers_abandon; NULL is allowed. */
void checks_free(struct checks *cs);
/* A frame CHECK that came over c; c lives until checks_forget. */
void checks_on_frame(struct checks *cs, struct chan *c, struct frame *f);
/* Nobody waits for an answer any more. */
void checks_forget(struct checks *cs);
/* The workers were abandoned: no answer of theirs will come. */
void checks_abandon(struct checks *cs);
