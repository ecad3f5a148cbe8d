/*
 * raid: one kind of attack, from many addresses at once.
 *
 * raid [-c CLIENTS] [-a ADDRESSES] [-w WAIT_MS] [-b BYTES_PER_S] KIND PORT
 *
 * CLIENTS connections from ADDRESSES addresses (127.1.0.1 upward, so that a
 * server with mynetworks = 127.0.0.1/32 sees strangers) do what the table of
 * kinds says.  One that is refused, closed or done comes back after WAIT_MS.
 * Together they send at most BYTES_PER_S: their line, which on a loopback
 * interface would have no bound.  Runs until SIGTERM, then prints one object
 * of figures that siege.py reads.
 *
 * A client connects, waits for the greeting, sends the opening words of its
 * kind, waits until the server says what they ask for, and then sends the
 * kind's block again and again until bytes_max.
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
	TICK_MS = 20,
	BLOCK_BYTES = 65536,
	PIECE_BYTES = 16384, /* of one client in one turn */
	FIRST_ADDRESS = 0x7f010001,
	MEGA = 1000000,
};

#define HELLO	 "EHLO raid.example\r\n"
#define MAIL	 "MAIL FROM:<raid@raid.example>\r\n"
#define RCPT	 "RCPT TO:<x@junk.example>\r\n"
#define BODY_ASK HELLO MAIL RCPT "DATA\r\n"

struct kind {
	const char *name;
	const char *opening; /* after the greeting; NULL: nothing, ever */
	const char *until;   /* begins the reply line that lets it go on */
	const char *first;   /* once, before the blocks; NULL: nothing */
	const char *unit;    /* repeated to make the block; NULL: none */
	uint64_t bytes_max;  /* of blocks, then it hangs up */
	bool deaf;	     /* does not read the replies */
	bool slow;	     /* the opening goes out a byte a second */
	bool vanishes;	     /* then it is gone without a FIN */
};

static const struct kind kinds[] = {
	{ .name = "idle" },
	{ .name = "slow", .opening = BODY_ASK, .slow = true },
	{ .name = "half-open",
	    .opening = HELLO,
	    .until = "250 ",
	    .vanishes = true },
	{ .name = "line",
	    .opening = BODY_ASK,
	    .until = "354",
	    .unit = "x",
	    .bytes_max = 100 * (uint64_t)MEGA },
	{ .name = "command",
	    .opening = HELLO,
	    .until = "250 ",
	    .unit = "x",
	    .bytes_max = 100 * (uint64_t)MEGA },
	{ .name = "headers",
	    .opening = BODY_ASK,
	    .until = "354",
	    .unit = "X-Raid: y\r\n",
	    .bytes_max = 11 * (uint64_t)MEGA },
	{ .name = "fields",
	    .opening = BODY_ASK,
	    .until = "354",
	    .first = "X-Long: a",
	    .unit = "\r\n y",
	    .bytes_max = 64 * (uint64_t)MEGA },
	{ .name = "recipients",
	    .opening = HELLO MAIL,
	    .until = "250 2.1.0",
	    .unit = "RCPT TO:<u00000000000000000000000000@junk.example>\r\n",
	    .bytes_max = 52 * (uint64_t)MEGA },
	{ .name = "bdat",
	    .opening = HELLO MAIL RCPT,
	    .until = "250 2.1.5",
	    .unit = "BDAT 1\r\nx",
	    .bytes_max = 10 * (uint64_t)MEGA },
	{ .name = "bdat-huge",
	    .opening = HELLO MAIL RCPT "BDAT 4000000000\r\n",
	    .until = "250 2.1.5",
	    .unit = "x",
	    .bytes_max = 4000 * (uint64_t)MEGA },
	{ .name = "flood",
	    .opening = HELLO,
	    .until = "250 ",
	    .unit = "NOOP\r\nRSET\r\nHELP\r\nVRFY a\r\nXYZZY\r\n",
	    .bytes_max = 10 * (uint64_t)MEGA,
	    .deaf = true },
	{ .name = "mail",
	    .opening = HELLO,
	    .until = "250 ",
	    .unit = MAIL "RCPT TO:<x@stall.example>\r\n"
			 "BDAT 23 LAST\r\nSubject: raid\r\n\r\nraid\r\n",
	    .bytes_max = MEGA },
	{ .name = "commands",
	    .opening = HELLO,
	    .until = "250 ",
	    .unit = MAIL "RCPT TO:<hang@command.example>\r\n"
			 "RCPT TO:<fill@command.example>\r\n"
			 "BDAT 23 LAST\r\nSubject: raid\r\n\r\nraid\r\n",
	    .bytes_max = MEGA },
};

enum step { AWAY, CONNECTING, BANNER, OPENING, BLOCKS, SITTING };

struct client {
	int fd; /* -1: away */
	enum step step;
	size_t at;	 /* in the opening, or in the block */
	uint64_t sent;	 /* of blocks */
	uint64_t due_ms; /* back again, or the next slow byte */
	bool stuck;	 /* the server does not take more now */
	char line[64];	 /* how the current reply line begins */
	size_t line_len;
};

