/*
 * maildir2mbox: the messages of a Maildir to the end of an mbox.
 *
 * Happy path: the mbox is locked, the messages are written to $MAILTMP in the
 * order of their times, that is appended to the mbox, the mbox is synced, and
 * only then the files are removed.
 *
 * Failure modes: whatever fails before the sync ends leaves the mbox as long
 * as it was, and every file where it was.  Killed in the middle of the append,
 * it leaves part of a message at the end of the mbox and every file; the next
 * run closes that with an empty line and appends all of them.  The mbox is
 * never replaced by another file: who waits for its lock would write into the
 * one that is gone.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/time.h"
#include "usercmd/int.h"

enum {
	FILE_COUNT_MAX = 1 << 20,
	FILE_COUNT_FIRST = 256,
	HEAD_BYTES = 1200, /* where a Return-Path may stand */
	MODE = 0600,
};

struct file {
	struct timespec time;
	bool in_cur;
	char name[NAME_MAX + 1];
};

struct merge {
	struct usercmd *u;
	const char *maildir, *mbox, *temp;
	int dirs[2]; /* new, cur */
	struct file *files;
	size_t count, room;
	struct output out;
};

static const char *const dir_names[] = { "new", "cur" };

/* ---- which files ---- */

static int
grow(struct merge *m)
{
	size_t room = m->room == 0 ? FILE_COUNT_FIRST : m->room * 2;
	struct file *files;

	if (m->count == FILE_COUNT_MAX)
		return say_fatal(m->u, USERCMD_TEMP, "more than %d messages",
		    FILE_COUNT_MAX);
	files = mem_alloc_array(m->u->acct, room, sizeof(*files));
	if (files == NULL)
		return say_fatal(m->u, USERCMD_TEMP, "out of memory");
	if (m->count > 0)
		memcpy(files, m->files, m->count * sizeof(*files));
	mem_free(m->u->acct, m->files);
	m->files = files;
	m->room = room;
	return 0;
}

static int
add_file(struct merge *m, bool in_cur, const char *name)
{
	struct stat st;
	struct file *f;
	int e;

	/* What is no file is nobody's mail. */
	if (name[0] == '.' ||
	    fstatat(m->dirs[in_cur], name, &st, AT_SYMLINK_NOFOLLOW) != 0 ||
	    !S_ISREG(st.st_mode))
		return 0;
	if (m->count == m->room && (e = grow(m)) != 0)
		return e;
	f = &m->files[m->count++];
	f->time = st.st_mtim;
	f->in_cur = in_cur;
	(void)slice_copy(slice_str(name), f->name, sizeof(f->name));
	return 0;
}

static int
scan(struct merge *m, bool in_cur)
{
	char path[4096];
	struct dirent *entry;
	DIR *dir;
	int e = 0, fd;

	if ((size_t)snprintf(path, sizeof(path), "%s/%s", m->maildir,
		dir_names[in_cur]) >= sizeof(path))
		return say_fatal(m->u, USERCMD_TEMP, "path too long");
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	m->dirs[in_cur] = fd;
	fd = fd >= 0 ? fcntl(fd, F_DUPFD_CLOEXEC, 3) : -1;
	dir = fd >= 0 ? fdopendir(fd) : NULL;
	if (dir == NULL)
		return say_errno(m->u, "unable to scan %s", path);
	errno = 0;
	while (e == 0 && (entry = readdir(dir)) != NULL) {
		e = add_file(m, in_cur, entry->d_name);
		errno = 0;
	}
	if (e == 0 && errno != 0)
		e = say_errno(m->u, "unable to read %s", path);
	(void)closedir(dir);
	return e;
}

static int
by_time(const void *a, const void *b)
{
	const struct file *x = a, *y = b;

	if (x->time.tv_sec != y->time.tv_sec)
		return x->time.tv_sec < y->time.tv_sec ? -1 : 1;
	if (x->time.tv_nsec != y->time.tv_nsec)
		return x->time.tv_nsec < y->time.tv_nsec ? -1 : 1;
	return strcmp(x->name, y->name);
}

/* ---- one message ---- */

/* From_ with the sender of a Return-Path in the first line. */
static void
put_from(struct merge *m, int fd, const struct file *f)
{
	char head[HEAD_BYTES], date[TIME_RFC5322_BYTES];
	ssize_t n = pread(fd, head, sizeof(head), 0);
	struct slice line = slice_of(head, n > 0 ? (size_t)n : 0);
	struct slice sender = SLICE_LIT(MBOX_NO_SENDER);
	size_t end;

	line = slice_sub(line, 0, slice_find(line, '\n'));
	if (slice_starts_nocase(line, SLICE_LIT("Return-Path: <"))) {
		end = slice_rfind(line, '>');
		if (end < line.len)
			sender = slice_sub(line, 14, end);
		if (sender.len == 0)
			sender = SLICE_LIT("MAILER-DAEMON");
	}
	for (size_t i = 0; i < sender.len; i++)
		if (sender.data != head && (unsigned char)sender.data[i] <= ' ')
			head[sender.data + i - head] = '-';
	time_asctime((struct wall){ f->time.tv_sec * 1000 }, date);
	(void)output_put(&m->out, SLICE_LIT("From "));
	(void)output_put(&m->out, sender);
	(void)output_put(&m->out, SLICE_LIT(" "));
	(void)output_put(&m->out, slice_str(date));
	(void)output_put(&m->out, SLICE_LIT("\n"));
}

