/*
 * alias/macro: ${name} in texts of the administrator, replaced by facts of one
 * delivery.
 *
 *   $name ${name} $(name)   the value; nothing if it is empty
 *   ${name?text}            text if the value is not empty
 *   ${name:text}            text if it is
 *   $$                      a dollar sign
 *
 * text may hold names itself; it is not searched again after replacing, and
 * neither are values.  Values may be what a stranger wrote: the guard says
 * what is done about them.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "alias/out.h"
#include "base/err.h"
#include "base/slice.h"

enum { MACRO_DEPTH_MAX = 4 };

struct macro_var {
	const char *name;
	struct slice value; /* data NULL: not known here, as an empty value */
};

struct macro_vars {
	const struct macro_var *vars;
	size_t count;
};

enum macro_guard {
	MACRO_RAW,     /* as they are: an argument of execve */
	MACRO_PATH,    /* one piece of a path; ERR_DENIED for others */
	MACRO_COMMAND, /* what is not in MACRO_COMMAND_SAFE becomes _ */
};

/* Postfix's command_expansion_filter. */
#define MACRO_COMMAND_SAFE                                \
	"1234567890!@%-_=+:,./abcdefghijklmnopqrstuvwxyz" \
	"ABCDEFGHIJKLMNOPQRSTUVWXYZ"

/*
 * macro_expand(text, vars, guard, out, et):
 * Append text to out with its names replaced.  ERR_CONFIG with et for an
 * unknown name, a brace without its fellow, or names nested deeper than
 * MACRO_DEPTH_MAX; ERR_TOOBIG when out is full; ERR_DENIED under MACRO_PATH
 * for a value that is no piece of a path (a slash, a control character, "."
 * or ".."): there is no such file.
 */
MUST_CHECK enum err macro_expand(struct slice text,
    const struct macro_vars *vars, enum macro_guard guard, struct out *out,
    struct errtext *et);

/*
 * macro_uses(text, name):
 * Does text ask for this name, in any of the forms above?
 */
bool macro_uses(struct slice text, const char *name);
