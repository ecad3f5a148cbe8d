/*
 * mbox2maildir: the messages of an mbox into a Maildir.
 *
 * A message begins with a line "From " at the beginning of the file or behind
 * an empty line; that empty line is not part of the message before.  A > is
 * taken from lines >From, the sender becomes a Return-Path unless there is
 * one, what Status and X-Status say becomes the flags of the file.
 *
 * Happy path: under the mbox's locks every message is written to tmp and
 * synced; then all are moved to new and cur, these are synced, and only then
 * the mbox is emptied.
 *
 * Failure modes: before anything is moved, all that was written is removed
 * and the mbox stays.  Killed, it leaves files in tmp, which readers of
 * Maildirs clean away, or messages that are in both; none in neither.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/time.h"
#include "usercmd/int.h"

enum {
	READER_BYTES = 65536,
	MESSAGE_COUNT_MAX = 1 << 22,
	MESSAGE_COUNT_FIRST = 1024,
	SENDER_BYTES_MAX = 512,
	HOST_BYTES_MAX = 256,
	MODE = 0600,
};

enum flag {
	FLAG_OLD = 1, /* not new: into cur */
	FLAG_SEEN = 2,
	FLAG_REPLIED = 4,
	FLAG_FLAGGED = 8,
	FLAG_TRASHED = 16,
	FLAG_DRAFT = 32,
};

/* Lines of the mbox, in pieces where they are longer than the buffer. */
struct reader {
	int fd;
	off_t next; /* behind what is in data */
	size_t at, len;
	bool in_line; /* the last piece was not the end of its line */
	bool failed;  /* errno says why */
	char data[READER_BYTES];
};

struct piece {
	struct slice text; /* with its newline, if it has one */
	off_t at;
	bool starts; /* a line */
};

struct convert {
	struct usercmd *u;
	const char *mbox, *maildir;
	int dir;
	struct reader reader;
	struct output out;
	uint8_t *flags; /* of each message */
	size_t count, room;
	int64_t second;
	char host[HOST_BYTES_MAX];
};

static void
reader_seek(struct reader *r, off_t at)
{
	r->next = at;
	r->at = r->len = 0;
	r->in_line = false;
}

/* False at the end, or failed. */
static bool
reader_next(struct reader *r, struct piece *out)
{
	struct slice rest = slice_of(r->data + r->at, r->len - r->at);
	ssize_t n = 1;

	while (slice_find(rest, '\n') == rest.len && n > 0) {
		if (r->at > 0)
			memmove(r->data, r->data + r->at, rest.len);
		r->at = 0;
		r->len = rest.len;
		if (r->len == sizeof(r->data))
			break;
		n = pread(r->fd, r->data + r->len, sizeof(r->data) - r->len,
		    r->next);
		if (n < 0 && errno == EINTR) {
			n = 1;
			continue;
		}
		if (n < 0) {
			r->failed = true;
			return false;
		}
		r->len += (size_t)n;
		r->next += n;
		rest = slice_of(r->data, r->len);
	}
	if (rest.len == 0)
		return false;
	out->at = r->next - (off_t)rest.len;
	out->starts = !r->in_line;
	out->text = slice_sub(rest, 0, slice_find(rest, '\n') + 1);
	r->at += out->text.len;
	r->in_line = out->text.data[out->text.len - 1] != '\n';
	return true;
}

static bool
is_empty_line(const struct piece *p)
{
	return p->starts && (slice_eq(p->text, SLICE_LIT("\n")) ||
				slice_eq(p->text, SLICE_LIT("\r\n")));
}

static bool
is_from(const struct piece *p)
{
	return p->starts && p->text.len > 5 &&
	       !memcmp(p->text.data, "From ", 5);
}

/* ---- the header ---- */

struct facts {
	uint8_t flags;
	bool has_return_path;
};

static uint8_t
flags_of(struct slice value, bool extended)
{
	static const struct {
		char letter;
		bool extended;
		uint8_t flags;
	} letters[] = {
		{ 'R', false, FLAG_SEEN | FLAG_OLD },
		{ 'O', false, FLAG_OLD },
		{ 'A', true, FLAG_REPLIED | FLAG_OLD },
		{ 'F', true, FLAG_FLAGGED | FLAG_OLD },
		{ 'D', true, FLAG_TRASHED | FLAG_OLD },
		{ 'T', true, FLAG_DRAFT | FLAG_OLD },
	};
	uint8_t flags = 0;

	for (size_t i = 0; i < ARRAY_LEN(letters); i++)
		if (letters[i].extended == extended &&
		    slice_find(value, letters[i].letter) < value.len)
			flags |= letters[i].flags;
	return flags;
}

