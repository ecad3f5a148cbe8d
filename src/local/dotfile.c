/*
 * dotfile: the home and the files in it, opened as the user.
 *
 * Failure modes: a home that is missing has no files: mail for a user whose
 * home does not exist goes where it would go without any; a home that cannot
 * be read, that others may write to, or that is sticky (its owner is editing
 * his files), and a file that must not be trusted defer the mail.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/assert.h"
#include "local/dotfile_internal.h"

bool
dot_refuse(struct outcome *o, enum job_status status, const char *text)
{
	const char *at = strstr(text, "(#"), *end;
	char dsn[sizeof(o->dsn)];

	end = at != NULL ? strchr(at, ')') : NULL;
	ASSERT(
	    end != NULL && slice_copy(slice_of(at + 2, (size_t)(end - at - 2)),
			       dsn, sizeof(dsn)));
	return outcome_set(o, status, dsn, "%s", text);
}

/* ---- files ---- */

/* Somebody else may write: anybody, or a group that is not the user's own.
 * Where each user has a group of his own its number is his. */
static bool
others_write(const struct stat *st)
{
	if (st->st_mode & S_IWOTH)
		return true;
	return (st->st_mode & S_IWGRP) &&
	       (st->st_gid != getegid() || st->st_gid != geteuid());
}

static bool
may_be_read(const struct stat *st, const char *path, struct outcome *o)
{
	if (!S_ISREG(st->st_mode))
		return outcome_set(o, JOB_DEFERRED, "4.7.0",
		    "%s is not a regular file", path);
	if (st->st_uid != geteuid() && st->st_uid != 0)
		return outcome_set(o, JOB_DEFERRED, "4.7.0",
		    "%s belongs to user id %lu", path,
		    (unsigned long)st->st_uid);
	if (others_write(st) && strncmp(path, ".qmail", 6) == 0)
		return dot_refuse(o, JOB_DEFERRED,
		    "Uh-oh: .qmail file is writable. (#4.7.0)");
	if (others_write(st))
		return outcome_set(o, JOB_DEFERRED, "4.7.0",
		    "%s is writable for others", path);
	if (st->st_size > DOT_FILE_BYTES_MAX)
		return outcome_set(o, JOB_DEFERRED, "4.7.0",
		    "%s is longer than %d bytes", path, DOT_FILE_BYTES_MAX);
	return true;
}

/* Within the home, whatever links there are. */
static int
open_beneath(int home_fd, const char *path, int flags)
{
	struct open_how how = {
		.flags = (unsigned)flags,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
	};
	long fd = syscall(SYS_openat2, home_fd, path, &how, sizeof(how));

	/* A container may not let it pass. */
	if (fd < 0 && (errno == ENOSYS || errno == EPERM))
		fd = openat(home_fd, path, flags | O_NOFOLLOW);
	return (int)fd;
}

/* No such file, and no such name could there be. */
static bool
is_missing(int errnum)
{
	return errnum == ENOENT || errnum == ENAMETOOLONG || errnum == ENOTDIR;
}

bool
dot_open(int dir_fd, const char *path, int *fd_out, bool *executable_out,
    struct outcome *o)
{
	int flags = O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
	struct stat st;
	int fd;

	*fd_out = -1;
	if (dir_fd == AT_FDCWD)
		fd = open(path, flags | O_NOFOLLOW);
	else
		fd = open_beneath(dir_fd, path, flags);
	if (fd < 0 && is_missing(errno))
		return true;
	if (fd < 0)
		return outcome_set(o, JOB_DEFERRED, "4.3.0",
		    "Unable to open %s: %s. (#4.3.0)", path, strerror(errno));
	if (fstat(fd, &st) < 0) {
		outcome_errno(o, errno, "cannot stat %s", path);
		goto close_fd;
	}
	if (!may_be_read(&st, path, o))
		goto close_fd;
	*executable_out = (st.st_mode & S_IXUSR) != 0;
	*fd_out = fd;
	return true;

close_fd:
	close(fd);
	return false;
}

