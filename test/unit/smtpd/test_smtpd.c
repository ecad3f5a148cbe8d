/*
 * The smtpd process without the others: sessions on socket pairs, and a queue
 * and a lookup that the test plays itself.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "proto/envelope.h"
#include "smtpd/session.h"

enum { TURNS_MAX = 2000, TEXT_MAX = 400000 };

/* What the fake queue knows of the newest transaction. */
struct fake_txn {
	uint32_t tag;
	unsigned rcpts;
	char sender[ADDRESS_BYTES_MAX + 1];
	char last_rcpt[ADDRESS_BYTES_MAX + 1];
	char body[TEXT_MAX];
	size_t len;
	uint64_t committed_bytes;
	uint32_t flags;
};

static struct {
	struct acct acct;
	struct ev_loop *loop;
	const struct conf *conf;
	struct conf_report *report;
	struct server *sv;
	struct chan *queue, *lookup;
	struct fake_txn txn;
	unsigned opened, committed, aborted, resolves;
	uint32_t credit; /* given at READY */
	enum err ready_error, done_error;
	bool hold_ready, hold_done, hold_resolved;
	bool grants;	  /* what is asked for ahead */
	uint32_t granted; /* tag */
	uint32_t held[32];
	unsigned held_count;
	int page_fd;
	bool drained;
	unsigned bad;
} w;

static void
turns(int n)
{
	for (int i = 0; i < n; i++)
		assert_int_equal(ev_loop_turn(w.loop), OK);
}

/* ---- the fake queue ---- */

static void
say_ready(uint32_t tag)
{
	struct fr_txn_ready f = {
		.error = (uint8_t)w.ready_error,
		.id = 77,
		.credit_bytes = w.credit,
	};

	assert_int_equal(send_txn_ready(w.queue, tag, &f, -1), OK);
}

static void
answer_ahead(uint32_t tag)
{
	struct fr_txn_ready f = {
		.error = w.grants ? OK : ERR_FULL,
		.id = 77,
		.credit_bytes = w.credit,
	};

	if (w.grants)
		w.granted = tag;
	assert_int_equal(send_txn_ready(w.queue, tag, &f, -1), OK);
}

static void
say_done(uint32_t tag)
{
	struct fr_txn_done f = { .error = (uint8_t)w.done_error, .id = 77 };

	assert_int_equal(send_txn_done(w.queue, tag, &f, -1), OK);
}

static void
say_credit(uint32_t bytes)
{
	struct fr_txn_credit f = { .bytes = bytes };

	assert_int_equal(send_txn_credit(w.queue, w.txn.tag, &f, -1), OK);
}

static void
copy(char *to, struct slice s)
{
	memcpy(to, s.data, s.len);
	to[s.len] = '\0';
}

static void
on_queue_frame(void *arg, struct chan *c, struct frame *f)
{
	union {
		struct fr_txn_open open;
		struct fr_txn_rcpt rcpt;
		struct fr_txn_body body;
		struct fr_txn_commit commit;
	} u;
	struct envelope e;
	struct envelope_rcpt r;
	struct rd rd;

	(void)arg;
	(void)c;
	switch (f->type) {
	case FRAME_TXN_OPEN:
		assert_true(get_txn_open(f, &u.open));
		rd = rd_of(u.open.envelope);
		assert_true(envelope_get(&rd, &e) && rd_done(&rd));
		memset(&w.txn, 0, offsetof(struct fake_txn, body));
		w.txn.len = 0;
		w.txn.tag = f->tag;
		copy(w.txn.sender, e.sender);
		w.txn.rcpts = u.open.rcpt_count;
		w.opened++;
		break;
	case FRAME_TXN_RCPT:
		assert_true(get_txn_rcpt(f, &u.rcpt));
		for (rd = rd_of(u.rcpt.rcpts); rd.left > 0; w.txn.rcpts--) {
			assert_true(envelope_rcpt_get(&rd, &r));
			copy(w.txn.last_rcpt, r.address);
		}
		if (w.txn.rcpts == 0 && f->tag == w.granted)
			w.granted = 0; /* it was told */
		else if (w.txn.rcpts == 0 && !w.hold_ready)
			say_ready(f->tag);
		break;
	case FRAME_TXN_BODY:
		assert_true(get_txn_body(f, &u.body));
		assert_int_equal(f->tag, w.txn.tag);
		assert_true(u.body.data.len <= w.credit);
		memcpy(w.txn.body + w.txn.len, u.body.data.data,
		    u.body.data.len);
		w.txn.len += u.body.data.len;
		break;
	case FRAME_TXN_COMMIT:
		assert_true(get_txn_commit(f, &u.commit));
		w.txn.committed_bytes = u.commit.body_bytes;
		w.txn.flags = u.commit.flags;
		w.committed++;
		if (!w.hold_done)
			say_done(f->tag);
		if (u.commit.ahead != 0)
			answer_ahead(u.commit.ahead);
		break;
	case FRAME_TXN_ABORT: w.aborted++; break;
	default: fail();
	}
}

static void
on_peer_closed(void *arg, struct chan *c, bool bad, const char *why)
{
	struct chan **slot = arg;

	(void)why;
	assert_false(bad);
	chan_close(c);
	*slot = NULL;
}

/* ---- the fake lookup: the local part says what becomes of it ---- */

static void
say_resolved(uint32_t tag, const char *address)
{
	struct fr_resolved f = { .verdict = RESOLVE_OK };

	if (!strncmp(address, "no", 2))
		f = (struct fr_resolved){
			.verdict = RESOLVE_REFUSE,
			.code = 550,
			.status = SLICE_LIT("5.1.1"),
			.text = SLICE_LIT("<no@v>: Recipient address "
					  "rejected: User unknown"),
		};
	else if (!strncmp(address, "far", 3))
		f.verdict = RESOLVE_REMOTE;
	assert_int_equal(send_resolved(w.lookup, tag, &f, -1), OK);
}

