/*
 * dotfile_qmail: .qmail, .qmail-ext, .qmail-default, and the owner of a list.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "alias/qmail_file.h"
#include "alias/qmail_name.h"
#include "alias/sender.h"
#include "local/dotfile_internal.h"

/* ---- which ---- */

bool
dot_find_qmail(int home_fd, const struct request *q, bool with_extension,
    struct dot_file *out, struct outcome *o)
{
	struct slice dash = with_extension ? q->dash : SLICE_NONE;
	struct slice ext = with_extension ? q->extension : SLICE_NONE;
	struct qmail_names names;
	struct slice rest;
	const char *name;

	/* Such a name no file can have. */
	if (qmail_names_begin(&names, dash, ext) != OK)
		return true;
	while (out->kind == DOT_NONE &&
	       (name = qmail_names_next(&names, &rest)) != NULL) {
		if (!dot_open(home_fd, name, &out->fd, &out->executable, o))
			return false;
		if (out->fd < 0)
			continue;
		out->kind = DOT_QMAIL;
		memcpy(out->name, name, strlen(name) + 1);
		out->has_default = rest.data != NULL;
		out->default_extension = rest;
	}
	return true;
}

/* ---- whose ---- */

static bool
exists(int home_fd, const char *name, bool *out, struct outcome *o)
{
	struct stat st;

	*out = fstatat(home_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
	if (*out || errno == ENOENT || errno == ENAMETOOLONG)
		return true;
	return outcome_errno(o, errno, "Unable to stat %s", name);
}

/* The sender of what is forwarded, where the list has an owner. */
static bool
put_sender(struct planner *p, int home_fd, struct outcome *o)
{
	const struct request *q = p->q;
	size_t at = slice_rfind(q->address, '@');
	struct qmail_names names;
	char text[ADDRESS_BYTES_MAX];
	struct out sender;
	bool owner = false, of_default = false;

	if (qmail_names_begin(&names, q->dash, q->extension) != OK)
		return true;
	if (!exists(home_fd, qmail_names_owner(&names, false), &owner, o) ||
	    (owner && !exists(home_fd, qmail_names_owner(&names, true),
			  &of_default, o)))
		return false;
	out_init(&sender, text, sizeof(text));
	sender_owner(q->sender, slice_sub(q->address, 0, at),
	    slice_sub(q->address, at + 1, q->address.len), owner, of_default,
	    &sender);
	if (sender.full)
		return outcome_set(o, JOB_DEFERRED, "4.7.0",
		    "the address of the list's owner is longer than %d bytes",
		    ADDRESS_BYTES_MAX);
	if (!slice_eq(out_text(&sender), q->sender))
		p->to->put(p->to->arg, ACTION_SET_SENDER, 0, out_text(&sender));
	return true;
}

/* ---- what ---- */

static bool
put_line(struct planner *p, const struct qmail_line *l, struct outcome *o)
{
	switch (l->action) {
	case QMAIL_COMMAND:
		return planner_put(p, ACTION_COMMAND, l->line, l->text, o);
	case QMAIL_MBOX:
		return planner_put_file(p, ACTION_MBOX, l->line, l->text, o);
	case QMAIL_MAILDIR:
		return planner_put_file(p, ACTION_MAILDIR, l->line, l->text, o);
	case QMAIL_FORWARD:
		return planner_put(p, ACTION_ADDRESS, l->line, l->text, o);
	}
	return outcome_set(o, JOB_DEFERRED, "4.3.0", "unknown line");
}

bool
dot_plan_qmail(struct planner *p, int home_fd, const struct dot_file *f,
    struct outcome *o)
{
	static struct qmail_scan scan;
	static char buf[8192];
	uint64_t left = DOT_FILE_BYTES_MAX;
	struct qmail_line line;
	struct errtext et;
	struct slice in;
	ssize_t n;
	enum err e;

	if (!put_sender(p, home_fd, o))
		return false;
	qmail_scan_init(&scan, f->executable);
	do {
		n = dot_read(f->fd, f->name, buf, sizeof(buf), &left, o);
		if (n < 0)
			return false;
		in = slice_of(buf, (size_t)n);
		while (
		    (e = qmail_scan_next(&scan, &in, n == 0, &line, &et)) == OK)
			if (!put_line(p, &line, o))
				return false;
		if (e == ERR_CONFIG)
			return dot_refuse(o, JOB_DEFERRED, et.text);
	} while (n > 0);
	/* Not a single byte: the default delivery. */
	return !scan.empty || planner_put(p, ACTION_DEFAULT, 0, SLICE_NONE, o);
}
