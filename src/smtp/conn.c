/*
 * conn: sockets: connect, read, write, close.  What the bytes mean is for
 * session.c; which connection is kept for whom is for idle.c.
 */
#include "smtp/conn.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/log.h"
#include "conf/conf.h"
#include "smtp/agent.h"

enum { READ_BYTES = 8192 }; /* several replies in one call */

union address {
	struct sockaddr sa;
	struct sockaddr_in in4;
	struct sockaddr_in6 in6;
};

/* ---- names for people ---- */

static void
set_names(struct conn *c, const struct job *j, const struct job_host *h)
{
	struct slice path = j->nexthop.path;
	char ip[NET_ADDR_TEXT_BYTES];

	c->addr = h->addr;
	c->port = h->port;
	c->lmtp = j->lmtp;
	snprintf(c->name, sizeof(c->name), "%s", h->name);
	if (path.len > 0) {
		snprintf(c->site, sizeof(c->site), "%s[%.*s]", c->name,
		    (int)(path.len > 100 ? 100 : path.len), path.data);
		snprintf(c->relay, sizeof(c->relay), "%.*s",
		    (int)sizeof(c->relay) - 1, c->site);
		return;
	}
	net_addr_text(&c->addr, ip);
	snprintf(c->site, sizeof(c->site), "%s[%s]", c->name, ip);
	snprintf(c->relay, sizeof(c->relay), "%.*s:%u",
	    (int)sizeof(c->relay) - 8, c->site, c->port);
}

/* ---- addresses ---- */

static socklen_t
address_of(union address *a, const struct net_addr *addr, uint16_t port)
{
	memset(a, 0, sizeof(*a));
	if (addr->family == 4) {
		a->in4.sin_family = AF_INET;
		a->in4.sin_port = htons(port);
		memcpy(&a->in4.sin_addr, addr->octets, 4);
		return sizeof(a->in4);
	}
	a->in6.sin6_family = AF_INET6;
	a->in6.sin6_port = htons(port);
	memcpy(&a->in6.sin6_addr, addr->octets, 16);
	return sizeof(a->in6);
}

/* smtp_bind_address and smtp_bind_address6; an error of theirs is one of the
 * connection. */
static int
bind_own(const struct conf *conf, int fd, uint8_t family)
{
	const char *text =
	    family == 4 ? conf->smtp_bind_address : conf->smtp_bind_address6;
	struct net_addr own;
	union address a;
	socklen_t len;

	if (text[0] == '\0' || !net_addr_parse(slice_str(text), &own) ||
	    own.family != family)
		return 0;
	len = address_of(&a, &own, 0);
	return bind(fd, &a.sa, len);
}

/* ---- open ---- */

static void on_io(void *arg, struct ev_io *io, unsigned ready);
static void on_timer(void *arg, struct ev_timer *t);

/* A socket that is connected or about to be; -1 with errno. */
static int
start_connect(const struct job *j, const struct job_host *h, bool *done_out)
{
	const struct conf *conf = j->agent->conf;
	union address a;
	socklen_t len;
	int fd, one = 1, saved;

	len = address_of(&a, &h->addr, h->port);
	fd = socket(a.sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
	    0);
	if (fd < 0)
		return -1;
	/* Batches are written whole: waiting for more gains nothing. */
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (bind_own(conf, fd, h->addr.family) != 0)
		goto close_fd;
	*done_out = connect(fd, &a.sa, len) == 0;
	if (*done_out || errno == EINPROGRESS)
		return fd;
close_fd:
	saved = errno;
	(void)close(fd);
	errno = saved;
	return -1;
}

static void
connect_error(const struct conn *c, int errnum, struct errtext *et)
{
	(void)err_set(et, ERR_SYS, "connect to %.200s: %s",
	    c->addr.family != 0 ? c->relay : c->site, strerror(errnum));
}

/* A place for a connection, with its names; NULL with et. */
static struct conn *
new_conn(struct job *j, const struct job_host *h, struct errtext *et)
{
	struct agent *g = j->agent;
	struct conn *c = pool_get(&g->conn_pool);

	if (c == NULL && conn_close_oldest(g))
		c = pool_get(&g->conn_pool);
	if (c == NULL) {
		(void)err_set(et, ERR_FULL,
		    "connect to %.200s: too many connections", h->name);
		return NULL;
	}
	set_names(c, j, h);
	return c;
}

/* It has its socket: it belongs to the job. */
static void
attach(struct conn *c, struct job *j, int fd)
{
	struct agent *g = j->agent;

	c->fd = fd;
	c->agent = g;
	c->job = j;
	c->state = CONN_CONNECTING;
	j->conn = c;
	(void)slice_copy(slice_str(j->key), c->key, sizeof(c->key));
	c->opened = ev_now(g->loop);
	buf_init(&c->out, &g->conn_acct, CONN_OUT_FIRST_BYTES, CONN_OUT_BYTES);
	list_push_back(&g->conns, &c->link);
	ev_io_init(&c->io, g->loop, c->fd, on_io, c);
	ev_timer_init(&c->timer, g->loop, on_timer, c);
}

enum err
conn_open(struct job *j, const struct job_host *h, struct errtext *et)
{
	struct agent *g = j->agent;
	const struct conf *conf = g->conf;
	struct conn *c = new_conn(j, h, et);
	bool done = false;
	int fd;

	if (c == NULL)
		return ERR_FULL;
	fd = start_connect(j, h, &done);
	if (fd < 0) {
		int errnum = errno;

		connect_error(c, errnum, et);
		pool_put(&g->conn_pool, c);
		return err_from_errno(errnum);
	}
	attach(c, j, fd);
	if (done) {
		conn_start_session(c);
		return OK;
	}
	ev_io_want(&c->io, EV_WR);
	ev_timer_set(&c->timer, conn_either(c, conf->smtp_connect_timeout_ms,
				    conf->lmtp_connect_timeout_ms));
	return OK;
}

