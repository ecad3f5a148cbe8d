/*
 * The smtp role without its frame: a fake queue, a fake resolver and a fake
 * lookup on channels, scripted servers on the loopback, all on one loop.
 *
 * A row is a job, the script of each connection in the order in which they
 * come, and the results that the queue must read.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/hash.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/wire.h"
#include "conf/conf.h"
#include "ev/loop.h"
#include "ipc/chan.h"
#include "ipc/frames.h"
#include "ipc/job.h"
#include "smtp/agent.h"
#include "smtp/conn.h"

enum {
	PEERS_MAX = 8,
	OPS_MAX = 32,
	JOBS_MAX = 4,
	IN_BYTES = 1 << 20,
	TRACE_BYTES = 16384,
	HOSTS_MAX = 8,
	GIVE_UP_MS = 10000,
};

/* ---- scripted servers ----
 * "S text" sends, "C text" waits for a line that begins so, "D" reads up to
 * the lone dot, "G" sends 200 lines of a reply without end, "F" a line without
 * end, "P" reads no more, "X" closes, "R" resets, "W" waits until the client
 * closes. */

struct peer {
	int fd;
	struct ev_io io;
	const char *const *op;
	char in[IN_BYTES];
	size_t len;
	bool over;
};

static struct acct mem;
static struct ev_loop *loop;
static struct agent agent;
static struct conf conf;
static struct chan *queue, *dns, *lookup;
static int listener = -1, listener_unix = -1;
static struct ev_io listen_io, listen_unix_io;
static uint16_t port;
static char unix_path[64];
static struct peer peers[PEERS_MAX];
static unsigned peer_count;
static const char *const (*scripts)[OPS_MAX];
static const char *current;
static char data[IN_BYTES]; /* the last message as it came */
static size_t data_len;
static char trace[TRACE_BYTES];
static unsigned done_count, question_count;
static bool drained;

static void
peer_end(struct peer *p)
{
	ev_io_fini(&p->io);
	close(p->fd);
	p->over = true;
}

static void
put_all(struct peer *p, const char *s, size_t len)
{
	ssize_t n;

	do
		n = send(p->fd, s, len, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (n > 0 && (s += n, len -= (size_t)n) > 0);
}

static void
peer_send(struct peer *p, const char *text)
{
	char buf[4096];

	snprintf(buf, sizeof(buf), "%s\r\n", text);
	put_all(p, buf, strlen(buf));
}

static void
flood(struct peer *p, char how)
{
	static char x[65536];

	memset(x, 'x', sizeof(x));
	for (int i = 0; i < 200 && !p->over; i++)
		if (how == 'G')
			peer_send(p, "250-more");
		else if (i < 8)
			put_all(p, x, sizeof(x));
}

static void
take(struct peer *p, size_t n)
{
	memmove(p->in, p->in + n, p->len - n);
	p->len -= n;
}

/* The line at the start of the input; false: it is not whole yet. */
static bool
peer_line(struct peer *p, const char *want)
{
	char *end = memmem(p->in, p->len, "\r\n", 2);

	if (end == NULL)
		return false;
	if (strncmp(p->in, want, strlen(want)) != 0)
		fail_msg("%s: peer wants \"%s\", got \"%.*s\"", current, want,
		    (int)(end - p->in), p->in);
	take(p, (size_t)(end - p->in) + 2);
	return true;
}

static bool
peer_data(struct peer *p)
{
	char *end = memmem(p->in, p->len, "\r\n.\r\n", 5);

	if (p->len >= 3 && !memcmp(p->in, ".\r\n", 3))
		data_len = 0;
	else if (end != NULL)
		data_len = (size_t)(end + 2 - p->in);
	else
		return false;
	memcpy(data, p->in, data_len);
	take(p, data_len + 3);
	return true;
}

static void
peer_run(struct peer *p, bool eof)
{
	struct linger reset = { 1, 0 };

	while (!p->over) {
		const char *op = *p->op != NULL ? *p->op : "W";

		switch (op[0]) {
		case 'S': peer_send(p, op + 2); break;
		case 'C':
			if (peer_line(p, op + 2))
				break;
			if (eof)
				fail_msg("%s: client gone before %s", current,
				    op);
			return;
		case 'D':
			if (peer_data(p))
				break;
			if (eof)
				peer_end(p);
			return;
		case 'G':
		case 'F': flood(p, op[0]); break;
		case 'R':
			setsockopt(p->fd, SOL_SOCKET, SO_LINGER, &reset,
			    sizeof(reset));
			peer_end(p);
			return;
		case 'P': ev_io_want(&p->io, 0); break;
		case 'X': peer_end(p); return;
		default:
			if (eof)
				peer_end(p);
			return;
		}
		p->op++;
	}
}

static void
on_peer(void *arg, struct ev_io *io, unsigned ready)
{
	struct peer *p = arg;
	ssize_t n = recv(p->fd, p->in + p->len, sizeof(p->in) - p->len, 0);

	(void)io;
	(void)ready;
	if (n > 0)
		p->len += (size_t)n;
	if (n < 0 && errno == EAGAIN)
		return;
	peer_run(p, n <= 0);
}

static void
on_accept(void *arg, struct ev_io *io, unsigned ready)
{
	struct peer *p = &peers[peer_count];
	int fd = accept4(io->fd, NULL, NULL, SOCK_CLOEXEC);

	(void)arg;
	(void)ready;
	if (fd < 0)
		return;
	assert_true(peer_count < PEERS_MAX);
	if (scripts[peer_count][0] == NULL)
		fail_msg("%s: a connection too many", current);
	p->fd = fd;
	p->op = scripts[peer_count++];
	p->len = 0;
	p->over = false;
	ev_io_init(&p->io, loop, fd, on_peer, p);
	ev_io_want(&p->io, EV_RD);
	peer_run(p, false);
}

/* ---- the fake queue ---- */

static void PRINTF(1, 2) note(const char *fmt, ...)
{
	size_t len = strlen(trace);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(trace + len, sizeof(trace) - len, fmt, ap);
	va_end(ap);
}

/* Ports differ from run to run: print "PORT". */
static void
note_text(struct slice s)
{
	char number[8], text[2048];
	char *at;

	snprintf(number, sizeof(number), ":%u", port);
	snprintf(text, sizeof(text), "%.*s", SLICE_ARGS(s));
	while ((at = strstr(text, number)) != NULL) {
		*at = '\0';
		note("%s:PORT", text);
		memmove(text, at + strlen(number),
		    strlen(at + strlen(number)) + 1);
	}
	note("%s", text);
}

static void
on_results(struct slice blob)
{
	static const char *const names[] = { "sent", "deferred", "failed" };
	struct rd r = rd_of(blob);

	while (r.left > 0) {
		struct job_result j;

		assert_true(job_result_get(&r, &j));
		note("%u %s %.*s ", j.index, names[j.status],
		    SLICE_ARGS(j.dsn));
		note_text(j.relay);
		note(" ");
		note_text(j.text);
		note("\n");
	}
}

static void
on_queue_frame(void *arg, struct chan *c, struct frame *f)
{
	static const char *const sites[] = { "ok", "failed", "neutral" };
	struct fr_job_results r;
	struct fr_job_done d;

	(void)arg;
	(void)c;
	if (f->type == FRAME_JOB_RESULTS) {
		assert_true(get_job_results(f, &r));
		on_results(r.results);
		return;
	}
	assert_int_equal(f->type, FRAME_JOB_DONE);
	assert_true(get_job_done(f, &d));
	assert_true(d.site < SITE_COUNT);
	note("done %s", sites[d.site]);
	if (d.text.len > 0)
		note(" %.*s", SLICE_ARGS(d.text));
	note("\n");
	done_count++;
}

/* ---- the fake resolver ---- */

struct answer {
	enum dns_verdict verdict;
	const char *text;
	struct {
		uint16_t preference;
		const char *name, *address; /* NULL: no address */
	} hosts[HOSTS_MAX];
};

static const struct answer *answer; /* NULL: it never comes */

static void
on_dns_frame(void *arg, struct chan *c, struct frame *f)
{
	char hosts[4096];
	struct wr w = wr_of(hosts, sizeof(hosts));
	struct fr_dns_hosts q;
	struct fr_dns_found a;

	(void)arg;
	assert_int_equal(f->type, FRAME_DNS_HOSTS);
	assert_true(get_dns_hosts(f, &q));
	question_count++;
	if (answer == NULL)
		return;
	for (unsigned i = 0; i < HOSTS_MAX && answer->hosts[i].name; i++) {
		struct net_addr addr = { 0 };

		wr_u16(&w, answer->hosts[i].preference);
		wr_str(&w, slice_str(answer->hosts[i].name), 255);
		if (answer->hosts[i].address != NULL)
			assert_true(net_addr_parse(
			    slice_str(answer->hosts[i].address), &addr));
		wr_u8(&w, addr.family);
		wr_raw(&w, slice_of(addr.octets, addr.family == 4   ? 4
						 : addr.family == 6 ? 16
								    : 0));
	}
	a = (struct fr_dns_found){ .verdict = (uint8_t)answer->verdict,
		.text = slice_str(answer->text),
		.hosts = wr_done(&w) };
	assert_int_equal(send_dns_found(c, f->tag, &a, -1), OK);
}

/* ---- the fake lookup ---- */

static int socket_errnum;	/* answered in place of a socket */
static unsigned socket_count;	/* so many questions came */
static unsigned socket_refused; /* so many are answered with socket_errnum */
static bool socket_silent;	/* there is never an answer */

static void
on_lookup_frame(void *arg, struct chan *c, struct frame *f)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	struct fr_socket_connected a = { 0 };
	struct fr_socket_connect q;
	int fd = -1;

	(void)arg;
	assert_int_equal(f->type, FRAME_SOCKET_CONNECT);
	assert_true(get_socket_connect(f, &q));
	if (socket_silent)
		return;
	a.path = q.path;
	if (socket_count++ < socket_refused) {
		a.errnum = (uint16_t)socket_errnum;
	} else {
		memcpy(un.sun_path, q.path.data, q.path.len);
		fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
		assert_int_equal(
		    connect(fd, (struct sockaddr *)&un, sizeof(un)), 0);
	}
	assert_int_equal(send_socket_connected(c, f->tag, &a, fd), OK);
	if (fd >= 0)
		close(fd);
}