static void
on_lookup_frame(void *arg, struct chan *c, struct frame *f)
{
	struct fr_resolve r;
	char address[ADDRESS_BYTES_MAX + 1];

	(void)arg;
	(void)c;
	assert_true(get_resolve(f, &r));
	w.resolves++;
	copy(address, r.address);
	if (w.hold_resolved)
		w.held[w.held_count++] = f->tag;
	else
		say_resolved(f->tag, address);
}

/* ---- the world ---- */

static void
connect_queue(void)
{
	static const struct chan_events events = { on_queue_frame,
		on_peer_closed, NULL };
	int fd[2];

	assert_int_equal(chan_pair(fd), OK);
	server_set_channel(w.sv, ROLE_QUEUE, 0, fd[0]);
	assert_int_equal(chan_open(w.loop, &w.acct, fd[1], ROLE_QUEUE,
			     ROLE_SMTPD, 0, &events, &w.queue, 1 << 20,
			     &w.queue),
	    OK);
}

static void
connect_lookup(void)
{
	static const struct chan_events events = { on_lookup_frame,
		on_peer_closed, NULL };
	int fd[2];

	assert_int_equal(chan_pair(fd), OK);
	server_set_channel(w.sv, ROLE_LOOKUP, 0, fd[0]);
	assert_int_equal(chan_open(w.loop, &w.acct, fd[1], ROLE_LOOKUP,
			     ROLE_SMTPD, 0, &events, &w.lookup, 1 << 20,
			     &w.lookup),
	    OK);
}

static void
on_drained(void *arg)
{
	(void)arg;
	w.drained = true;
}

static void
on_bad_peer(void *arg, enum role peer, const char *why)
{
	(void)arg;
	(void)peer;
	(void)why;
	w.bad++;
}

static void
world_open(const char *conf)
{
	struct server_events events = { on_drained, on_bad_peer, NULL };

	memset(&w, 0, sizeof(w));
	w.credit = 65536;
	acct_init(&w.acct, NULL, "test", 64 << 20, false, "");
	assert_int_equal(ev_loop_new(&w.acct, &w.loop), OK);
	w.report = conf_report_new(&w.acct);
	assert_int_equal(
	    conf_load_text(&w.acct, slice_str(conf), "test", w.report, &w.conf),
	    OK);
	assert_int_equal(server_new(w.loop, &w.acct, w.conf, 1, &events, &w.sv),
	    OK);
	assert_int_equal(client_page_create(8, 10, &w.page_fd, NULL), OK);
	assert_int_equal(server_set_page(w.sv, w.page_fd, NULL), OK);
	connect_queue();
	connect_lookup();
	server_start(w.sv);
}

static void
world_close(void)
{
	server_free(w.sv);
	turns(3);
	chan_close(w.queue);
	chan_close(w.lookup);
	ev_loop_free(w.loop);
	conf_free(w.conf);
	conf_report_free(&w.acct, w.report);
	close(w.page_fd);
	assert_int_equal(w.bad, 0);
	acct_fini(&w.acct); /* nothing was kept */
}

#define CONF                                                       \
	"myhostname = h.example\nmyorigin = o.example\n"           \
	"mynetworks = 192.0.2.0/24\nqueue_directory = /tmp/none\n" \
	"smtpd_client_event_limit_exceptions =\n"

/* A client at an address; its end of the connection. */
static int
client_at(const char *address, enum listen_kind kind)
{
	struct sockaddr_in peer = { .sin_family = AF_INET };
	struct net_addr a;
	int fd[2];

	assert_int_equal(
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd), 0);
	if (address == NULL) {
		session_new(w.sv, kind, fd[0], NULL);
		return fd[1];
	}
	assert_true(net_addr_parse(slice_str(address), &a));
	memcpy(&peer.sin_addr, a.octets, 4);
	session_new(w.sv, kind, fd[0], (struct sockaddr *)&peer);
	return fd[1];
}

static void
say(int fd, const char *text)
{
	size_t len = strlen(text);

	while (len > 0) {
		ssize_t n = write(fd, text, len);

		if (n > 0) {
			text += n;
			len -= (size_t)n;
		}
		turns(1);
	}
	turns(12);
}

static char heard_text[TEXT_MAX];

/* All that the client can read now. */
static const char *
heard(int fd)
{
	size_t len = 0;
	ssize_t n;

	turns(12);
	while (
	    (n = read(fd, heard_text + len, sizeof(heard_text) - len - 1)) > 0)
		len += (size_t)n;
	if (n == 0)
		len += (size_t)snprintf(heard_text + len,
		    sizeof(heard_text) - len, "[closed]");
	heard_text[len] = '\0';
	return heard_text;
}

#define assert_hears(fd, text) assert_string_equal(heard(fd), text)

static int
greeted(const char *address)
{
	int fd = client_at(address, LISTEN_SMTP);

	assert_hears(fd, "220 h.example ESMTP Weir\r\n");
	say(fd, "HELO c.example\r\n");
	assert_hears(fd, "250 h.example\r\n");
	return fd;
}

#define OK_MAIL "250 2.1.0 Ok\r\n"
#define OK_RCPT "250 2.1.5 Ok\r\n"
#define GO354	"354 End data with <CR><LF>.<CR><LF>\r\n"
#define QUEUED	"250 2.0.0 Ok: queued as 77\r\n"
#define START	"MAIL FROM:<s@x>\r\nRCPT TO:<a@v>\r\n"