static const struct kind *kind;
static struct sockaddr_in target;
static unsigned client_count = 100, address_count = 100, wait_ms = 1000;
static uint64_t bytes_per_s = 12500000;
static struct client *clients;
static char block[BLOCK_BYTES + 256];
static size_t block_len;
static int epoll_fd;
static uint64_t now, opened, refused, ended, failed, bytes, done;
static volatile sig_atomic_t over;

static void
on_term(int sig)
{
	(void)sig;
	over = 1;
}

static uint64_t
now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void
client_leave(struct client *c)
{
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
	c->step = AWAY;
	c->due_ms = now + wait_ms;
}

static void
client_open(struct client *c)
{
	struct sockaddr_in from = { .sin_family = AF_INET };
	struct epoll_event e = { .events = EPOLLIN | EPOLLOUT | EPOLLET,
		.data.ptr = c };
	unsigned n = (unsigned)(c - clients) % address_count;
	int one = 1;

	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	if (c->fd < 0) {
		perror("raid: socket");
		exit(75);
	}
	from.sin_addr.s_addr = htonl(FIRST_ADDRESS + n);
	setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one,
	    sizeof(one));
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	opened++;
	c->step = CONNECTING;
	c->at = c->sent = c->line_len = 0;
	c->stuck = false;
	if (bind(c->fd, (struct sockaddr *)&from, sizeof(from)) < 0 ||
	    (connect(c->fd, (struct sockaddr *)&target, sizeof(target)) < 0 &&
		errno != EINPROGRESS) ||
	    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &e) < 0) {
		failed++;
		client_leave(c);
	}
}

/* Its host went away: the server is told nothing. */
static void
vanish(struct client *c)
{
	int one = 1;

	if (setsockopt(c->fd, IPPROTO_TCP, TCP_REPAIR, &one, sizeof(one)) < 0)
		shutdown(c->fd, SHUT_WR); /* not root: half closed at least */
	client_leave(c);
}

/* Up to len bytes; how many the server took.  The client may be gone then. */
static size_t
put(struct client *c, const char *data, size_t len)
{
	ssize_t n = send(c->fd, data, len, MSG_NOSIGNAL);

	if (n >= 0) {
		bytes += (uint64_t)n;
		return (size_t)n;
	}
	if (errno == EAGAIN) {
		c->stuck = true;
		return 0;
	}
	ended++;
	client_leave(c);
	return 0;
}

static void
say_opening(struct client *c)
{
	size_t len = strlen(kind->opening);

	if (c->at < len)
		c->at +=
		    put(c, kind->opening + c->at, kind->slow ? 1 : len - c->at);
	c->due_ms = now + 1000;
}

static void
go_on(struct client *c)
{
	if (kind->vanishes)
		vanish(c);
	else if (kind->unit != NULL) {
		if (kind->first != NULL)
			(void)put(c, kind->first, strlen(kind->first));
		if (c->fd < 0)
			return;
		c->step = BLOCKS;
		c->at = 0;
	} else
		c->step = SITTING;
}

static void
on_line(struct client *c)
{
	c->line[c->line_len] = '\0';
	if (strncmp(c->line, "421", 3) == 0) {
		refused++;
		client_leave(c);
	} else if (c->step == BANNER && strncmp(c->line, "220 ", 4) == 0) {
		c->step = kind->opening != NULL ? OPENING : SITTING;
		if (c->step == OPENING)
			say_opening(c);
	} else if (c->step == OPENING && kind->until != NULL &&
		   strncmp(c->line, kind->until, strlen(kind->until)) == 0) {
		go_on(c);
	} else if (c->step == OPENING && c->line[0] >= '4') {
		refused++;
		client_leave(c);
	}
}

static void
on_readable(struct client *c)
{
	static char buf[65536];

	while (c->step > CONNECTING) {
		ssize_t n;

		if (kind->deaf && c->step == BLOCKS)
			return;
		n = recv(c->fd, buf, sizeof(buf), 0);
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0) {
			ended++;
			client_leave(c);
			return;
		}
		for (ssize_t i = 0; i < n && c->step > CONNECTING; i++) {
			if (buf[i] == '\n') {
				on_line(c);
				c->line_len = 0;
			} else if (c->line_len < sizeof(c->line) - 1) {
				c->line[c->line_len++] = buf[i];
			}
		}
	}
}

static void
on_ready(struct client *c, uint32_t events)
{
	if (c->fd < 0)
		return;
	if (events & EPOLLOUT)
		c->stuck = false;
	if (c->step == CONNECTING) {
		int err = 0;
		socklen_t len = sizeof(err);

		getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &err, &len);
		if (err != 0 || (events & (EPOLLERR | EPOLLHUP))) {
			failed++;
			client_leave(c);
			return;
		}
		if (events & EPOLLOUT)
			c->step = BANNER;
	}
	if (events & (EPOLLERR | EPOLLHUP) && kind->deaf) {
		ended++;
		client_leave(c);
		return;
	}
	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		on_readable(c);
}