static void
on_closed(void *arg, struct chan *c, bool bad, const char *why)
{
	struct chan **at = arg;

	(void)why;
	assert_false(bad);
	chan_close(c);
	*at = NULL;
}

static const struct chan_events queue_events = { on_queue_frame, on_closed,
	NULL };
static const struct chan_events dns_events = { on_dns_frame, on_closed, NULL };
static const struct chan_events lookup_events = { on_lookup_frame, on_closed,
	NULL };

/* ---- set-up ---- */

static bool bad_peer;

static void
on_bad_peer(void *arg, enum role peer, const char *why)
{
	(void)arg;
	(void)peer;
	(void)why;
	bad_peer = true;
}

static void
on_drained(void *arg)
{
	(void)arg;
	drained = true;
}

static const struct agent_events agent_events = { on_bad_peer, on_drained };

static void
connect_queue(void)
{
	int fd[2];

	assert_int_equal(chan_pair(fd), OK);
	assert_int_equal(chan_open(loop, &mem, fd[0], ROLE_QUEUE, ROLE_SMTP, 0,
			     &queue_events, &queue, 1 << 20, &queue),
	    OK);
	assert_int_equal(agent_set_channel(&agent, ROLE_QUEUE, 0, fd[1]), OK);
}

static void
connect_dns(void)
{
	int fd[2];

	assert_int_equal(chan_pair(fd), OK);
	assert_int_equal(chan_open(loop, &mem, fd[0], ROLE_DNS, ROLE_SMTP, 0,
			     &dns_events, &dns, 1 << 20, &dns),
	    OK);
	assert_int_equal(agent_set_channel(&agent, ROLE_DNS, 0, fd[1]), OK);
}

static void
connect_lookup(void)
{
	int fd[2];

	assert_int_equal(chan_pair(fd), OK);
	assert_int_equal(chan_open(loop, &mem, fd[0], ROLE_LOOKUP, ROLE_SMTP, 0,
			     &lookup_events, &lookup, 1 << 20, &lookup),
	    OK);
	assert_int_equal(agent_set_channel(&agent, ROLE_LOOKUP, 0, fd[1]), OK);
}

static void
default_conf(void)
{
	conf = (struct conf){
		.myhostname = "me.test",
		.smtp_helo_name = "me.test",
		.lmtp_lhlo_name = "me.test",
		.lmtp_tcp_port = port,
		.smtp_bind_address = "",
		.smtp_bind_address6 = "",
		.concurrency_remote = JOBS_MAX,
		.smtp_remote_port = port,
		.smtp_mx_address_limit = 5,
		.smtp_mx_session_limit = 2,
		.smtp_connect_timeout_ms = GIVE_UP_MS,
		.smtp_helo_timeout_ms = GIVE_UP_MS,
		.smtp_mail_timeout_ms = GIVE_UP_MS,
		.smtp_rcpt_timeout_ms = GIVE_UP_MS,
		.smtp_data_init_timeout_ms = GIVE_UP_MS,
		.smtp_data_xfer_timeout_ms = GIVE_UP_MS,
		.smtp_data_done_timeout_ms = GIVE_UP_MS,
		.smtp_quit_timeout_ms = GIVE_UP_MS,
		.smtp_skip_quit_response = true,
		.smtp_min_data_rate_bytes = 500,
		.smtp_connection_cache_time_limit_ms = GIVE_UP_MS,
		.smtp_connection_reuse_time_limit_ms = GIVE_UP_MS,
		.lmtp_connect_timeout_ms = GIVE_UP_MS,
		.lmtp_lhlo_timeout_ms = GIVE_UP_MS,
		.lmtp_mail_timeout_ms = GIVE_UP_MS,
		.lmtp_rcpt_timeout_ms = GIVE_UP_MS,
		.lmtp_data_init_timeout_ms = GIVE_UP_MS,
		.lmtp_data_xfer_timeout_ms = GIVE_UP_MS,
		.lmtp_data_done_timeout_ms = GIVE_UP_MS,
		.lmtp_quit_timeout_ms = GIVE_UP_MS,
		.lmtp_skip_quit_response = true,
		.lmtp_min_data_rate_bytes = 500,
		.lmtp_connection_cache_time_limit_ms = GIVE_UP_MS,
		.lmtp_connection_reuse_time_limit_ms = GIVE_UP_MS,
		.dns_timeout_ms = GIVE_UP_MS,
	};
}

static void
open_listeners(void)
{
	struct sockaddr_in in = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	socklen_t len = sizeof(in);

	listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(listener, (struct sockaddr *)&in, len), 0);
	assert_int_equal(listen(listener, 16), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&in, &len),
	    0);
	port = ntohs(in.sin_port);
	snprintf(unix_path, sizeof(unix_path), "/tmp/test_agent.%d", getpid());
	(void)unlink(unix_path);
	memcpy(un.sun_path, unix_path, strlen(unix_path) + 1);
	listener_unix = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	assert_int_equal(
	    bind(listener_unix, (struct sockaddr *)&un, sizeof(un)), 0);
	assert_int_equal(listen(listener_unix, 16), 0);
	ev_io_init(&listen_io, loop, listener, on_accept, NULL);
	ev_io_want(&listen_io, EV_RD);
	ev_io_init(&listen_unix_io, loop, listener_unix, on_accept, NULL);
	ev_io_want(&listen_unix_io, EV_RD);
}

static int
setup(void **state)
{
	(void)state;
	acct_init(&mem, NULL, "test", 64 << 20, false, "");
	if (ev_loop_new(&mem, &loop) != OK)
		return -1;
	open_listeners();
	default_conf();
	if (agent_init(&agent, loop, &mem, &conf, &agent_events, NULL) != OK)
		return -1;
	connect_queue();
	connect_dns();
	connect_lookup();
	socket_count = socket_refused = 0;
	socket_silent = false;
	peer_count = done_count = question_count = 0;
	trace[0] = '\0';
	drained = bad_peer = false;
	answer = NULL;
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	for (unsigned i = 0; i < peer_count; i++)
		if (!peers[i].over)
			peer_end(&peers[i]);
	agent_fini(&agent);
	chan_close(queue);
	chan_close(dns);
	chan_close(lookup);
	ev_io_fini(&listen_io);
	ev_io_fini(&listen_unix_io);
	close(listener);
	close(listener_unix);
	(void)unlink(unix_path);
	ev_loop_free(loop);
	acct_fini(&mem);
	return 0;
}