static void
test_message(void **state)
{
	int fd;

	(void)state;
	world_open(CONF);
	fd = greeted("198.51.100.1");
	say(fd, START "RCPT TO:<no@v>\r\nRCPT TO:<far@w>\r\nDATA\r\n");
	assert_hears(fd, OK_MAIL OK_RCPT
	    "550 5.1.1 <no@v>: Recipient address rejected: User unknown\r\n"
	    "554 5.7.1 <far@w>: Relay access denied\r\n" GO354);
	say(fd, "Message-ID: <m@x>\r\n\r\n..dot\r\n.\r\nQUIT\r\n");
	assert_hears(fd, QUEUED "221 2.0.0 Bye\r\n[closed]");
	assert_string_equal(w.txn.sender, "s@x");
	assert_string_equal(w.txn.last_rcpt, "a@v");
	w.txn.body[w.txn.len] = '\0';
	assert_memory_equal(w.txn.body,
	    "Received: from c.example (unknown "
	    "[198.51.100.1])\r\n\tby h.example "
	    "(Weir) with SMTP id 77\r\n\tfor "
	    "<a@v>; ",
	    100);
	assert_non_null(
	    strstr(w.txn.body, "\r\nMessage-ID: <m@x>\r\n\r\n.dot\r\n"));
	assert_int_equal(w.txn.committed_bytes, w.txn.len);
	assert_int_equal(w.txn.flags, ENVELOPE_DOT_LINE);
	assert_int_equal(w.sv->sessions.in_use, 0);
	assert_int_equal(w.sv->tags.in_use, 0);
	close(fd);
	world_close();
}

static void
test_trusted_and_bare(void **state)
{
	int fd;

	(void)state;
	world_open(CONF);
	fd = greeted("192.0.2.9");
	say(fd, "MAIL FROM:<root>\r\nRCPT TO:<far@w>\r\n"
		"RCPT TO:<Postmaster>\r\nRCPT TO:<bob>\r\nDATA\r\n");
	assert_hears(fd, OK_MAIL OK_RCPT OK_RCPT OK_RCPT GO354);
	assert_string_equal(w.txn.sender, "root@o.example");
	assert_string_equal(w.txn.last_rcpt, "bob@o.example");
	say(fd, ".\r\n");
	assert_hears(fd, QUEUED);
	/* The trace field alone. */
	assert_true(w.txn.len > 50);
	close(fd);
	turns(3);
	assert_int_equal(w.sv->sessions.in_use, 0);
	world_close();
}

static void
test_local_and_lmtp(void **state)
{
	int fd;

	(void)state;
	world_open(CONF);
	fd = client_at(NULL, LISTEN_LOCAL);
	assert_hears(fd, "220 h.example ESMTP Weir\r\n");
	say(fd, "EHLO l\n" START "DATA\n");
	assert_non_null(strstr(heard(fd), OK_MAIL OK_RCPT GO354));
	say(fd, "a: b\n\nc\n.\r\n.\r\n");
	assert_hears(fd, QUEUED);
	assert_memory_equal(w.txn.body,
	    "Received: by h.example (Weir, from "
	    "userid ",
	    42);
	close(fd);
	fd = client_at(NULL, LISTEN_LMTP);
	(void)heard(fd);
	say(fd, "LHLO l\r\n" START "RCPT TO:<b@v>\r\nDATA\r\n");
	(void)heard(fd);
	say(fd, "x\r\n.\r\n");
	assert_hears(fd, QUEUED QUEUED);
	close(fd);
	world_close();
}

static char big[TEXT_MAX];

/* A body larger than the credit: never more is sent than was granted, and the
 * client is not read meanwhile. */
static void
test_credit(void **state)
{
	size_t sent = 0, len = 300000, stalled = 0;
	int fd;

	(void)state;
	world_open(CONF);
	w.credit = 20000;
	fd = greeted("198.51.100.1");
	say(fd, START "DATA\r\n");
	assert_hears(fd, OK_MAIL OK_RCPT GO354);
	for (size_t i = 0; i < len; i++)
		big[i] = i % 70 == 68 ? '\r' : i % 70 == 69 ? '\n' : 'x';
	memcpy(big + len - 5, "\r\n.\r\n", 5);
	while (sent < len) {
		ssize_t n = write(fd, big + sent, len - sent);

		if (n > 0)
			sent += (size_t)n;
		turns(30);
		if (n <= 0 || sent == len) {
			assert_int_equal(w.txn.len, w.credit);
			say_credit(30000);
			w.credit += 30000;
			stalled++;
		}
	}
	for (int i = 0; i < 20; i++) {
		say_credit(30000);
		w.credit += 30000;
		turns(30);
	}
	assert_hears(fd, QUEUED);
	assert_true(stalled >= 1);
	assert_int_equal(w.committed, 1);
	assert_true(w.txn.len > len - 10);
	assert_int_equal(w.txn.committed_bytes, w.txn.len);
	close(fd);
	world_close();
}

