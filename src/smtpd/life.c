/*
 * life: how a session begins and ends.
 *
 * Happy path: who the client is, a place in the gate, the greeting; at the end
 * everything goes back where it came from.
 *
 * Failure modes: no place or no memory: 421, closed; who talks before the
 * greeting is refused with 554.
 */
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "smtpd/handed.h"

enum { LAST_READS_MAX = 4 };

static const struct slice busy = {
	"421 4.3.2 Service busy, try again later\r\n", 41
};

/* A line for a client for which there is no session.  Crowds come back again
 * and again for it: line and end of the connection go in one packet. */
static void
turn_away(int fd, struct slice line)
{
	(void)!send(fd, line.data, line.len,
	    MSG_NOSIGNAL | MSG_DONTWAIT | MSG_MORE);
}

/* By its address, or, a local one, by its user. */
static void
look_at_client(struct session *s)
{
	const struct conf *c = s->server->conf;
	struct ucred cred;
	socklen_t len = sizeof(cred);

	s->uid = UINT32_MAX;
	if (s->addr.family != 0) {
		s->trusted = conf_list_has_addr(&c->mynetworks, &s->addr);
		s->exempt = conf_list_has_addr(
		    &c->smtpd_client_event_limit_exceptions, &s->addr);
		return;
	}
	s->trusted = s->exempt = true;
	if (getsockopt(s->fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) == 0)
		s->uid = cred.uid;
}

static bool
mends_lines(const struct session *s)
{
	const struct conf *c = s->server->conf;

	return s->kind == LISTEN_LOCAL ||
	       c->smtpd_forbid_bare_newline == CONF_BARE_NORMALIZE ||
	       (s->addr.family != 0 &&
		   conf_list_has_addr(&c->smtpd_forbid_bare_newline_exclusions,
		       &s->addr));
}

/* Talking before the greeting was sent: no SMTP client does (attack tools
 * do).  Costs one system call. */
static bool
talks_first(struct session *s)
{
	return s->addr.family != 0 &&
	       recv(s->fd, s->server->in, 1, MSG_DONTWAIT | MSG_PEEK) > 0;
}

static void
greet(struct session *s)
{
	struct smtps_io *io = &s->server->io;

	io->out_len = 0;
	io->reject = SLICE_NONE;
	name_ask(s);
	if (talks_first(s)) {
		smtps_hangup(&s->m, io, SMTPS_REPLY_PIPELINED);
		report_reject(s, io);
	} else {
		smtps_banner(&s->m, io);
	}
	session_new_deadline(s);
	if (!session_flush(s) || s->m.state == SMTPS_CLOSED) {
		session_free(s);
		return;
	}
	ev_io_want(&s->io, s->wait == WAIT_WRITE ? EV_WR : EV_RD);
	session_set_timer(s);
}

/* NULL: there is none; fd stays the caller's. */
static struct session *
make(struct server *sv, enum listen_kind kind, int fd)
{
	struct session *s = pool_get(&sv->sessions);

	if (s == NULL) {
		turn_away(fd, busy);
		return NULL;
	}
	s->server = sv;
	s->fd = fd;
	s->kind = (uint8_t)kind;
	s->window = READ_BYTES_FIRST;
	s->slot = CLIENT_NO_SLOT;
	s->began = ev_now(sv->loop);
	return s;
}

/* Its connection and what came with it, whether it was let in or not. */
static void
disconnect(struct session *s)
{
	bool good = s->m.state == SMTPS_CLOSED && s->m.verb == SMTP_QUIT;

	mem_free(s->server->acct, s->name);
	if (s->handed != NULL)
		handed_over(s->handed, s->fd,
		    good ? HANDOVER_GOOD : HANDOVER_BROKEN);
	else
		close(s->fd);
}