/* From the reader's place to the end of the header. */
static void
read_facts(struct reader *r, struct facts *f)
{
	const struct slice status = SLICE_LIT("Status:");
	const struct slice x_status = SLICE_LIT("X-Status:");
	struct piece p;

	*f = (struct facts){ .flags = 0 };
	while (reader_next(r, &p) && !is_empty_line(&p)) {
		if (!p.starts)
			continue;
		if (slice_starts_nocase(p.text, SLICE_LIT("Return-Path:")))
			f->has_return_path = true;
		if (slice_starts_nocase(p.text, status))
			f->flags |= flags_of(
			    slice_sub(p.text, status.len, p.text.len), false);
		if (slice_starts_nocase(p.text, x_status))
			f->flags |= flags_of(
			    slice_sub(p.text, x_status.len, p.text.len), true);
	}
}

/* Of a From_ line, for a Return-Path; false: none that could stand there. */
static bool
sender_of(struct slice line, char sender[static SENDER_BYTES_MAX])
{
	struct slice rest = slice_sub(line, 5, line.len), word;

	if (!slice_word(&rest, " \t\r\n", &word) ||
	    !slice_copy(word, sender, SENDER_BYTES_MAX))
		return false;
	for (const char *p = sender; *p != '\0'; p++)
		if ((unsigned char)*p <= ' ' || *p == '<' || *p == '>')
			return false;
	if (strcmp(sender, "MAILER-DAEMON") == 0)
		sender[0] = '\0';
	return strcmp(sender, MBOX_NO_SENDER) != 0;
}

/* ---- names ---- */

/* DIR/SECOND.PpidQcount.HOST, with flags in cur. */
static void
name_of(const struct convert *c, size_t i, const char *dir, uint8_t flags,
    char *out, size_t size)
{
	static const struct {
		uint8_t flag;
		char letter;
	} letters[] = { { FLAG_DRAFT, 'D' }, { FLAG_FLAGGED, 'F' },
		{ FLAG_REPLIED, 'R' }, { FLAG_SEEN, 'S' },
		{ FLAG_TRASHED, 'T' } };
	size_t n;

	n = (size_t)snprintf(out, size, "%s/%lld.P%dQ%zu.%s%s", dir,
	    (long long)c->second, (int)getpid(), i, c->host,
	    strcmp(dir, "cur") == 0 ? ":2," : "");
	if (strcmp(dir, "cur") != 0)
		return;
	for (size_t k = 0; k < ARRAY_LEN(letters) && n + 1 < size; k++)
		if (flags & letters[k].flag)
			out[n++] = letters[k].letter;
	out[n] = '\0';
}

static void
name_host(struct convert *c)
{
	if (gethostname(c->host, sizeof(c->host) - 1) != 0)
		(void)snprintf(c->host, sizeof(c->host), "localhost");
	for (char *p = c->host; *p != '\0'; p++)
		if (*p == '/' || *p == ':')
			*p = '_';
	c->second = clock_system.wall(&clock_system).ms / 1000;
}

/* ---- one message ---- */

static int
remember(struct convert *c, uint8_t flags)
{
	if (c->count == c->room) {
		size_t room = c->room == 0 ? MESSAGE_COUNT_FIRST : c->room * 2;
		uint8_t *more;

		if (c->count == MESSAGE_COUNT_MAX)
			return say_fatal(c->u, USERCMD_TEMP,
			    "more than %d messages", MESSAGE_COUNT_MAX);
		more = mem_alloc(c->u->acct, room);
		if (more == NULL)
			return say_fatal(c->u, USERCMD_TEMP, "out of memory");
		if (c->count > 0)
			memcpy(more, c->flags, c->count);
		mem_free(c->u->acct, c->flags);
		c->flags = more;
		c->room = room;
	}
	c->flags[c->count++] = flags;
	return 0;
}

/* Lines up to the next From_ line, which *next_out then is; false in
 * *more_out: that was the last message. */
static void
copy_lines(struct convert *c, struct piece *next_out, bool *more_out)
{
	struct mbox_lines lines;
	struct slice held = SLICE_NONE; /* an empty line not yet written */
	struct piece p;

	*more_out = false;
	mbox_lines_init(&lines, MBOX_UNQUOTE);
	while (reader_next(&c->reader, &p)) {
		if (held.len > 0 && is_from(&p)) {
			*next_out = p;
			*more_out = true;
			break;
		}
		(void)mbox_lines_feed(&lines, held, output_put, &c->out);
		held = SLICE_NONE;
		if (is_empty_line(&p))
			held = p.text.len == 1 ? SLICE_LIT("\n")
					       : SLICE_LIT("\r\n");
		else
			(void)mbox_lines_feed(&lines, p.text, output_put,
			    &c->out);
	}
	(void)mbox_lines_end(&lines, output_put, &c->out);
}