/* Turns until so many jobs are done, or it takes too long. */
static void
run_until_done(unsigned count)
{
	struct mono start = clock_system.mono(&clock_system);

	while (done_count < count) {
		assert_int_equal(ev_loop_turn(loop), OK);
		if (mono_sub(clock_system.mono(&clock_system), start) >
		    GIVE_UP_MS)
			fail_msg("%s: no end; so far: %s", current, trace);
	}
}

/* ---- jobs ---- */

struct job_in {
	const char *transport, *nexthop;
	const char *rcpts[4];
	const char *body;
	uint32_t flags;
	unsigned copies; /* of the body, for large ones; 0: one */
	unsigned cut;	 /* the body comes in extents of so many octets */
};

static uint64_t segment_number;

static uint32_t
put_body(const struct job_in *in, char *extents, size_t size, unsigned *n)
{
	int fd = memfd_create("segment", MFD_CLOEXEC);
	size_t len = strlen(in->body);
	unsigned copies = in->copies ? in->copies : 1;
	struct fr_segment s = { .number = ++segment_number };
	struct wr w = wr_of(extents, size);
	uint32_t total = 0, piece;

	assert_int_equal(pwrite(fd, "head", 4, 0), 4);
	for (unsigned i = 0; i < copies; i++, total += (uint32_t)len)
		assert_int_equal(pwrite(fd, in->body, len, 4 + total), len);
	assert_int_equal(send_segment(queue, 0, &s, fd), OK);
	close(fd);
	piece = in->cut ? in->cut : total;
	*n = 0;
	for (uint32_t at = 0; at < total; at += piece, (*n)++) {
		struct extent x = { s.number, 4 + at,
			total - at < piece ? total - at : piece };

		extent_put(&w, &x);
	}
	assert_false(w.full);
	return (uint32_t)w.len;
}

static void
send_job_in(const struct job_in *in, uint32_t tag)
{
	static char extents[49152];
	char rcpts[4096], envelope[1024], nexthop[128];
	struct envelope e = { .flags = in->flags,
		.sender = SLICE_LIT("a@x.test") };
	struct wr rw = wr_of(rcpts, sizeof(rcpts));
	struct wr ew = wr_of(envelope, sizeof(envelope));
	struct fr_job_rcpts r;
	struct fr_job_extents x;
	struct fr_job j = { .id = tag,
		.transport =
		    slice_str(in->transport ? in->transport : "smtp") };

	x.extents = slice_of(extents,
	    put_body(in, extents, sizeof(extents), &j.extent_count));
	if (x.extents.len > 0)
		assert_int_equal(send_job_extents(queue, tag, &x, -1), OK);
	for (unsigned i = 0; i < 4 && in->rcpts[i] != NULL; i++) {
		struct job_rcpt rcpt = { .index = i,
			.address = slice_str(in->rcpts[i]) };

		job_rcpt_put(&rw, &rcpt);
		j.rcpt_count++;
	}
	r.rcpts = wr_done(&rw);
	assert_int_equal(send_job_rcpts(queue, tag, &r, -1), OK);
	envelope_put(&ew, &e);
	assert_false(ew.full);
	j.envelope = wr_done(&ew);
	if (in->nexthop == NULL)
		snprintf(nexthop, sizeof(nexthop), "[127.0.0.1]");
	else if (!strcmp(in->nexthop, "inet:"))
		snprintf(nexthop, sizeof(nexthop), "inet:127.0.0.1");
	else if (!strcmp(in->nexthop, "unix:"))
		snprintf(nexthop, sizeof(nexthop), "unix:%s", unix_path);
	else
		snprintf(nexthop, sizeof(nexthop), "%s", in->nexthop);
	j.nexthop = slice_str(nexthop);
	assert_int_equal(send_job(queue, tag, &j, -1), OK);
}

/* ---- rows ---- */

#define HELLO "S 220 h", "C EHLO me.test", "S 250 h"
#define TAKE                                                          \
	"C MAIL FROM:<a@x.test>", "S 250 ok", "C RCPT TO:<b@y.test>", \
	    "S 250 ok", "C DATA", "S 354 go", "D", "S 250 2.0.0 queued"
#define HELLO_ALL                    \
	"S 220 h", "C EHLO me.test", \
	    "S 250-h\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE 1000"
#define ONE                                                            \
	{                                                              \
		NULL, NULL, { "b@y.test" }, "Subject: x\r\n\r\nhi\r\n" \
	}
#define LHLO	  "S 220 h", "C LHLO me.test", "S 250-h\r\n250 PIPELINING"
#define LSITE	  "me.test[/tmp/UNIX]"
#define SITE_TEXT "127.0.0.1[127.0.0.1]"
#define RELAY	  SITE_TEXT ":PORT"

static const struct answer two_hosts = { DNS_FOUND, "",
	{ { 10, "mx1.test", "127.0.0.2" }, { 20, "mx2.test", "127.0.0.1" } } };
static const struct answer same_host_twice = { DNS_FOUND, "",
	{ { 10, "mx1.test", "127.0.0.1" }, { 20, "mx2.test", "127.0.0.1" } } };
static const struct answer two_good = { DNS_FOUND, "",
	{ { 10, "mx1.test", "127.0.0.1" },
	    { 20, "mx2.test", "::ffff:127.0.0.1" } } };
static const struct answer none = { DNS_NONE,
	"Name service error for name=y.test type=MX: Host not found",
	{ { 0 } } };
static const struct answer temp = { DNS_TEMP,
	"Name service error for name=y.test type=MX: Host not found, try again",
	{ { 0 } } };
static const struct answer null_mx = { DNS_NULL_MX, "", { { 0 } } };
static const struct answer no_address = { DNS_FOUND, "",
	{ { 10, "mx1.test", NULL } } };
static const struct answer myself = { DNS_FOUND, "",
	{ { 10, "ME.test", "192.0.2.1" }, { 20, "mx2.test", "127.0.0.1" } } };

