/*
 * session: a client's connection: bytes in, bytes out, time, life and death.
 *
 * Happy path: session_new writes the greeting; each readable socket is read
 * once into the buffer that all sessions share, behind what was left of the
 * last time, and the machine is driven over it (drive.c).
 *
 * Failure modes: the client goes away (the transaction is given up), is
 * silent or too slow (421), does not read its replies (closed); no memory for
 * what has to be kept (closed with 421).
 *
 * A session whose machine waits for another role is still watched for input;
 * only when some comes is the socket left alone until the answer is there.
 * That saves two system calls for every wait.
 */
#include "smtpd/session.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/assert.h"

enum { LAST_READS_MAX = 4 };

/* ---- writing ---- */

/* Send what waits, then what the machine wrote, as far as the client takes
 * it.  False: the connection is broken, or there is no memory for the rest. */
static bool
write_out(struct session *s)
{
	struct smtps_io *io = &s->server->io;
	struct slice first = buf_data(&s->out);
	struct slice text = slice_of(io->out, io->out_len);
	int flags = MSG_NOSIGNAL | MSG_DONTWAIT;
	ssize_t n = 0;

	io->out_len = 0;
	if (first.len > 0) {
		if (buf_put(&s->out, text) != OK)
			return false;
		text = buf_data(&s->out);
	}
	if (text.len == 0)
		return true;
	/* The last reply and the end of the connection in one packet. */
	if (s->m.state == SMTPS_CLOSED && s->m.verb == SMTP_QUIT)
		flags |= MSG_MORE;
	n = send(s->fd, text.data, text.len, flags);
	if (n < 0 && errno != EAGAIN && errno != EINTR)
		return false;
	if (n < 0)
		n = 0;
	if (first.len > 0) {
		buf_take(&s->out, (size_t)n);
		buf_release(&s->out);
		return true;
	}
	return buf_put(&s->out, slice_sub(text, (size_t)n, text.len)) == OK;
}

bool
session_flush(struct session *s)
{
	if (!write_out(s))
		return false;
	if (s->out.len > 0)
		s->wait = WAIT_WRITE;
	return true;
}

bool
session_keep_out(struct session *s)
{
	struct smtps_io *io = &s->server->io;
	struct slice text = slice_of(io->out, io->out_len);

	io->out_len = 0;
	return buf_put(&s->out, text) == OK;
}

/* ---- reading ---- */

/* What was left of the last time, at the front of the shared buffer. */
static size_t
load_rest(struct session *s)
{
	struct slice rest = buf_data(&s->in);

	if (rest.len == 0)
		return 0;
	ASSERT(rest.len <= sizeof(s->server->in));
	memcpy(s->server->in, rest.data, rest.len);
	buf_take(&s->in, rest.len);
	buf_release(&s->in);
	return rest.len;
}

static size_t
read_size(const struct session *s, size_t have)
{
	size_t room = sizeof(s->server->in) - have, want = READ_BYTES_MIN;

	if (smtps_in_body(&s->m)) {
		want = s->window;
		if (s->txn != NULL && !s->txn->m.failed && want > txn_room(s))
			want = txn_room(s);
	}
	/* What is read may have to be kept. */
	if (want > READ_BYTES_MIN && acct_room(s->acct) < MEMORY_LOW_BYTES)
		want = READ_BYTES_MIN;
	return want < room ? want : room;
}

/* Time that a client earns by sending a body (smtpd_min_data_rate). */
static void
earn_time(struct session *s, size_t bytes)
{
	const struct conf *c = s->server->conf;
	struct mono now = ev_now(s->server->loop);
	struct mono most = mono_add(now, c->smtpd_timeout_ms);

	if (c->smtpd_min_data_rate_bytes == 0)
		s->deadline = most;
	else
		s->deadline = mono_add(s->deadline,
		    (int64_t)bytes * 1000 / c->smtpd_min_data_rate_bytes);
	if (mono_sub(s->deadline, most) > 0)
		s->deadline = most;
}

