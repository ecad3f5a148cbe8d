/*
 * mbox: append one message under locks, or leave the file as it was.
 *
 * Happy path: open without following a link, check that it is a regular file
 * of ours with one name, lock, check that it is still the file of that name,
 * note its size, write, sync, unlock.
 *
 * Failure modes: whatever fails after the size is known cuts the file back to
 * it (and syncs that), so that no half message stays; all are temporary.  A
 * file that does not end with an empty line (a torn message of somebody else)
 * gets one first, so that our "From " line is one.
 */
#include "local/mbox.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "local/header.h"
#include "local/path.h"

enum { REOPEN_ATTEMPTS_MAX = 3 };

static bool
file_is_ours(const struct stat *st, struct outcome *o)
{
	if (!S_ISREG(st->st_mode))
		return outcome_set(o, JOB_DEFERRED, "4.2.0",
		    "mailbox is not a regular file");
	if (st->st_nlink != 1)
		return outcome_set(o, JOB_DEFERRED, "4.2.0",
		    "mailbox has %lu names (hard links)",
		    (unsigned long)st->st_nlink);
	if (st->st_uid != geteuid())
		return outcome_set(o, JOB_DEFERRED, "4.2.0",
		    "mailbox belongs to user id %lu, not to %lu",
		    (unsigned long)st->st_uid, (unsigned long)geteuid());
	return true;
}

static bool
open_file(struct mbox *m, struct outcome *o)
{
	int flags =
	    O_RDWR | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
	struct stat st;

	m->created = false;
	m->fd = openat(m->dir_fd, m->name, flags);
	if (m->fd < 0 && errno == ENOENT) {
		m->fd =
		    openat(m->dir_fd, m->name, flags | O_CREAT | O_EXCL, 0600);
		m->created = m->fd >= 0;
	}
	if (m->fd < 0)
		return outcome_errno(o, errno, "cannot open mailbox");
	if (fstat(m->fd, &st) < 0) {
		outcome_errno(o, errno, "cannot stat mailbox");
		goto close_fd;
	}
	if (file_is_ours(&st, o))
		return true;
close_fd:
	close(m->fd);
	m->fd = -1;
	return false;
}

/* Under the locks: is this still the file of that name? */
static bool
still_there(const struct mbox *m)
{
	struct stat open_st, name_st;

	return fstat(m->fd, &open_st) == 0 &&
	       fstatat(m->dir_fd, m->name, &name_st, AT_SYMLINK_NOFOLLOW) ==
		   0 &&
	       open_st.st_dev == name_st.st_dev &&
	       open_st.st_ino == name_st.st_ino && open_st.st_nlink == 1;
}

/* Open and lock; a mail reader may replace the file while we wait. */
static bool
open_locked(struct mbox *m, const struct lock_policy *locks, struct outcome *o)
{
	int attempt;

	for (attempt = 0; attempt < REOPEN_ATTEMPTS_MAX; attempt++) {
		if (!open_file(m, o))
			return false;
		if (!mailbox_lock_take(&m->lock, m->dir_fd, m->name, m->fd,
			locks, o)) {
			close(m->fd);
			return false;
		}
		if (still_there(m))
			return true;
		mailbox_lock_drop(&m->lock);
		close(m->fd);
	}
	return outcome_set(o, JOB_DEFERRED, "4.2.0",
	    "mailbox is replaced again and again while we lock it");
}

static bool
check_size(struct mbox *m, const struct mbox_request *req, struct outcome *o)
{
	struct stat st;

	if (fstat(m->fd, &st) < 0)
		return outcome_errno(o, errno, "cannot stat mailbox");
	m->old_bytes = st.st_size;
	if (req->size_limit_bytes != 0 &&
	    (uint64_t)st.st_size + req->message_bytes > req->size_limit_bytes) {
		outcome_full(o, req->full_bounces,
		    "mailbox is full: %llu bytes, mailbox_size_limit is %llu",
		    (unsigned long long)st.st_size,
		    (unsigned long long)req->size_limit_bytes);
		o->limit = OUTCOME_LIMIT_SIZE;
		return false;
	}
	return true;
}