static const struct {
	const char *why;
	struct job_in job;
	const struct answer *answer;
	const char *const scripts[PEERS_MAX][OPS_MAX];
	const char *trace;
	const char *data; /* NULL: not looked at */
} rows[] = {
	{ "a message to an address", ONE, NULL, { { HELLO, TAKE } },
	    "0 sent 2.0.0 " RELAY " 250 2.0.0 queued\ndone ok\n",
	    "Subject: x\r\n\r\nhi\r\n" },
	{ "dots are doubled, the last line is ended",
	    { NULL, NULL, { "b@y.test" }, ".x\r\n.\r\n..\r\nend",
		ENVELOPE_DOT_LINE | ENVELOPE_NO_FINAL_EOL },
	    NULL, { { HELLO, TAKE } },
	    "0 sent 2.0.0 " RELAY " 250 2.0.0 queued\ndone ok\n",
	    "..x\r\n..\r\n...\r\nend\r\n" },
	{ "a stored lone LF does not pass (attack 2)",
	    { NULL, NULL, { "b@y.test" }, "x\n.\r\nMAIL FROM:<evil>\r\n" },
	    NULL, { { HELLO, TAKE } },
	    "0 sent 2.0.0 " RELAY " 250 2.0.0 queued\ndone ok\n",
	    "x\r\n..\r\nMAIL FROM:<evil>\r\n" },
	{ "the body in extents of three octets",
	    { NULL, NULL, { "b@y.test" }, ".a\r\n.b\r\n", .cut = 3 }, NULL,
	    { { HELLO, TAKE } },
	    "0 sent 2.0.0 " RELAY " 250 2.0.0 queued\ndone ok\n",
	    "..a\r\n..b\r\n" },
	{ "an empty body", { NULL, NULL, { "b@y.test" }, "" }, NULL,
	    { { HELLO, TAKE } },
	    "0 sent 2.0.0 " RELAY " 250 2.0.0 queued\ndone ok\n", "" },
	{ "results of each recipient, pipelined",
	    { NULL, NULL, { "b@y.test", "c@y.test", "d@y.test" }, "x\r\n" },
	    NULL,
	    { { HELLO_ALL, "C MAIL", "C RCPT", "C RCPT", "C RCPT", "C DATA",
		"S 250 ok\r\n250 ok\r\n550-5.1.1 no\r\n550 5.1.1 such\r\n"
		"450 4.2.1 busy\r\n354 go",
		"D", "S 250 2.6.0 got it" } },
	    "0 sent 2.6.0 " RELAY " 250 2.6.0 got it\n"
	    "1 failed 5.1.1 " RELAY " host " SITE_TEXT " said: 550-5.1.1 no "
	    "550 5.1.1 such (in reply to RCPT TO command)\n"
	    "2 deferred 4.2.1 " RELAY " host " SITE_TEXT " said: 450 4.2.1 "
	    "busy (in reply to RCPT TO command)\ndone ok\n" },
	{ "LMTP: a reply for each recipient",
	    { "lmtp", "unix:", { "b@y.test", "c@y.test" }, "x\r\n" }, NULL,
	    { { "S 220 h", "C LHLO me.test", "S 250 h", "C MAIL", "S 250 ok",
		"C RCPT", "S 250 ok", "C RCPT", "S 250 ok", "C DATA",
		"S 354 go", "D", "S 250 2.0.0 b\r\n452 4.2.2 full" } },
	    "0 sent 2.0.0 me.test[/tmp/UNIX] 250 2.0.0 b\n"
	    "1 deferred 4.2.2 me.test[/tmp/UNIX] host me.test[/tmp/UNIX] "
	    "said: 452 4.2.2 full (in reply to end of DATA command)\n"
	    "done ok\n" },
	{ "LMTP: pipelined, one refused, mixed outcomes",
	    { "lmtp", "unix:", { "b@y.test", "c@y.test", "d@y.test" },
		"x\r\n" },
	    NULL,
	    { { LHLO, "C MAIL", "C RCPT", "C RCPT", "C RCPT", "C DATA",
		"S 250 ok\r\n250 ok\r\n550 5.1.1 no\r\n250 ok\r\n354 go", "D",
		"S 552 5.2.2 full\r\n250 2.0.0 d" } },
	    "0 failed 5.2.2 " LSITE " host " LSITE " said: 552 5.2.2 full (in "
	    "reply to end of DATA command)\n"
	    "1 failed 5.1.1 " LSITE " host " LSITE " said: 550 5.1.1 no (in "
	    "reply to RCPT TO command)\n"
	    "2 sent 2.0.0 " LSITE " 250 2.0.0 d\ndone ok\n" },
	{ "LMTP: too few replies, then hang-up: who was answered keeps it",
	    { "lmtp", "unix:", { "b@y.test", "c@y.test" }, "x\r\n" }, NULL,
	    { { LHLO, "C MAIL", "C RCPT", "C RCPT", "C DATA",
		"S 250 ok\r\n250 ok\r\n250 ok\r\n354 go", "D", "S 250 2.0.0 b",
		"X" } },
	    "0 sent 2.0.0 " LSITE " 250 2.0.0 b\n"
	    "1 deferred 4.4.2 " LSITE " lost connection with " LSITE
	    " while sending end of data -- message may be sent more than once\n"
	    "done ok\n" },
	{ "LMTP: too many replies (attack 42)",
	    { "lmtp", "unix:", { "b@y.test", "c@y.test" }, "x\r\n" }, NULL,
	    { { LHLO, "C MAIL", "C RCPT", "C RCPT", "C DATA",
		"S 250 ok\r\n250 ok\r\n250 ok\r\n354 go", "D",
		"S 250 2.0.0 b\r\n450 4.2.0 c\r\n250 2.0.0 d\r\n250 e", "W" } },
	    "0 sent 2.0.0 " LSITE " 250 2.0.0 b\n"
	    "1 deferred 4.2.0 " LSITE " host " LSITE " said: 450 4.2.0 c (in "
	    "reply to end of DATA command)\ndone ok\n" },
	{ "LMTP: replies before the data (attack 42)",
	    { "lmtp", "unix:", { "b@y.test" }, "x\r\n" }, NULL,
	    { { LHLO, "C MAIL", "C RCPT", "C DATA",
		"S 250 ok\r\n250 ok\r\n354 go\r\n250 2.0.0 b", "W" } },
	    "0 deferred 4.5.0 " LSITE
	    " remote protocol error in reply from " LSITE
	    " while sending message body\ndone ok\n" },
	{ "LMTP: a reply without end (attack 42)",
	    { "lmtp", "unix:", { "b@y.test", "c@y.test" }, "x\r\n" }, NULL,
	    { { LHLO, "C MAIL", "C RCPT", "C RCPT", "C DATA",
		"S 250 ok\r\n250 ok\r\n250 ok\r\n354 go", "D", "S 250 2.0.0 b",
		"G", "W" } },
	    "0 sent 2.0.0 " LSITE " 250 2.0.0 b\n"
	    "1 deferred 4.5.0 " LSITE
	    " remote protocol error in reply from " LSITE
	    " while sending end of data -- message may be sent more than "
	    "once\ndone ok\n" },
	{ "LMTP: 354 although nobody was accepted",
	    { "lmtp", "unix:", { "b@y.test" }, "x\r\n" }, NULL,
	    { { LHLO, "C MAIL", "C RCPT", "C DATA",
		"S 250 ok\r\n550 5.1.1 no\r\n354 go", "W" } },
	    "0 failed 5.1.1 " LSITE " host " LSITE " said: 550 5.1.1 no (in "
	    "reply to RCPT TO command)\ndone ok\n" },
	{ "LMTP: a server of SMTP",
	    { "lmtp", "unix:", { "b@y.test" }, "x\r\n" }, NULL,
	    { { "S 220 h", "C LHLO", "S 500 5.5.1 what", "W" } },
	    "0 deferred 4.5.1 " LSITE " host " LSITE " refused to talk to me: "
	    "500 5.5.1 what\ndone failed\n" },
	{ "LMTP by inet", { "lmtp", "inet:", { "b@y.test" }, "x\r\n" }, NULL,
	    { { LHLO, "C MAIL", "C RCPT", "C DATA",
		"S 250 ok\r\n250 ok\r\n354 go", "D", "S 250 2.0.0 b" } },
	    "0 sent 2.0.0 " RELAY " 250 2.0.0 b\ndone ok\n" },
	{ "larger than the server takes",
	    { NULL, NULL, { "b@y.test" }, "0123456789\r\n", .copies = 100 },
	    NULL, { { HELLO_ALL } },
	    "0 failed 5.3.4 " RELAY " message size 1200 exceeds size limit "
	    "1000 of server " SITE_TEXT "\ndone ok\n" },
	{ "nobody listens", { NULL, "[127.0.0.2]", { "b@y.test" }, "x\r\n" },
	    NULL, { { 0 } },
	    "0 deferred 4.4.1  connect to 127.0.0.2[127.0.0.2]:PORT: "
	    "Connection refused\ndone failed\n" },
	{ "the greeting refuses for good: deferred", ONE, NULL,
	    { { "S 554 5.7.1 go away", "W" } },
	    "0 deferred 4.7.1 " RELAY " host " SITE_TEXT " refused to talk to "
	    "me: 554 5.7.1 go away\ndone failed\n" },
	{ "HELO refused for good: failed", ONE, NULL,
	    { { "S 220 h", "C EHLO", "S 500 no", "C HELO", "S 550 5.7.1 no" } },
	    "0 failed 5.7.1 " RELAY " host " SITE_TEXT " refused to talk to "
	    "me: 550 5.7.1 no\ndone failed\n" },
	{ "the first host is down: the second",
	    { NULL, "y.test", { "b@y.test" }, "x\r\n" }, &two_hosts,
	    { { HELLO, TAKE } },
	    "0 sent 2.0.0 mx2.test[127.0.0.1]:PORT 250 2.0.0 queued\n"
	    "done ok\n" },
	{ "an address is tried once",
	    { NULL, "y.test", { "b@y.test" }, "x\r\n" }, &same_host_twice,
	    { { "S 421 4.3.2 busy" } },
	    "0 deferred 4.3.2 mx1.test[127.0.0.1]:PORT host "
	    "mx1.test[127.0.0.1] refused to talk to me: 421 4.3.2 busy\n"
	    "done failed\n" },
	{ "no such domain", { NULL, "y.test", { "b@y.test" }, "x\r\n" }, &none,
	    { { 0 } },
	    "0 failed 5.4.4  Host or domain name not found. Name service error "
	    "for name=y.test type=MX: Host not found\ndone neutral\n" },
	{ "DNS fails for now", { NULL, "y.test", { "b@y.test" }, "x\r\n" },
	    &temp, { { 0 } },
	    "0 deferred 4.4.3  Host or domain name not found. Name service "
	    "error for name=y.test type=MX: Host not found, try again\n"
	    "done neutral\n" },
	{ "null MX", { NULL, "y.test", { "b@y.test" }, "x\r\n" }, &null_mx,
	    { { 0 } },
	    "0 failed 5.1.10  Domain y.test does not accept mail (nullMX)\n"
	    "done neutral\n" },
	{ "no host has an address", { NULL, "y.test", { "b@y.test" }, "x\r\n" },
	    &no_address, { { 0 } },
	    "0 deferred 4.4.3  Host or domain name not found. No mail "
	    "exchanger of y.test has a usable address\ndone neutral\n" },
	{ "hang-up instead of a greeting", ONE, NULL, { { "X" } },
	    "0 deferred 4.4.2 " RELAY " lost connection with " SITE_TEXT
	    " while receiving the initial server greeting\ndone failed\n" },
	{ "hang-up after EHLO", ONE, NULL, { { "S 220 h", "C EHLO", "X" } },
	    "0 deferred 4.4.2 " RELAY " lost connection with " SITE_TEXT
	    " while performing the EHLO handshake\ndone failed\n" },
	{ "hang-up after MAIL", ONE, NULL, { { HELLO, "C MAIL", "X" } },
	    "0 deferred 4.4.2 " RELAY " lost connection with " SITE_TEXT
	    " while sending MAIL FROM\ndone ok\n" },
	{ "reset after MAIL", ONE, NULL, { { HELLO, "C MAIL", "R" } },
	    "0 deferred 4.4.2 " RELAY " lost connection with " SITE_TEXT
	    " while sending MAIL FROM\ndone ok\n" },
	{ "hang-up after RCPT", ONE, NULL,
	    { { HELLO, "C MAIL", "S 250 ok", "C RCPT", "X" } },
	    "0 deferred 4.4.2 " RELAY " lost connection with " SITE_TEXT
	    " while sending RCPT TO\ndone ok\n" },
	{ "hang-up after DATA", ONE, NULL,
	    { { HELLO, "C MAIL", "S 250 ok", "C RCPT", "S 250 ok", "C DATA",
		"X" } },
	    "0 deferred 4.4.2 " RELAY " lost connection with " SITE_TEXT
	    " while sending DATA command\ndone ok\n" },
	{ "hang-up after the dot", ONE, NULL,
	    { { HELLO, "C MAIL", "S 250 ok", "C RCPT", "S 250 ok", "C DATA",
		"S 354 go", "D", "X" } },
	    "0 deferred 4.4.2 " RELAY " lost connection with " SITE_TEXT
	    " while sending end of data -- message may be sent more than once\n"
	    "done ok\n" },
	{ "hang-up in the middle of a large body, with the reason",
	    { NULL, NULL, { "b@y.test" }, "0123456789\r\n", .copies = 70000 },
	    NULL,
	    { { HELLO, "C MAIL", "S 250 ok", "C RCPT", "S 250 ok", "C DATA",
		"S 354 go", "C 012", "S 552 5.3.4 too big for me", "W" } },
	    "0 failed 5.3.4 " RELAY " host " SITE_TEXT " said: 552 5.3.4 too "
	    "big for me (in reply to message body)\ndone ok\n" },
	{ "half a reply, then hang-up (attack 42)", ONE, NULL,
	    { { HELLO, "C MAIL", "S 250-ok\r\n25", "X" } },
	    "0 deferred 4.5.0 " RELAY
	    " remote protocol error in reply from " SITE_TEXT
	    " while sending MAIL FROM\ndone ok\n" },
	{ "a reply without end (attack 42)", ONE, NULL,
	    { { "S 220 h", "C EHLO", "G", "W" } },
	    "0 deferred 4.5.0 " RELAY
	    " remote protocol error in reply from " SITE_TEXT
	    " while performing the EHLO handshake\ndone failed\n" },
	{ "a line without end (attack 42)", ONE, NULL,
	    { { HELLO, "C MAIL", "S 250 ok", "C RCPT", "F", "W" } },
	    "0 deferred 4.5.0 " RELAY
	    " remote protocol error in reply from " SITE_TEXT
	    " while sending RCPT TO\ndone ok\n" },
	{ "temporary at RCPT: the other host, for that recipient only",
	    { NULL, "y.test", { "b@y.test", "c@y.test" }, "x\r\n" }, &two_good,
	    { { HELLO, "C MAIL", "S 250 ok", "C RCPT TO:<b@y.test>",
		"S 450 4.2.0 no", "C RCPT TO:<c@y.test>", "S 250 ok", "C DATA",
		"S 354 go", "D", "S 250 2.0.0 one" } },
	    "0 deferred 4.2.0 mx1.test[127.0.0.1]:PORT host "
	    "mx1.test[127.0.0.1] said: 450 4.2.0 no (in reply to RCPT TO "
	    "command)\n1 sent 2.0.0 mx1.test[127.0.0.1]:PORT 250 2.0.0 one\n"
	    "done ok\n" },
	{ "a bad next hop", { NULL, "[", { "b@y.test" }, "x\r\n" }, NULL,
	    { { 0 } },
	    "0 failed 5.4.4  Host or domain name not found. Not a valid next "
	    "hop\ndone neutral\n" },
};