static void
on_readable(struct session *s)
{
	size_t have, want;
	ssize_t n;

	if (s->wait != WAIT_CLIENT) {
		ev_io_want(&s->io, s->wait == WAIT_WRITE ? EV_WR : 0);
		return;
	}
	have = load_rest(s);
	want = read_size(s, have);
	if (want == 0) { /* body without credit: the queue will say */
		s->wait = WAIT_CREDIT;
		ev_io_want(&s->io, 0);
		session_set_timer(s);
		return;
	}
	n = recv(s->fd, s->server->in + have, want, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
		session_drive(s, s->server->in, have);
		return;
	}
	if (n <= 0) {
		report_lost(s, "lost connection");
		session_free(s);
		return;
	}
	if (smtps_in_body(&s->m)) {
		earn_time(s, (size_t)n);
		if ((size_t)n == s->window && s->window < READ_BYTES_MAX)
			s->window *= 2;
	}
	session_drive(s, s->server->in, have + (size_t)n);
}

static void
go_on(struct session *s)
{
	s->wait = WAIT_CLIENT;
	session_drive(s, s->server->in, load_rest(s));
}

static void
on_io(void *arg, struct ev_io *io, unsigned ready)
{
	struct session *s = arg;

	(void)io;
	if (ready & EV_WR) {
		s->server->io.out_len = 0;
		if (!write_out(s)) {
			report_lost(s, "lost connection");
			session_free(s);
			return;
		}
		if (s->out.len > 0)
			return;
		if (s->m.state == SMTPS_CLOSED) {
			session_free(s);
			return;
		}
		go_on(s);
		return;
	}
	on_readable(s);
}

/* ---- time ---- */

static void
time_out(struct session *s)
{
	report_lost(s, "timeout");
	s->server->io.out_len = 0;
	smtps_hangup(&s->m, &s->server->io, SMTPS_REPLY_TIMEOUT);
	(void)write_out(s);
	session_free(s);
}

/* Another role did not answer in time. */
static void
give_up(struct session *s)
{
	struct smtps_refusal why = smtps_why(SMTPS_REPLY_QUEUE);

	if (s->m.state >= SMTPS_OPENING) {
		log_warning("the queue does not answer: a transaction is "
			    "refused for now");
		txn_abort(s);
		if (!s->txn->m.failed)
			smtps_refuse(&s->m, NULL, &why);
	} else {
		rcpt_give_up(s);
	}
	session_wake(s);
}

static bool
name_is_late(const struct session *s)
{
	return !s->named && mono_sub(ev_now(s->server->loop),
				mono_add(s->began, NAME_WAIT_MS)) >= 0;
}

static void
on_timer(void *arg, struct ev_timer *t)
{
	struct session *s = arg;

	(void)t;
	if (name_is_late(s)) {
		name_give_up(s);
		if (s->wait == WAIT_NAME)
			go_on(s);
		else
			session_set_timer(s);
		return;
	}
	switch ((enum session_wait)s->wait) {
	case WAIT_PAUSE:
		s->server->io.out_len = 0;
		s->wait = WAIT_CLIENT;
		if (!session_flush(s)) {
			session_free(s);
			return;
		}
		if (s->wait == WAIT_CLIENT)
			go_on(s);
		else
			ev_io_want(&s->io, EV_WR);
		break;
	case WAIT_ROLES:
	case WAIT_CREDIT: give_up(s); break;
	case WAIT_NAME: session_set_timer(s); break;
	case WAIT_CLIENT:
	case WAIT_WRITE: time_out(s); break;
	}
}

static int64_t
timeout_ms(const struct session *s)
{
	struct server *sv = s->server;
	int64_t ms = sv->conf->smtpd_timeout_ms;

	if (sv->ladder.step >= LADDER_SHORT && ms > STRESS_TIMEOUT_MS &&
	    client_page_is_unproven(&sv->page, s->slot))
		ms = STRESS_TIMEOUT_MS;
	return ms;
}

void
session_new_deadline(struct session *s)
{
	s->deadline = mono_add(ev_now(s->server->loop), timeout_ms(s));
}

void
session_shorten(struct session *s)
{
	struct mono most = mono_add(ev_now(s->server->loop), timeout_ms(s));

	if (s->wait != WAIT_CLIENT && s->wait != WAIT_WRITE)
		return;
	if (mono_sub(s->deadline, most) > 0)
		s->deadline = most;
	session_set_timer(s);
}

