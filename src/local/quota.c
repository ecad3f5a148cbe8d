/*
 * quota: maildirsize.
 *
 * Happy path: read it, see that there is room, add a line.  Nobody locks:
 * lines are short and appended at once.
 *
 * Failure modes: a sum above the quota is believed only when it was counted
 * lately and nothing was added since; a file that is too long or makes no
 * sense below its first line is counted anew.  A first line that makes no
 * sense says nothing: no quota.  A new maildirsize that cannot be written is
 * no failure: what was counted holds.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/time.h"
#include "local/quota_internal.h"

static const char file_name[] = "maildirsize";

/* ---- the file ---- */

static int
open_book(int dir_fd, int flags)
{
	return openat(dir_fd, file_name,
	    flags | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

static bool
read_book(int dir_fd, struct quota_book *b, struct outcome *o)
{
	struct wall now = clock_system.wall(&clock_system);
	/* b->line is in it. */
	static char text[QUOTA_FILE_BYTES_MAX];
	int fd = open_book(dir_fd, O_RDONLY);
	struct stat st;
	ssize_t n;

	if (fd < 0)
		return outcome_errno(o, errno, "cannot open maildirsize");
	n = fstat(fd, &st) == 0 && S_ISREG(st.st_mode)
		? read(fd, text, QUOTA_FILE_BYTES_MAX)
		: -1;
	close(fd);
	if (n < 0)
		return outcome_set(o, JOB_DEFERRED, "4.2.0",
		    "cannot read maildirsize");
	b->recent = now.ms / 1000 - st.st_mtim.tv_sec < QUOTA_TRUST_S &&
		    now.ms / 1000 >= st.st_mtim.tv_sec;
	quota_book_parse(b, slice_of(text, (size_t)n),
	    st.st_size < QUOTA_FILE_BYTES_MAX);
	return true;
}

static void
append(int dir_fd, int64_t bytes, int64_t count)
{
	char line[64];
	int len = snprintf(line, sizeof(line), "%lld %lld\n", (long long)bytes,
	    (long long)count);
	int fd = open_book(dir_fd, O_WRONLY | O_APPEND);

	if (fd < 0)
		return;
	(void)!write(fd, line, (size_t)len);
	close(fd);
}

/* The same first line, and what was counted. */
static void
write_book(int dir_fd, const struct quota_book *b)
{
	char name[64], text[QUOTA_FILE_BYTES_MAX + 64];
	int len, fd;
	bool written;

	len = snprintf(text, sizeof(text), "%.*s\n%lld %lld\n",
	    SLICE_ARGS(b->line), (long long)b->used.bytes,
	    (long long)b->used.count);
	snprintf(name, sizeof(name), "tmp/%s.%ld.%lld", file_name,
	    (long)getpid(), (long long)clock_ns());
	fd = openat(dir_fd, name,
	    O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return;
	written = write(fd, text, (size_t)len) == len;
	close(fd);
	if (!written || renameat(dir_fd, name, dir_fd, file_name) < 0)
		(void)unlinkat(dir_fd, name, 0);
}

static bool
recount(int dir_fd, struct quota_book *b, struct outcome *o)
{
	if (!quota_count(dir_fd, &b->used, o))
		return false;
	b->entry_count = 1;
	b->sound = b->recent = true;
	write_book(dir_fd, b);
	return true;
}

/* ---- the quota ---- */

bool
quota_open(struct quota *q, int dir_fd, bool is_folder, struct outcome *o)
{
	struct stat st;
	int fd;

	q->dir_fd = -1;
	if (is_folder &&
	    fstatat(dir_fd, "maildirfolder", &st, AT_SYMLINK_NOFOLLOW) == 0)
		fd = openat(dir_fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	else if (fstatat(dir_fd, file_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ||
		       outcome_errno(o, errno, "cannot look for maildirsize");
	else
		fd = fcntl(dir_fd, F_DUPFD_CLOEXEC, 3);
	if (fd < 0)
		return outcome_errno(o, errno, "cannot open maildir");
	q->dir_fd = fd;
	if (fstatat(fd, file_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		quota_close(q);
	return true;
}

void
quota_close(struct quota *q)
{
	if (q->dir_fd >= 0)
		close(q->dir_fd);
	q->dir_fd = -1;
}

bool
quota_take(const struct quota *q, uint64_t bytes, bool bounces,
    struct outcome *o)
{
	static struct quota_book b;

	if (q->dir_fd < 0)
		return true;
	if (!read_book(q->dir_fd, &b, o))
		return false;
	if (b.bytes_max == 0 && b.count_max == 0)
		return true;
	if (!b.sound && !recount(q->dir_fd, &b, o))
		return false;
	if (!quota_book_has_room(&b, bytes) &&
	    !(b.recent && b.entry_count == 1) && !recount(q->dir_fd, &b, o))
		return false;
	if (!quota_book_has_room(&b, bytes))
		return outcome_full(o, bounces,
		    "mailbox is full: %lld bytes in %lld message%s, its quota "
		    "is %.*s",
		    (long long)b.used.bytes, (long long)b.used.count,
		    b.used.count == 1 ? "" : "s",
		    SLICE_ARGS(slice_sub(b.line, 0, 60)));
	append(q->dir_fd, (int64_t)bytes, 1);
	return true;
}

void
quota_give_back(const struct quota *q, uint64_t bytes)
{
	if (q->dir_fd >= 0)
		append(q->dir_fd, -(int64_t)bytes, -1);
}
