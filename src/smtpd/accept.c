/*
 * accept: listening sockets.
 *
 * While the gate of all processes is full nothing is accepted (but for local
 * clients, who have places of their own): clients wait in the socket's
 * backlog.  A place may become free in another process, so the
 * gate is looked at again after FULL_POLL_MS; a session of this process that
 * ends opens the door at once.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/assert.h"
#include "smtpd/handed.h"
#include "smtpd/session.h"

enum { FULL_POLL_MS = 20, NOFD_POLL_MS = 200 };

/* Descriptors, memory of the kernel: try later. */
static void
close_door(struct server *sv, bool local, int64_t delay_ms)
{
	sv->full = true;
	for (unsigned i = 0; i < sv->listener_count; i++) {
		bool stays = !local && sv->listeners[i].kind == LISTEN_LOCAL;

		ev_io_want(&sv->listeners[i].io, stays ? EV_RD : 0);
	}
	ev_timer_set(&sv->accept_timer, delay_ms);
}

void
accept_update(struct server *sv)
{
	if (!sv->listening)
		return;
	if (clients_full(sv, false)) {
		log_limit(&sv->full_site, ev_now(sv->loop),
		    "concurrency_incoming", client_page_session_max(&sv->page),
		    SLICE_LIT("all clients"), "the listening sockets wait");
		if (!sv->full)
			client_page_waited(&sv->page);
		close_door(sv, clients_full(sv, true), FULL_POLL_MS);
		return;
	}
	sv->full = false;
	ev_timer_clear(&sv->accept_timer);
	for (unsigned i = 0; i < sv->listener_count; i++)
		ev_io_want(&sv->listeners[i].io, EV_RD);
}

static void
on_accept_timer(void *arg, struct ev_timer *t)
{
	(void)t;
	accept_update(arg);
}

static void
on_connection(void *arg, struct ev_io *io, unsigned ready)
{
	struct listener *l = arg;
	struct server *sv = l->server;
	int refused = 0;

	(void)ready;
	for (int i = 0; i < ACCEPTS_PER_TURN && sv->listening &&
			refused < REFUSALS_PER_TURN;
	     i++) {
		struct sockaddr_storage peer;
		socklen_t len = sizeof(peer);
		int fd;

		if (clients_full(sv, l->kind == LISTEN_LOCAL)) {
			accept_update(sv);
			return;
		}
		fd = accept4(io->fd, (struct sockaddr *)&peer, &len,
		    SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd >= 0 && l->kind == LISTEN_SESSION) {
			handed_accept(sv, fd);
			continue;
		}
		if (fd >= 0) {
			refused += !session_new(sv, l->kind, fd,
			    (struct sockaddr *)&peer);
			continue;
		}
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS ||
		    errno == ENOMEM) {
			log_limit(&sv->memory_site, ev_now(sv->loop),
			    "descriptors", sv->sessions.in_use,
			    SLICE_LIT("all clients"),
			    "the listening sockets wait");
			close_door(sv, true, NOFD_POLL_MS);
			return;
		}
		/* A client that went away again is no reason to stop. */
		if (errno != ECONNABORTED && errno != EINTR &&
		    errno != EPROTO && errno != EPERM)
			return;
	}
}

void
server_add_listener(struct server *sv, enum listen_kind kind, int fd)
{
	struct listener *l = &sv->listeners[sv->listener_count];
	int on = 1;

	if (sv->listener_count == LISTENERS_MAX || kind == LISTEN_CONTROL ||
	    kind >= LISTEN_KIND_COUNT) {
		log_warning("a listening socket of kind %u is not used",
		    (unsigned)kind);
		close(fd);
		return;
	}
	if (sv->listener_count == 0)
		ev_timer_init(&sv->accept_timer, sv->loop, on_accept_timer, sv);
	sv->listener_count++;
	*l = (struct listener){ .server = sv, .fd = fd, .kind = kind };
	/* Inherited by what is accepted: replies must not wait for the
	 * client's delayed ACK.  Refused by unix sockets. */
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	ev_io_init(&l->io, sv->loop, fd, on_connection, l);
	if (sv->listening)
		accept_update(sv);
}

void
accept_stop(struct server *sv)
{
	if (sv->listener_count > 0)
		ev_timer_clear(&sv->accept_timer);
	for (unsigned i = 0; i < sv->listener_count; i++) {
		ev_io_fini(&sv->listeners[i].io);
		close(sv->listeners[i].fd);
	}
	sv->listener_count = 0;
	sv->listening = false;
}