/* from is the From_ line; it is replaced by the next one. */
static int
write_message(struct convert *c, struct piece *from, bool *more_out)
{
	char sender[SENDER_BYTES_MAX], name[512];
	bool has_sender = sender_of(from->text, sender), good;
	struct facts facts;
	struct piece rest;
	off_t body;
	int fd, e;

	/* A From_ line longer than the buffer is still one line. */
	while (c->reader.in_line && reader_next(&c->reader, &rest))
		;
	body = c->reader.next - (off_t)(c->reader.len - c->reader.at);
	read_facts(&c->reader, &facts);
	reader_seek(&c->reader, body);
	name_of(c, c->count, "tmp", 0, name, sizeof(name));
	fd =
	    openat(c->dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, MODE);
	if (fd < 0)
		return say_errno(c->u, "unable to create %s/%s", c->maildir,
		    name);
	e = remember(c, facts.flags);
	output_init(&c->out, fd);
	if (has_sender && !facts.has_return_path) {
		(void)output_put(&c->out, SLICE_LIT("Return-Path: <"));
		(void)output_put(&c->out, slice_str(sender));
		(void)output_put(&c->out, SLICE_LIT(">\n"));
	}
	copy_lines(c, from, more_out);
	good = output_flush(&c->out) && fsync(fd) == 0;
	if (e == 0 && !good)
		e = say_errno(c->u, "unable to write to %s/%s", c->maildir,
		    name);
	(void)close(fd);
	return e;
}

static int
write_all(struct convert *c)
{
	struct piece from;
	bool more = reader_next(&c->reader, &from);
	int e = 0;

	if (more && !is_from(&from))
		return say_fatal(c->u, USERCMD_PERM, "%s is not an mbox",
		    c->mbox);
	while (more && e == 0)
		e = write_message(c, &from, &more);
	if (e == 0 && c->reader.failed)
		e = say_errno(c->u, "unable to read %s", c->mbox);
	return e;
}

/* ---- all of them ---- */

static int
sync_dir(const struct convert *c, const char *name)
{
	int fd = openat(c->dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int e = 0;

	if (fd < 0 || fsync(fd) != 0)
		e = say_errno(c->u, "unable to sync %s/%s", c->maildir, name);
	if (fd >= 0)
		(void)close(fd);
	return e;
}

static int
move_all(struct convert *c)
{
	char from[512], to[512];
	int e;

	for (size_t i = 0; i < c->count; i++) {
		const char *dir = c->flags[i] & FLAG_OLD ? "cur" : "new";

		name_of(c, i, "tmp", 0, from, sizeof(from));
		name_of(c, i, dir, c->flags[i], to, sizeof(to));
		if (renameat(c->dir, from, c->dir, to) != 0)
			return say_errno(c->u, "unable to move %s/%s",
			    c->maildir, from);
	}
	e = sync_dir(c, "new");
	return e == 0 ? sync_dir(c, "cur") : e;
}

/* What was moved already is in the Maildir and in the mbox. */
static void
remove_temps(const struct convert *c)
{
	char name[512];

	/* One more: the last may not be counted. */
	for (size_t i = 0; i <= c->count; i++) {
		name_of(c, i, "tmp", 0, name, sizeof(name));
		(void)unlinkat(c->dir, name, 0);
	}
}

static int
convert(struct convert *c, const struct mbox_lock *l)
{
	int e;

	c->reader.fd = l->fd;
	reader_seek(&c->reader, 0);
	signals_hold();
	e = write_all(c);
	if (e == 0)
		e = move_all(c);
	if (e != 0)
		remove_temps(c);
	else if (c->count > 0 &&
		 (ftruncate(l->fd, 0) != 0 || fsync(l->fd) != 0))
		e = say_errno(c->u, "unable to empty %s", c->mbox);
	signals_release();
	return e;
}

int
usercmd_mbox2maildir(struct usercmd *u)
{
	static struct convert c;
	struct mbox_lock lock;
	int e;

	if (u->count != 0 && u->count != 2)
		return say_usage(u, "[ mbox maildir ]");
	c = (struct convert){ .u = u };
	(void)umask(077);
	c.mbox = u->count == 2 ? u->words[0] : say_getenv(u, "MAIL");
	if (c.mbox != NULL)
		c.maildir =
		    u->count == 2 ? u->words[1] : say_getenv(u, "MAILDIR");
	if (c.maildir == NULL)
		return USERCMD_TEMP;
	name_host(&c);
	c.dir = open(c.maildir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (c.dir < 0)
		return say_errno(u, "unable to chdir to %s", c.maildir);
	e = mbox_lock_take(u, &lock, c.mbox, false);
	if (e == 0) {
		e = convert(&c, &lock);
		mbox_lock_drop(&lock);
	}
	(void)close(c.dir);
	mem_free(u->acct, c.flags);
	return e;
}
