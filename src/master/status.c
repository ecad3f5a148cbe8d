/*
 * status: run/status, where anybody may look.
 *
 * Who connects gets one message with read-only descriptors of the limits
 * pages of the master and of every process that runs, and the end of the
 * stream.  There is nothing to parse: what a client says is thrown away.
 *
 * Descriptors that a client does not take are on their way, and the kernel
 * lets an ordinary user have only as many of these as he may open files: from
 * then on he could pass none to his roles.  So a client keeps its place until
 * it closes; places are bounded, for each user and together, a share is left
 * to root and to our own user, and a master that is not root answers only
 * these two.  Who finds no place is closed without an answer, after those
 * were closed that have read theirs and stay.
 */
#include <errno.h>
#include <linux/sockios.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/log.h"
#include "master/master.h"

enum {
	PAGES_MAX = 253,  /* descriptors in one message (SCM_MAX_FD) */
	ANSWERS_MAX = 16, /* in one turn */
	NOFD_POLL_MS = 1000,
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

/* ---- places ---- */

static void
leave(struct status_client *c)
{
	ev_io_fini(&c->io);
	close(c->fd);
	c->fd = -1;
	limit_set_in_use(c->master->status_row, --c->master->status_count);
}

/* It closed, or it talks. */
static void
on_client(void *arg, struct ev_io *io, unsigned ready)
{
	struct status_client *c = arg;
	char byte;
	ssize_t n = recv(io->fd, &byte, sizeof(byte), MSG_DONTWAIT);

	(void)ready;
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		leave(c);
}

/* Close who has read the answer and stays.  Nothing of them is on its way. */
static void
close_idle(struct master *m)
{
	for (unsigned i = 0; i < STATUS_CLIENTS_MAX; i++) {
		struct status_client *c = &m->status_clients[i];
		int unread = 1;

		if (c->fd >= 0 && ioctl(c->fd, SIOCOUTQ, &unread) == 0 &&
		    unread == 0)
			leave(c);
	}
}

static struct status_client *
look_for_place(struct master *m, uid_t uid, bool trusted)
{
	unsigned same = 0, strangers = 0;
	struct status_client *free_one = NULL;

	for (unsigned i = 0; i < STATUS_CLIENTS_MAX; i++) {
		struct status_client *c = &m->status_clients[i];

		if (c->fd < 0)
			free_one = c;
		else
			same += c->uid == uid;
		strangers += c->fd >= 0 && !c->trusted;
	}
	if (!trusted && (same >= STATUS_CLIENTS_PER_USER ||
			    strangers >= STATUS_STRANGERS_MAX))
		return NULL;
	return free_one;
}

/* A place for a client of this user; NULL: none. */
static struct status_client *
place(struct master *m, int fd)
{
	struct status_client *c;
	struct ucred cred;
	socklen_t len = sizeof(cred);
	bool trusted;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) != 0)
		return NULL;
	trusted = cred.uid == 0 || cred.uid == geteuid();
	if (!trusted && geteuid() != 0)
		return NULL;
	c = look_for_place(m, cred.uid, trusted);
	if (c == NULL) {
		close_idle(m);
		c = look_for_place(m, cred.uid, trusted);
	}
	if (c != NULL)
		*c = (struct status_client){ .master = m,
			.fd = fd,
			.uid = cred.uid,
			.trusted = trusted };
	return c;
}

static void
answer(struct master *m, struct status_client *c)
{
	struct answer a = { .count = 0 };

	limit_set_in_use(m->status_row, ++m->status_count);
	add_page(&a, m->page_fd);
	for (unsigned k = 0; k < m->instance_count; k++)
		if (instance_running(&m->instances[k]))
			add_page(&a, m->instances[k].page_fd);
	send_answer(c->fd, &a);
	for (unsigned k = 0; k < a.count; k++)
		close(a.fds[k]);
	(void)shutdown(c->fd, SHUT_WR);
	ev_io_init(&c->io, m->loop, c->fd, on_client, c);
	ev_io_want(&c->io, EV_RD);
}

static void
on_connect(void *arg, struct ev_io *io, unsigned ready)
{
	struct master *m = arg;

	(void)ready;
	for (unsigned n = 0; n < ANSWERS_MAX; n++) {
		struct status_client *c;
		int fd =
		    accept4(io->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd < 0) {
			/* Descriptors, memory of the kernel: try later. */
			if (errno == EMFILE || errno == ENFILE ||
			    errno == ENOBUFS || errno == ENOMEM) {
				ev_io_want(io, 0);
				ev_timer_set(&m->status_timer, NOFD_POLL_MS);
			}
			return;
		}
		c = place(m, fd);
		if (c != NULL) {
			answer(m, c);
		} else {
			limit_refused(m->status_row);
			close(fd);
		}
	}
}

static void
on_status_timer(void *arg, struct ev_timer *t)
{
	struct master *m = arg;

	(void)t;
	ev_io_want(&m->status_io, EV_RD);
}

enum err
status_open(struct master *m, struct errtext *et)
{
	enum err e =
	    listen_unix(m->run_fd, "status", SOCK_SEQPACKET, &m->status_fd, et);

	if (e != OK)
		return e;
	for (unsigned i = 0; i < STATUS_CLIENTS_MAX; i++)
		m->status_clients[i].fd = -1;
	m->status_row = limits_row(LIMIT_GATE, "status clients", "",
	    sizeof(struct status_client), STATUS_CLIENTS_MAX);
	ev_timer_init(&m->status_timer, m->loop, on_status_timer, m);
	ev_io_init(&m->status_io, m->loop, m->status_fd, on_connect, m);
	ev_io_want(&m->status_io, EV_RD);
	return OK;
}

void
status_close(struct master *m)
{
	for (unsigned i = 0; i < STATUS_CLIENTS_MAX; i++)
		if (m->status_clients[i].fd >= 0)
			leave(&m->status_clients[i]);
	ev_timer_clear(&m->status_timer);
	ev_io_fini(&m->status_io);
	close(m->status_fd);
}