/* What is missing to an empty line at the end of the old messages. */
static bool
separate(struct mbox *m, struct outcome *o)
{
	char tail[2] = { 0, 0 };
	off_t from = m->old_bytes < 2 ? 0 : m->old_bytes - 2;
	size_t want = (size_t)(m->old_bytes - from);

	if (want == 0)
		return true;
	if (pread(m->fd, tail, want, from) != (ssize_t)want)
		return outcome_errno(o, errno != 0 ? errno : EIO,
		    "cannot read end of mailbox");
	if (tail[want - 1] != '\n')
		sink_raw(m->sink, SLICE_LIT("\n\n"));
	else if (want == 1 || tail[0] != '\n')
		sink_raw(m->sink, SLICE_LIT("\n"));
	return true;
}

static bool
open_parent(struct mbox *m, const struct mbox_request *req, struct outcome *o)
{
	size_t slash = slice_rfind(req->path, '/');
	struct slice dir = SLICE_NONE, name = req->path;

	if (slash < req->path.len) {
		dir = slice_sub(req->path, 0, slash);
		name = slice_sub(req->path, slash + 1, req->path.len);
	}
	if (name.len == 0 || !slice_copy(name, m->name, sizeof(m->name)))
		return outcome_set(o, JOB_DEFERRED, "4.3.5",
		    "mailbox has no usable file name");
	return path_open_dir(req->base_fd, dir, req->path_flags, &m->dir_fd, o);
}

bool
mbox_begin(struct mbox *m, struct sink *sink, const struct mbox_request *req,
    struct outcome *o)
{
	char line[FROM_LINE_BYTES_MAX];

	m->fd = m->dir_fd = -1;
	m->sink = sink;
	if (!open_parent(m, req, o))
		return false;
	if (!open_locked(m, &req->locks, o))
		goto close_dir;
	sink_begin(sink, m->fd, true);
	if (!check_size(m, req, o) || !separate(m, o))
		goto unlock;
	sink_raw(sink, slice_of(line, header_from_line(req->sender, line)));
	return true;

unlock:
	mailbox_lock_drop(&m->lock);
	close(m->fd);
close_dir:
	close(m->dir_fd);
	return false;
}

static void
finish(struct mbox *m)
{
	mailbox_lock_drop(&m->lock);
	close(m->fd);
	close(m->dir_fd);
	m->fd = m->dir_fd = -1;
}

bool
mbox_commit(struct mbox *m, struct outcome *o)
{
	sink_message_end(m->sink, true);
	sink_raw(m->sink, SLICE_LIT("\n"));
	if (!sink_flush(m->sink)) {
		outcome_errno(o, m->sink->errnum, "cannot write mailbox");
		goto roll_back;
	}
	if (fsync(m->fd) < 0) {
		outcome_errno(o, errno, "cannot sync mailbox");
		goto roll_back;
	}
	if (m->created && fsync(m->dir_fd) < 0) {
		outcome_errno(o, errno, "cannot sync directory of mailbox");
		goto roll_back;
	}
	finish(m);
	return true;

roll_back:
	mbox_rollback(m, o);
	return false;
}

void
mbox_rollback(struct mbox *m, struct outcome *o)
{
	size_t len = strlen(o->text);

	/* Unchanged files are left alone: a reader may watch their times. */
	if (m->sink->written_bytes > 0 &&
	    (ftruncate(m->fd, m->old_bytes) < 0 || fsync(m->fd) < 0))
		snprintf(o->text + len, sizeof(o->text) - len,
		    "; the mailbox could not be cut back to %lld bytes: %m",
		    (long long)m->old_bytes);
	finish(m);
}
