/*
 * maildir: tmp/ to new/.
 *
 * Failure modes: any failed call before maildir_publish leaves at most a file
 * in tmp/, which is removed; a failed sync of new/ withdraws the file, since
 * nobody can say whether its name would survive a crash.  In each case the
 * delivery is deferred and tried again.
 */
#include "local/maildir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/time.h"

enum { NAME_ATTEMPTS_MAX = 5, HOST_ESCAPED_BYTES_MAX = 256 };

static char host_escaped[HOST_ESCAPED_BYTES_MAX] = "localhost";
static uint32_t name_count;
static long own_pid;

void
maildir_set_host(const char *host)
{
	size_t n = 0;
	const char *c;

	for (c = host; *c != '\0' && n < sizeof(host_escaped) - 5; c++) {
		if (*c == '/' || *c == ':')
			n += (size_t)snprintf(host_escaped + n,
			    sizeof(host_escaped) - n, "\\%03o", *c);
		else if (*c > ' ' && *c < 127)
			host_escaped[n++] = *c;
	}
	host_escaped[n] = '\0';
	if (n == 0)
		memcpy(host_escaped, "localhost", sizeof("localhost"));
}

static void
name_next(char name[static MAILDIR_NAME_BYTES])
{
	struct wall now = clock_system.wall(&clock_system);

	if (own_pid == 0)
		own_pid = (long)getpid();
	snprintf(name, MAILDIR_NAME_BYTES, "%lld.M%dP%ldQ%u.%s",
	    (long long)(now.ms / 1000), (int)(now.ms % 1000) * 1000, own_pid,
	    ++name_count, host_escaped);
}

/* The three directories below the Maildir itself. */
static bool
open_parts(struct maildir *m, int dir_fd, unsigned flags, struct outcome *o)
{
	int cur_fd;

	flags &= (unsigned)~PATH_FOLLOW;
	if (!path_open_piece(dir_fd, "tmp", flags, &m->tmp_fd, o))
		return false;
	/* Readers expect cur/ to exist; nothing is delivered there. */
	if (!path_open_piece(dir_fd, "cur", flags, &cur_fd, o))
		goto close_tmp;
	close(cur_fd);
	if (!path_open_piece(dir_fd, "new", flags, &m->new_fd, o))
		goto close_tmp;
	m->new_dirty = false;
	return true;

close_tmp:
	close(m->tmp_fd);
	m->tmp_fd = -1;
	return false;
}

/* ".Name" in a Maildir. */
static bool
is_folder(struct slice path)
{
	size_t slash;

	while (path.len > 0 && path.data[path.len - 1] == '/')
		path.len--;
	slash = slice_rfind(path, '/');
	if (slash < path.len)
		path = slice_sub(path, slash + 1, path.len);
	return path.len > 0 && path.data[0] == '.';
}

bool
maildir_open(struct maildir *m, int base_fd, struct slice path, unsigned flags,
    struct outcome *o)
{
	int dir_fd;
	bool opened;

	m->tmp_fd = m->new_fd = m->quota.dir_fd = -1;
	if (!path_open_dir(base_fd, path, flags, &dir_fd, o))
		return false;
	opened = open_parts(m, dir_fd, flags, o);
	if (opened && !quota_open(&m->quota, dir_fd, is_folder(path), o)) {
		maildir_close(m);
		opened = false;
	}
	close(dir_fd);
	return opened;
}

void
maildir_close(struct maildir *m)
{
	if (m->tmp_fd >= 0)
		close(m->tmp_fd);
	if (m->new_fd >= 0)
		close(m->new_fd);
	m->tmp_fd = m->new_fd = -1;
	quota_close(&m->quota);
}

bool
maildir_create(struct maildir *m, struct maildir_file *f, struct outcome *o)
{
	int attempt;

	f->dir = m;
	f->counted = false;
	for (attempt = 0; attempt < NAME_ATTEMPTS_MAX; attempt++) {
		name_next(f->name);
		f->fd = openat(m->tmp_fd, f->name,
		    O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
		if (f->fd >= 0)
			return true;
		if (errno != EEXIST)
			break;
	}
	return outcome_errno(o, errno, "cannot create file in tmp of maildir");
}

bool
maildir_written(struct maildir_file *f, uint64_t bytes, bool bounces,
    struct outcome *o)
{
	if (!quota_take(&f->dir->quota, bytes, bounces, o))
		return false;
	f->counted = true;
	f->bytes = bytes;
	/* Only a hint: the blocks of all files of a batch are then placed and
	 * under way when the first fsync comes.  fsync reports errors. */
	(void)sync_file_range(f->fd, 0, 0, SYNC_FILE_RANGE_WRITE);
	return true;
}

bool
maildir_synced(struct maildir_file *f, int errnum, struct outcome *o)
{
	/* Some network file systems report a failed write only here. */
	if (close(f->fd) < 0 && errnum == 0)
		errnum = errno;
	f->fd = -1;
	if (errnum == 0)
		return true;
	maildir_discard(f);
	return outcome_errno(o, errnum, "cannot sync file in maildir");
}

static int
rename_new(struct maildir_file *f)
{
	int tmp_fd = f->dir->tmp_fd, new_fd = f->dir->new_fd;

	if (renameat2(tmp_fd, f->name, new_fd, f->name, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return -1;
	/* A file system without that flag: link does not replace either. */
	if (linkat(tmp_fd, f->name, new_fd, f->name, 0) < 0)
		return -1;
	(void)unlinkat(tmp_fd, f->name, 0);
	return 0;
}

bool
maildir_publish(struct maildir_file *f, struct outcome *o)
{
	ASSERT(f->fd == -1);
	if (rename_new(f) < 0) {
		outcome_errno(o, errno, "cannot move file to new of maildir");
		maildir_discard(f);
		return false;
	}
	f->dir->new_dirty = true;
	return true;
}

bool
maildir_new_synced(struct maildir *m, int errnum, struct outcome *o)
{
	m->new_dirty = false;
	if (errnum == 0)
		return true;
	return outcome_errno(o, errnum, "cannot sync new of maildir");
}

static void
uncount(struct maildir_file *f)
{
	if (f->counted)
		quota_give_back(&f->dir->quota, f->bytes);
	f->counted = false;
}

void
maildir_discard(struct maildir_file *f)
{
	if (f->fd >= 0)
		close(f->fd);
	f->fd = -1;
	(void)unlinkat(f->dir->tmp_fd, f->name, 0);
	uncount(f);
}

void
maildir_withdraw(struct maildir_file *f)
{
	(void)unlinkat(f->dir->new_fd, f->name, 0);
	uncount(f);
}