/* The queue says no at each of its turns. */
static void
test_queue_refuses(void **state)
{
	int fd;

	(void)state;
	world_open(CONF);
	fd = greeted("198.51.100.1");
	w.ready_error = ERR_NOSPACE;
	say(fd, START "DATA\r\n");
	assert_hears(fd,
	    OK_MAIL OK_RCPT "452 4.3.1 Insufficient system storage\r\n");
	say(fd, "RSET\r\n");
	assert_hears(fd, "250 2.0.0 Ok\r\n");

	w.ready_error = OK;
	w.done_error = ERR_IO;
	say(fd, START "DATA\r\n");
	(void)heard(fd);
	say(fd, "x\r\n.\r\n");
	assert_hears(fd, "451 4.3.0 Error: queue file write error\r\n");

	/* Before the end of the body. */
	w.done_error = ERR_NOSPACE;
	say(fd, START "DATA\r\n");
	(void)heard(fd);
	say(fd, "x\r\n");
	say_done(w.txn.tag);
	turns(3);
	say(fd, "y\r\n.\r\n");
	assert_hears(fd, "452 4.3.1 Insufficient system storage\r\n");
	assert_int_equal(w.committed, 1);
	assert_int_equal(w.sv->tags.in_use, 0);

	/* Announced. */
	struct fr_queue_state f = { .error = ERR_NOSPACE };
	assert_int_equal(send_queue_state(w.queue, 0, &f, -1), OK);
	turns(5);
	say(fd, "MAIL FROM:<>\r\n");
	assert_hears(fd, "452 4.3.1 Insufficient system storage\r\n");
	f.error = OK;
	assert_int_equal(send_queue_state(w.queue, 0, &f, -1), OK);
	turns(5);
	say(fd, "MAIL FROM:<>\r\n");
	assert_hears(fd, OK_MAIL);
	close(fd);
	world_close();
}

static void
drop_queue(void)
{
	chan_close(w.queue);
	w.queue = NULL;
	turns(5);
}

/* Nothing more goes to the queue, which does not read. */
static void
fill_channel(void)
{
	struct fr_txn_abort f = { 0 };

	chan_pause(w.queue, true);
	while (chan_room(w.sv->queue) > CHAN_RESERVE_BYTES) {
		while (chan_room(w.sv->queue) > CHAN_RESERVE_BYTES)
			assert_int_equal(
			    send_txn_abort(w.sv->queue, 4711, &f, -1), OK);
		turns(1);
	}
}

/* With many clients the channel is full because all of them send: DATA waits
 * for room, strangers behind the others; it is not refused. */
static void
test_queue_is_busy(void **state)
{
	enum { CLIENTS = 6 };
	int fd[CLIENTS];

	(void)state;
	world_open(CONF);
	for (int i = 0; i < CLIENTS; i++)
		fd[i] = greeted(i == 0 ? "198.51.100.1" : "192.0.2.7");
	fill_channel();
	for (int i = 0; i < CLIENTS; i++) {
		say(fd[i], i == 0 ? "MAIL FROM:<stranger@x>\r\n"
				    "RCPT TO:<a@v>\r\nDATA\r\n"
				  : START "DATA\r\n");
		assert_hears(fd[i], "");
	}
	assert_int_equal(w.opened, 0);
	chan_pause(w.queue, false);
	for (int i = 0; i < TURNS_MAX && w.opened < CLIENTS; i++)
		turns(1);
	for (int i = 0; i < CLIENTS; i++) {
		assert_hears(fd[i], OK_MAIL OK_RCPT GO354);
		close(fd[i]);
	}
	assert_int_equal(w.opened, CLIENTS);
	assert_string_equal(w.txn.sender, "stranger@x");
	turns(5);
	assert_int_equal(w.sv->tags.in_use, 0);

	/* The queue dies meanwhile. */
	fd[0] = greeted("192.0.2.7");
	fill_channel();
	say(fd[0], START "DATA\r\n");
	assert_hears(fd[0], "");
	drop_queue();
	assert_hears(fd[0],
	    OK_MAIL OK_RCPT "451 4.3.0 Error: queue file write error\r\n");
	close(fd[0]);
	world_close();
}

/* A message is handed in: by the steps of one who does not pipeline. */
static void
hand_in(int fd, const char *start)
{
	say(fd, start);
	(void)heard(fd);
	say(fd, "DATA\r\n");
	assert_hears(fd, GO354);
	say(fd, "x\r\n.\r\n");
	assert_hears(fd, QUEUED);
}

/* After the first message a transaction is granted, and the next needs no
 * answer to begin. */
static void
test_ahead(void **state)
{
	int fd;

	(void)state;
	world_open(CONF);
	w.grants = true;
	fd = greeted("192.0.2.1");
	hand_in(fd, START);
	assert_int_equal(w.opened, 1);
	assert_int_not_equal(w.granted, 0);

	w.hold_ready = true;
	say(fd, START);
	(void)heard(fd);
	say(fd, "DATA\r\n");
	assert_hears(fd, GO354);
	assert_int_equal(w.opened, 1); /* it goes with the body */
	say(fd, "x\r\n.\r\n");
	assert_hears(fd, QUEUED);
	assert_int_equal(w.opened, 2);
	assert_string_equal(w.txn.last_rcpt, "a@v");
	assert_int_equal(w.txn.committed_bytes, w.txn.len);

	/* Given up before anything of it was sent. */
	say(fd, START);
	(void)heard(fd);
	say(fd, "DATA\r\n");
	assert_hears(fd, GO354);
	close(fd);
	turns(5);
	assert_int_equal(w.opened, 2);
	assert_int_equal(w.aborted, 1);
	assert_int_equal(w.sv->tags.in_use, 0);
	world_close();
}

/* What is not like most mail is opened in the ordinary way. */
static void
test_ahead_unfit(void **state)
{
	static const char many[] = START "RCPT TO:<b@v>\r\nRCPT TO:<c@v>\r\n"
					 "RCPT TO:<d@v>\r\nRCPT TO:<e@v>\r\n";
	uint32_t granted;
	int fd, stranger;

	(void)state;
	world_open(CONF);
	w.grants = true;
	fd = greeted("192.0.2.1");
	hand_in(fd, START);
	granted = w.granted;
	hand_in(fd, many);
	assert_int_equal(w.sv->ahead[0].tag, granted);
	stranger = greeted("198.51.100.9");
	hand_in(stranger, START);
	assert_int_equal(w.sv->ahead[0].tag, granted);
	assert_int_equal(w.aborted, 0);
	close(fd);
	close(stranger);
	world_close();
}

