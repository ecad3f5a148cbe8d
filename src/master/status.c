/*
 * status: run/status, where anybody may look.
 *
 * Who connects gets one message with read-only descriptors of the limits
 * pages of the master and of every process that runs, and the connection is
 * closed.  Nothing is read from it, so there is nothing to parse and nothing
 * to wait for.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/log.h"
#include "master/master.h"

enum {
	PAGES_MAX = 253,  /* descriptors in one message (SCM_MAX_FD) */
	ANSWERS_MAX = 16, /* in one turn */
};

struct answer {
	int fds[PAGES_MAX];
	unsigned count;
};

static void
add_page(struct answer *a, int page_fd)
{
	struct errtext et;

	if (a->count < PAGES_MAX && page_fd >= 0 &&
	    limits_page_reader(page_fd, &a->fds[a->count], &et) == OK)
		a->count++;
}

static void
send_answer(int fd, const struct answer *a)
{
	static const char version[4] = { 1 };
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(PAGES_MAX * sizeof(int))];
	} control = { .room = { 0 } };
	struct iovec iov = { (void *)(uintptr_t)version, sizeof(version) };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };
	size_t bytes = a->count * sizeof(int);

	m.msg_control = &control;
	m.msg_controllen = CMSG_SPACE(bytes);
	control.head.cmsg_level = SOL_SOCKET;
	control.head.cmsg_type = SCM_RIGHTS;
	control.head.cmsg_len = CMSG_LEN(bytes);
	memcpy(CMSG_DATA(&control.head), a->fds, bytes);
	/* Who has gone again does not matter. */
	(void)sendmsg(fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void
on_connect(void *arg, struct ev_io *io, unsigned ready)
{
	struct master *m = arg;

	(void)ready;
	for (unsigned n = 0; n < ANSWERS_MAX; n++) {
		struct answer a = { .count = 0 };
		int fd =
		    accept4(io->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd < 0)
			return;
		add_page(&a, m->page_fd);
		for (unsigned k = 0; k < m->instance_count; k++)
			if (instance_running(&m->instances[k]))
				add_page(&a, m->instances[k].page_fd);
		send_answer(fd, &a);
		for (unsigned k = 0; k < a.count; k++)
			close(a.fds[k]);
		close(fd);
	}
}

enum err
status_open(struct master *m, struct errtext *et)
{
	enum err e =
	    listen_unix(m->run_fd, "status", SOCK_SEQPACKET, &m->status_fd, et);

	if (e != OK)
		return e;
	ev_io_init(&m->status_io, m->loop, m->status_fd, on_connect, m);
	ev_io_want(&m->status_io, EV_RD);
	return OK;
}

void
status_close(struct master *m)
{
	ev_io_fini(&m->status_io);
	close(m->status_fd);
}
