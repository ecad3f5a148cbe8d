/*
 * handed: connections that qmail-smtpd hands over (run/session).
 *
 * Happy path: qmail-smtpd connects and sends one packet with its connection
 * and its environment (proto/handover.h); a session begins on that connection;
 * when it is over, qmail-smtpd gets its exit status and both are closed.
 *
 * Failure modes: who connects is neither root nor in
 * authorized_session_users, sends something else, or nothing for
 * HANDED_WAIT_MS: closed, without an answer, and logged; the gate is full:
 * the client reads 421, as any other does; qmail-smtpd dies: so does the
 * session, as it would in qmail.
 *
 * A descriptor that was handed over is one of two for the same connection.
 * The kernel's poll forgets a connection by itself only when the last of them
 * is closed, and libevent tells it of changes once a turn: so ours is closed a
 * turn later, or its number could stand for another one's events.
 *
 * What the environment says is believed: authorized_session_users are trusted
 * to say who a client is and whether it may relay.  mynetworks does not let
 * these clients relay: RELAYCLIENT alone does, as in qmail.
 */
#include "smtpd/handed.h"

#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/assert.h"

static bool
is_authorized(const struct server *sv, uid_t uid)
{
	if (uid == 0)
		return true;
	for (unsigned i = 0; i < sv->session_user_count; i++)
		if (sv->session_users[i] == uid)
			return true;
	return false;
}

static void
free_handed(struct handed *h)
{
	struct server *sv = h->server;

	if (h->over)
		close(h->client_fd);

	ev_timer_clear(&h->timer);
	ev_io_fini(&h->io);
	close(h->fd);
	list_remove(&h->node);
	mem_free(sv->acct, h->text);
	pool_put(&sv->handed, h);
}

void
handed_over(struct handed *h, int fd, uint8_t status)
{
	h->session = NULL;
	h->client_fd = fd;
	h->over = true;
	/* Nobody waits for the last copy to be closed. */
	(void)shutdown(fd, SHUT_WR);
	(void)!send(h->fd, &status, 1, MSG_NOSIGNAL | MSG_DONTWAIT);
	ev_io_want(&h->io, 0);
	ev_timer_set(&h->timer, 1);
}

void
handed_configure(struct handed *h)
{
	const struct server *sv = h->server;

	h->smtps = h->session->kind == LISTEN_LOCAL ? sv->local : sv->smtps;
	if (h->has_size)
		h->smtps.size_max = h->size_max;
}

void
handed_configure_all(struct server *sv)
{
	struct list_node *n = list_first(&sv->handed_over);

	for (; n != NULL; n = list_next(&sv->handed_over, n)) {
		struct handed *h = CONTAINER(n, struct handed, node);

		if (h->session != NULL)
			handed_configure(h);
	}
}

void
handed_close(struct server *sv, bool all)
{
	struct list_node *n, *next;

	for (n = list_first(&sv->handed_over); n != NULL; n = next) {
		struct handed *h = CONTAINER(n, struct handed, node);

		next = list_next(&sv->handed_over, n);
		if (h->session == NULL && (all || !h->over))
			free_handed(h);
	}
}

/* ---- the packet ---- */

static void
refuse(struct handed *h, const char *why)
{
	log_warning("qmail-smtpd of uid %" PRIu32 ": its session is refused: "
		    "%s",
	    h->uid, why);
	free_handed(h);
}

/* A connected stream socket; what else it is, is its owner's affair. */
static bool
is_connection(int fd)
{
	struct linger off = { .l_onoff = 0 };
	struct sockaddr_storage peer;
	socklen_t len = sizeof(int), peer_len = sizeof(peer);
	int type, on = 1;

	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) != 0 ||
	    type != SOCK_STREAM ||
	    getpeername(fd, (struct sockaddr *)&peer, &peer_len) != 0)
		return false;
	/* Replies must not wait for the client's delayed ACK, nor we for
	 * anything at its end. */
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &off, sizeof(off));
	return true;
}

/* The client as the environment has it, else as the socket has it. */
static struct net_addr
client_address(const struct handover *o, int fd)
{
	struct sockaddr_storage peer;
	socklen_t len = sizeof(peer);
	struct net_addr a = { .family = 0 };

	if (o->ip.len > 0 && net_addr_parse(o->ip, &a))
		return a;
	if (getpeername(fd, (struct sockaddr *)&peer, &len) == 0)
		return net_addr_of((struct sockaddr *)&peer);
	return a;
}

