/*
 * slow: a crowd of clients that send a byte a second.
 *
 * CLIENTS connections from ADDRESSES addresses (127.1.0.1 upward, so that a
 * server with mynetworks = 127.0.0.1/32 sees strangers).  Each sends one byte
 * of an SMTP command every second and reads nothing but the end.  One that
 * is refused or closed comes back after WAIT seconds.  Runs until SIGTERM,
 * then prints a line of figures that bench.py reads.
 *
 * The second is cut into TICKS; in each tick a share of the clients has its
 * turn, so that the crowd is a steady stream and not a burst.
 */
#include <arpa/inet.h>
#include <errno.h>
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
	CLIENTS_MAX = 50000,
	ADDRESSES_MAX = 60000,
	TICKS = 50, /* in a second */
	FIRST_ADDRESS = 0x7f010001,
};

struct client {
	int fd;	     /* -1: closed */
	unsigned at; /* next byte of the text */
	uint64_t back_tick;
};

static const char text[] = "EHLO slow.example\r\nMAIL FROM:<slow@slow.example>"
			   "\r\nRCPT TO:<user0@sink.example>\r\n";
static struct sockaddr_in target;
static unsigned client_count = 5000, address_count = 1000, wait_s = 10;
static struct client *clients;
static int epoll_fd;
static uint64_t tick, opened, ended, failed, bytes, inside;
static volatile sig_atomic_t over;

static void
on_term(int sig)
{
	(void)sig;
	over = 1;
}

static int64_t
now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void
client_open(struct client *c)
{
	struct sockaddr_in from = { .sin_family = AF_INET };
	struct epoll_event e = { .events = EPOLLIN, .data.ptr = c };
	unsigned n = (unsigned)(c - clients) % address_count;
	int one = 1;

	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	if (c->fd < 0) {
		perror("slow: socket");
		exit(75);
	}
	from.sin_addr.s_addr = htonl(FIRST_ADDRESS + n);
	setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one,
	    sizeof(one));
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	opened++;
	inside++;
	c->at = 0;
	if (bind(c->fd, (struct sockaddr *)&from, sizeof(from)) < 0 ||
	    (connect(c->fd, (struct sockaddr *)&target, sizeof(target)) < 0 &&
		errno != EINPROGRESS)) {
		perror("slow: connect");
		exit(75);
	}
	epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &e);
}

static void
client_close(struct client *c, bool by_error)
{
	close(c->fd);
	c->fd = -1;
	inside--;
	ended++;
	failed += by_error;
	c->back_tick = tick + (uint64_t)wait_s * TICKS;
}

static void
client_turn(struct client *c)
{
	ssize_t n;

	if (c->fd < 0) {
		if (tick >= c->back_tick)
			client_open(c);
		return;
	}
	n = send(c->fd, &text[c->at], 1, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (n == 1) {
		bytes++;
		c->at = (c->at + 1) % (sizeof(text) - 1);
	} else if (n < 0 && errno != EAGAIN && errno != ENOTCONN)
		client_close(c, true);
}

static void
client_read(struct client *c)
{
	char buf[1024];
	ssize_t n;

	if (c->fd < 0)
		return;
	n = read(c->fd, buf, sizeof(buf));
	if (n == 0 || (n < 0 && errno != EAGAIN))
		client_close(c, n < 0);
}

static void
turns(void)
{
	unsigned share = (client_count + TICKS - 1) / TICKS;
	unsigned from = (unsigned)(tick % TICKS) * share;

	for (unsigned i = from; i < from + share && i < client_count; i++)
		client_turn(&clients[i]);
	tick++;
	if (tick == TICKS)
		fprintf(stderr, "slow: ready\n");
}

static void
crowd(void)
{
	const int64_t tick_ns = 1000000000 / TICKS;
	int64_t next = now_ns();
	struct epoll_event events[256];

	while (!over) {
		int64_t left = next - now_ns();

		if (left <= 0) {
			turns();
			next += tick_ns;
			continue;
		}
		int n = epoll_wait(epoll_fd, events, 256,
		    (int)(left / 1000000) + 1);
		for (int i = 0; i < n; i++)
			client_read(events[i].data.ptr);
	}
}

static void
usage(void)
{
	fprintf(stderr,
	    "usage: slow [-c CLIENTS] [-a ADDRESSES] [-w WAIT_S] PORT\n");
	exit(64);
}

static unsigned
number(const char *s, unsigned max)
{
	char *end;
	unsigned long v = strtoul(s, &end, 10);

	if (*s == '\0' || *end != '\0' || v == 0 || v > max)
		usage();
	return (unsigned)v;
}

int
main(int argc, char **argv)
{
	struct rlimit files;
	struct rusage ru;
	int64_t from;
	int c;

	while ((c = getopt(argc, argv, "c:a:w:")) != -1) {
		switch (c) {
		case 'c': client_count = number(optarg, CLIENTS_MAX); break;
		case 'a': address_count = number(optarg, ADDRESSES_MAX); break;
		case 'w': wait_s = number(optarg, 3600); break;
		default: usage();
		}
	}
	if (argc - optind != 1)
		usage();
	signal(SIGTERM, on_term);
	signal(SIGINT, on_term);
	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	target.sin_family = AF_INET;
	target.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	target.sin_port = htons((uint16_t)number(argv[optind], 65535));
	clients = calloc(client_count, sizeof(*clients));
	epoll_fd = epoll_create1(0);
	if (clients == NULL || epoll_fd < 0) {
		perror("slow");
		return 75;
	}
	for (unsigned i = 0; i < client_count; i++)
		clients[i].fd = -1;
	from = now_ns();
	crowd();
	getrusage(RUSAGE_SELF, &ru);
	printf("{\"seconds\": %.3f, \"opened\": %llu, \"ended\": %llu, "
	       "\"failed\": %llu, \"inside\": %llu, \"bytes\": %llu, "
	       "\"cpu_ms\": %ld}\n",
	    (double)(now_ns() - from) / 1e9, (unsigned long long)opened,
	    (unsigned long long)ended, (unsigned long long)failed,
	    (unsigned long long)inside, (unsigned long long)bytes,
	    (ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) * 1000 +
		(ru.ru_utime.tv_usec + ru.ru_stime.tv_usec) / 1000);
	return 0;
}
