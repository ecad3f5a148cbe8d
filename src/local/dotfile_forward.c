/*
 * dotfile_forward: .forward, and the :include: files that it names.
 *
 * An :include: is read where it stands, so that the order of the actions is
 * the order of the text; the files that are open at once are a stack of
 * bounded depth, and their number in one plan is bounded too.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "alias/macro.h"
#include "alias/target.h"
#include "local/dotfile_internal.h"

/* ---- which ---- */

/* What strangers wrote must be one piece of a path. */
static bool
is_piece(struct slice s)
{
	size_t i;

	if (s.len == 0 || slice_eq(s, SLICE_LIT(".")) ||
	    slice_eq(s, SLICE_LIT("..")))
		return false;
	for (i = 0; i < s.len; i++)
		if ((unsigned char)s.data[i] < ' ' || s.data[i] == '/' ||
		    s.data[i] == 127)
			return false;
	return true;
}

enum { VAR_COUNT = 8, VAR_TRUSTED_COUNT = 4 };

/* The first VAR_TRUSTED_COUNT come from the system and the administrator. */
static void
set_vars(const struct request *q, char lower[static EXTENSION_BYTES_MAX],
    struct macro_var vars[static VAR_COUNT])
{
	size_t at = slice_rfind(q->address, '@'), i;

	for (i = 0; i < q->extension.len; i++) {
		char c = q->extension.data[i];

		lower[i] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
	}
	vars[0] = (struct macro_var){ "user", q->user };
	vars[1] = (struct macro_var){ "home", q->base };
	vars[2] = (struct macro_var){ "shell", q->shell };
	vars[3] = (struct macro_var){ "recipient_delimiter", q->delimiter };
	vars[4] = (struct macro_var){ "recipient", q->address };
	vars[5] = (struct macro_var){ "local", slice_sub(q->address, 0, at) };
	vars[6] = (struct macro_var){ "domain",
		slice_sub(q->address, at + 1, q->address.len) };
	vars[7] = (struct macro_var){ "extension",
		slice_of(lower, q->extension.len) };
}

/* It asks for nothing that the recipient does not have. */
static bool
has_all(struct slice path, const struct macro_var vars[static VAR_COUNT])
{
	size_t i;

	for (i = VAR_TRUSTED_COUNT; i < VAR_COUNT; i++)
		if (macro_uses(path, vars[i].name) && !is_piece(vars[i].value))
			return false;
	return true;
}

/* The path that template means; terminated. */
static bool
expand(struct slice template, const struct macro_var vars[static VAR_COUNT],
    char path[static DOT_NAME_BYTES], struct outcome *o)
{
	const struct macro_vars all = { vars, VAR_COUNT };
	struct errtext et = { "" };
	struct out out;

	out_init(&out, path, DOT_NAME_BYTES - 1);
	if (macro_expand(template, &all, MACRO_RAW, &out, &et) != OK)
		return outcome_set(o, JOB_DEFERRED, "4.3.5",
		    "forward_path: \"%.*s\": %s",
		    SLICE_ARGS(slice_sub(template, 0, 100)),
		    et.text[0] != '\0' ? et.text : "too long");
	path[out.len] = '\0';
	if (path[0] != '/')
		return outcome_set(o, JOB_DEFERRED, "4.3.5",
		    "forward_path: \"%s\" is not absolute", path);
	return true;
}

/* In the home with openat, so that links may stay within it. */
static bool
open_path(int home_fd, const struct request *q, const char *path,
    struct dot_file *out, struct outcome *o)
{
	size_t home_len = q->base.len;
	int dir_fd = AT_FDCWD;

	while (home_len > 1 && q->base.data[home_len - 1] == '/')
		home_len--;
	if (strncmp(path, q->base.data, home_len) == 0 &&
	    path[home_len] == '/' && path[home_len + 1] != '/') {
		dir_fd = home_fd;
		path += home_len + 1;
	}
	return dot_open(dir_fd, path, &out->fd, &out->executable, o);
}

bool
dot_find_forward(int home_fd, const struct request *q, bool with_extension,
    struct dot_file *out, struct outcome *o)
{
	char lower[EXTENSION_BYTES_MAX], path[DOT_NAME_BYTES];
	struct macro_var vars[VAR_COUNT];
	struct slice rest = q->forward_path, template;

	set_vars(q, lower, vars);
	while (slice_word(&rest, ", \t", &template)) {
		if (macro_uses(template, "extension") != with_extension ||
		    !has_all(template, vars))
			continue;
		if (!expand(template, vars, path, o) ||
		    !open_path(home_fd, q, path, out, o))
			return false;
		if (out->fd < 0)
			continue;
		out->kind = DOT_FORWARD;
		memcpy(out->name, path, strlen(path) + 1);
		return true;
	}
	return true;
}

/* ---- what ---- */

struct source {
	int fd;
	struct alias_scan scan;
	struct slice in; /* of buf */
	bool last;	 /* nothing comes behind in */
	uint64_t left_bytes;
	char name[DOT_NAME_BYTES];
	char buf[4096];
};

/* The .forward file is the first. */
static struct {
	struct source stack[1 + DOT_INCLUDE_DEPTH_MAX];
	unsigned depth; /* how many are open */
	unsigned include_count;
} sources;

