/*
 * jobs: what the queue asks for, from its frames to its results.
 *
 * A job comes as any number of JOB_EXTENTS and JOB_RCPTS and one JOB with the
 * same tag.  Each recipient becomes a delivery or a plan; when all are over
 * the results go back, then JOB_DONE.
 */
#pragma once

#include <stdbool.h>

#include "base/err.h"
#include "ipc/chan.h"
#include "local/segments.h"
#include "local/target.h"
#include "local/workers.h"

struct acct;
struct ev_loop;
struct jobs;

/* Jobs at once, those that are still arriving included: far more than
 * concurrency_local, so that only a queue gone wrong meets it. */
enum { JOBS_MAX = 1024, JOB_BYTES_MAX = 8 << 20, JOB_RCPTS_MAX = 10000 };

/* program: of the workers, borrowed.  env is borrowed and may change its
 * conf between calls. */
MUST_CHECK enum err jobs_new(struct ev_loop *loop, struct acct *a,
    const struct target_env *env, const char *program, struct jobs **out);
/* The channel to the queue; owns fd.  An older one is closed and everything
 * that came over it is forgotten. */
MUST_CHECK enum err jobs_set_queue(struct jobs *js, int fd, unsigned index);
/* The channel to lookup; owns fd; replaces an older one. */
MUST_CHECK enum err jobs_set_lookup(struct jobs *js, int fd, unsigned index);
/* The configuration of env changed. */
void jobs_reload(struct jobs *js);
/* No new job is begun: it is deferred at once.  on_idle(arg) is called as
 * soon as none is left, perhaps at once. */
void jobs_drain(struct jobs *js, void (*on_idle)(void *arg), void *arg);

/* on_bad(arg, why): what came over the queue's channel, or lookup's, was
 * malformed; it is closed. */
void jobs_on_bad(struct jobs *js, void (*on_bad)(void *arg, const char *why),
    void (*on_bad_lookup)(void *arg, const char *why), void *arg);
/* SIGCHLD came. */
void jobs_reap(struct jobs *js);
/* NULL is allowed. */
void jobs_free(struct jobs *js);