/* The job could not be served by this host: the next one, with the reason. */
static void
leave(struct job *j, const char *text)
{
	log_message(j->id, "%s", text);
	job_set_trouble(j, JOB_DEFERRED, "4.4.1", SLICE_NONE, text);
	job_next(j);
}

void
conn_adopt(struct job *j, const struct job_host *h, int fd)
{
	struct errtext et;
	struct conn *c = new_conn(j, h, &et);

	if (c == NULL) {
		(void)close(fd);
		leave(j, et.text);
		return;
	}
	attach(c, j, fd);
	conn_start_session(c);
}

void
conn_not_made(struct job *j, const struct job_host *h, int errnum)
{
	struct errtext et;
	struct conn c;

	set_names(&c, j, h);
	connect_error(&c, errnum, &et);
	/* A limit of ours says nothing about the destination. */
	if (err_class(err_from_errno(errnum)) != ERR_CLASS_FULL)
		j->handshake_failed = true;
	leave(j, et.text);
}

void
conn_close(struct conn *c)
{
	struct agent *g = c->agent;

	if (c->job != NULL)
		c->job->conn = NULL;
	if (c->state == CONN_IDLE)
		hash_remove(&g->idle_by_key, &c->by_key);
	list_remove(&c->link);
	ev_timer_clear(&c->timer);
	ev_io_fini(&c->io);
	(void)close(c->fd);
	buf_fini(&c->out);
	pool_put(&g->conn_pool, c);
	agent_check_drained(g);
}

/* This address does not answer: the next one, with the reason. */
static void
connect_failed(struct conn *c, int errnum)
{
	struct job *j = c->job;
	struct errtext et;

	connect_error(c, errnum, &et);
	conn_close(c);
	j->handshake_failed = true;
	leave(j, et.text);
}

static void
on_connected(struct conn *c)
{
	socklen_t len = sizeof(int);
	int errnum = 0;

	if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &errnum, &len) != 0)
		errnum = errno;
	if (errnum != 0)
		connect_failed(c, errnum);
	else
		conn_start_session(c);
}

/* ---- events ---- */

/* The far end is gone: by an end of file (0) or an error. */
static void
on_gone(struct conn *c)
{
	char text[600];

	if (c->state != CONN_OPEN) {
		conn_close(c);
		return;
	}
	snprintf(text, sizeof(text), "lost connection with %s while %s",
	    c->site, smtp_client_doing(&c->client));
	conn_lost(c, "4.4.2", text);
}

static void
read_some(struct conn *c)
{
	char buf[READ_BYTES];
	ssize_t n;

	do
		n = recv(c->fd, buf, sizeof(buf), MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return;
	if (n <= 0)
		on_gone(c);
	else if (c->state == CONN_IDLE)
		conn_close(c); /* it says 421, or what nobody asked for */
	else
		conn_run(c, slice_of(buf, (size_t)n));
}

static void
on_io(void *arg, struct ev_io *io, unsigned ready)
{
	struct conn *c = arg;

	(void)io;
	if (c->state == CONN_CONNECTING)
		on_connected(c);
	else if (ready & EV_RD)
		read_some(c);
	else
		conn_run(c, SLICE_NONE);
}

/* The deadline of each wait. */
static const enum agent_row row_of[] = {
	[SMTP_WAIT_GREETING] = AGENT_ROW_HELO,
	[SMTP_WAIT_HELO] = AGENT_ROW_HELO,
	[SMTP_WAIT_MAIL] = AGENT_ROW_MAIL,
	[SMTP_WAIT_RCPT] = AGENT_ROW_RCPT,
	[SMTP_WAIT_DATA] = AGENT_ROW_DATA,
	[SMTP_WAIT_BODY] = AGENT_ROW_BODY,
	[SMTP_WAIT_DOT] = AGENT_ROW_DOT,
	[SMTP_WAIT_QUIT] = AGENT_ROW_QUIT,
	[SMTP_WAIT_IDLE] = AGENT_ROW_IDLE,
};

/* A server that takes a little in time may still take the whole too slowly. */
static enum agent_row
late_row(const struct conn *c)
{
	if (c->wait == SMTP_WAIT_BODY &&
	    mono_sub(c->body_deadline, ev_now(c->agent->loop)) <= 0)
		return AGENT_ROW_RATE;
	return row_of[c->wait];
}

static void
on_timer(void *arg, struct ev_timer *t)
{
	struct conn *c = arg;
	char text[600];

	(void)t;
	switch (c->state) {
	case CONN_CONNECTING:
		agent_late(c->agent, AGENT_ROW_CONNECT, c->lmtp,
		    slice_str(c->site));
		connect_failed(c, ETIMEDOUT);
		break;
	case CONN_OPEN:
		agent_late(c->agent, late_row(c), c->lmtp, slice_str(c->site));
		snprintf(text, sizeof(text),
		    "conversation with %s timed out while %s", c->site,
		    smtp_client_doing(&c->client));
		conn_lost(c, "4.4.2", text);
		break;
	case CONN_IDLE: conn_quit(c); break;
	case CONN_QUITTING:
		agent_late(c->agent, AGENT_ROW_QUIT, c->lmtp,
		    slice_str(c->site));
		conn_close(c);
		break;
	}
}
