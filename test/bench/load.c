/*
 * load: a load generator for SMTP.
 *
 * One process, one thread, epoll.  Keeps SESSIONS sessions busy until COUNT
 * messages were answered 250, then prints one line of figures that
 * bench.py reads: messages, seconds, CPU, latencies, refusals.
 *
 * Happy path of a session: connect, 220, EHLO, then for each message MAIL
 * (with SIZE=, as mail servers do; who is not told reserves room for the
 * largest), RCPT..., DATA, body, 250; QUIT after each message or at the end.
 * What it sends to must know SIZE (RFC 1870).
 * Any reply other than the expected one counts as a refusal: the session
 * closes and a new one starts, at most ERROR_MAX times in a run.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum {
	SESSIONS_MAX = 20000,
	RCPTS_MAX = 1000,
	DESTINATIONS_MAX = 10000,
	REPLY_BYTES = 2048,
	COMMAND_BYTES = 131072,
	ERROR_MAX = 1000000,
};

enum step { CONNECTING, BANNER, EHLO, MAIL, RCPT, DATA, BODY, QUIT };

struct session {
	int fd; /* -1: closed */
	enum step step;
	unsigned replies_due; /* final reply lines awaited in this step */
	char line[REPLY_BYTES];
	size_t line_len;
	const char *out; /* what is left to write: commands, then the body */
	size_t out_left;
	size_t body_left;
	int64_t started_ns;
	unsigned sent_count; /* messages on this connection */
};

/* ---- options ---- */
static struct sockaddr_storage target;
static socklen_t target_len;
static unsigned session_count = 50;
static uint64_t message_count = 1000;
static size_t body_bytes = 4096;
static unsigned rcpt_count = 1;
static unsigned per_connection = 1; /* 0: no limit */
static unsigned destination_count;  /* 0: every message has the same rcpts */
static bool pipelining;
static const char *sender = "bench@client.example";
static const char *rcpt_format = "user%u@sink.example";

/* ---- state ---- */
static struct session *sessions;
static int epoll_fd;
static char *body; /* with dot at its end */
static size_t body_len;
static char commands_mail[512], commands_rcpt[COMMAND_BYTES];
static size_t commands_rcpt_len;
static char (*commands_destination)[320]; /* RCPT for each, with -d */
static char *commands_all;		  /* MAIL, RCPT..., DATA in one */
static size_t commands_all_len;
static uint64_t begun, done, refused, lost, turn_count;
static uint64_t *latency_us;

static int64_t
now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static _Noreturn void
die(const char *what)
{
	fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
	exit(75);
}

static void
want(struct session *s, uint32_t events, int op)
{
	struct epoll_event e = { .events = events, .data.ptr = s };

	if (epoll_ctl(epoll_fd, op, s->fd, &e) < 0)
		die("epoll_ctl");
}

static void
session_open(struct session *s)
{
	int one = 1;

	memset(s, 0, sizeof(*s));
	s->fd = socket(target.ss_family, SOCK_STREAM | SOCK_NONBLOCK, 0);
	if (s->fd < 0)
		die("socket");
	setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	s->step = CONNECTING;
	s->started_ns = now_ns();
	if (connect(s->fd, (struct sockaddr *)&target, target_len) < 0 &&
	    errno != EINPROGRESS && errno != EAGAIN)
		die("connect");
	want(s, EPOLLOUT, EPOLL_CTL_ADD);
}

static void
session_close(struct session *s)
{
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
	if (begun < message_count)
		session_open(s);
}

static void
session_lost(struct session *s, bool was_refused)
{
	if (s->step > EHLO && s->step < QUIT)
		begun--; /* this message goes again */
	if (was_refused)
		refused++;
	else
		lost++;
	if (refused + lost > ERROR_MAX) {
		fprintf(stderr, "load: too many errors\n");
		exit(75);
	}
	session_close(s);
}

