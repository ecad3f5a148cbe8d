/*
 * client: the client's side of a conversation with our own server.
 *
 * Commands are pipelined in groups, the body goes in BDAT chunks (no line is
 * touched) and a reply is awaited after each, so that a refusal is heard
 * early.  Every wait is bounded.
 */
#include "sendmail/client.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/assert.h"
#include "proto/envelope.h"

enum {
	TIMEOUT_S = 300,
	VISIT_TIMEOUT_S = 5,
	LAST_WORDS_MS = 30 * 1000,
	REPLY_BYTES_MAX = 16 * 1024, /* one reply, all its lines */
	COMMANDS_BYTES = 16 * 1024,
	/* Recipients in a group: their replies fit into the socket while we
	 * still write. */
	GROUP_MAX = 50,
};

/* ---- connecting ---- */

int
client_connect(const char *queue_directory, int *fd_out, struct errtext *et)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	struct timeval timeout = { .tv_sec = TIMEOUT_S };
	char run[4096];
	int dir, fd, n, errnum;

	/* Through a descriptor: the path may be longer than sun_path. */
	snprintf(run, sizeof(run), "%s/run", queue_directory);
	dir = open(run, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0 && errno == ENOENT)
		return EX_UNAVAILABLE;
	if (dir < 0) {
		err_sys(et, errno, "%s", run);
		return EX_TEMPFAIL;
	}
	n = snprintf(sa.sun_path, sizeof(sa.sun_path),
	    "/proc/self/fd/%d/submit", dir);
	ASSERT(n > 0 && (size_t)n < sizeof(sa.sun_path));
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 &&
	    connect(fd, (const struct sockaddr *)&sa, sizeof(sa)) == 0) {
		close(dir);
		(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout,
		    sizeof(timeout));
		(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout,
		    sizeof(timeout));
		*fd_out = fd;
		return EX_OK;
	}
	errnum = errno;
	close(dir);
	if (fd >= 0)
		close(fd);
	if (errnum == ENOENT || errnum == ECONNREFUSED)
		return EX_UNAVAILABLE;
	err_sys(et, errnum, "%s/submit", run);
	return EX_TEMPFAIL;
}

/* ---- talking ---- */

struct talk {
	int fd;
	struct errtext *et;
	size_t at, len; /* unread in in */
	char in[4096];
	int code;	/* of the last reply */
	char text[512]; /* of its last line, printable */
	size_t out_len;
	char out[COMMANDS_BYTES];
};

static bool
write_all(struct talk *t, const char *data, size_t len)
{
	ssize_t n;

	while (len > 0) {
		n = send(t->fd, data, len, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			err_sys(t->et, errno, "writing to the server");
			return false;
		}
		data += n;
		len -= (size_t)n;
	}
	return true;
}

static bool
flush_commands(struct talk *t)
{
	size_t len = t->out_len;

	t->out_len = 0;
	return write_all(t, t->out, len);
}

static bool
read_byte(struct talk *t, char *out)
{
	ssize_t n;

	if (t->at == t->len) {
		do
			n = recv(t->fd, t->in, sizeof(t->in), 0);
		while (n < 0 && errno == EINTR);
		if (n <= 0) {
			if (n == 0)
				err_set(t->et, ERR_CLOSED,
				    "the server closed the connection");
			else
				err_sys(t->et, errno,
				    "reading from the server");
			return false;
		}
		t->at = 0;
		t->len = (size_t)n;
	}
	*out = t->in[t->at++];
	return true;
}

/* One line of a reply into t->text; more_out: others follow. */
static bool
read_line(struct talk *t, bool *more_out, size_t *bytes)
{
	size_t n = 0;
	uint64_t code;
	char c = 0;

	while (c != '\n') {
		if (!read_byte(t, &c))
			return false;
		if (++*bytes > REPLY_BYTES_MAX) {
			err_set(t->et, ERR_PROTOCOL, "reply too long");
			return false;
		}
		if (n + 1 < sizeof(t->text) && c != '\r' && c != '\n')
			t->text[n++] = c >= ' ' && c < 127 ? c : '?';
	}
	t->text[n] = '\0';
	if (n < 3 || !slice_to_u64(slice_of(t->text, 3), 599, &code) ||
	    code < 200) {
		err_set(t->et, ERR_PROTOCOL, "bad reply \"%s\"", t->text);
		return false;
	}
	t->code = (int)code;
	*more_out = t->text[3] == '-';
	return true;
}

