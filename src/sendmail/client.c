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
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/assert.h"
#include "proto/envelope.h"
#include "sendmail/talk.h"

enum {
	TIMEOUT_S = 300,
	VISIT_TIMEOUT_S = 5,
	LAST_WORDS_MS = 30 * 1000,
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

/* ---- the conversation ---- */

/* Exit status for a refusal of the whole message. */
static int
refusal(struct talk *t)
{
	t->refused = t->code;
	err_set(t->et, ERR_DENIED, "the server says: %s", t->text);
	if (t->code / 100 == 4)
		return EX_TEMPFAIL;
	return t->code == 552 ? EX_DATAERR : EX_UNAVAILABLE;
}

static int
expect(struct talk *t, int code)
{
	if (!talk_read_reply(t))
		return EX_TEMPFAIL;
	return t->code / 100 == code / 100 ? EX_OK : refusal(t);
}

static void
put_mail(struct talk *t, const struct message *m)
{
	talk_put(t, "MAIL FROM:<%.*s> BODY=8BITMIME", SLICE_ARGS(m->sender));
	if (m->utf8)
		talk_put(t, " SMTPUTF8");
	if (m->options->ret != RET_NONE)
		talk_put(t, " RET=%s",
		    m->options->ret == RET_FULL ? "FULL" : "HDRS");
	if (m->envid_len > 0)
		talk_put(t, " ENVID=%.*s", (int)m->envid_len, m->envid);
	talk_put(t, "\r\n");
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
		talk_put(t, "%s%s", before, names[i]);
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
		    !talk_flush(t))
			return EX_TEMPFAIL;
		talk_put(t, "RCPT TO:<%.*s>", SLICE_ARGS(m->rcpts[i]));
		put_notify(t, m->options->notify);
		talk_put(t, "\r\n");
	}
	if (!talk_flush(t))
		return EX_TEMPFAIL;
	for (i = from; i < to; i++) {
		if (!talk_read_reply(t))
			return EX_TEMPFAIL;
		if (t->code / 100 == 2)
			++*taken;
		else if (t->code / 100 == 5 && m->options->all_or_drop)
			continue;
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
	if (!talk_flush(t))
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
		talk_put(t, "BDAT %zu%s\r\n", piece.len, last ? " LAST" : "");
		if (!talk_flush(t) || !talk_write(t, piece.data, piece.len))
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
	talk_put(&t, "EHLO localhost\r\n");
	if (!talk_flush(&t))
		return EX_TEMPFAIL;
	status = expect(&t, 250);
	*begun_out = status == EX_OK;
	if (status == EX_OK)
		status = send_envelope(&t, m, &taken);
	if (status == EX_OK && taken < m->rcpt_count &&
	    m->options->all_or_drop) {
		err_set(et, ERR_DENIED, "not all recipients were taken");
		*begun_out = false;
		return EX_TEMPFAIL;
	}
	if (status == EX_OK && taken == 0) {
		err_set(et, ERR_NOTFOUND, "no recipient was accepted");
		status = EX_NOUSER;
	}
	if (status == EX_OK)
		status = send_body(&t, m);
	m->refused_code = t.refused;
	if (status != EX_OK)
		return status;
	talk_put(&t, "QUIT\r\n");
	(void)talk_flush(&t);
	if (taken == m->rcpt_count)
		return EX_OK;
	err_set(et, ERR_NOTFOUND,
	    "%zu of %zu recipients %s refused, the others get the message",
	    m->rcpt_count - taken, m->rcpt_count,
	    m->rcpt_count - taken == 1 ? "was" : "were");
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
