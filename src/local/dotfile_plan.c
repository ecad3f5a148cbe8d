/*
 * dotfile_plan: actions on their way to weir-local.
 */
#include <string.h>

#include "local/dotfile_internal.h"

bool
planner_put(struct planner *p, enum action_kind kind, uint32_t line,
    struct slice text, struct outcome *o)
{
	if (p->count == p->q->actions_max)
		return outcome_set(o, JOB_DEFERRED, "4.7.0",
		    "more than %u addresses, files and commands",
		    p->q->actions_max);
	p->count++;
	p->to->put(p->to->arg, kind, line, text);
	return true;
}

/* Without what says nothing: "./", "//", a slash at the end.  False: too
 * long, or it climbs. */
static bool
tidy(struct slice path, char out[static PATH_BYTES_MAX + 1], size_t *len_out)
{
	struct slice piece;
	size_t len = 0;

	if (path.len > 0 && path.data[0] == '/')
		out[len++] = '/';
	while (slice_word(&path, "/", &piece)) {
		if (slice_eq(piece, SLICE_LIT(".")))
			continue;
		if (len + 1 + piece.len > PATH_BYTES_MAX)
			return false;
		if (len > 0 && out[len - 1] != '/')
			out[len++] = '/';
		memcpy(out + len, piece.data, piece.len);
		len += piece.len;
	}
	*len_out = len;
	return true;
}

/* Below the home, relative to it. */
static struct slice
below_home(struct slice path, struct slice home)
{
	while (home.len > 0 && home.data[home.len - 1] == '/')
		home.len--;
	if (path.len > home.len + 1 && path.data[home.len] == '/' &&
	    memcmp(path.data, home.data, home.len) == 0)
		return slice_sub(path, home.len + 1, path.len);
	return path;
}

bool
planner_put_file(struct planner *p, enum action_kind kind, uint32_t line,
    struct slice text, struct outcome *o)
{
	char tidied[PATH_BYTES_MAX + 1];
	struct slice path = SLICE_NONE;
	size_t len;

	if (tidy(text, tidied, &len)) {
		path = slice_of(tidied, len);
		if (len > 0 && tidied[0] == '/')
			path = below_home(path, p->q->base);
	}
	if (!path_is_safe(path.len > 0 && path.data[0] == '/'
			      ? slice_sub(path, 1, path.len)
			      : path))
		return outcome_set(o, JOB_DEFERRED, "4.2.1",
		    "line %u: mailbox path \"%.*s\" is not usable", line,
		    SLICE_ARGS(slice_sub(text, 0, 200)));
	return planner_put(p, kind, line, path, o);
}