static void
hide_path(char *s)
{
	char *at;

	while ((at = strstr(s, unix_path)) != NULL) {
		memmove(at + 9, at + strlen(unix_path),
		    strlen(at + strlen(unix_path)) + 1);
		memcpy(at, "/tmp/UNIX", 9);
	}
}

static void
test_rows(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_int_equal(setup(state), 0);
		current = rows[i].why;
		scripts = rows[i].scripts;
		answer = rows[i].answer;
		data_len = 0;
		send_job_in(&rows[i].job, 7);
		run_until_done(1);
		hide_path(trace);
		if (strcmp(trace, rows[i].trace) != 0)
			fail_msg("%s\n got  %s\n want %s", rows[i].why, trace,
			    rows[i].trace);
		if (rows[i].data != NULL &&
		    (data_len != strlen(rows[i].data) ||
			memcmp(data, rows[i].data, data_len) != 0))
			fail_msg("%s: data %.*s", rows[i].why, (int)data_len,
			    data);
		assert_int_equal(agent.job_pool.in_use, 0);
		teardown(state);
	}
}

/* ---- loops ---- */

static void
run_job(const struct job_in *in, const char *nexthop, const struct answer *a,
    const char *const (*script)[OPS_MAX])
{
	struct job_in j = *in;

	j.nexthop = nexthop;
	answer = a;
	scripts = script;
	send_job_in(&j, 3);
	run_until_done(done_count + 1);
}

static const struct job_in one = ONE;
static const char *const no_peer[1][OPS_MAX];

/* This system is its own best MX, or a worse one. */
static void
test_loop(void **state)
{
	static const struct answer second = { DNS_FOUND, "",
		{ { 10, "mx1.test", "192.0.2.1" }, { 20, "me.TEST", NULL },
		    { 20, "mx3.test", "192.0.2.2" },
		    { 30, "mx4.test", "192.0.2.3" } } };
	static const char loop_text[] =
	    "0 failed 5.4.6  mail for y.test loops back to myself\n"
	    "done neutral\n";
	char listen_text[32];
	struct slice item;

	(void)state;
	current = "loop";
	snprintf(listen_text, sizeof(listen_text), "127.0.0.1:%u", port);
	item = slice_str(listen_text);
	conf.smtp_listen = (struct conf_list){ &item, 1 };
	agent_configure(&agent, &conf);
	/* By name, whatever the address; by address, whatever the name. */
	conf.smtp_listen = (struct conf_list){ NULL, 0 };
	agent_configure(&agent, &conf);
	run_job(&one, "y.test", &myself, no_peer);
	assert_string_equal(trace, loop_text);
	trace[0] = '\0';
	conf.smtp_listen = (struct conf_list){ &item, 1 };
	agent_configure(&agent, &conf);
	run_job(&one, "y.test", &myself, no_peer);
	assert_string_equal(trace, loop_text);
	trace[0] = '\0';
	run_job(&one, "y.test", &two_good, no_peer);
	assert_string_equal(trace, loop_text);
	/* Only those better than this system are asked. */
	trace[0] = '\0';
	conf.smtp_connect_timeout_ms = 30;
	run_job(&one, "y.test", &second, no_peer);
	assert_non_null(strstr(trace, "connect to mx1.test[192.0.2.1]:PORT: "));
	/* Told to go there: no question of loops. */
	trace[0] = '\0';
	run_job(&one, "[me.test]", &two_good,
	    (const char *const[][OPS_MAX]){ { HELLO, TAKE } });
	assert_memory_equal(trace, "0 sent", 6);
}