void
session_set_timer(struct session *s)
{
	const struct conf *c = s->server->conf;
	struct mono now = ev_now(s->server->loop), due;
	struct mono end = mono_add(s->began, c->smtpd_session_time_limit_ms);
	struct mono name = mono_add(s->began, NAME_WAIT_MS);

	switch ((enum session_wait)s->wait) {
	case WAIT_CLIENT: due = s->deadline; break;
	case WAIT_WRITE: due = mono_add(now, timeout_ms(s)); break;
	case WAIT_PAUSE:
		ev_timer_set(&s->timer, c->smtpd_error_sleep_time_ms);
		return;
	case WAIT_ROLES:
		due =
		    mono_add(now, s->m.state >= SMTPS_OPENING ? QUEUE_WAIT_MS
							      : LOOKUP_WAIT_MS);
		break;
	case WAIT_CREDIT: due = mono_add(now, QUEUE_WAIT_MS); break;
	default: due = name; break;
	}
	if ((s->wait == WAIT_CLIENT || s->wait == WAIT_WRITE) &&
	    mono_sub(due, end) > 0)
		due = end;
	if (!s->named && mono_sub(due, name) > 0)
		due = name;
	ev_timer_set(&s->timer,
	    mono_sub(due, now) > 0 ? mono_sub(due, now) : 1);
}

/* ---- waking ---- */

void
session_wake(struct session *s)
{
	if (list_linked(&s->ready))
		return;
	list_push_back(&s->server->ready, &s->ready);
	ev_defer(s->server->loop, &s->server->task);
}

static void
run(struct session *s)
{
	/* What these wait for will drive the machine. */
	if (s->wait == WAIT_WRITE || s->wait == WAIT_PAUSE)
		return;
	if (s->txn != NULL && (s->wait == WAIT_CREDIT || s->txn->commit_due)) {
		if (!txn_send_held(s)) {
			s->wait = WAIT_CREDIT;
			return;
		}
		if (s->txn->commit_due)
			txn_commit(s);
	}
	go_on(s);
}

void
session_run_ready(struct server *sv)
{
	struct list_node mark = { NULL, NULL };
	struct list_node *n;

	/* Who is woken again has its turn next time. */
	list_push_back(&sv->ready, &mark);
	while ((n = list_pop_front(&sv->ready)) != &mark)
		run(CONTAINER(n, struct session, ready));
}

/* ---- life ---- */

/* A line for a client for which there is no session.  Crowds come back again
 * and again for it: line and end of the connection go in one packet. */
static bool
turn_away(int fd, struct slice line)
{
	(void)!send(fd, line.data, line.len,
	    MSG_NOSIGNAL | MSG_DONTWAIT | MSG_MORE);
	close(fd);
	return false;
}

static void
look_at_client(struct session *s, const struct sockaddr *peer)
{
	const struct conf *c = s->server->conf;
	struct ucred cred;
	socklen_t len = sizeof(cred);

	s->uid = UINT32_MAX;
	if (peer != NULL)
		s->addr = net_addr_of(peer);
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

bool
session_new(struct server *sv, enum listen_kind kind, int fd,
    const struct sockaddr *peer)
{
	struct session *s = pool_get(&sv->sessions);
	enum smtps_reply refusal;

	if (s == NULL)
		return turn_away(fd,
		    SLICE_LIT("421 4.3.2 Service busy, try again later\r\n"));
	s->server = sv;
	s->fd = fd;
	s->kind = (uint8_t)kind;
	s->window = READ_BYTES_FIRST;
	s->slot = CLIENT_NO_SLOT;
	s->began = ev_now(sv->loop);
	look_at_client(s, peer);
	smtps_init(&s->m, kind == LISTEN_LOCAL ? &sv->local : &sv->smtps,
	    kind == LISTEN_LMTP, mends_lines(s));
	refusal = clients_enter(sv, s);
	if (refusal != SMTPS_REPLY_NONE) {
		sv->io.out_len = 0;
		smtps_hangup(&s->m, &sv->io, refusal);
		pool_put(&sv->sessions, s);
		return turn_away(fd, slice_of(sv->io.out, sv->io.out_len));
	}
	s->acct = client_page_is_unproven(&sv->page, s->slot) ? &sv->unproven
							      : sv->acct;
	buf_init(&s->in, s->acct, 128, SESSION_BUF_BYTES_MAX);
	buf_init(&s->out, s->acct, 128, 4 * OUT_BYTES);
	list_push_back(&sv->open_sessions, &s->node);
	ev_io_init(&s->io, sv->loop, fd, on_io, s);
	ev_timer_init(&s->timer, sv->loop, on_timer, s);
	greet(s);
	return true;
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
	close(s->fd);
	list_remove(&s->node);
	list_remove(&s->ready);
	list_remove(&s->starved);
	buf_fini(&s->in);
	buf_fini(&s->out);
	mem_free(sv->acct, s->helo);
	mem_free(sv->acct, s->name);
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
	(void)write_out(s);
	session_free(s);
}