/* Write what is left; the body follows the commands of its step. */
static void
session_write(struct session *s)
{
	while (s->out_left > 0 || s->body_left > 0) {
		struct iovec v[2];
		int n = 0;
		ssize_t w;

		if (s->out_left > 0) {
			v[n].iov_base = (void *)(uintptr_t)s->out;
			v[n++].iov_len = s->out_left;
		}
		if (s->body_left > 0) {
			v[n].iov_base = body + body_len - s->body_left;
			v[n++].iov_len = s->body_left;
		}
		w = writev(s->fd, v, n);
		if (w < 0 && errno == EAGAIN) {
			want(s, EPOLLIN | EPOLLOUT, EPOLL_CTL_MOD);
			return;
		}
		if (w < 0) {
			session_lost(s, false);
			return;
		}
		if ((size_t)w >= s->out_left) {
			w -= (ssize_t)s->out_left;
			s->out_left = 0;
			s->body_left -= (size_t)w;
		} else {
			s->out += w;
			s->out_left -= (size_t)w;
		}
	}
}

static void
send_step(struct session *s, enum step step, const char *out, size_t len,
    unsigned replies)
{
	s->step = step;
	s->out = out;
	s->out_left = len;
	s->replies_due = replies;
	session_write(s);
}

static void
next_message(struct session *s)
{
	if (begun >= message_count ||
	    (per_connection && s->sent_count >= per_connection)) {
		send_step(s, QUIT, "QUIT\r\n", 6, 1);
		return;
	}
	begun++;
	if (s->sent_count > 0)
		s->started_ns = now_ns();
	s->sent_count++;
	if (pipelining)
		send_step(s, DATA, commands_all, commands_all_len,
		    rcpt_count + 2);
	else
		send_step(s, MAIL, commands_mail, strlen(commands_mail), 1);
}

/* With -d, messages take the destinations in turn. */
static void
send_rcpts(struct session *s)
{
	const char *one;

	if (destination_count == 0) {
		send_step(s, RCPT, commands_rcpt, commands_rcpt_len,
		    rcpt_count);
		return;
	}
	one = commands_destination[turn_count++ % destination_count];
	send_step(s, RCPT, one, strlen(one), 1);
}

static void
step_done(struct session *s)
{
	switch (s->step) {
	case CONNECTING: break;
	case BANNER:
		send_step(s, EHLO, "EHLO client.example\r\n", 21, 1);
		break;
	case EHLO: next_message(s); break;
	case MAIL: send_rcpts(s); break;
	case RCPT: send_step(s, DATA, "DATA\r\n", 6, 1); break;
	case DATA:
		s->step = BODY;
		s->replies_due = 1;
		s->body_left = body_len;
		session_write(s);
		break;
	case BODY:
		latency_us[done++] =
		    (uint64_t)(now_ns() - s->started_ns) / 1000;
		next_message(s);
		break;
	case QUIT: session_close(s); break;
	}
}

/* One whole reply line.  False: the session is gone. */
static bool
on_line(struct session *s, const char *line, size_t len)
{
	bool ok;

	if (len < 4 || line[3] == '-')
		return true;
	/* The replies of MAIL and RCPT may precede DATA's 354. */
	ok = line[0] == '2' ||
	     (line[0] == '3' && s->step == DATA && s->replies_due == 1);
	if (!ok) {
		if (refused == 0)
			fprintf(stderr, "load: refused: %.*s\n", (int)len,
			    line);
		session_lost(s, true);
		return false;
	}
	if (--s->replies_due == 0) {
		int fd = s->fd;

		step_done(s);
		return s->fd == fd && s->step != CONNECTING;
	}
	return true;
}

static void
session_read(struct session *s)
{
	char buf[16384];
	ssize_t n = read(s->fd, buf, sizeof(buf));

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		session_lost(s, false);
		return;
	}
	for (ssize_t i = 0; i < n; i++) {
		if (buf[i] != '\n') {
			if (s->line_len < sizeof(s->line))
				s->line[s->line_len++] = buf[i];
			continue;
		}
		size_t len = s->line_len;

		s->line_len = 0;
		if (!on_line(s, s->line, len))
			return;
	}
}

