/*
 * log: the buffer of finished lines and the descriptor that it drains into.
 *
 * Happy path: log_sink_line copies a line to the end of the buffer, log_flush
 * writes the buffer in pieces of whole lines of at most PIPE_BUF bytes, which
 * the kernel takes or refuses whole, so that the lines of several processes on
 * one pipe never mix.
 *
 * Failure modes: the reader is slow (EAGAIN: the lines stay, and when the
 * buffer is full new ones are lost and counted); the reader is gone (EPIPE,
 * ECONNREFUSED: what is buffered is lost and counted, a syslog socket is
 * opened anew at the next flush).
 *
 * The destination is never made non-blocking itself where its open file
 * description is shared with the parent, a terminal or other programs: pipes
 * and terminals are opened anew through /proc, sockets are written with
 * MSG_DONTWAIT.  Where opening anew is not allowed (a pipe of another user),
 * poll() asks first.
 */
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/limits.h"
#include "base/log_sink.h"

_Static_assert(LOG_LINE_BYTES <= PIPE_BUF, "one line is one atomic write");

enum fd_kind {
	FD_NONE,     /* nothing open: lines are lost */
	FD_FILE,     /* does not block, and takes any size whole */
	FD_PLAIN,    /* opened anew non-blocking: just write */
	FD_POLLED,   /* shared and blocking: poll first */
	FD_STREAM,   /* stream socket (the journal's) */
	FD_DATAGRAM, /* syslog: a line each */
};

static struct {
	struct log_style style;
	enum fd_kind kind;
	int fd;
	const char *syslog_path;
	size_t first; /* of the unwritten bytes */
	size_t len;
	uint64_t lost_count;	   /* since the last report */
	uint64_t lost_total_count; /* ever */
	bool broken; /* the last write lost all; the next line is a probe */
	struct limit_row *row;
	char buffer[LOG_BUFFER_BYTES];
} sink = {
	.style = { .bare = true, .tag = "weir: " },
	.kind = FD_POLLED,
	.fd = STDERR_FILENO,
	.syslog_path = "/dev/log",
};

const struct log_style *
log_style(void)
{
	return &sink.style;
}

static void
sink_close(void)
{
	if (sink.fd > STDERR_FILENO)
		close(sink.fd);
	sink.fd = -1;
	sink.kind = FD_NONE;
}

/* A descriptor of its own for what fd 2 is, or FD_POLLED on fd 2 itself. */
static void
open_again(void)
{
	int fd = open("/proc/self/fd/2",
	    O_WRONLY | O_APPEND | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

	sink.fd = fd < 0 ? STDERR_FILENO : fd;
	sink.kind = fd < 0 ? FD_POLLED : FD_PLAIN;
}

/* The journal says in JOURNAL_STREAM "DEV:INODE" that it reads this socket. */
static bool
is_journal(const struct stat *st)
{
	const char *env = getenv("JOURNAL_STREAM");
	char mine[64];

	snprintf(mine, sizeof(mine), "%llu:%llu",
	    (unsigned long long)st->st_dev, (unsigned long long)st->st_ino);
	return env != NULL && strcmp(env, mine) == 0;
}

static enum err
open_stderr(struct errtext *et)
{
	struct stat st;

	sink.style.levels = false;
	if (fstat(STDERR_FILENO, &st) != 0)
		return err_sys(et, errno, "log: standard error");
	if (S_ISSOCK(st.st_mode)) {
		sink.fd = STDERR_FILENO;
		sink.kind = FD_STREAM;
		sink.style.levels = is_journal(&st);
	} else if (S_ISFIFO(st.st_mode) || isatty(STDERR_FILENO)) {
		open_again();
	} else {
		/* The place in it is shared with other writers. */
		sink.fd = STDERR_FILENO;
		sink.kind = FD_FILE;
	}
	return OK;
}

static enum err
open_syslog(struct errtext *et)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	int fd;

	ASSERT(strlen(sink.syslog_path) < sizeof(to.sun_path));
	memcpy(to.sun_path, sink.syslog_path, strlen(sink.syslog_path));
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_sys(et, errno, "log: socket");
	if (connect(fd, (struct sockaddr *)&to, sizeof(to)) != 0) {
		enum err e = err_sys(et, errno, "log: %s", sink.syslog_path);

		close(fd);
		return e;
	}
	sink.fd = fd;
	sink.kind = FD_DATAGRAM;
	return OK;
}

void
log_syslog_path(const char *path)
{
	sink.syslog_path = path;
}

static void
style_set(const char *name, const char *role, enum log_format format,
    bool syslog)
{
	struct log_style *s = &sink.style;

	*s = (struct log_style){ .format = format, .syslog = syslog };
	s->pid = getpid();
	snprintf(s->name, sizeof(s->name), "%s", name);
	snprintf(s->role, sizeof(s->role), "%s", role);
	snprintf(s->tag, sizeof(s->tag), "%s/%s[%d]: ", s->name, s->role,
	    s->pid);
}

enum err
log_open(const char *name, const char *role, const char *destination,
    enum log_format format, struct errtext *et)
{
	bool syslog = strcmp(destination, "syslog") == 0;

	/* multilog: reads standard error; the master starts it. */
	if (!syslog && strcmp(destination, "stderr") != 0 &&
	    strncmp(destination, "multilog:", 9) != 0)
		return err_set(et, ERR_UNSUPPORTED,
		    "log_destination: value \"%s\": must be stderr, syslog or "
		    "multilog:DIR",
		    destination);
	if (sink.row == NULL)
		sink.row = limits_row(LIMIT_SIZE, "log buffer", "", 1,
		    LOG_BUFFER_BYTES);
	log_flush();
	sink_close();
	sink.broken = false;
	style_set(name, role, format, syslog);
	return syslog ? open_syslog(et) : open_stderr(et);
}