static bool
read_reply(struct talk *t)
{
	size_t bytes = 0;
	bool more = true;

	while (more)
		if (!read_line(t, &more, &bytes))
			return false;
	return true;
}

static void put_command(struct talk *t, const char *fmt, ...) PRINTF(2, 3);

static void
put_command(struct talk *t, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(t->out + t->out_len, sizeof(t->out) - t->out_len, fmt,
	    ap);
	va_end(ap);
	ASSERT(n > 0 && (size_t)n < sizeof(t->out) - t->out_len);
	t->out_len += (size_t)n;
}

/* Exit status for a refusal of the whole message. */
static int
refusal(struct talk *t)
{
	err_set(t->et, ERR_DENIED, "the server says: %s", t->text);
	if (t->code / 100 == 4)
		return EX_TEMPFAIL;
	return t->code == 552 ? EX_DATAERR : EX_UNAVAILABLE;
}

static int
expect(struct talk *t, int code)
{
	if (!read_reply(t))
		return EX_TEMPFAIL;
	return t->code / 100 == code / 100 ? EX_OK : refusal(t);
}

static void
put_mail(struct talk *t, const struct message *m)
{
	put_command(t, "MAIL FROM:<%.*s> BODY=8BITMIME", SLICE_ARGS(m->sender));
	if (m->utf8)
		put_command(t, " SMTPUTF8");
	if (m->options->ret != RET_NONE)
		put_command(t, " RET=%s",
		    m->options->ret == RET_FULL ? "FULL" : "HDRS");
	if (m->envid_len > 0)
		put_command(t, " ENVID=%.*s", (int)m->envid_len, m->envid);
	put_command(t, "\r\n");
}

static void
put_notify(struct talk *t, uint8_t notify)
{
	static const char *const names[] = { "NEVER", "SUCCESS", "FAILURE",
		"DELAY" };
	const char *before = " NOTIFY=";
	size_t i;

	for (i = 0; i < ARRAY_LEN(names); i++) {
		if (!(notify & 1u << i))
			continue;
		put_command(t, "%s%s", before, names[i]);
		before = ",";
	}
}

/* One group of recipients; counts those that are taken. */
static int
send_group(struct talk *t, const struct message *m, size_t from, size_t to,
    size_t *taken)
{
	size_t i;

	for (i = from; i < to; i++) {
		if (sizeof(t->out) - t->out_len < ADDRESS_BYTES_MAX + 128 &&
		    !flush_commands(t))
			return EX_TEMPFAIL;
		put_command(t, "RCPT TO:<%.*s>", SLICE_ARGS(m->rcpts[i]));
		put_notify(t, m->options->notify);
		put_command(t, "\r\n");
	}
	if (!flush_commands(t))
		return EX_TEMPFAIL;
	for (i = from; i < to; i++) {
		if (!read_reply(t))
			return EX_TEMPFAIL;
		if (t->code / 100 == 2)
			++*taken;
		else if (t->code / 100 == 5)
			fprintf(stderr, "sendmail: %.*s: %s\n",
			    SLICE_ARGS(m->rcpts[i]), t->text);
		else
			return refusal(t);
	}
	return EX_OK;
}

static int
send_envelope(struct talk *t, const struct message *m, size_t *taken)
{
	size_t at, to;
	int status;

	put_mail(t, m);
	if (!flush_commands(t))
		return EX_TEMPFAIL;
	status = expect(t, 250);
	for (at = 0; at < m->rcpt_count && status == EX_OK; at = to) {
		to = at + GROUP_MAX;
		if (to > m->rcpt_count)
			to = m->rcpt_count;
		status = send_group(t, m, at, to, taken);
	}
	return status;
}