static void
on_ready(struct session *s, uint32_t events)
{
	if (s->step == CONNECTING) {
		int err = 0;
		socklen_t len = sizeof(err);

		getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &err, &len);
		if (err) {
			session_lost(s, false);
			return;
		}
		s->step = BANNER;
		s->replies_due = 1;
		want(s, EPOLLIN, EPOLL_CTL_MOD);
		return;
	}
	if (events & EPOLLOUT) {
		want(s, EPOLLIN, EPOLL_CTL_MOD);
		session_write(s);
		if (s->fd < 0 || s->step == CONNECTING)
			return;
	}
	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		session_read(s);
}

/* "RCPT TO:<ADDRESS>\r\n": in the format %u is the number. */
static size_t
make_rcpt(char *to, size_t size, unsigned number)
{
	size_t len = (size_t)snprintf(to, size, "RCPT TO:<");

	for (const char *f = rcpt_format; *f != '\0' && len < size; f++) {
		if (f[0] == '%' && f[1] == 'u') {
			len += (size_t)snprintf(to + len, size - len, "%u",
			    number);
			f++;
		} else
			to[len++] = *f;
	}
	if (len < size)
		len += (size_t)snprintf(to + len, size - len, ">\r\n");
	if (len >= size) {
		fprintf(stderr, "load: recipients too long or too many\n");
		exit(64);
	}
	return len;
}

static void
make_destinations(void)
{
	commands_destination =
	    calloc(destination_count + 1, sizeof(*commands_destination));
	if (commands_destination == NULL)
		die("malloc");
	for (unsigned i = 0; i < destination_count; i++)
		(void)make_rcpt(commands_destination[i],
		    sizeof(*commands_destination), i);
}

static void
make_texts(void)
{
	size_t len, size = body_bytes + 1024;

	body = malloc(size);
	if (body == NULL)
		die("malloc");
	len = (size_t)snprintf(body, size,
	    "From: <%s>\r\nTo: undisclosed-recipients:;\r\n"
	    "Subject: load\r\nDate: Sun, 22 Nov 2026 08:55:57 +0000\r\n"
	    "Message-ID: <load.%d@client.example>\r\n\r\n",
	    sender, (int)getpid());
	while (len + 80 < body_bytes) {
		memset(body + len, 'a' + (int)(len / 80 % 26), 78);
		memcpy(body + len + 78, "\r\n", 2);
		len += 80;
	}
	while (len + 2 < body_bytes)
		body[len++] = 'z';
	memcpy(body + len, "\r\n.\r\n", 5);
	body_len = len + 5;
	snprintf(commands_mail, sizeof(commands_mail),
	    "MAIL FROM:<%s> SIZE=%zu\r\n", sender, body_len - strlen(".\r\n"));
	len = 0;
	for (unsigned i = 0; i < rcpt_count; i++)
		len += make_rcpt(commands_rcpt + len,
		    sizeof(commands_rcpt) - len, i);
	commands_rcpt_len = len;
	commands_all = malloc(sizeof(commands_mail) + len + 16);
	if (commands_all == NULL)
		die("malloc");
	commands_all_len =
	    (size_t)snprintf(commands_all, sizeof(commands_mail) + len + 16,
		"%s%sDATA\r\n", commands_mail, commands_rcpt);
}

static int
compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static void
usage(void)
{
	fprintf(stderr,
	    "usage: load [-s SESSIONS] [-n MESSAGES] [-l BYTES] [-r RCPTS]\n"
	    "            [-m PER_CONNECTION] [-P | -d DESTINATIONS] [-f "
	    "SENDER]\n"
	    "            [-t RCPT_FORMAT] HOST PORT\n"
	    "  -m 0  as many messages as there are on each connection\n"
	    "  -P    MAIL, RCPT and DATA in one packet\n"
	    "  -d    one recipient, numbered from 0 to DESTINATIONS - 1 in "
	    "turn\n"
	    "  -t    recipients; %%u is the number of the recipient\n");
	exit(64);
}