/* Addresses of no host, and this system under another name of it: whoever
 * makes the records does not make us talk to ourselves. */
static void
test_row_34_addresses_of_nobody(void **state)
{
	static const struct {
		const char *addr;
		bool is_self; /* where this system listens on that port */
	} addrs[] = {
		{ "0.0.0.0", true },
		{ "0.1.2.3", true },
		{ "::", true },
		{ "::ffff:127.0.0.1", true },
		{ "::ffff:0.0.0.0", true },
		{ "224.0.0.1", false },
		{ "255.255.255.255", false },
		{ "ff02::1", false },
	};
	char listen_text[32];
	struct slice item;

	(void)state;
	current = "nobody";
	snprintf(listen_text, sizeof(listen_text), "127.0.0.1:%u", port);
	item = slice_str(listen_text);
	for (size_t i = 0; i < sizeof(addrs) / sizeof(addrs[0]); i++) {
		struct answer a = { DNS_FOUND, "",
			{ { 10, "mx1.test", addrs[i].addr } } };
		bool mapped = strcmp(addrs[i].addr, "::ffff:127.0.0.1") == 0;

		conf.smtp_listen = (struct conf_list){ &item, 1 };
		agent_configure(&agent, &conf);
		trace[0] = '\0';
		run_job(&one, "y.test", &a, no_peer);
		if (strncmp(trace,
			addrs[i].is_self
			    ? "0 failed 5.4.6  mail for y.test loops"
			    : "0 deferred 4.4.3  Host or domain name not",
			30) != 0)
			fail_msg("%s: %s", addrs[i].addr, trace);
		conf.smtp_listen = (struct conf_list){ NULL, 0 };
		agent_configure(&agent, &conf);
		if (mapped)
			continue; /* another server may share the address */
		trace[0] = '\0';
		run_job(&one, "y.test", &a, no_peer);
		if (strncmp(trace, "0 deferred 4.4.3  Host or domain", 32) != 0)
			fail_msg("%s: %s", addrs[i].addr, trace);
	}
}

/* At most so many addresses, in the order of preference, of both families. */
static void
test_address_limit(void **state)
{
	static const struct answer many = { DNS_FOUND, "",
		{ { 40, "d.test", "::1" }, { 20, "b.test", "127.0.0.3" },
		    { 10, "a.test", "127.0.0.2" },
		    { 30, "c.test", "127.0.0.4" } } };

	(void)state;
	current = "address limit";
	conf.smtp_mx_address_limit = 1;
	run_job(&one, "y.test", &many, no_peer);
	assert_string_equal(trace,
	    "0 deferred 4.4.1  connect to a.test[127.0.0.2]:PORT: Connection "
	    "refused\ndone failed\n");
	trace[0] = '\0';
	conf.smtp_mx_address_limit = 2;
	run_job(&one, "y.test", &many, no_peer);
	assert_non_null(strstr(trace, "connect to d.test[::1]:PORT: "));
}

/* A temporary reply: the next host is asked about that recipient only, and
 * no more sessions than the limit. */
static void
test_session_limit(void **state)
{
	static const struct answer two = { DNS_FOUND, "",
		{ { 10, "mx1.test", "127.0.0.1" },
		    { 20, "mx2.test", "::1" } } };
	static const char *const script[][OPS_MAX] = {
		{ HELLO, "C MAIL", "S 250 ok", "C RCPT TO:<b@y.test>",
		    "S 450 4.2.0 no", "C RCPT TO:<c@y.test>", "S 250 ok",
		    "C DATA", "S 354 go", "D", "S 250 2.0.0 one" },
		{ NULL },
	};
	static const struct job_in job = { NULL, NULL,
		{ "b@y.test", "c@y.test" }, "x\r\n" };

	/* With a second host its trouble does not hide the first reply. */
	for (int limit = 1; limit <= 2; limit++) {
		assert_int_equal(setup(state), 0);
		current = "session limit";
		conf.smtp_mx_session_limit = limit;
		run_job(&job, "y.test", &two, script);
		assert_memory_equal(trace, "0 deferred 4.2.0 mx1.test", 25);
		assert_non_null(strstr(trace, "1 sent 2.0.0 mx1.test"));
		teardown(state);
	}
}

/* ---- connections kept ---- */

static void
test_reuse(void **state)
{
	static const char *const script[][OPS_MAX] = {
		{ HELLO, TAKE, TAKE, TAKE, "C QUIT", "W" },
	};

	(void)state;
	current = "reuse";
	run_job(&one, NULL, NULL, script);
	run_job(&one, NULL, NULL, script);		   /* by next hop */
	run_job(&one, "y.test", &same_host_twice, script); /* by address */
	assert_int_equal(peer_count, 1);
	assert_string_equal(trace,
	    "0 sent 2.0.0 " RELAY " 250 2.0.0 queued\ndone ok\n"
	    "0 sent 2.0.0 " RELAY " 250 2.0.0 queued\ndone ok\n"
	    "0 sent 2.0.0 " RELAY " 250 2.0.0 queued\ndone ok\n");
	conf.smtp_connection_cache_time_limit_ms = 1;
	agent_drain(&agent);
	while (!drained || !peers[0].over)
		assert_int_equal(ev_loop_turn(loop), OK);
}

/* The kept connection is taken, and is closed or says 421 before the reply
 * to MAIL: nobody is told, a new one does the work. */
static void
test_reuse_dies(void **state)
{
	static const char *const scripts_of[][2][OPS_MAX] = {
		{ { HELLO, TAKE, "C MAIL", "X" }, { HELLO, TAKE } },
		{ { HELLO, TAKE, "C MAIL", "R" }, { HELLO, TAKE } },
		{ { HELLO, TAKE, "C MAIL", "S 421 4.4.2 idle", "X" },
		    { HELLO, TAKE } },
		/* It is gone before it is needed. */
		{ { HELLO, TAKE, "S 421 4.4.2 idle", "X" }, { HELLO, TAKE } },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(scripts_of); i++) {
		assert_int_equal(setup(state), 0);
		current = scripts_of[i][0][14];
		run_job(&one, NULL, NULL, scripts_of[i]);
		if (i == 3)
			while (!list_empty(&agent.idle))
				assert_int_equal(ev_loop_turn(loop), OK);
		run_job(&one, NULL, NULL, scripts_of[i]);
		assert_string_equal(trace,
		    "0 sent 2.0.0 " RELAY " 250 2.0.0 queued\ndone ok\n"
		    "0 sent 2.0.0 " RELAY " 250 2.0.0 queued\ndone ok\n");
		assert_int_equal(peer_count, 2);
		teardown(state);
	}
}

/* QUIT when the time is over; count and age end a connection too. */
static void
test_reuse_limits(void **state)
{
	static const char *const script[][OPS_MAX] = {
		{ HELLO, TAKE, "C QUIT", "W" },
		{ HELLO, TAKE, "C QUIT", "S 221 bye", "W" },
		{ HELLO, TAKE, "C QUIT", "W" },
	};

	(void)state;
	current = "reuse limits";
	conf.smtp_connection_cache_time_limit_ms = 20;
	run_job(&one, NULL, NULL, script);
	while (!peers[0].over)
		assert_int_equal(ev_loop_turn(loop), OK);
	conf.smtp_connection_cache_time_limit_ms = GIVE_UP_MS;
	conf.smtp_connection_reuse_count_limit = 1;
	conf.smtp_skip_quit_response = false;
	run_job(&one, NULL, NULL, script);
	while (!peers[1].over)
		assert_int_equal(ev_loop_turn(loop), OK);
	conf.smtp_connection_reuse_count_limit = 0;
	conf.smtp_skip_quit_response = true;
	conf.smtp_connection_cache_time_limit_ms = 0;
	run_job(&one, NULL, NULL, script);
	while (!peers[2].over)
		assert_int_equal(ev_loop_turn(loop), OK);
	assert_int_equal(agent.conn_pool.in_use, 0);
}

/* ---- time ---- */

