#include "tcpserver/ident.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/time.h"

enum { PORT = 113, ANSWER_BYTES_MAX = 4096 };

static bool
wait_for(int fd, short events, struct mono end)
{
	struct pollfd p = { .fd = fd, .events = events };
	int r;

	do {
		int64_t left = mono_sub(end, clock_system.mono(&clock_system));

		if (left <= 0)
			return false;
		r = poll(&p, 1, (int)left);
	} while (r < 0 && errno == EINTR);
	return r > 0;
}

static struct sockaddr_storage
with_port(const struct address *a, uint16_t port)
{
	struct sockaddr_storage sa = a->raw;
	in_port_t value = htons(port);

	memcpy((char *)&sa + offsetof(struct sockaddr_in, sin_port), &value,
	    sizeof(value));
	return sa;
}

static int
connect_to(const struct address *local, const struct address *remote,
    struct mono end)
{
	struct sockaddr_storage from = with_port(local, 0);
	struct sockaddr_storage to = with_port(remote, PORT);
	int fd =
	    socket(to.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int error = 0;
	socklen_t len = sizeof(error);

	if (fd < 0)
		return -1;
	/* The other side knows the connection by both its ends. */
	if (bind(fd, (struct sockaddr *)&from, local->raw_len) != 0)
		goto close_fd;
	if (connect(fd, (struct sockaddr *)&to, remote->raw_len) != 0 &&
	    (errno != EINPROGRESS || !wait_for(fd, POLLOUT, end)))
		goto close_fd;
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0 ||
	    error != 0)
		goto close_fd;
	return fd;
close_fd:
	(void)close(fd);
	return -1;
}

/* The answer's user: what is behind the third colon, without blanks. */
struct answer {
	unsigned colons;
	size_t seen;
	size_t len;
	bool complete;
	char *text;
};

static void
take(struct answer *a, char c)
{
	if (c == ' ' || c == '\t' || c == '\r')
		return;
	if (c == '\n')
		a->complete = true;
	else if (a->colons < 3)
		a->colons += c == ':';
	else if (a->len < IDENT_BYTES_MAX && c != '\0')
		a->text[a->len++] = c;
}

static void
read_answer(int fd, struct answer *a, struct mono end)
{
	char buf[256];

	while (!a->complete && a->seen < ANSWER_BYTES_MAX) {
		ssize_t n = 0;

		if (!wait_for(fd, POLLIN, end))
			return;
		n = read(fd, buf, sizeof(buf));
		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n <= 0)
			return;
		a->seen += (size_t)n;
		for (ssize_t i = 0; i < n && !a->complete; i++)
			take(a, buf[i]);
	}
}

bool
ident_ask(const struct address *local, const struct address *remote,
    uint32_t timeout_s, char out[static IDENT_BYTES_MAX + 1])
{
	struct mono end = mono_add(clock_system.mono(&clock_system),
	    (int64_t)timeout_s * 1000);
	struct answer a = { .text = out };
	char question[32];
	int len = snprintf(question, sizeof(question), "%u , %u\r\n",
	    remote->port, local->port);
	int fd = connect_to(local, remote, end);

	out[0] = '\0';
	if (fd < 0)
		return false;
	/* A new connection takes a line whole. */
	if (send(fd, question, (size_t)len, MSG_NOSIGNAL) == len)
		read_answer(fd, &a, end);
	(void)close(fd);
	out[a.complete ? a.len : 0] = '\0';
	return a.complete;
}