/* Through the gate, and the greeting; false: refused. */
static bool
begin(struct session *s, const struct smtps_conf *conf)
{
	struct server *sv = s->server;
	enum smtps_reply refusal;

	smtps_init(&s->m, conf, s->kind == LISTEN_LMTP, mends_lines(s));
	refusal = clients_enter(sv, s);
	if (refusal != SMTPS_REPLY_NONE) {
		sv->io.out_len = 0;
		smtps_hangup(&s->m, &sv->io, refusal);
		turn_away(s->fd, slice_of(sv->io.out, sv->io.out_len));
		disconnect(s);
		pool_put(&sv->sessions, s);
		return false;
	}
	s->acct = client_page_is_unproven(&sv->page, s->slot) ? &sv->unproven
							      : sv->acct;
	buf_init(&s->in, s->acct, 128, SESSION_BUF_BYTES_MAX);
	buf_init(&s->out, s->acct, 128, 4 * OUT_BYTES);
	list_push_back(&sv->open_sessions, &s->node);
	session_watch(s);
	greet(s);
	return true;
}

bool
session_new(struct server *sv, enum listen_kind kind, int fd,
    const struct sockaddr *peer)
{
	struct session *s = make(sv, kind, fd);

	if (s == NULL) {
		close(fd);
		return false;
	}
	if (peer != NULL)
		s->addr = net_addr_of(peer);
	look_at_client(s);
	return begin(s, kind == LISTEN_LOCAL ? &sv->local : &sv->smtps);
}

void
session_new_handed(struct server *sv, struct handed *h, int fd,
    const struct net_addr *addr, struct slice host)
{
	/* Without an address it is somebody on this machine. */
	struct session *s =
	    make(sv, addr->family != 0 ? LISTEN_SMTP : LISTEN_LOCAL, fd);

	if (s == NULL) {
		handed_over(h, fd, HANDOVER_BROKEN);
		return;
	}
	s->handed = h;
	h->session = s;
	s->addr = *addr;
	look_at_client(s);
	s->trusted |= h->relays;
	s->uid = h->uid;
	if (net_host_valid(host))
		s->name = mem_alloc(sv->acct, host.len + 1);
	if (s->name != NULL)
		memcpy(s->name, host.data, host.len);
	handed_configure(h);
	(void)begin(s, &h->smtps);
}

/* With unread input a close would reset the connection, and the client might
 * never see the last reply. */
static void
read_the_last(struct session *s)
{
	if (s->m.state != SMTPS_CLOSED || s->m.verb == SMTP_QUIT)
		return;
	(void)shutdown(s->fd, SHUT_WR);
	for (int i = 0; i < LAST_READS_MAX; i++)
		if (recv(s->fd, s->server->in, READ_BYTES_MAX, MSG_DONTWAIT) <=
		    0)
			break;
}

void
session_free(struct session *s)
{
	struct server *sv = s->server;

	if (!s->named)
		name_give_up(s);
	txn_free(s);
	report_disconnect(s);
	if (s->kind == LISTEN_LOCAL && s->m.counts[SMTP_MAIL].all == 0 &&
	    sv->events.on_visit != NULL)
		sv->events.on_visit(sv->events.arg);
	read_the_last(s);
	ev_timer_clear(&s->timer);
	ev_io_fini(&s->io);
	list_remove(&s->node);
	list_remove(&s->ready);
	list_remove(&s->starved);
	buf_fini(&s->in);
	buf_fini(&s->out);
	mem_free(sv->acct, s->helo);
	disconnect(s);
	clients_leave(sv, s);
	pool_put(&sv->sessions, s);
	if (sv->draining && list_empty(&sv->open_sessions) &&
	    sv->events.on_drained != NULL)
		sv->events.on_drained(sv->events.arg);
}

void
session_end_idle(struct session *s)
{
	s->m.draining = true;
	if (s->txn != NULL || s->in.len > 0 || s->wait != WAIT_CLIENT ||
	    smtps_in_body(&s->m))
		return;
	s->server->io.out_len = 0;
	smtps_hangup(&s->m, &s->server->io, SMTPS_REPLY_SHUTDOWN);
	(void)session_flush(s);
	session_free(s);
}