static int
put_message(struct merge *m, struct file *f)
{
	static char buf[OUTPUT_BYTES];
	struct mbox_lines lines;
	ssize_t n = 0;
	int fd;

	fd = openat(m->dirs[f->in_cur], f->name,
	    O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	/* A reader gave it another name meanwhile: the next run takes it. */
	if (fd < 0 && errno == ENOENT) {
		f->name[0] = '\0';
		return 0;
	}
	if (fd < 0)
		return say_errno(m->u, "unable to read %s/%s",
		    dir_names[f->in_cur], f->name);
	put_from(m, fd, f);
	mbox_lines_init(&lines, MBOX_QUOTE);
	do {
		n = read(fd, buf, sizeof(buf));
		if (n > 0)
			(void)mbox_lines_feed(&lines, slice_of(buf, (size_t)n),
			    output_put, &m->out);
	} while (n > 0 || (n < 0 && errno == EINTR));
	if (n < 0) {
		int e = say_errno(m->u, "unable to read %s/%s",
		    dir_names[f->in_cur], f->name);

		(void)close(fd);
		return e;
	}
	(void)close(fd);
	(void)mbox_lines_end(&lines, output_put, &m->out);
	/* The last line may have no end, and must not be lost for that. */
	(void)output_put(&m->out, lines.last == '\n' || lines.last == '\0'
				      ? SLICE_LIT("\n")
				      : SLICE_LIT("\n\n"));
	return 0;
}

/* ---- all of them ---- */

static int
write_temp(struct merge *m, int *fd_out)
{
	int e = 0;

	*fd_out = open(m->temp,
	    O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, MODE);
	if (*fd_out < 0 || ftruncate(*fd_out, 0) != 0)
		return say_errno(m->u, "unable to create %s", m->temp);
	output_init(&m->out, *fd_out);
	for (size_t i = 0; i < m->count && e == 0; i++)
		e = put_message(m, &m->files[i]);
	if (e == 0 && !output_flush(&m->out))
		e = say_errno(m->u, "unable to write to %s", m->temp);
	return e;
}

/* What must stand between what is there and a From_ line. */
static struct slice
gap(int fd, off_t size)
{
	char end[2] = { 0, 0 };

	if (size == 0)
		return SLICE_NONE;
	if (pread(fd, end, sizeof(end), size > 2 ? size - 2 : 0) < 1)
		return SLICE_LIT("\n\n");
	if (size == 1)
		return end[0] == '\n' ? SLICE_NONE : SLICE_LIT("\n\n");
	if (end[1] != '\n')
		return SLICE_LIT("\n\n");
	return end[0] == '\n' ? SLICE_NONE : SLICE_LIT("\n");
}

static int
append(struct merge *m, const struct mbox_lock *l, int temp)
{
	off_t size = lseek(l->fd, 0, SEEK_END);
	int errnum;

	if (size < 0)
		return say_errno(m->u, "unable to read %s", m->mbox);
	output_init(&m->out, l->fd);
	if (output_put(&m->out, gap(l->fd, size)) &&
	    output_copy(&m->out, temp) && fsync(l->fd) == 0 &&
	    sync_parent(m->mbox))
		return 0;
	errnum = errno;
	if (ftruncate(l->fd, size) != 0 || fsync(l->fd) != 0)
		(void)say_errno(m->u, "unable to shorten %s again", m->mbox);
	errno = errnum;
	return say_errno(m->u, "unable to write to %s", m->mbox);
}

static int
merge(struct merge *m, const struct mbox_lock *l)
{
	int temp = -1, e;

	e = scan(m, false);
	if (e == 0)
		e = scan(m, true);
	if (e != 0 || m->count == 0)
		return e;
	qsort(m->files, m->count, sizeof(*m->files), by_time);
	e = write_temp(m, &temp);
	if (e == 0) {
		signals_hold();
		e = append(m, l, temp);
		for (size_t i = 0; i < m->count && e == 0; i++)
			if (m->files[i].name[0] != '\0')
				(void)unlinkat(m->dirs[m->files[i].in_cur],
				    m->files[i].name, 0);
		signals_release();
	}
	if (temp >= 0) {
		(void)close(temp);
		(void)unlink(m->temp);
	}
	return e;
}

int
usercmd_maildir2mbox(struct usercmd *u)
{
	static struct merge m;
	struct mbox_lock lock;
	int e;

	if (u->count != 0)
		return say_usage(u, "");
	m = (struct merge){ .u = u, .dirs = { -1, -1 } };
	(void)umask(077);
	m.maildir = say_getenv(u, "MAILDIR");
	m.mbox = m.maildir != NULL ? say_getenv(u, "MAIL") : NULL;
	m.temp = m.mbox != NULL ? say_getenv(u, "MAILTMP") : NULL;
	if (m.temp == NULL)
		return USERCMD_TEMP;
	e = mbox_lock_take(u, &lock, m.mbox, true);
	if (e != 0)
		return e;
	e = merge(&m, &lock);
	mbox_lock_drop(&lock);
	for (size_t i = 0; i < ARRAY_LEN(m.dirs); i++)
		if (m.dirs[i] >= 0)
			(void)close(m.dirs[i]);
	mem_free(u->acct, m.files);
	return e;
}
