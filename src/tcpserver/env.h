/*
 * env: the environment that a program will get.  Texts are borrowed.
 */
#pragma once

#include "base/err.h"

struct acct;

struct env {
	struct acct *acct;
	char **vars; /* ends in NULL */
	size_t count, max;
};

/* As ours is now, with room for more variables. */
MUST_CHECK enum err env_init(struct env *e, struct acct *acct, size_t more);
/* variable: "NAME=VALUE".  It replaces one of the same name.  ERR_FULL: no
 * memory. */
MUST_CHECK enum err env_put(struct env *e, char *variable);
/* Take NAME away. */
void env_unset(struct env *e, const char *name);