ssize_t
dot_read(int fd, const char *name, char *buf, size_t size, uint64_t *left_bytes,
    struct outcome *o)
{
	ssize_t n;

	do
		n = read(fd, buf, size);
	while (n < 0 && errno == EINTR);
	if (n < 0) {
		outcome_set(o, JOB_DEFERRED, "4.3.0",
		    "Unable to read %s: %s. (#4.3.0)", name, strerror(errno));
		return -1;
	}
	if ((uint64_t)n > *left_bytes) {
		outcome_set(o, JOB_DEFERRED, "4.7.0",
		    "%s is longer than %d bytes", name, DOT_FILE_BYTES_MAX);
		return -1;
	}
	*left_bytes -= (uint64_t)n;
	return n;
}

/* ---- the home ---- */

static bool
uses(const struct request *q, const char *name)
{
	struct slice rest = q->dot_files, word;

	while (slice_word(&rest, " ", &word))
		if (slice_eq(word, slice_str(name)))
			return true;
	return false;
}

static bool
home_is_safe(const struct request *q, const struct stat *st, struct outcome *o)
{
	if (st->st_mode & S_IWOTH)
		return dot_refuse(o, JOB_DEFERRED,
		    "Uh-oh: home directory is writable. (#4.7.0)");
	if ((st->st_mode & S_ISVTX) && uses(q, ".qmail"))
		return dot_refuse(o, JOB_DEFERRED,
		    "Home directory is sticky: user is editing his .qmail "
		    "file. (#4.2.1)");
	return true;
}

/* Where there is a file to trust, its directory must be trusted too. */
static bool
home_may_hold_files(const struct stat *st, struct outcome *o)
{
	if (st->st_uid != geteuid() && st->st_uid != 0)
		return outcome_set(o, JOB_DEFERRED, "4.7.0",
		    "home directory does not belong to the user");
	if (others_write(st))
		return dot_refuse(o, JOB_DEFERRED,
		    "Uh-oh: home directory is writable. (#4.7.0)");
	return true;
}

/* *fd_out is -1 when there is none. */
static bool
open_home(const struct request *q, int *fd_out, struct stat *st,
    struct outcome *o)
{
	char home[PATH_BYTES_MAX + 1];
	int fd;

	*fd_out = -1;
	if (!slice_copy(q->base, home, sizeof(home)))
		return outcome_set(o, JOB_DEFERRED, "4.3.5",
		    "home directory is no path");
	fd = open(home, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 && is_missing(errno))
		return true;
	/* He may pass through it, but not list it. */
	if (fd < 0 && errno == EACCES)
		fd = open(home, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return outcome_set(o, JOB_DEFERRED, "4.3.0",
		    "Unable to switch to %s: %s. (#4.3.0)", home,
		    strerror(errno));
	if (fstat(fd, st) < 0) {
		outcome_errno(o, errno, "cannot stat home directory");
		goto close_fd;
	}
	if (!home_is_safe(q, st, o))
		goto close_fd;
	*fd_out = fd;
	return true;

close_fd:
	close(fd);
	return false;
}

/* ---- which file ---- */

/* In the order of dot_files; out->kind stays DOT_NONE when there is none. */
static bool
find_in_order(int home_fd, const struct request *q, bool with_extension,
    struct dot_file *out, struct outcome *o)
{
	struct slice rest = q->dot_files, word;
	bool ok = true;

	while (ok && out->kind == DOT_NONE && slice_word(&rest, " ", &word))
		if (slice_eq(word, SLICE_LIT(".qmail")))
			ok = dot_find_qmail(home_fd, q, with_extension, out, o);
		else if (slice_eq(word, SLICE_LIT(".forward")))
			ok = dot_find_forward(home_fd, q, with_extension, out,
			    o);
	return ok;
}

/* The extension's own file; else, unless it must have one, the user's. */
static bool
find(int home_fd, const struct request *q, struct dot_file *out,
    struct outcome *o)
{
	bool extended = q->dash.len > 0 || q->extension.len > 0;