static int
send_body(struct talk *t, struct message *m)
{
	struct slice piece;
	bool last = false;
	int status = EX_OK;

	while (!last && status == EX_OK) {
		if (message_next(m, &piece, &last) != OK) {
			err_set(t->et, ERR_IO, "cannot read the message");
			return EX_IOERR;
		}
		put_command(t, "BDAT %zu%s\r\n", piece.len,
		    last ? " LAST" : "");
		if (!flush_commands(t) || !write_all(t, piece.data, piece.len))
			return EX_TEMPFAIL;
		status = expect(t, 250);
	}
	return status;
}

int
client_submit(struct message *m, int fd, bool *begun_out, struct errtext *et)
{
	static struct talk t;
	size_t taken = 0;
	int status;

	*begun_out = false;
	t = (struct talk){ .fd = fd, .et = et };
	status = expect(&t, 220);
	if (status != EX_OK)
		return status;
	put_command(&t, "EHLO localhost\r\n");
	if (!flush_commands(&t))
		return EX_TEMPFAIL;
	status = expect(&t, 250);
	*begun_out = status == EX_OK;
	if (status == EX_OK)
		status = send_envelope(&t, m, &taken);
	if (status == EX_OK && taken == 0) {
		err_set(et, ERR_NOTFOUND, "no recipient was accepted");
		status = EX_NOUSER;
	}
	if (status == EX_OK)
		status = send_body(&t, m);
	if (status != EX_OK)
		return status;
	put_command(&t, "QUIT\r\n");
	(void)flush_commands(&t);
	if (taken == m->rcpt_count)
		return EX_OK;
	err_set(et, ERR_NOTFOUND,
	    "%zu of %zu recipients were refused, the others get the message",
	    m->rcpt_count - taken, m->rcpt_count);
	return EX_NOUSER;
}

void
client_visit(const char *queue_directory)
{
	struct timeval timeout = { .tv_sec = VISIT_TIMEOUT_S };
	char reply[512];
	int fd;

	if (client_connect(queue_directory, &fd, NULL) != EX_OK)
		return;
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout,
	    sizeof(timeout));
	if (send(fd, "QUIT\r\n", 6, MSG_NOSIGNAL) == 6)
		while (recv(fd, reply, sizeof(reply), 0) > 0)
			continue;
	close(fd);
}

/* ---- -bs ---- */

/* One direction: true while it is open. */
static bool
pass(int from, int to)
{
	char buf[16 * 1024];
	ssize_t n, put, at = 0;

	n = read(from, buf, sizeof(buf));
	if (n < 0 && errno == EINTR)
		return true;
	if (n <= 0)
		return false;
	while (at < n) {
		put = write(to, buf + at, (size_t)(n - at));
		if (put < 0 && errno == EINTR)
			continue;
		if (put <= 0)
			return false;
		at += put;
	}
	return true;
}

int
client_relay(int fd, struct errtext *et)
{
	struct pollfd p[2] = {
		{ .fd = STDIN_FILENO, .events = POLLIN },
		{ .fd = fd, .events = POLLIN },
	};
	int n;

	/* The server's own timeouts end a session in which nothing happens;
	 * only after the end of our input it has less time. */
	for (;;) {
		n = poll(p, 2, p[0].fd >= 0 ? -1 : LAST_WORDS_MS);
		if (n == 0)
			return EX_OK;
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			err_sys(et, errno, "poll");
			return EX_OSERR;
		}
		if (p[1].revents != 0 && !pass(fd, STDOUT_FILENO))
			return EX_OK;
		if (p[0].revents != 0 && !pass(STDIN_FILENO, fd)) {
			/* A client that forgot it; after its own QUIT nobody
			 * reads this.  Replies are still on their way. */
			(void)send(fd, "QUIT\r\n", 6, MSG_NOSIGNAL);
			p[0].fd = -1;
		}
	}
}