static void
push(int fd, const char *name)
{
	struct source *s = &sources.stack[sources.depth++];

	s->fd = fd;
	s->in = SLICE_NONE;
	s->last = false;
	s->left_bytes = DOT_FILE_BYTES_MAX;
	memcpy(s->name, name, strlen(name) + 1);
	alias_scan_init(&s->scan, ALIAS_SOURCE_FILE);
}

static bool
refuse(struct outcome *o, const struct source *s, uint32_t line,
    const char *why)
{
	return outcome_set(o, JOB_DEFERRED, "4.7.0", "%s: line %u: %s", s->name,
	    line, why);
}

static bool
include(const struct source *s, const struct alias_target *t, struct outcome *o)
{
	char path[DOT_NAME_BYTES];
	bool executable;
	int fd;

	if (sources.depth == 1 + DOT_INCLUDE_DEPTH_MAX)
		return refuse(o, s, t->line,
		    "too many :include: one within "
		    "the other");
	if (sources.include_count++ == DOT_INCLUDES_MAX)
		return refuse(o, s, t->line, "too many :include:");
	if (!slice_copy(t->text, path, sizeof(path)))
		return refuse(o, s, t->line, "no usable path");
	if (!dot_open(AT_FDCWD, path, &fd, &executable, o))
		return false;
	if (fd < 0)
		return outcome_set(o, JOB_DEFERRED, "4.7.0",
		    "%s: line %u: there is no file %s", s->name, t->line, path);
	push(fd, path);
	return true;
}

/* Postfix's words for what allow_mail_to_commands and _files keep out. */
static bool
is_allowed(const struct request *q, uint32_t by_file, uint32_t by_include,
    const char *what, struct outcome *o)
{
	if (q->flags & (sources.depth == 1 ? by_file : by_include))
		return true;
	return outcome_set(o, JOB_FAILED, "5.7.1", "mail to %s is restricted",
	    what);
}

/* The user himself, who has said with it that his mail stays here. */
static bool
is_own(const struct request *q, struct slice text)
{
	size_t at = slice_rfind(text, '@');
	size_t own_at = slice_rfind(q->address, '@');

	if (slice_eq_nocase(text, q->user) || slice_eq_nocase(text, q->address))
		return true;
	return slice_eq_nocase(slice_sub(text, 0, at), q->user) &&
	       slice_eq_nocase(slice_sub(text, at, text.len),
		   slice_sub(q->address, own_at, q->address.len));
}

static bool
put_target(struct planner *p, const struct source *s,
    const struct alias_target *t, struct outcome *o)
{
	const struct request *q = p->q;
	bool mbox = t->kind == ALIAS_MBOX;

	switch (t->kind) {
	case ALIAS_ADDRESS:
	case ALIAS_USER:
		if (is_own(q, t->text))
			return planner_put(p, ACTION_DEFAULT, t->line,
			    SLICE_NONE, o);
		return planner_put(p,
		    t->kind == ALIAS_USER ? ACTION_USER : ACTION_ADDRESS,
		    t->line, t->text, o);
	case ALIAS_COMMAND:
		return is_allowed(q, REQUEST_ALLOW_COMMANDS,
			   REQUEST_ALLOW_INCLUDE_COMMANDS, "command", o) &&
		       planner_put(p, ACTION_COMMAND, t->line, t->text, o);
	case ALIAS_MBOX:
	case ALIAS_MAILDIR:
		return is_allowed(q, REQUEST_ALLOW_FILES,
			   REQUEST_ALLOW_INCLUDE_FILES, "file", o) &&
		       planner_put_file(p, mbox ? ACTION_MBOX : ACTION_MAILDIR,
			   t->line, t->text, o);
	case ALIAS_INCLUDE: return include(s, t, o);
	}
	return refuse(o, s, t->line, "unknown kind of target");
}

/* One target, or more bytes, or the end of the file on top. */
static bool
step(struct planner *p, struct outcome *o)
{
	struct source *s = &sources.stack[sources.depth - 1];
	struct alias_target t;
	struct errtext et;
	ssize_t n;

	switch (alias_scan_next(&s->scan, &s->in, s->last, &t, &et)) {
	case OK: return put_target(p, s, &t, o);
	case ERR_AGAIN:
		n = dot_read(s->fd, s->name, s->buf, sizeof(s->buf),
		    &s->left_bytes, o);
		if (n < 0)
			return false;
		s->in = slice_of(s->buf, (size_t)n);
		s->last = n == 0;
		return true;
	case ERR_NOTFOUND:
		sources.depth--;
		/* The first belongs to who opened it. */
		if (sources.depth > 0)
			close(s->fd);
		return true;
	default:
		return outcome_set(o, JOB_DEFERRED, "4.7.0", "%s: %s", s->name,
		    et.text);
	}
}

bool
dot_plan_forward(struct planner *p, const struct dot_file *f, struct outcome *o)
{
	bool ok = true;

	sources.depth = sources.include_count = 0;
	push(f->fd, f->name);
	while (ok && sources.depth > 0)
		ok = step(p, o);
	while (sources.depth > 1)
		close(sources.stack[--sources.depth].fd);
	if (!ok)
		return false;
	/* Nothing but comments: as if there were no such file. */
	return p->count > 0 || planner_put(p, ACTION_DEFAULT, 0, SLICE_NONE, o);
}
