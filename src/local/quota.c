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
#include "local/quota.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/slice.h"
#include "base/time.h"

static const char file_name[] = "maildirsize";

struct usage {
	int64_t bytes, count;
};

struct book {
	struct slice line;	       /* the first, as it is written */
	uint64_t bytes_max, count_max; /* 0: no limit */
	struct usage used;
	unsigned entry_count; /* lines behind the first */
	bool sound;	      /* used is right, as far as we can see */
	bool recent;	      /* written within QUOTA_TRUST_S */
	char text[QUOTA_FILE_BYTES_MAX + 1];
};

/* ---- the file ---- */

static int
open_book(int dir_fd, int flags)
{
	return openat(dir_fd, file_name,
	    flags | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

/* "10000000S,1000C"; anything else in it is for others. */
static void
parse_limits(struct book *b)
{
	struct slice rest = b->line, word;
	uint64_t n;

	b->bytes_max = b->count_max = 0;
	while (slice_word(&rest, ", \t\r", &word)) {
		if (!slice_to_u64(slice_sub(word, 0, word.len - 1), INT64_MAX,
			&n))
			continue;
		if (word.data[word.len - 1] == 'S')
			b->bytes_max = n;
		else if (word.data[word.len - 1] == 'C')
			b->count_max = n;
	}
}

static bool
take_number(struct slice *s, int64_t *out)
{
	struct slice word;
	bool negative;
	uint64_t n;

	if (!slice_word(s, " \t\r", &word))
		return false;
	negative = word.data[0] == '-';
	if (!slice_to_u64(slice_sub(word, negative, word.len), INT64_MAX / 2,
		&n))
		return false;
	*out = negative ? -(int64_t)n : (int64_t)n;
	return true;
}

/* False: it is no entry, or the sum goes out of bounds. */
static bool
add_entry(struct book *b, struct slice line)
{
	struct usage u;

	if (!take_number(&line, &u.bytes) || !take_number(&line, &u.count) ||
	    slice_trim(line).len != 0)
		return false;
	b->entry_count++;
	return !__builtin_add_overflow(b->used.bytes, u.bytes,
		   &b->used.bytes) &&
	       !__builtin_add_overflow(b->used.count, u.count, &b->used.count);
}

static void
parse(struct book *b, struct slice text, bool whole)
{
	size_t end = slice_find(text, '\n');

	b->line = slice_sub(text, 0, end);
	parse_limits(b);
	b->used = (struct usage){ 0, 0 };
	b->entry_count = 0;
	b->sound = whole;
	text = slice_sub(text, end + 1, text.len);
	while (b->sound && text.len > 0) {
		end = slice_find(text, '\n');
		b->sound = add_entry(b, slice_sub(text, 0, end));
		text = slice_sub(text, end + 1, text.len);
	}
	if (b->used.bytes < 0 || b->used.count < 0 || b->entry_count == 0)
		b->sound = false;
}

static bool
read_book(int dir_fd, struct book *b, struct outcome *o)
{
	struct wall now = clock_system.wall(&clock_system);
	int fd = open_book(dir_fd, O_RDONLY);
	struct stat st;
	ssize_t n;

	if (fd < 0)
		return outcome_errno(o, errno, "cannot open maildirsize");
	n = fstat(fd, &st) == 0 && S_ISREG(st.st_mode)
		? read(fd, b->text, QUOTA_FILE_BYTES_MAX)
		: -1;
	close(fd);
	if (n < 0)
		return outcome_set(o, JOB_DEFERRED, "4.2.0",
		    "cannot read maildirsize");
	b->recent = now.ms / 1000 - st.st_mtim.tv_sec < QUOTA_TRUST_S &&
		    now.ms / 1000 >= st.st_mtim.tv_sec;
	parse(b, slice_of(b->text, (size_t)n),
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

/* ---- counting ---- */

/* ",S=1234" in the name, as most programs write it; else the file's. */
static bool
size_of(int dir_fd, const char *name, int64_t *out)
{
	const char *at = strstr(name, ",S="), *end;
	struct stat st;
	uint64_t n;

	if (at != NULL) {
		at += 3;
		for (end = at; *end >= '0' && *end <= '9'; end++)
			;
		if (slice_to_u64(slice_of(at, (size_t)(end - at)),
			INT64_MAX / 2, &n)) {
			*out = (int64_t)n;
			return true;
		}
	}
	if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
	    !S_ISREG(st.st_mode))
		return false;
	*out = st.st_size;
	return true;
}

/* Marked as deleted: not counted. */
static bool
is_trashed(const char *name)
{
	const char *info = strrchr(name, ':');

	return info != NULL && strncmp(info, ":2,", 3) == 0 &&
	       strchr(info, 'T') != NULL;
}

static DIR *
open_dir(int parent_fd, const char *name)
{
	int fd = openat(parent_fd, name,
	    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;

	if (d == NULL && fd >= 0)
		close(fd);
	return d;
}

/* new/ or cur/; *left: entries that may still be looked at. */
static void
count_messages(int folder_fd, const char *name, struct usage *u, unsigned *left)
{
	DIR *d = open_dir(folder_fd, name);
	const struct dirent *e;
	int64_t bytes;

	if (d == NULL)
		return;
	while (*left > 0 && (e = readdir(d)) != NULL) {
		--*left;
		if (e->d_name[0] == '.' || is_trashed(e->d_name) ||
		    !size_of(dirfd(d), e->d_name, &bytes))
			continue;
		u->bytes += bytes;
		u->count++;
	}
	closedir(d);
}

static void
count_folder(int folder_fd, struct usage *u, unsigned *left)
{
	count_messages(folder_fd, "new", u, left);
	count_messages(folder_fd, "cur", u, left);
}

static bool
is_folder_name(const char *name)
{
	return name[0] == '.' && name[1] != '\0' && strcmp(name, "..") != 0 &&
	       strcmp(name, ".Trash") != 0;
}

static bool
count_all(int dir_fd, struct usage *u, struct outcome *o)
{
	unsigned left = QUOTA_ENTRIES_MAX;
	DIR *d = open_dir(dir_fd, ".");
	const struct dirent *e;
	int fd;

	*u = (struct usage){ 0, 0 };
	if (d == NULL)
		return outcome_errno(o, errno, "cannot read maildir");
	count_folder(dir_fd, u, &left);
	while (left > 0 && (e = readdir(d)) != NULL) {
		left--;
		if (!is_folder_name(e->d_name))
			continue;
		fd = openat(dir_fd, e->d_name,
		    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (fd < 0)
			continue;
		count_folder(fd, u, &left);
		close(fd);
	}
	closedir(d);
	if (left == 0)
		return outcome_set(o, JOB_DEFERRED, "4.2.0",
		    "maildir has more than %d entries: its quota cannot be "
		    "counted",
		    QUOTA_ENTRIES_MAX);
	return true;
}

/* The same first line, and what was counted. */
static void
write_book(int dir_fd, const struct book *b)
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
recount(int dir_fd, struct book *b, struct outcome *o)
{
	if (!count_all(dir_fd, &b->used, o))
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

static bool
has_room(const struct book *b, uint64_t bytes)
{
	if (b->bytes_max != 0 &&
	    (bytes > b->bytes_max ||
		(uint64_t)b->used.bytes > b->bytes_max - bytes))
		return false;
	return b->count_max == 0 || (uint64_t)b->used.count < b->count_max;
}

bool
quota_take(const struct quota *q, uint64_t bytes, bool bounces,
    struct outcome *o)
{
	static struct book b;

	if (q->dir_fd < 0)
		return true;
	if (!read_book(q->dir_fd, &b, o))
		return false;
	if (b.bytes_max == 0 && b.count_max == 0)
		return true;
	if (!b.sound && !recount(q->dir_fd, &b, o))
		return false;
	if (!has_room(&b, bytes) && !(b.recent && b.entry_count == 1) &&
	    !recount(q->dir_fd, &b, o))
		return false;
	if (!has_room(&b, bytes))
		return outcome_full(o, bounces,
		    "mailbox is full: %lld bytes in %lld messages, its quota "
		    "is %.*s",
		    (long long)b.used.bytes, (long long)b.used.count,
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