/* One piece of its blocks. */
static void
send_piece(struct client *c, uint64_t *budget)
{
	size_t len = block_len - c->at, n;

	if (len > PIECE_BYTES)
		len = PIECE_BYTES;
	if (len > *budget)
		len = (size_t)*budget;
	n = put(c, block + c->at, len);
	if (c->fd < 0)
		return;
	*budget -= n;
	c->at = (c->at + n) % block_len;
	c->sent += n;
	if (c->sent >= kind->bytes_max) {
		done++;
		client_leave(c);
	}
}

static void
each_tick(void)
{
	static unsigned next;
	uint64_t budget = bytes_per_s * TICK_MS / 1000;
	unsigned idle = 0;

	for (unsigned i = 0; i < client_count; i++) {
		struct client *c = &clients[i];

		if (c->step == AWAY && now >= c->due_ms)
			client_open(c);
		else if (c->step == OPENING && kind->slow && now >= c->due_ms)
			say_opening(c);
	}
	/* Round after round until the line is full or nobody can send. */
	while (kind->unit != NULL && budget > 0 && idle < client_count) {
		struct client *c = &clients[next++ % client_count];

		if (c->step == BLOCKS && !c->stuck) {
			send_piece(c, &budget);
			idle = 0;
		} else {
			idle++;
		}
	}
}

static void
report(void)
{
	unsigned inside = 0;

	for (unsigned i = 0; i < client_count; i++)
		inside += clients[i].step > BANNER;
	printf("{\"kind\": \"%s\", \"opened\": %llu, \"inside\": %u, "
	       "\"refused\": %llu, \"ended\": %llu, \"failed\": %llu, "
	       "\"done\": %llu, \"bytes\": %llu}\n",
	    kind->name, (unsigned long long)opened, inside,
	    (unsigned long long)refused, (unsigned long long)ended,
	    (unsigned long long)failed, (unsigned long long)done,
	    (unsigned long long)bytes);
	fflush(stdout);
}

static void
run(void)
{
	uint64_t next_tick = now_ms();

	while (!over) {
		struct epoll_event events[512];
		int n, left;

		now = now_ms();
		if (now >= next_tick) {
			each_tick();
			next_tick += TICK_MS;
			if (next_tick < now)
				next_tick = now + TICK_MS;
		}
		left = next_tick > now ? (int)(next_tick - now) : 0;
		n = epoll_wait(epoll_fd, events, 512, left);
		now = now_ms();
		for (int i = 0; i < n; i++)
			on_ready(events[i].data.ptr, events[i].events);
	}
}

static _Noreturn void
usage(void)
{
	fprintf(stderr, "usage: raid [-c CLIENTS] [-a ADDRESSES] [-w WAIT_MS] "
			"[-b BYTES_PER_S] KIND PORT\nkinds:");
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		fprintf(stderr, " %s", kinds[i].name);
	fputc('\n', stderr);
	exit(64);
}

static void
choose(const char *name)
{
	size_t unit;

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (strcmp(kinds[i].name, name) == 0)
			kind = &kinds[i];
	if (kind == NULL)
		usage();
	unit = kind->unit != NULL ? strlen(kind->unit) : 0;
	while (unit > 0 && block_len + unit <= BLOCK_BYTES) {
		memcpy(block + block_len, kind->unit, unit);
		block_len += unit;
	}
}

int
main(int argc, char **argv)
{
	struct rlimit rl;
	int c;

	while ((c = getopt(argc, argv, "c:a:w:b:")) != -1) {
		switch (c) {
		case 'c':
			client_count = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 'a':
			address_count = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 'w': wait_ms = (unsigned)strtoul(optarg, NULL, 10); break;
		case 'b': bytes_per_s = strtoull(optarg, NULL, 10); break;
		default: usage();
		}
	}
	if (argc - optind != 2 || client_count == 0 ||
	    client_count > CLIENTS_MAX || address_count == 0 ||
	    address_count > ADDRESSES_MAX || bytes_per_s == 0)
		usage();
	choose(argv[optind]);
	target.sin_family = AF_INET;
	target.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	target.sin_port = htons((uint16_t)strtoul(argv[optind + 1], NULL, 10));
	signal(SIGTERM, on_term);
	signal(SIGPIPE, SIG_IGN);
	if (getrlimit(RLIMIT_NOFILE, &rl) == 0) {
		rl.rlim_cur = rl.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &rl);
	}
	clients = calloc(client_count, sizeof(*clients));
	epoll_fd = epoll_create1(0);
	if (clients == NULL || epoll_fd < 0) {
		perror("raid");
		return 75;
	}
	now = now_ms();
	/* Not all in the same instant: over a second. */
	for (unsigned i = 0; i < client_count; i++) {
		clients[i].fd = -1;
		clients[i].due_ms = now + (uint64_t)i * 1000 / client_count;
	}
	fprintf(stderr, "raid: ready\n");
	run();
	report();
	return 0;
}
