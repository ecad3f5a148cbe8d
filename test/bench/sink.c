/*
 * sink: an SMTP server that throws mail away and counts it.
 *
 * One process, one thread, epoll.  Answers 250 to everything, offers
 * PIPELINING, 8BITMIME and SIZE.  With -n COUNT it prints a line of figures
 * when so many recipients have arrived and exits; bench.py reads it.
 *
 *   -a        on every address, not only 127.0.0.1, for many destinations;
 *             only loopback is let in
 *   -w COUNT  so many recipients come first and are not counted: the server
 *             warms up; "sink: warm" when they have arrived
 *   -k        go on after COUNT and count anew, a line of figures each time
 *   -u        recipients are nNUMBER@...: the figures say how many different
 *             numbers came, and the first that did not
 *   -f FILE   append each message to FILE and fdatasync before it is answered:
 *             the least that a server must do
 *
 * SIGUSR1: a line of figures now.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
	LINE_BYTES = 1024,
	OUT_BYTES = 65536,
	READ_BYTES = 262144,
	NUMBERS_MAX = 1 << 24, /* with -u */
};

/* Where in the end of data the body stands. */
enum eod { EOD_NONE, EOD_CR, EOD_CRLF, EOD_DOT, EOD_DOT_CR };

struct session {
	int fd;
	bool in_data;
	enum eod eod;
	unsigned rcpts;
	unsigned long number; /* of the last recipient, with -u */
	size_t line_len;
	char line[LINE_BYTES];
};

static int epoll_fd, listen_fd;
static uint64_t message_count, rcpt_count, byte_count, want_count, connections;
static uint64_t warm_count;
static in_addr_t listen_address = INADDR_LOOPBACK;
static int file_fd = -1;
static bool go_on;
static unsigned char *seen; /* by number; NULL: they have none */
static uint64_t seen_count, twice_count;
static int64_t first_ns;
static char out[OUT_BYTES];
static size_t out_len;

static int64_t
now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void
report(void)
{
	struct rusage ru;
	double cpu;

	getrusage(RUSAGE_SELF, &ru);
	cpu = (double)(ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) * 1e6 +
	      (double)(ru.ru_utime.tv_usec + ru.ru_stime.tv_usec);
	printf("{\"messages\": %llu, \"recipients\": %llu, \"bytes\": %llu, "
	       "\"connections\": %llu, \"first_ns\": %lld, \"last_ns\": %lld, "
	       "\"cpu_us\": %.0f",
	    (unsigned long long)message_count, (unsigned long long)rcpt_count,
	    (unsigned long long)byte_count, (unsigned long long)connections,
	    (long long)first_ns, (long long)now_ns(), cpu);
	if (seen != NULL) {
		unsigned long missing = 0;

		while (missing < NUMBERS_MAX && seen[missing])
			missing++;
		printf(", \"distinct\": %llu, \"twice\": %llu, "
		       "\"missing\": %lu",
		    (unsigned long long)seen_count,
		    (unsigned long long)twice_count, missing);
	}
	printf("}\n");
	fflush(stdout);
}

static void
on_usr1(int sig)
{
	(void)sig;
	report();
}

static void
on_term(int sig)
{
	(void)sig;
	report();
	_exit(0);
}

static void
say(const char *text)
{
	size_t len = strlen(text);

	if (out_len + len <= sizeof(out)) {
		memcpy(out + out_len, text, len);
		out_len += len;
	}
}

/* False: QUIT. */
static bool
on_command(struct session *s)
{
	const char *l = s->line;

	if (!strncasecmp(l, "EHLO", 4) || !strncasecmp(l, "LHLO", 4))
		say("250-sink.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n"
		    "250 SIZE 1000000000\r\n");
	else if (!strncasecmp(l, "DATA", 4)) {
		say("354 go ahead\r\n");
		s->in_data = true;
		s->eod = EOD_CRLF;
	} else if (!strncasecmp(l, "QUIT", 4)) {
		say("221 bye\r\n");
		return false;
	} else {
		if (!strncasecmp(l, "RCPT", 4)) {
			s->rcpts++;
			if (seen != NULL && !strncasecmp(l, "RCPT TO:<n", 10))
				s->number = strtoul(l + 10, NULL, 10);
		} else if (!strncasecmp(l, "MAIL", 4))
			s->rcpts = 0;
		say("250 2.0.0 ok\r\n");
	}
	return true;
}

static void
keep(const char *p, size_t len)
{
	if (write(file_fd, p, len) != (ssize_t)len) {
		perror("sink: write");
		exit(75);
	}
}

/* A message is there: count it, or see that the warming up is over. */
static void
on_message(struct session *s)
{
	if (file_fd >= 0 && fdatasync(file_fd) < 0) {
		perror("sink: fdatasync");
		exit(75);
	}
	rcpt_count += s->rcpts;
	message_count++;
	if (seen != NULL && s->number < NUMBERS_MAX) {
		if (seen[s->number])
			twice_count++;
		else
			seen_count++;
		seen[s->number] = 1;
	}
	if (warm_count > 0 && rcpt_count >= warm_count) {
		warm_count = 0;
		rcpt_count = message_count = byte_count = 0;
		fprintf(stderr, "sink: warm\n");
	}
}

