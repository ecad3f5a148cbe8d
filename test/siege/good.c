/*
 * good: an honest client that keeps book.
 *
 * good [-s SECONDS] [-g SECONDS] [-r PER_S] [-f FIRST] [-b BYTES] PORT
 *
 * One message after another from 127.0.0.1, with a connection for each, so
 * that it must be let in anew every time; with -r at most so many in a
 * second.  Message n goes to nN@good.example.  What is refused for now, cut
 * off or not answered is tried again until it is taken, and the time of a
 * message runs from its first attempt to its 250; after -g seconds without it
 * this is over, with exit code 1.  Prints one object of
 * figures: all numbers from FIRST to next - 1 were acknowledged; and how long
 * it waited for each reply of the attempts that succeeded, on average.
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
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum {
	MESSAGES_MAX = 10000000,
	REPLY_BYTES = 4096,
	PAUSE_MS = 50, /* after a failed attempt */
	ANSWER_S = 30,
	GIVE_UP_S = 60, /* for one message */
};

/* What a message waits for. */
enum stage { GREETING, EHLO, MAIL, RCPT, DATA, TAKEN, STAGE_COUNT };

static const char *const stage_names[STAGE_COUNT] = { "greeting", "ehlo",
	"mail", "rcpt", "data", "taken" };

static struct sockaddr_in target;
static char *body;
static size_t body_len, body_bytes = 4096;
static uint32_t *latency_us;
static int64_t stage_us[STAGE_COUNT];
static int64_t slowest_us;	 /* one reply, of attempts that succeeded */
static enum stage slowest_stage; /* which that was */
static uint64_t refused, lost;
static char last_refusal[80]; /* what it was told */

static int64_t
now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void
sleep_us(int64_t us)
{
	struct timespec t = { us / 1000000, us % 1000000 * 1000 };

	if (us > 0)
		nanosleep(&t, NULL);
}

/* One whole reply; its code, 0 if the connection is broken. */
static int
reply(int fd)
{
	static char buf[REPLY_BYTES];
	size_t len = 0;

	for (;;) {
		ssize_t n = recv(fd, buf + len, sizeof(buf) - len, 0);
		char *line, *end;

		if (n <= 0)
			return 0;
		len += (size_t)n;
		if (buf[len - 1] != '\n') {
			if (len == sizeof(buf))
				return 0;
			continue;
		}
		/* The last line decides. */
		end = buf + len - 1;
		for (line = end; line > buf && line[-1] != '\n'; line--)
			;
		if (end - line > 4 && line[3] == ' ') {
			int code = (int)strtol(line, NULL, 10);

			if (code >= 400)
				snprintf(last_refusal, sizeof(last_refusal),
				    "%.*s", (int)strcspn(line, "\r\"\\"), line);
			return code;
		}
		if (len == sizeof(buf))
			return 0;
	}
}

/* Send, wait for the reply and count: at[stage] is when it came. */
static bool
say(int fd, const char *text, size_t len, int want, int64_t *at)
{
	int code;

	if (send(fd, text, len, MSG_NOSIGNAL) != (ssize_t)len) {
		lost++;
		return false;
	}
	code = reply(fd);
	*at = now_us();
	if (code == want)
		return true;
	if (code == 0)
		lost++;
	else
		refused++;
	return false;
}

static bool
talk(int fd, unsigned n, int64_t start)
{
	int64_t at[STAGE_COUNT];
	char rcpt[64];
	int len =
	    snprintf(rcpt, sizeof(rcpt), "RCPT TO:<n%u@good.example>\r\n", n);

	if (!say(fd, "", 0, 220, &at[GREETING]) ||
	    !say(fd, "EHLO good.example\r\n", 19, 250, &at[EHLO]) ||
	    !say(fd, "MAIL FROM:<good@good.example>\r\n", 31, 250, &at[MAIL]) ||
	    !say(fd, rcpt, (size_t)len, 250, &at[RCPT]) ||
	    !say(fd, "DATA\r\n", 6, 354, &at[DATA]) ||
	    !say(fd, body, body_len, 250, &at[TAKEN]))
		return false;
	/* It is taken, whatever happens to this. */
	(void)send(fd, "QUIT\r\n", 6, MSG_NOSIGNAL);
	for (unsigned i = 0; i < STAGE_COUNT; i++) {
		int64_t us = at[i] - (i == 0 ? start : at[i - 1]);

		stage_us[i] += us;
		if (us > slowest_us) {
			slowest_us = us;
			slowest_stage = i;
		}
	}
	return true;
}