	*out = (struct dot_file){ .kind = DOT_NONE, .fd = -1 };
	if (home_fd >= 0 && extended &&
	    !find_in_order(home_fd, q, true, out, o))
		return false;
	if (out->kind != DOT_NONE)
		return true;
	if (extended && (q->flags & REQUEST_EXTENSION_STRICT))
		return dot_refuse(o, JOB_FAILED,
		    "Sorry, no mailbox here by that name. (#5.1.1)");
	return home_fd < 0 || find_in_order(home_fd, q, false, out, o);
}

/* The home and the file, both the caller's to close; -1: there is none. */
static bool
open_both(const struct request *q, int *home_fd_out, struct dot_file *out,
    struct outcome *o)
{
	struct stat st;
	int home_fd;

	if (!open_home(q, &home_fd, &st, o))
		return false;
	if (!find(home_fd, q, out, o))
		goto close_home;
	if (out->kind != DOT_NONE && !home_may_hold_files(&st, o)) {
		close(out->fd);
		goto close_home;
	}
	*home_fd_out = home_fd;
	return true;

close_home:
	if (home_fd >= 0)
		close(home_fd);
	return false;
}

static bool
plan_file(struct planner *p, int home_fd, const struct dot_file *f,
    struct outcome *o)
{
	const struct action_sink *to = p->to;

	to->put(to->arg, f->kind == DOT_QMAIL ? ACTION_QMAIL : ACTION_FORWARD,
	    0, slice_str(f->name));
	if (f->has_default)
		to->put(to->arg, ACTION_SET_DEFAULT, 0, f->default_extension);
	return f->kind == DOT_QMAIL ? dot_plan_qmail(p, home_fd, f, o)
				    : dot_plan_forward(p, f, o);
}

static bool
refuse_loop(const struct request *q, const struct dot_file *f,
    struct outcome *o)
{
	if (f->kind == DOT_QMAIL)
		return dot_refuse(o, JOB_FAILED,
		    "This message is looping: it already has my Delivered-To "
		    "line. (#5.4.6)");
	return outcome_set(o, JOB_FAILED, "5.4.6",
	    "mail forwarding loop for %.*s", SLICE_ARGS(q->address));
}

void
dotfile_plan(const struct request *q, bool loops, const struct action_sink *to,
    struct outcome *o)
{
	struct planner p = { .q = q, .to = to };
	struct dot_file f;
	int home_fd;
	bool ok = true;

	*o = (struct outcome){ .status = JOB_DEFERRED };
	if (!open_both(q, &home_fd, &f, o))
		return;
	if (loops)
		ok = refuse_loop(q, &f, o);
	else if (f.kind == DOT_NONE)
		ok = planner_put(&p, ACTION_DEFAULT, 0, SLICE_NONE, o);
	else
		ok = plan_file(&p, home_fd, &f, o);
	if (ok)
		outcome_set(o, JOB_SENT, "2.0.0", "%s",
		    f.kind == DOT_NONE ? "default delivery" : f.name);
	if (f.fd >= 0)
		close(f.fd);
	if (home_fd >= 0)
		close(home_fd);
}

bool
dotfile_is_default(const struct request *q)
{
	struct outcome o;
	struct dot_file f;
	int home_fd;

	if (!open_both(q, &home_fd, &f, &o))
		return false;
	if (f.fd >= 0)
		close(f.fd);
	if (home_fd >= 0)
		close(home_fd);
	return f.kind == DOT_NONE;
}

void
dotfile_check(const struct request *q, struct outcome *o)
{
	struct dot_file f;
	int home_fd;

	*o = (struct outcome){ .status = JOB_DEFERRED };
	if (!open_both(q, &home_fd, &f, o))
		return;
	outcome_set(o, JOB_SENT, "2.0.0", "%s",
	    f.kind == DOT_NONE ? "default delivery" : f.name);
	if (f.fd >= 0)
		close(f.fd);
	if (home_fd >= 0)
		close(home_fd);
}