static void
set_target(const char *host, const char *port)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *ai;

	if (getaddrinfo(host, port, &hints, &ai) != 0) {
		fprintf(stderr, "load: unknown address %s %s\n", host, port);
		exit(64);
	}
	memcpy(&target, ai->ai_addr, ai->ai_addrlen);
	target_len = ai->ai_addrlen;
	freeaddrinfo(ai);
}

static void
report(int64_t started, int64_t ended)
{
	struct rusage ru;
	double seconds = (double)(ended - started) / 1e9;
	double cpu;

	getrusage(RUSAGE_SELF, &ru);
	cpu = (double)(ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) * 1e6 +
	      (double)(ru.ru_utime.tv_usec + ru.ru_stime.tv_usec);
	qsort(latency_us, done, sizeof(*latency_us), compare);
	printf("{\"messages\": %llu, \"seconds\": %.6f, \"per_second\": %.1f, "
	       "\"cpu_us_per_message\": %.1f, \"refused\": %llu, "
	       "\"lost\": %llu, \"p50_us\": %llu, \"p99_us\": %llu, "
	       "\"max_us\": %llu, \"started_ns\": %lld, \"ended_ns\": %lld}\n",
	    (unsigned long long)done, seconds, (double)done / seconds,
	    cpu / (double)done, (unsigned long long)refused,
	    (unsigned long long)lost, (unsigned long long)latency_us[done / 2],
	    (unsigned long long)latency_us[done * 99 / 100],
	    (unsigned long long)latency_us[done - 1], (long long)started,
	    (long long)ended);
}

static uint64_t
number(const char *s, uint64_t max)
{
	char *end;
	unsigned long long v = strtoull(s, &end, 10);

	if (*s == '\0' || *end != '\0' || v > max)
		usage();
	return v;
}

int
main(int argc, char **argv)
{
	struct epoll_event events[256];
	int64_t started;
	int c;

	while ((c = getopt(argc, argv, "s:n:l:r:m:Pd:f:t:")) != -1) {
		switch (c) {
		case 's':
			session_count = (unsigned)number(optarg, SESSIONS_MAX);
			break;
		case 'n': message_count = number(optarg, 100000000); break;
		case 'l': body_bytes = number(optarg, 1u << 30); break;
		case 'r':
			rcpt_count = (unsigned)number(optarg, RCPTS_MAX);
			break;
		case 'm':
			per_connection = (unsigned)number(optarg, 1000000);
			break;
		case 'P': pipelining = true; break;
		case 'd':
			destination_count =
			    (unsigned)number(optarg, DESTINATIONS_MAX);
			break;
		case 'f': sender = optarg; break;
		case 't': rcpt_format = optarg; break;
		default: usage();
		}
	}
	if (argc - optind != 2 || session_count == 0 || message_count == 0 ||
	    (destination_count && (pipelining || rcpt_count != 1)))
		usage();
	set_target(argv[optind], argv[optind + 1]);
	make_texts();
	make_destinations();
	if (session_count > message_count)
		session_count = (unsigned)message_count;
	sessions = calloc(session_count, sizeof(*sessions));
	latency_us = calloc(message_count, sizeof(*latency_us));
	epoll_fd = epoll_create1(0);
	if (sessions == NULL || latency_us == NULL || epoll_fd < 0)
		die("start");
	started = now_ns();
	for (unsigned i = 0; i < session_count; i++)
		session_open(&sessions[i]);
	while (done < message_count) {
		int n = epoll_wait(epoll_fd, events, 256, 60000);

		if (n < 0 && errno != EINTR)
			die("epoll_wait");
		if (n == 0) {
			fprintf(stderr,
			    "load: nothing moved for 60 s (%llu of %llu)\n",
			    (unsigned long long)done,
			    (unsigned long long)message_count);
			return 75;
		}
		for (int i = 0; i < n; i++)
			on_ready(events[i].data.ptr, events[i].events);
	}
	report(started, now_ns());
	return 0;
}