/* Each wait has its own limit; a reply that drips does not extend it. */
static void
test_timeouts(void **state)
{
	static const struct {
		const char *script[OPS_MAX];
		size_t which;
		const char *doing, *site;
		enum agent_row row;
	} waits[] = {
		{ { "W" }, offsetof(struct conf, smtp_helo_timeout_ms),
		    "receiving the initial server greeting", "failed",
		    AGENT_ROW_HELO },
		{ { "S 220 h", "C EHLO", "S 250-h\r\n250-x", "W" },
		    offsetof(struct conf, smtp_helo_timeout_ms),
		    "performing the EHLO handshake", "failed", AGENT_ROW_HELO },
		{ { HELLO, "C MAIL", "W" },
		    offsetof(struct conf, smtp_mail_timeout_ms),
		    "sending MAIL FROM", "ok", AGENT_ROW_MAIL },
		{ { HELLO, "C MAIL", "S 250 ok", "C RCPT", "W" },
		    offsetof(struct conf, smtp_rcpt_timeout_ms),
		    "sending RCPT TO", "ok", AGENT_ROW_RCPT },
		{ { HELLO, "C MAIL", "S 250 ok", "C RCPT", "S 250 ok", "C DATA",
		      "W" },
		    offsetof(struct conf, smtp_data_init_timeout_ms),
		    "sending DATA command", "ok", AGENT_ROW_DATA },
		{ { HELLO, "C MAIL", "S 250 ok", "C RCPT", "S 250 ok", "C DATA",
		      "S 354 go", "D", "W" },
		    offsetof(struct conf, smtp_data_done_timeout_ms),
		    "sending end of data -- message may be sent more than once",
		    "ok", AGENT_ROW_DOT },
	};
	char want[512];
	int64_t late;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(waits); i++) {
		const char *script[2][OPS_MAX] = { 0 };

		assert_int_equal(setup(state), 0);
		current = waits[i].doing;
		late = agent.rows[waits[i].row]->refused;
		memcpy(script[0], waits[i].script, sizeof(script[0]));
		*(int64_t *)(void *)((char *)&conf + waits[i].which) = 30;
		run_job(&one, NULL, NULL,
		    (const char *const(*)[OPS_MAX])script);
		snprintf(want, sizeof(want),
		    "0 deferred 4.4.2 " RELAY " conversation with " SITE_TEXT
		    " timed out while %s\ndone %s\n",
		    waits[i].doing, waits[i].site);
		assert_string_equal(trace, want);
		assert_int_equal(agent.rows[waits[i].row]->refused, late + 1);
		teardown(state);
	}
}

/* A server that takes nothing of a large body: one wait; the whole body has
 * a limit too, set by smtp_min_data_rate. */
static void
test_body_timeout(void **state)
{
	static const char *const script[][OPS_MAX] = {
		{ HELLO, "C MAIL", "S 250 ok", "C RCPT", "S 250 ok", "C DATA",
		    "S 354 go", "P", "W" },
	};
	static const struct job_in big = { NULL, NULL, { "b@y.test" },
		"0123456789abcdef0123456789abcdef0123456789abcdef0123456789\r"
		"\n",
		.copies = 300000 };

	static const struct {
		int64_t rate;
		enum agent_row row, other;
	} limits[] = {
		{ 500, AGENT_ROW_BODY, AGENT_ROW_RATE },
		/* There is no time for the whole but that of one wait. */
		{ (int64_t)1 << 40, AGENT_ROW_RATE, AGENT_ROW_BODY },
	};
	static struct limits_page pages[ARRAY_LEN(limits)];
	struct limits_page *before = limits_current();

	for (size_t i = 0; i < ARRAY_LEN(limits); i++) {
		/* Rows of its own: the page of all has no room for so many. */
		pages[i].magic = LIMITS_MAGIC;
		limits_use(&pages[i]);
		assert_int_equal(setup(state), 0);
		current = "body timeout";
		conf.smtp_data_xfer_timeout_ms = 50;
		conf.smtp_min_data_rate_bytes = limits[i].rate;
		run_job(&big, NULL, NULL, script);
		assert_string_equal(trace,
		    "0 deferred 4.4.2 " RELAY " conversation with " SITE_TEXT
		    " timed out while sending message body\ndone ok\n");
		assert_int_equal(agent.rows[limits[i].row]->refused, 1);
		assert_int_equal(agent.rows[limits[i].other]->refused, 0);
		teardown(state);
	}
	limits_use(before);
}

static const struct job_in one_lmtp = { "lmtp", "unix:", { "b@y.test" },
	"x\r\n" };

/* The same of LMTP: limits of its own, counted in rows of its own. */
static void
test_lmtp_timeouts(void **state)
{
	static const struct {
		const char *script[OPS_MAX];
		size_t which;
		const char *doing, *site;
		enum agent_row row;
	} waits[] = {
		{ { "W" }, offsetof(struct conf, lmtp_lhlo_timeout_ms),
		    "receiving the initial server greeting", "failed",
		    AGENT_ROW_HELO },
		{ { "S 220 h", "C LHLO", "W" },
		    offsetof(struct conf, lmtp_lhlo_timeout_ms),
		    "performing the LHLO handshake", "failed", AGENT_ROW_HELO },
		{ { LHLO, "C MAIL", "W" },
		    offsetof(struct conf, lmtp_mail_timeout_ms),
		    "sending MAIL FROM", "ok", AGENT_ROW_MAIL },
		{ { LHLO, "C MAIL", "S 250 ok", "W" },
		    offsetof(struct conf, lmtp_rcpt_timeout_ms),
		    "sending RCPT TO", "ok", AGENT_ROW_RCPT },
		{ { LHLO, "C MAIL", "S 250 ok\r\n250 ok", "W" },
		    offsetof(struct conf, lmtp_data_init_timeout_ms),
		    "sending DATA command", "ok", AGENT_ROW_DATA },
		{ { LHLO, "C MAIL", "S 250 ok\r\n250 ok\r\n354 go", "W" },
		    offsetof(struct conf, lmtp_data_done_timeout_ms),
		    "sending end of data -- message may be sent more than once",
		    "ok", AGENT_ROW_DOT },
	};
	char want[512];

	for (size_t i = 0; i < ARRAY_LEN(waits); i++) {
		const char *script[2][OPS_MAX] = { 0 };
		enum agent_row row = AGENT_ROW_LMTP + waits[i].row;
		int64_t late;

		assert_int_equal(setup(state), 0);
		current = waits[i].doing;
		late = agent.rows[row]->refused;
		memcpy(script[0], waits[i].script, sizeof(script[0]));
		*(int64_t *)(void *)((char *)&conf + waits[i].which) = 30;
		run_job(&one_lmtp, "unix:", NULL,
		    (const char *const(*)[OPS_MAX])script);
		hide_path(trace);
		snprintf(want, sizeof(want),
		    "0 deferred 4.4.2 " LSITE " conversation with " LSITE
		    " timed out while %s\ndone %s\n",
		    waits[i].doing, waits[i].site);
		assert_string_equal(trace, want);
		assert_int_equal(agent.rows[row]->refused, late + 1);
		teardown(state);
	}
}

/* No socket, for a reason of the system, or because lookup is silent. */
static void
test_path_fails(void **state)
{
	static const struct {
		int errnum;
		const char *text, *site;
	} reasons[] = {
		{ ENOENT, "No such file or directory", "failed" },
		{ ECONNREFUSED, "Connection refused", "failed" },
		{ EACCES, "Permission denied", "failed" },
		{ EMFILE, "Too many open files", "neutral" },
		{ 0, "Connection timed out", "failed" },
	};
	char want[512];

	for (size_t i = 0; i < ARRAY_LEN(reasons); i++) {
		assert_int_equal(setup(state), 0);
		current = reasons[i].text;
		socket_refused = 1;
		socket_errnum = reasons[i].errnum;
		socket_silent = socket_errnum == 0;
		if (socket_silent)
			conf.lmtp_connect_timeout_ms = 30;
		run_job(&one_lmtp, "unix:", NULL, no_peer);
		hide_path(trace);
		snprintf(want, sizeof(want),
		    "0 deferred 4.4.1  connect to " LSITE ": %s\ndone %s\n",
		    reasons[i].text, reasons[i].site);
		assert_string_equal(trace, want);
		assert_int_equal(agent.conn_pool.in_use, 0);
		teardown(state);
	}
}

