/*
 * session: a client's connection: bytes in, bytes out, time.
 *
 * Happy path: life.c begins it; each readable socket is read
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
	s->behind = mono_sub(s->deadline, most) < 0;
	if (!s->behind)
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
	/* It says no more, but may want to hear what it asked. */
	if (n == 0 && smtps_is_waiting(&s->m)) {
		s->wait = WAIT_ROLES;
		ev_io_want(&s->io, 0);
		session_set_timer(s);
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

/* The limit that a session ran into. */
static enum server_row
time_row(const struct session *s)
{
	struct server *sv = s->server;

	if (mono_sub(ev_now(sv->loop),
		mono_add(s->began, sv->conf->smtpd_session_time_limit_ms)) >= 0)
		return ROW_SESSION;
	return s->wait == WAIT_CLIENT && smtps_in_body(&s->m) && s->behind
		   ? ROW_DATA_RATE
		   : ROW_SILENCE;
}

static void
time_out(struct session *s)
{
	enum server_row at = time_row(s);

	report_lost(s, "timeout");
	limits_reached(s, at,
	    at == ROW_SILENCE && s->hurried
		? "closed with 421 after 10 s, because of overload"
		: "closed with 421");
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
	int64_t ms = timeout_ms(s);

	s->deadline = mono_add(ev_now(s->server->loop), ms);
	s->behind = false;
	s->hurried = ms < s->server->conf->smtpd_timeout_ms;
}

void
session_shorten(struct session *s)
{
	struct mono most = mono_add(ev_now(s->server->loop), timeout_ms(s));

	if (s->wait != WAIT_CLIENT && s->wait != WAIT_WRITE)
		return;
	if (mono_sub(s->deadline, most) > 0) {
		s->deadline = most;
		s->hurried = true;
	}
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

void
session_watch(struct session *s)
{
	ev_io_init(&s->io, s->server->loop, s->fd, on_io, s);
	ev_timer_init(&s->timer, s->server->loop, on_timer, s);
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
	if (s->txn != NULL && s->txn->begin_due)
		txn_begin(s);
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