/* Strangers in the middle of something are not counted against those whom we
 * trust; one more of these is. */
static void
test_ahead_among_strangers(void **state)
{
	int fd, strangers[3], fds[AHEAD_MAX];

	(void)state;
	world_open(CONF);
	fd = greeted("198.51.100.9");
	hand_in(fd, START);
	close(fd);
	turns(5);
	w.grants = true;
	for (int i = 0; i < 3; i++) {
		strangers[i] = greeted("198.51.100.9");
		say(strangers[i], START);
		(void)heard(strangers[i]);
	}
	fd = greeted("198.51.100.9");
	hand_in(fd, START);
	assert_int_equal(w.granted, 0); /* it was one of many */
	close(fd);
	turns(5);
	for (int i = 0; i < AHEAD_MAX; i++) {
		fds[i] = greeted("192.0.2.1");
		if (i == AHEAD_MAX - 1)
			hand_in(fds[i], START);
		say(fds[i], START);
		(void)heard(fds[i]);
	}
	assert_int_not_equal(w.granted, 0);
	assert_int_equal(w.sv->trusted_txns, AHEAD_MAX);

	/* Nor do they take it, proven as they are by now. */
	w.opened = 0;
	say(strangers[0], "DATA\r\n");
	assert_hears(strangers[0], GO354);
	assert_int_equal(w.opened, 1);
	say(fds[0], "DATA\r\n");
	assert_hears(fds[0], GO354);
	assert_int_equal(w.opened, 1);

	for (int i = 0; i < 3; i++)
		close(strangers[i]);
	for (int i = 0; i < AHEAD_MAX; i++)
		close(fds[i]);
	turns(5);
	assert_int_equal(w.sv->trusted_txns, 0);
	world_close();
}

/* What nobody wants is given back. */
static void
test_ahead_returned(void **state)
{
	struct fr_queue_state f = { .error = ERR_NOSPACE };
	struct ahead *a;
	int fd;

	(void)state;
	world_open(CONF);
	a = &w.sv->ahead[0];
	w.grants = true;
	fd = greeted("192.0.2.1");
	hand_in(fd, START);
	ahead_each_second(w.sv);
	turns(3);
	assert_int_equal(w.aborted, 0);
	a->since = mono_add(a->since, -1000);
	ahead_each_second(w.sv);
	turns(3);
	assert_int_equal(w.aborted, 1);
	assert_int_equal(a->tag, TAG_NONE);

	/* The queue is short of something. */
	hand_in(fd, START);
	assert_int_equal(send_queue_state(w.queue, 0, &f, -1), OK);
	turns(5);
	assert_int_equal(w.aborted, 2);
	f.error = OK;
	assert_int_equal(send_queue_state(w.queue, 0, &f, -1), OK);
	turns(5);

	/* The queue died; then it refuses. */
	hand_in(fd, START);
	assert_int_not_equal(a->tag, TAG_NONE);
	drop_queue();
	assert_int_equal(a->tag, TAG_NONE);
	assert_int_equal(w.sv->tags.in_use, 0);
	connect_queue();
	w.grants = false;
	hand_in(fd, START);
	assert_int_equal(w.sv->tags.in_use, 0);

	/* This role ends. */
	w.grants = true;
	hand_in(fd, START);
	server_drain(w.sv);
	turns(3);
	assert_int_equal(w.aborted, 3);
	assert_int_equal(w.sv->tags.in_use, 0);
	close(fd);
	world_close();
}

/* The queue's process dies at each moment of a transaction. */
static void
test_queue_lost(void **state)
{
	int fd;

	(void)state;
	world_open(CONF);
	fd = greeted("198.51.100.1");
	w.hold_ready = true;
	say(fd, START "DATA\r\n");
	drop_queue();
	assert_hears(fd,
	    OK_MAIL OK_RCPT "451 4.3.0 Error: queue file write error\r\n");
	say(fd, "RSET\r\nMAIL FROM:<>\r\n");
	assert_hears(fd, "250 2.0.0 Ok\r\n"
			 "451 4.3.0 Error: mail queue is not available\r\n");

	connect_queue();
	w.hold_ready = false;
	say(fd, START "DATA\r\n");
	assert_hears(fd, OK_MAIL OK_RCPT GO354);
	say(fd, "x\r\n");
	drop_queue();
	say(fd, "y\r\n.\r\n");
	assert_hears(fd, "451 4.3.0 Error: queue file write error\r\n");

	connect_queue();
	w.hold_done = true;
	say(fd, START "DATA\r\n");
	(void)heard(fd);
	say(fd, "x\r\n.\r\n");
	assert_hears(fd, "");
	drop_queue();
	assert_hears(fd, "451 4.3.0 Error: queue file write error\r\n");

	/* Whole again. */
	connect_queue();
	w.hold_done = false;
	say(fd, START "DATA\r\n");
	(void)heard(fd);
	say(fd, "x\r\n.\r\n");
	assert_hears(fd, QUEUED);
	close(fd);
	world_close();
}

static void
test_lookup_lost_and_late(void **state)
{
	int fd;

	(void)state;
	world_open(CONF);
	fd = greeted("198.51.100.1");
	w.hold_resolved = true;
	say(fd, START "RCPT TO:<b@v>\r\nNOOP\r\n");
	assert_int_equal(w.held_count, 2);
	/* In reverse order; the replies keep theirs. */
	say_resolved(w.held[1], "no@v");
	turns(5);
	say_resolved(w.held[0], "a@v");
	assert_hears(fd, OK_MAIL OK_RCPT
	    "550 5.1.1 <no@v>: Recipient address rejected: User unknown\r\n"
	    "250 2.0.0 Ok\r\n");
	say(fd, "RCPT TO:<c@v>\r\n");
	chan_close(w.lookup);
	w.lookup = NULL;
	turns(5);
	assert_hears(fd, "451 4.3.0 <c@v>: Temporary lookup failure\r\n");
	say(fd, "RCPT TO:<c@v>\r\n");
	assert_hears(fd, "451 4.3.0 <c@v>: Temporary lookup failure\r\n");
	connect_lookup();
	/* An answer to a question of before finds nobody. */
	say_resolved(w.held[0], "a@v");
	turns(3);
	close(fd);
	world_close();
}