static bool
keep_text(struct handed *h, const struct handover *o)
{
	struct server *sv = h->server;
	size_t len = o->relay.len + o->info.len;

	if (len == 0)
		return true;
	h->text = mem_alloc(sv->acct, len);
	if (h->text == NULL)
		return false;
	if (o->relay.len > 0)
		memcpy(h->text, o->relay.data, o->relay.len);
	if (o->info.len > 0)
		memcpy(h->text + o->relay.len, o->info.data, o->info.len);
	h->relay = slice_of(h->text, o->relay.len);
	h->info = slice_of(h->text + o->relay.len, o->info.len);
	return true;
}

static void
start(struct handed *h, int fd, const struct handover *o)
{
	struct net_addr addr = client_address(o, fd);

	h->relays = o->relays;
	h->has_size = o->has_size;
	h->size_max = o->size;
	if (!keep_text(h, o)) {
		close(fd);
		free_handed(h);
		return;
	}
	ev_timer_clear(&h->timer);
	/* From now on it says only that qmail-smtpd is gone. */
	ev_io_want(&h->io, EV_RD);
	session_new_handed(h->server, h, fd, &addr, o->host);
}

/* The descriptor that came; -1: not exactly one. */
static int
take_fd(struct msghdr *m)
{
	int fds[HANDED_FDS_MAX] = { -1, -1, -1, -1 }, count = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c != NULL;
	     c = CMSG_NXTHDR(m, c)) {
		size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < n && count < HANDED_FDS_MAX; i++)
			memcpy(&fds[count++], CMSG_DATA(c) + i * sizeof(fds[0]),
			    sizeof(fds[0]));
	}
	if (count == 1 && !(m->msg_flags & MSG_CTRUNC))
		return fds[0];
	while (count > 0)
		close(fds[--count]);
	return -1;
}

static void
read_packet(struct handed *h)
{
	static char bytes[HANDOVER_BYTES_MAX];
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(HANDED_FDS_MAX * sizeof(int))];
	} control;
	struct iovec iov = { bytes, sizeof(bytes) };
	struct msghdr m = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control.room),
	};
	struct handover o;
	const char *why;
	ssize_t n = recvmsg(h->fd, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	int fd;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	/* An empty packet may bring some, too. */
	fd = n >= 0 ? take_fd(&m) : -1;
	if (n <= 0)
		why = "it went away";
	else if (fd < 0)
		why = "not one descriptor came with it";
	else if (m.msg_flags & MSG_TRUNC)
		why = "what it says is too long";
	else if (!is_connection(fd))
		why = "its descriptor is no connection";
	else if (handover_get(slice_of(bytes, (size_t)n), &o, &why)) {
		start(h, fd, &o);
		return;
	}
	if (fd >= 0)
		close(fd);
	refuse(h, why);
}

static void
on_io(void *arg, struct ev_io *io, unsigned ready)
{
	struct handed *h = arg;

	(void)io;
	(void)ready;
	if (h->session == NULL) {
		read_packet(h);
		return;
	}
	/* It says nothing any more: it died. */
	report_lost(h->session, "lost qmail-smtpd");
	session_free(h->session);
}

static void
on_timer(void *arg, struct ev_timer *t)
{
	struct handed *h = arg;

	(void)t;
	if (h->over)
		free_handed(h);
	else
		refuse(h, "it says nothing");
}

void
handed_accept(struct server *sv, int fd)
{
	struct ucred cred = { .uid = UINT32_MAX };
	socklen_t len = sizeof(cred);
	struct handed *h;
	char who[32];

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) != 0 ||
	    !is_authorized(sv, cred.uid)) {
		snprintf(who, sizeof(who), "uid %" PRIu32, cred.uid);
		log_limit(&sv->session_user_site, ev_now(sv->loop),
		    "authorized_session_users", sv->session_user_count,
		    slice_str(who), "refused");
		close(fd);
		return;
	}
	h = pool_get(&sv->handed);
	if (h == NULL) {
		log_limit(&sv->memory_site, ev_now(sv->loop),
		    "connections handed over", sv->handed.in_use,
		    SLICE_LIT("all clients"), "refused for now");
		close(fd);
		return;
	}
	h->server = sv;
	h->fd = fd;
	h->uid = cred.uid;
	list_push_back(&sv->handed_over, &h->node);
	ev_io_init(&h->io, sv->loop, fd, on_io, h);
	ev_timer_init(&h->timer, sv->loop, on_timer, h);
	ev_timer_set(&h->timer, HANDED_WAIT_MS);
	ev_io_want(&h->io, EV_RD);
	/* As a rule it is there already. */
	read_packet(h);
}