static bool
attempt(unsigned n)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
	struct timeval tv = { ANSWER_S, 0 };
	int64_t start = now_us();
	bool ok = false;

	if (fd < 0)
		return false;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
	if (connect(fd, (struct sockaddr *)&target, sizeof(target)) == 0)
		ok = talk(fd, n, start);
	else
		lost++;
	close(fd);
	return ok;
}

static int
compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static void
report(unsigned first, unsigned count, int64_t spent_us)
{
	uint32_t first_us = latency_us[0];

	qsort(latency_us, count, sizeof(*latency_us), compare);
	printf("{\"messages\": %u, \"next\": %u, \"seconds\": %.3f, "
	       "\"per_second\": %.1f, \"p50_ms\": %.2f, \"p99_ms\": %.2f, "
	       "\"worst_ms\": %.2f, \"first_ms\": %.2f, \"refused\": %llu, "
	       "\"lost\": %llu, \"last_refusal\": \"%s\", "
	       "\"slowest_stage\": \"%s\", \"stages_us\": {",
	    count, first + count, (double)spent_us / 1e6,
	    spent_us > 0 ? count * 1e6 / (double)spent_us : 0,
	    count > 0 ? latency_us[count / 2] / 1e3 : 0,
	    count > 0 ? latency_us[(uint64_t)count * 99 / 100] / 1e3 : 0,
	    count > 0 ? latency_us[count - 1] / 1e3 : 0, first_us / 1e3,
	    (unsigned long long)refused, (unsigned long long)lost, last_refusal,
	    stage_names[slowest_stage]);
	for (unsigned i = 0; i < STAGE_COUNT; i++)
		printf("%s\"%s\": %lld", i == 0 ? "" : ", ", stage_names[i],
		    (long long)(count > 0 ? stage_us[i] / count : 0));
	printf("}}\n");
}

static void
make_body(void)
{
	body = malloc(body_bytes + 256);
	latency_us = calloc(MESSAGES_MAX, sizeof(*latency_us));
	if (body == NULL || latency_us == NULL) {
		perror("good");
		exit(75);
	}
	body_len = (size_t)snprintf(body, 256,
	    "From: <good@good.example>\r\nSubject: good\r\n\r\n");
	while (body_len + 80 < body_bytes) {
		memset(body + body_len, 'g', 78);
		memcpy(body + body_len + 78, "\r\n", 2);
		body_len += 80;
	}
	memcpy(body + body_len, ".\r\n", 3);
	body_len += 3;
}

int
main(int argc, char **argv)
{
	double seconds = 10, give_up_s = GIVE_UP_S;
	unsigned first = 0, per_s = 0, n = 0;
	int64_t began, end;
	int c;

	while ((c = getopt(argc, argv, "s:g:r:f:b:")) != -1) {
		switch (c) {
		case 's': seconds = strtod(optarg, NULL); break;
		case 'g': give_up_s = strtod(optarg, NULL); break;
		case 'r': per_s = (unsigned)strtoul(optarg, NULL, 10); break;
		case 'f': first = (unsigned)strtoul(optarg, NULL, 10); break;
		case 'b': body_bytes = strtoul(optarg, NULL, 10); break;
		default: return 64;
		}
	}
	if (argc - optind != 1)
		return 64;
	target.sin_family = AF_INET;
	target.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	target.sin_port = htons((uint16_t)strtoul(argv[optind], NULL, 10));
	signal(SIGPIPE, SIG_IGN);
	make_body();
	began = now_us();
	end = began + (int64_t)(seconds * 1e6);
	while (n < MESSAGES_MAX && now_us() < end) {
		int64_t start = now_us();

		while (!attempt(first + n)) {
			if (now_us() - start > (int64_t)(give_up_s * 1e6)) {
				fprintf(stderr, "good: not taken\n");
				report(first, n, now_us() - began);
				return 1;
			}
			sleep_us(PAUSE_MS * 1000);
		}
		latency_us[n++] = (uint32_t)(now_us() - start);
		if (per_s > 0)
			sleep_us(
			    began + (int64_t)n * 1000000 / per_s - now_us());
	}
	report(first, n, now_us() - began);
	return 0;
}