static void
test_client_goes_away(void **state)
{
	int fd;

	(void)state;
	world_open(CONF);
	fd = greeted("198.51.100.1");
	say(fd, START "DATA\r\n");
	(void)heard(fd);
	say(fd, "x\r\n");
	close(fd);
	turns(5);
	assert_int_equal(w.aborted, 1);
	/* With a commit under way nothing is aborted. */
	w.hold_done = true;
	fd = greeted("198.51.100.1");
	say(fd, START "DATA\r\n");
	(void)heard(fd);
	say(fd, "x\r\n.\r\n");
	close(fd);
	say_done(w.txn.tag);
	turns(10);
	assert_int_equal(w.aborted, 1);
	assert_int_equal(w.sv->sessions.in_use, 0);
	assert_int_equal(w.sv->txns.in_use, 0);
	assert_int_equal(w.sv->tags.in_use, 0);
	world_close();
}

static uint32_t name_tag;
static char name_address[65];

static void
on_dns_frame(void *arg, struct chan *c, struct frame *f)
{
	struct fr_dns_name q;

	(void)arg;
	(void)c;
	assert_true(get_dns_name(f, &q));
	copy(name_address, q.address);
	name_tag = f->tag;
}

static struct chan *
connect_dns(struct chan **slot)
{
	static const struct chan_events events = { on_dns_frame, on_peer_closed,
		NULL };
	int fd[2];

	assert_int_equal(chan_pair(fd), OK);
	server_set_channel(w.sv, ROLE_DNS, 0, fd[0]);
	assert_int_equal(chan_open(w.loop, &w.acct, fd[1], ROLE_DNS, ROLE_SMTPD,
			     0, &events, slot, 1 << 16, slot),
	    OK);
	return *slot;
}

/* The greeting and HELO do not wait for the client's name, MAIL does. */
static void
test_name(void **state)
{
	struct fr_dns_named f = { .verdict = DNS_FOUND,
		.name = SLICE_LIT("c.example.net") };
	struct chan *dns;
	int fd;

	(void)state;
	world_open(CONF);
	connect_dns(&dns);
	fd = greeted("198.51.100.1");
	assert_string_equal(name_address, "198.51.100.1");
	say(fd, START "DATA\r\n");
	assert_hears(fd, "");
	assert_int_equal(send_dns_named(dns, name_tag, &f, -1), OK);
	assert_hears(fd, OK_MAIL OK_RCPT GO354);
	say(fd, "x\r\n.\r\n");
	assert_hears(fd, QUEUED);
	assert_memory_equal(w.txn.body,
	    "Received: from c.example (c.example.net [198.51.100.1])", 55);
	close(fd);
	/* A name that is none, an answer that is late, a role that goes. */
	fd = greeted("198.51.100.1");
	f.name = SLICE_LIT("bad name");
	assert_int_equal(send_dns_named(dns, name_tag, &f, -1), OK);
	assert_int_equal(send_dns_named(dns, name_tag, &f, -1), OK);
	say(fd, "MAIL FROM:<>\r\n");
	assert_hears(fd, OK_MAIL);
	close(fd);
	fd = greeted("198.51.100.1");
	say(fd, "MAIL FROM:<>\r\n");
	assert_hears(fd, "");
	chan_close(dns);
	turns(5);
	assert_hears(fd, OK_MAIL);
	close(fd);
	/* Gone while it is asked. */
	connect_dns(&dns);
	fd = client_at("198.51.100.1", LISTEN_SMTP);
	close(fd);
	turns(5);
	assert_int_equal(send_dns_named(dns, name_tag, &f, -1), OK);
	turns(5);
	assert_int_equal(w.sv->tags.in_use, 0);
	chan_close(dns);
	world_close();
}

/* A new configuration holds for sessions that are open, too. */
static void
test_reload(void **state)
{
	const struct conf *next;
	int fd;

	(void)state;
	world_open(CONF);
	fd = greeted("198.51.100.1");
	assert_int_equal(conf_load_text(&w.acct,
			     slice_str(CONF "message_size_limit = 10\n"),
			     "test", w.report, &next),
	    OK);
	server_reload(w.sv, next);
	conf_free(w.conf);
	w.conf = next;
	say(fd, "MAIL FROM:<> SIZE=11\r\n");
	assert_hears(fd, "552 5.3.4 Message size exceeds fixed limit\r\n");
	close(fd);
	world_close();
}

/* Bodies that are refused give their reservation back at once. */
static void
test_refused_body(void **state)
{
	int fd;

	(void)state;
	world_open(CONF "message_size_limit = 1000\n");
	fd = greeted("198.51.100.1");
	say(fd, START "DATA\r\n");
	(void)heard(fd);
	memset(big, 'x', 1200);
	big[1200] = '\0';
	say(fd, big);
	assert_int_equal(w.aborted, 1);
	say(fd, "\r\n.\r\n");
	assert_hears(fd, "552 5.3.4 Error: message too big\r\n");
	say(fd, START "DATA\r\n");
	(void)heard(fd);
	say(fd, "a\nb\r\n.\r\nNOOP\r\n");
	assert_int_equal(w.aborted, 2);
	assert_hears(fd,
	    "550 5.5.2 Error: bare <CR> or <LF> received\r\n[closed]");
	close(fd);
	world_close();
}