/* A full backlog: asked again until there is room. */
static void
test_path_again(void **state)
{
	static const char *const script[][OPS_MAX] = { { LHLO, "C MAIL",
	    "S 250 ok\r\n250 ok\r\n354 go", "D", "S 250 2.0.0 b" } };

	(void)state;
	current = "again";
	socket_refused = 2;
	socket_errnum = EAGAIN;
	run_job(&one_lmtp, "unix:", NULL, script);
	assert_int_equal(socket_count, 3);
	assert_memory_equal(trace, "0 sent", 6);
}

/* The role that connects is away, or dies before it answers. */
static void
test_lookup_restart(void **state)
{
	static const char *const script[][OPS_MAX] = { { LHLO, "C MAIL",
	    "C RCPT", "C DATA", "S 250 ok\r\n250 ok\r\n354 go", "D",
	    "S 250 2.0.0 b", "C MAIL", "C RCPT", "C DATA",
	    "S 250 ok\r\n250 ok\r\n354 go", "D", "S 250 2.0.0 c" } };

	(void)state;
	current = "lookup restart";
	scripts = script;
	socket_silent = true;
	send_job_in(&one_lmtp, 3);
	while (agent.job_pool.in_use == 0)
		assert_int_equal(ev_loop_turn(loop), OK);
	chan_close(lookup);
	lookup = NULL;
	while (agent.lookup != NULL)
		assert_int_equal(ev_loop_turn(loop), OK);
	socket_silent = false;
	connect_lookup();
	run_until_done(1);
	/* The connection is kept: nobody needs to be asked. */
	run_job(&one_lmtp, "unix:", NULL, script);
	assert_int_equal(socket_count, 1);
	hide_path(trace);
	assert_string_equal(trace,
	    "0 sent 2.0.0 " LSITE " 250 2.0.0 b\ndone ok\n"
	    "0 sent 2.0.0 " LSITE " 250 2.0.0 c\ndone ok\n");
}

/* The resolver never answers, or is not there. */
static void
test_dns_timeout(void **state)
{
	static const char want[] =
	    "0 deferred 4.4.3  Host or domain name not found. The resolver "
	    "does not answer\ndone neutral\n";

	(void)state;
	current = "dns timeout";
	conf.dns_timeout_ms = 30 - 5000;
	run_job(&one, "y.test", NULL, no_peer);
	assert_string_equal(trace, want);
	chan_close(dns);
	dns = NULL;
	trace[0] = '\0';
	run_job(&one, "y.test", NULL, no_peer);
	assert_string_equal(trace, want);
}

/* A new resolver is asked again. */
static void
test_dns_restart(void **state)
{
	(void)state;
	current = "dns restart";
	chan_close(dns);
	dns = NULL;
	answer = &null_mx;
	scripts = no_peer;
	send_job_in(&(struct job_in){ NULL, "y.test", { "b@y.test" }, "x\r\n" },
	    3);
	while (agent.job_pool.in_use == 0)
		assert_int_equal(ev_loop_turn(loop), OK);
	assert_int_equal(question_count, 0);
	connect_dns();
	run_until_done(1);
	assert_int_equal(question_count, 1);
	assert_memory_equal(trace, "0 failed 5.1.10", 15);
}

/* ---- limits and losses ---- */

/* The queue goes away in the middle: its jobs are dropped, a new queue is
 * served. */
static void
test_queue_restart(void **state)
{
	static const char *const script[][OPS_MAX] = { { HELLO, "C MAIL", "W" },
		{ HELLO, TAKE }, { NULL } };

	(void)state;
	current = "queue restart";
	scripts = script;
	send_job_in(&one, 3);
	while (peer_count == 0 || peers[0].op != script[0] + 4)
		assert_int_equal(ev_loop_turn(loop), OK);
	chan_close(queue);
	queue = NULL;
	while (agent.job_pool.in_use > 0 || !peers[0].over)
		assert_int_equal(ev_loop_turn(loop), OK);
	connect_queue();
	run_job(&one, NULL, NULL, script);
	assert_memory_equal(trace, "0 sent", 6);
}

/* More jobs than may be: the rest is answered at once, and none is lost. */
static void
test_job_limit(void **state)
{
	static const char *const script[PEERS_MAX][OPS_MAX] = { { HELLO, TAKE },
		{ HELLO, TAKE }, { HELLO, TAKE }, { HELLO, TAKE }, { NULL } };

	(void)state;
	current = "job limit";
	scripts = script;
	for (uint32_t i = 0; i < JOBS_MAX + 1; i++)
		send_job_in(&one, i + 1);
	run_until_done(JOBS_MAX + 1);
	assert_memory_equal(trace, "done neutral too many deliveries at once\n",
	    41);
	assert_int_equal(peer_count, JOBS_MAX);
	assert_false(bad_peer);
}

/* Memory fails at every place: the job is deferred, nothing leaks. */
static void
test_no_memory(void **state)
{
	static const char *const script[PEERS_MAX][OPS_MAX] = { { HELLO, TAKE },
		{ HELLO, TAKE } };

	for (unsigned n = 1; n < 12; n++) {
		assert_int_equal(setup(state), 0);
		current = "no memory";
		/* Not the fake queue's memory, but the agent's. */
		agent.job_acct.max_bytes =
		    agent.job_acct.used_bytes + (int64_t)n * 1024;
		run_job(&one, NULL, NULL, script);
		assert_non_null(strstr(trace, "done "));
		assert_false(bad_peer);
		assert_int_equal(agent.job_pool.in_use, 0);
		teardown(state);
	}
}

/* The segment is not there, or too short: deferred, for our own fault. */
static void
test_no_segment(void **state)
{
	static const char *const script[PEERS_MAX][OPS_MAX] = { { HELLO,
	    "C MAIL", "S 250 ok", "C RCPT", "S 250 ok", "C DATA", "S 354 go",
	    "W" } };
	struct fr_segment_drop drop;

	(void)state;
	current = "no segment";
	scripts = script;
	send_job_in(&one, 1);
	drop.number = segment_number;
	assert_int_equal(send_segment_drop(queue, 0, &drop, -1), OK);
	run_until_done(1);
	assert_non_null(strstr(trace, "0 deferred 4.3.0 "));
	assert_non_null(strstr(trace, "queue file read error"));
}

/* A frame that does not decode closes the channel and is reported. */
static void
test_bad_frame(void **state)
{
	struct fr_job_rcpts r = { SLICE_LIT("junk that is no recipient") };
	struct fr_job j = { .id = 1,
		.rcpt_count = 1,
		.transport = SLICE_LIT("smtp"),
		.nexthop = SLICE_LIT("[127.0.0.1]") };

	(void)state;
	current = "bad frame";
	assert_int_equal(send_job_rcpts(queue, 1, &r, -1), OK);
	assert_int_equal(send_job(queue, 1, &j, -1), OK);
	while (!bad_peer)
		assert_int_equal(ev_loop_turn(loop), OK);
	assert_int_equal(agent.job_pool.in_use, 0);
}

/* Jobs in flight finish, then the agent is drained. */
static void
test_drain(void **state)
{
	static const char *const script[PEERS_MAX][OPS_MAX] = { { HELLO, TAKE,
	    "C QUIT", "W" } };

	(void)state;
	current = "drain";
	scripts = script;
	send_job_in(&one, 1);
	while (peer_count == 0)
		assert_int_equal(ev_loop_turn(loop), OK);
	agent_drain(&agent);
	assert_false(drained);
	run_until_done(1);
	assert_memory_equal(trace, "0 sent", 6);
	while (!drained)
		assert_int_equal(ev_loop_turn(loop), OK);
	assert_int_equal(agent.conn_pool.in_use, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		TEST(test_loop),
		TEST(test_row_34_addresses_of_nobody),
		TEST(test_address_limit),
		cmocka_unit_test(test_session_limit),
		TEST(test_reuse),
		cmocka_unit_test(test_reuse_dies),
		TEST(test_reuse_limits),
		cmocka_unit_test(test_timeouts),
		cmocka_unit_test(test_body_timeout),
		cmocka_unit_test(test_lmtp_timeouts),
		cmocka_unit_test(test_path_fails),
		TEST(test_path_again),
		TEST(test_lookup_restart),
		TEST(test_dns_timeout),
		TEST(test_dns_restart),
		TEST(test_queue_restart),
		TEST(test_job_limit),
		cmocka_unit_test(test_no_memory),
		TEST(test_no_segment),
		TEST(test_bad_frame),
		TEST(test_drain),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