/* Bytes of the body taken; in_data is false after the end. */
static size_t
on_body(struct session *s, const char *p, size_t len)
{
	size_t i = 0;

	while (i < len) {
		if (s->eod == EOD_NONE) {
			const char *cr = memchr(p + i, '\r', len - i);

			if (cr == NULL)
				return len;
			i = (size_t)(cr - p) + 1;
			s->eod = EOD_CR;
			continue;
		}
		char c = p[i++];

		if (s->eod == EOD_CRLF && c == '.')
			s->eod = EOD_DOT;
		else if (s->eod == EOD_DOT && c == '\r')
			s->eod = EOD_DOT_CR;
		else if (s->eod == EOD_DOT_CR && c == '\n') {
			s->in_data = false;
			on_message(s);
			say("250 2.0.0 taken\r\n");
			return i;
		} else if (s->eod == EOD_CR && c == '\n')
			s->eod = EOD_CRLF;
		else
			s->eod = c == '\r' ? EOD_CR : EOD_NONE;
	}
	return i;
}

static bool
on_bytes(struct session *s, const char *p, size_t len)
{
	size_t i = 0;

	byte_count += len;
	while (i < len) {
		if (s->in_data) {
			size_t took = on_body(s, p + i, len - i);

			if (file_fd >= 0)
				keep(p + i, took);
			i += took;
			continue;
		}
		char c = p[i++];

		if (c == '\n') {
			s->line[s->line_len < LINE_BYTES ? s->line_len
							 : LINE_BYTES - 1] = 0;
			s->line_len = 0;
			if (!on_command(s))
				return false;
		} else if (s->line_len < LINE_BYTES - 1)
			s->line[s->line_len++] = c;
	}
	return true;
}

static void
on_ready(struct session *s)
{
	static char buf[READ_BYTES];
	ssize_t n = read(s->fd, buf, sizeof(buf));
	bool stay;

	if (n < 0 && errno == EAGAIN)
		return;
	out_len = 0;
	stay = n > 0 && on_bytes(s, buf, (size_t)n);
	/* Replies are small; a peer that never reads them loses them. */
	if (out_len > 0 && write(s->fd, out, out_len) < 0)
		stay = false;
	if (!stay) {
		close(s->fd);
		free(s);
	}
	if (want_count && !warm_count && rcpt_count >= want_count) {
		report();
		if (!go_on)
			exit(0);
		rcpt_count = message_count = byte_count = 0;
	}
}

static void
on_accept(void)
{
	for (int i = 0; i < 64; i++) {
		int one = 1;
		struct sockaddr_in peer = { .sin_family = AF_INET };
		socklen_t len = sizeof(peer);
		int fd = accept4(listen_fd, (struct sockaddr *)&peer, &len,
		    SOCK_NONBLOCK);
		struct session *s = NULL;
		struct epoll_event e = { .events = EPOLLIN };

		if (fd < 0)
			return;
		if (ntohl(peer.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET)
			s = calloc(1, sizeof(*s));
		if (s == NULL) {
			close(fd);
			return;
		}
		if (first_ns == 0)
			first_ns = now_ns();
		connections++;
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		s->fd = fd;
		e.data.ptr = s;
		epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &e);
		if (write(fd, "220 sink.example ESMTP\r\n", 24) < 0)
			continue; /* the read that follows closes it */
	}
}

static _Noreturn void
usage(void)
{
	fprintf(stderr,
	    "usage: sink [-aku] [-n RECIPIENTS] [-w RECIPIENTS] [-f FILE] "
	    "PORT\n");
	exit(64);
}

int
main(int argc, char **argv)
{
	struct sockaddr_in sin = { .sin_family = AF_INET };
	struct epoll_event e = { .events = EPOLLIN }, events[256];
	int one = 1, c;

	while ((c = getopt(argc, argv, "akun:w:f:")) != -1) {
		switch (c) {
		case 'a': listen_address = INADDR_ANY; break;
		case 'k': go_on = true; break;
		case 'u':
			seen = calloc(NUMBERS_MAX, 1);
			if (seen == NULL) {
				perror("sink");
				return 75;
			}
			break;
		case 'n': want_count = strtoull(optarg, NULL, 10); break;
		case 'w': warm_count = strtoull(optarg, NULL, 10); break;
		case 'f':
			file_fd = open(optarg,
			    O_WRONLY | O_CREAT | O_APPEND | O_TRUNC, 0600);
			if (file_fd < 0) {
				perror(optarg);
				return 75;
			}
			break;
		default: usage();
		}
	}
	if (argc - optind != 1)
		usage();
	signal(SIGPIPE, SIG_IGN);
	signal(SIGTERM, on_term);
	signal(SIGUSR1, on_usr1);
	listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	setsockopt(listen_fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	sin.sin_addr.s_addr = htonl(listen_address);
	sin.sin_port = htons((uint16_t)strtoul(argv[optind], NULL, 10));
	if (bind(listen_fd, (struct sockaddr *)&sin, sizeof(sin)) < 0 ||
	    listen(listen_fd, 4096) < 0) {
		perror("sink");
		return 75;
	}
	epoll_fd = epoll_create1(0);
	epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listen_fd, &e);
	fprintf(stderr, "sink: ready\n");
	for (;;) {
		int n = epoll_wait(epoll_fd, events, 256, -1);

		for (int i = 0; i < n; i++) {
			if (events[i].data.ptr == NULL)
				on_accept();
			else
				on_ready(events[i].data.ptr);
		}
	}
}
