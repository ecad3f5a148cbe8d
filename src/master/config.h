/*
 * config: the configuration in force, and the text of it that roles get.
 *
 * What the plan derives (processes, concurrency_incoming) is written into the
 * text, so that master and roles agree.  A reload takes what a reload can
 * change; the other parameters keep their values until the next start, in
 * roles that are restarted too.
 */
#pragma once

#include <stddef.h>

#include "base/err.h"
#include "conf/conf.h"
#include "role/plan.h"

struct config {
	struct acct *acct;
	const char *path; /* -c; NULL: the default */
	const char *overrides[CONF_OVERRIDE_COUNT_MAX];
	size_t override_count;
	const struct conf *read; /* as the files say, at the start */
	const struct conf *used; /* in force */
	struct plan plan;
	int text_fd; /* memfd of the text; -1: none yet */
	unsigned generation;
};

/*
 * config_start(c): c->path and overrides are set by the caller.
 * Load, plan, render.  ERR_CONFIG, ERR_FULL, ...: every error was logged.
 */
MUST_CHECK enum err config_start(struct config *c);
/* On error everything stays as it was and every error was logged. */
MUST_CHECK enum err config_reload(struct config *c);
void config_end(struct config *c);
/* A descriptor of the text for one process, with a position of its own. */
MUST_CHECK enum err config_text_reader(const struct config *c, int *fd_out);