void
log_reopen(void)
{
	struct errtext et;

	if (!sink.style.syslog)
		return; /* standard error is its giver's to reopen */
	log_flush();
	sink_close();
	if (open_syslog(&et) != OK)
		sink.kind = FD_NONE; /* tried again at each flush */
}

/* Bytes to write at once: a file takes all; else whole lines of at most
 * PIPE_BUF; a datagram is one line. */
static size_t
piece_len(void)
{
	const char *from = sink.buffer + sink.first;
	size_t max = sink.len < PIPE_BUF ? sink.len : PIPE_BUF;
	const char *end;

	if (sink.kind == FD_FILE)
		return sink.len;
	end = sink.kind == FD_DATAGRAM ? memchr(from, '\n', max)
				       : memrchr(from, '\n', max);
	/* Lines are shorter; only a part of one written short is left. */
	return end == NULL ? max : (size_t)(end - from) + 1;
}

static ssize_t
write_piece(size_t len)
{
	const char *from = sink.buffer + sink.first;
	struct pollfd p = { .fd = sink.fd, .events = POLLOUT };

	switch (sink.kind) {
	case FD_STREAM:
		return send(sink.fd, from, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	case FD_DATAGRAM:
		/* The newline is ours; a datagram is the line. */
		if (send(sink.fd, from, len - 1, MSG_DONTWAIT | MSG_NOSIGNAL) <
		    0)
			return -1;
		return (ssize_t)len;
	case FD_POLLED:
		if (poll(&p, 1, 0) == 0) {
			errno = EAGAIN;
			return -1;
		}
		return write(sink.fd, from, len);
	case FD_FILE:
	case FD_PLAIN: return write(sink.fd, from, len);
	case FD_NONE: break;
	}
	errno = EPIPE;
	return -1;
}

static void
lose(uint64_t line_count)
{
	sink.lost_count += line_count;
	sink.lost_total_count += line_count;
	if (sink.row != NULL)
		limit_refused(sink.row);
}

uint64_t
log_lost_count(void)
{
	return sink.lost_total_count;
}

/* The reader is gone. */
static void
lose_all(void)
{
	const char *at = sink.buffer + sink.first;
	uint64_t line_count = 0;

	for (size_t i = 0; i < sink.len; i++)
		line_count += at[i] == '\n';
	lose(line_count);
	sink.first = sink.len = 0;
	sink.broken = true;
}

/* Empty the buffer as far as the destination takes it. */
static void
drain(void)
{
	bool reopened = false;

	while (sink.len > 0) {
		ssize_t n = write_piece(piece_len());

		if (n > 0) {
			sink.first += (size_t)n;
			sink.len -= (size_t)n;
			sink.broken = false;
			continue;
		}
		if (n < 0 && errno == EINTR)
			continue;
		if (n == 0 || errno == EAGAIN || errno == ENOBUFS)
			return;
		if (sink.style.syslog && !reopened) {
			/* The daemon was restarted. */
			reopened = true;
			sink_close();
			if (open_syslog(NULL) == OK)
				continue;
		}
		lose_all();
	}
	sink.first = 0;
}

/* There is room for len bytes and a newline, after moving if need be. */
static bool
make_room(size_t len)
{
	if (sink.len + len + 1 > sizeof(sink.buffer))
		return false;
	if (sink.first + sink.len + len + 1 > sizeof(sink.buffer)) {
		memmove(sink.buffer, sink.buffer + sink.first, sink.len);
		sink.first = 0;
	}
	return true;
}

static void
append(const char *text, size_t len)
{
	char *at = sink.buffer + sink.first + sink.len;

	memcpy(at, text, len);
	at[len] = '\n';
	sink.len += len + 1;
	if (sink.row != NULL)
		limit_set_in_use(sink.row, (int64_t)sink.len);
}

/* Say how many lines were lost, once there is room for that and more. */
static void
report_lost(size_t more)
{
	uint64_t count = sink.lost_count;

	if (count == 0 || sink.broken || !make_room(LOG_LINE_BYTES + more))
		return;
	sink.lost_count = 0;
	log_warning("log: %llu %s lost: the log could not be written",
	    (unsigned long long)count, count == 1 ? "line was" : "lines were");
}

void
log_sink_line(const char *text, size_t len)
{
	ASSERT(len < LOG_LINE_BYTES);
	report_lost(len);
	if (!make_room(len)) {
		drain();
		report_lost(len);
	}
	if (!make_room(len) || (sink.lost_count > 0 && !sink.broken)) {
		lose(1);
		return;
	}
	append(text, len);
	if (sink.style.bare)
		drain();
}

void
log_flush(void)
{
	if (sink.len == 0 && sink.lost_count == 0)
		return;
	drain();
	report_lost(0);
	drain();
	if (sink.row != NULL)
		limit_set_in_use(sink.row, (int64_t)sink.len);
}

void
log_close(int timeout_ms)
{
	struct mono end =
	    mono_add(clock_system.mono(&clock_system), timeout_ms);

	log_flush();
	while (sink.len > 0) {
		struct pollfd p = { .fd = sink.fd, .events = POLLOUT };
		int64_t left = mono_sub(end, clock_system.mono(&clock_system));

		if (left <= 0 || poll(&p, 1, (int)left) == 0)
			break;
		log_flush();
	}
}