/* BDAT, all in one packet. */
static void
test_pipelined_bdat(void **state)
{
	int fd;

	(void)state;
	world_open(CONF);
	fd = greeted("198.51.100.1");
	say(fd, START "BDAT 3\r\nabcBDAT 5 LAST\r\nde\r\nfQUIT\r\n");
	assert_hears(fd, OK_MAIL OK_RCPT "250 2.0.0 Ok\r\n" QUEUED
					 "221 2.0.0 Bye\r\n[closed]");
	assert_memory_equal(w.txn.body + w.txn.len - 8, "abcde\r\nf", 8);
	assert_int_equal(w.txn.flags, ENVELOPE_NO_FINAL_EOL);
	close(fd);
	world_close();
}

static void
test_gate_and_counts(void **state)
{
	int fd[8], extra;

	(void)state;
	/* 8 sessions in all, 6 for the unproven, 3 for each client. */
	world_open(CONF "smtpd_client_connection_count_limit = 3\n"
			"unproven_share = 80\n");
	for (int i = 0; i < 3; i++)
		fd[i] = greeted("198.51.100.1");
	extra = client_at("198.51.100.1", LISTEN_SMTP);
	assert_hears(extra, "421 4.7.0 too many connections\r\n[closed]");
	close(extra);
	for (int i = 3; i < 6; i++)
		fd[i] = greeted("198.51.100.2");
	extra = client_at("198.51.100.3", LISTEN_SMTP);
	assert_hears(extra,
	    "421 4.3.2 Service busy, try again later\r\n[closed]");
	close(extra);
	/* Good mail moves a client to the others. */
	say(fd[0], START "DATA\r\n");
	(void)heard(fd[0]);
	say(fd[0], "x\r\n.\r\n");
	assert_hears(fd[0], QUEUED);
	fd[6] = greeted("198.51.100.3");
	fd[7] = greeted("192.0.2.1");
	assert_true(clients_full(w.sv, false));
	assert_false(clients_full(w.sv, true));
	close(fd[3]);
	turns(3);
	assert_false(clients_full(w.sv, false));
	for (int i = 0; i < 8; i++)
		if (i != 3)
			close(fd[i]);
	turns(3);
	assert_int_equal(client_page_held(&w.sv->page, 1), 0);
	world_close();
}

static void
test_rates(void **state)
{
	int fd;

	(void)state;
	world_open(CONF "smtpd_client_message_rate_limit = 1\n"
			"smtpd_client_recipient_rate_limit = 2\n");
	fd = greeted("198.51.100.1");
	say(fd, START "RCPT TO:<b@v>\r\nRCPT TO:<c@v>\r\nRSET\r\n"
		      "MAIL FROM:<>\r\n");
	assert_hears(fd, OK_MAIL OK_RCPT OK_RCPT
	    "450 4.7.1 Error: too many recipients for now\r\n"
	    "250 2.0.0 Ok\r\n450 4.7.1 Error: too much mail\r\n");
	close(fd);
	world_close();
}

static void
test_drain(void **state)
{
	int idle, busy;

	(void)state;
	world_open(CONF);
	idle = greeted("198.51.100.1");
	busy = greeted("198.51.100.1");
	say(busy, START "DATA\r\n");
	(void)heard(busy);
	server_drain(w.sv);
	assert_hears(idle,
	    "421 4.3.2 Service shutting down, try again later\r\n[closed]");
	assert_false(w.drained);
	say(busy, "x\r\n.\r\nNOOP\r\n");
	assert_hears(busy, QUEUED
	    "421 4.3.2 Service shutting down, try again later\r\n[closed]");
	assert_true(w.drained);
	close(idle);
	close(busy);
	world_close();
}

/* A client that sends commands and never reads: it is not read either, and
 * what waits for it is bounded. */
static void
test_client_that_does_not_read(void **state)
{
	static const char line[] = "VRFY somebody\r\n";
	size_t sent = 0;
	int fd;

	(void)state;
	world_open(CONF "smtpd_junk_command_limit = 1000000\n");
	fd = greeted("198.51.100.1");
	for (int i = 0; i < 100000; i++) {
		ssize_t n = write(fd, line, sizeof(line) - 1);

		if (n > 0)
			sent += (size_t)n;
		if (i % 100 == 0)
			turns(1);
	}
	turns(10);
	assert_true(sent < 4 << 20);
	assert_true(w.sv->acct->used_bytes < 4 << 20);
	assert_int_equal(w.sv->sessions.in_use, 1);
	assert_true(strlen(heard(fd)) > 1000);
	close(fd);
	turns(5);
	assert_int_equal(w.sv->sessions.in_use, 0);
	world_close();
}

#define TWO_ERRORS "NONSENSE\r\nNONSENSE\r\n"
#define TEN_ERRORS TWO_ERRORS TWO_ERRORS TWO_ERRORS TWO_ERRORS TWO_ERRORS

static struct session *
only_session(void)
{
	assert_int_equal(w.sv->sessions.in_use, 1);
	return CONTAINER(list_first(&w.sv->open_sessions), struct session,
	    node);
}

/* The machine has ended the session, the client leaves its last replies
 * unread: the transaction is over, and what becomes of the queue is nothing
 * to it. */
