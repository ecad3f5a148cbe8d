/*
 * relay: two directions, each with a buffer of its own, so that neither waits
 * for the other.
 */
#include "stub/relay.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct way {
	char data[RELAY_BYTES];
	size_t at, len; /* unwritten: data[at..len) */
	bool over;	/* nothing more comes in */
};

static bool
is_empty(const struct way *w)
{
	return w->at == w->len;
}

static bool
may_pass(ssize_t n)
{
	return n < 0 && (errno == EINTR || errno == EAGAIN);
}

static void
take_in(struct way *w, int fd)
{
	ssize_t n = read(fd, w->data, sizeof(w->data));

	if (may_pass(n))
		return;
	w->at = 0;
	w->len = n > 0 ? (size_t)n : 0;
	w->over = n <= 0;
}

/* Never blocks: a pipe that is ready takes PIPE_BUF.  False: nobody reads
 * there any more. */
static bool
give_out(struct way *w, int fd, bool is_socket)
{
	size_t len = w->len - w->at;
	ssize_t n;

	if (len > PIPE_BUF)
		len = PIPE_BUF;
	n = is_socket
		? send(fd, w->data + w->at, len, MSG_NOSIGNAL | MSG_DONTWAIT)
		: write(fd, w->data + w->at, len);
	if (n > 0)
		w->at += (size_t)n;
	return n > 0 || may_pass(n);
}

static void
give_up(struct way *w)
{
	w->at = w->len = 0;
	w->over = true;
}

/* A descriptor to be waited for; none without events. */
static struct pollfd
watch(int fd, short events)
{
	return (struct pollfd){ .fd = events != 0 ? fd : -1, .events = events };
}

/* How smtpd says that the session ended; false: not yet. */
static bool
hear(int control, int *status)
{
	uint8_t octet;
	ssize_t n = recv(control, &octet, 1, MSG_DONTWAIT);

	if (may_pass(n))
		return false;
	*status = n == 1 ? octet : -1;
	return true;
}

int
relay_run(int fd, int control)
{
	static struct way up, down;
	bool told = false, over = false;
	int status = -1;

	while (!over || !down.over || !is_empty(&down)) {
		bool reads = is_empty(&up) && !up.over && !over;
		bool hears = is_empty(&down) && !down.over;
		struct pollfd p[4] = {
			watch(STDIN_FILENO, reads ? POLLIN : 0),
			watch(fd, (short)((hears ? POLLIN : 0) |
					  (is_empty(&up) ? 0 : POLLOUT))),
			watch(STDOUT_FILENO, is_empty(&down) ? 0 : POLLOUT),
			watch(control, over ? 0 : POLLIN),
		};
		int n = poll(p, 4, over ? RELAY_LAST_MS : -1);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		if (p[0].revents != 0)
			take_in(&up, STDIN_FILENO);
		if (hears && p[1].revents & (POLLIN | POLLHUP | POLLERR))
			take_in(&down, fd);
		if (!is_empty(&up) && p[1].revents & (POLLOUT | POLLERR) &&
		    !give_out(&up, fd, true))
			give_up(&up);
		if (p[2].revents != 0 &&
		    !give_out(&down, STDOUT_FILENO, false)) {
			/* The client is gone: smtpd is to hear of it. */
			give_up(&up);
			give_up(&down);
			(void)shutdown(fd, SHUT_RDWR);
		}
		if (p[3].revents != 0)
			over = hear(control, &status);
		/* The end of the input is an end for smtpd, too. */
		if (up.over && is_empty(&up) && !told) {
			(void)shutdown(fd, SHUT_WR);
			told = true;
		}
	}
	return status;
}