static void
test_over_but_not_read(void **state)
{
	static const char fill[4096];
	struct session *s;
	int fd;

	(void)state;
	world_open(CONF "smtpd_error_sleep_time = 0\n");
	fd = greeted("198.51.100.1");
	say(fd, START "BDAT 4\r\nabcd");
	(void)heard(fd);
	s = only_session();
	while (send(s->fd, fill, sizeof(fill), MSG_DONTWAIT) > 0)
		continue;
	say(fd, TEN_ERRORS TEN_ERRORS TEN_ERRORS);
	assert_int_equal(s->m.state, SMTPS_CLOSED);
	assert_int_equal(s->wait, WAIT_WRITE);
	assert_int_equal(w.aborted, 1);
	assert_int_equal(w.sv->txns.in_use, 0);
	drop_queue();
	assert_int_equal(w.sv->sessions.in_use, 1);
	close(fd);
	turns(5);
	assert_int_equal(w.sv->sessions.in_use, 0);
	world_close();
}

/* A place that was taken and forgotten is found within a minute and free
 * again; those that sessions hold stay. */
static void
test_gate_leak(void **state)
{
	const struct client_rules rules = { .unproven_max = 100 };
	const struct client_key key = { { 9 } };
	uint32_t leaked = CLIENT_NO_SLOT;
	int fd;

	(void)state;
	world_open(CONF);
	fd = greeted("192.0.2.1");
	assert_int_equal(client_page_enter(&w.sv->page, w.sv->index, &key,
			     &rules, ev_now(w.loop), &leaked),
	    CLIENT_IN);
	assert_int_equal(client_page_held(&w.sv->page, w.sv->index), 2);
	for (int i = 0; i < 60; i++)
		clients_each_second(w.sv);
	assert_int_equal(client_page_held(&w.sv->page, w.sv->index), 1);
	say(fd, "NOOP\r\n");
	assert_hears(fd, "250 2.0.0 Ok\r\n");
	close(fd);
	turns(5);
	assert_int_equal(client_page_held(&w.sv->page, w.sv->index), 0);
	world_close();
}

/* Strangers that came before the overload, and only sit there, have little
 * time left too; those that are trusted keep theirs. */
static void
test_overload(void **state)
{
	struct list_node *n;
	int fd[8];

	(void)state;
	world_open(CONF "unproven_share = 100\n");
	fd[0] = greeted("192.0.2.1");
	for (int i = 1; i < 8; i++)
		fd[i] = greeted("198.51.100.1");
	clients_each_second(w.sv);
	assert_int_equal(w.sv->ladder.step, LADDER_CLOSED);
	n = list_first(&w.sv->open_sessions);
	for (; n != NULL; n = list_next(&w.sv->open_sessions, n)) {
		struct session *s = CONTAINER(n, struct session, node);
		int64_t left_ms = mono_sub(s->deadline, ev_now(w.loop));

		if (s->trusted)
			assert_true(left_ms > STRESS_TIMEOUT_MS);
		else
			assert_true(left_ms <= STRESS_TIMEOUT_MS);
	}
	for (int i = 0; i < 8; i++)
		close(fd[i]);
	turns(5);
	world_close();
}

/* Allocations fail one after the other: the session is answered or closed,
 * the process goes on, nothing is kept. */
static void
test_no_memory(void **state)
{
	static const char text[] =
	    "HELO a\r\n" START "BDAT 4 LAST\r\nab\r\nQUIT\r\n";

	(void)state;
	for (unsigned n = 1; n < 40; n++) {
		int fd;

		world_open(CONF);
		fd = client_at("198.51.100.1", LISTEN_SMTP);
		turns(3);
		mem_fail_after(n);
		(void)!write(fd, text, sizeof(text) - 1);
		turns(20);
		mem_fail_after(0);
		close(fd);
		turns(5);
		assert_int_equal(w.sv->sessions.in_use, 0);
		assert_int_equal(w.sv->txns.in_use, 0);
		assert_int_equal(w.sv->tags.in_use, 0);
		world_close();
	}
}

static void
test_idle_size(void **state)
{
	int fd;

	(void)state;
	print_message("  session %zu bytes, transaction %zu bytes\n",
	    sizeof(struct session), sizeof(struct txn));
	assert_true(sizeof(struct session) <= 800);
	world_open(CONF);
	fd = greeted("198.51.100.1");
	say(fd, START "DATA\r\n");
	say(fd, "x\r\n.\r\n");
	(void)heard(fd);
	struct session *s =
	    CONTAINER(list_first(&w.sv->open_sessions), struct session, node);
	assert_null(s->in.data);
	assert_null(s->out.data);
	assert_null(s->txn);
	close(fd);
	world_close();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_message),
		cmocka_unit_test(test_trusted_and_bare),
		cmocka_unit_test(test_local_and_lmtp),
		cmocka_unit_test(test_credit),
		cmocka_unit_test(test_queue_refuses),
		cmocka_unit_test(test_queue_is_busy),
		cmocka_unit_test(test_queue_lost),
		cmocka_unit_test(test_ahead),
		cmocka_unit_test(test_ahead_unfit),
		cmocka_unit_test(test_ahead_among_strangers),
		cmocka_unit_test(test_ahead_returned),
		cmocka_unit_test(test_lookup_lost_and_late),
		cmocka_unit_test(test_client_goes_away),
		cmocka_unit_test(test_name),
		cmocka_unit_test(test_reload),
		cmocka_unit_test(test_refused_body),
		cmocka_unit_test(test_pipelined_bdat),
		cmocka_unit_test(test_gate_and_counts),
		cmocka_unit_test(test_rates),
		cmocka_unit_test(test_drain),
		cmocka_unit_test(test_client_that_does_not_read),
		cmocka_unit_test(test_over_but_not_read),
		cmocka_unit_test(test_overload),
		cmocka_unit_test(test_gate_leak),
		cmocka_unit_test(test_no_memory),
		cmocka_unit_test(test_idle_size),
	};

	return cmocka_run_group_tests_name("smtpd", tests, NULL, NULL);
}
