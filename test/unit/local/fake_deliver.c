/*
 * A worker that does as it is told, for the tests of plans.
 *
 *	fake_deliver DIRECTORY [weir-deliver's arguments]
 *
 * PLAN is answered with the lines of DIRECTORY/plan, "KIND TEXT", and its last
 * one, "= STATUS DSN TEXT"; SCAN fails if DIRECTORY/loops exists; a command is
 * its own instruction: "ok", "stop", "fail", "defer", "die", "hang"; "copy"
 * writes the body into the copy and reads it back.  Each request is a line
 * in DIRECTORY/log.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "local/request.h"

static const char *directory;

static FILE *
open_file(const char *name, const char *mode)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	return fopen(path, mode);
}

static void
report(struct wr *w)
{
	struct slice s = wr_done(w);

	if (w->full || send(WORKER_CHANNEL_FD, s.data, s.len, MSG_NOSIGNAL) < 0)
		_exit(3);
}

static void
report_result(uint32_t tag, enum job_status status, const char *dsn,
    const char *text, bool stop)
{
	static unsigned char buf[8192];
	struct wr w = wr_of(buf, sizeof(buf));
	struct outcome o = { .status = status };

	snprintf(o.dsn, sizeof(o.dsn), "%s", dsn);
	snprintf(o.text, sizeof(o.text), "%s", text);
	if (stop)
		result_put_stop(&w, tag, &o);
	else
		result_put(&w, tag, &o);
	report(&w);
}

static void
put_log(const struct request *q)
{
	static const char *const verbs[] = { "deliver", "scan", "plan", "check",
		"command" };
	FILE *f = open_file("log", "a");

	fprintf(f, "%s", verbs[q->verb]);
	if (q->verb == REQUEST_DELIVER)
		fprintf(f, " %.*s/%.*s", SLICE_ARGS(q->base),
		    SLICE_ARGS(q->path));
	if (q->verb == REQUEST_COMMAND)
		fprintf(f, " %.*s %.*s sender=%.*s", SLICE_ARGS(q->command),
		    SLICE_ARGS(q->sender), SLICE_ARGS(q->new_sender));
	if (q->verb == REQUEST_PLAN || q->verb == REQUEST_CHECK)
		fprintf(f, " ext=%.*s%s", SLICE_ARGS(q->extension),
		    q->flags & REQUEST_EXTENSION_STRICT ? " strict" : "");
	fprintf(f, "\n");
	fclose(f);
}

static void
plan(const struct request *q)
{
	static const char *const kinds[ACTION_KINDS] = { "qmail", "forward",
		"setdefault", "setsender", "default", "mbox", "maildir",
		"command", "address", "user" };
	static unsigned char buf[8192];
	char line[4200], dsn[12], text[400] = "";
	FILE *f = open_file("plan", "r");
	unsigned status;

	while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
		struct wr w = wr_of(buf, sizeof(buf));
		char *space = strchr(line, ' ');
		unsigned kind = 0;

		line[strcspn(line, "\n")] = '\0';
		if (line[0] == '=') {
			if (sscanf(line, "= %u %11s %399[^\n]", &status, dsn,
				text) >= 2)
				report_result(q->tag, status, dsn, text, false);
			fclose(f);
			return;
		}
		*space = '\0';
		while (strcmp(kinds[kind], line) != 0)
			kind++;
		result_put_action(&w, q->tag, kind, 1, slice_str(space + 1));
		report(&w);
	}
	_exit(4);
}

static void
copy(const struct request *q, const char *body, size_t len, const int fds[2])
{
	char back[65536];
	ssize_t n;

	if (write(fds[0], body, len) != (ssize_t)len ||
	    write(fds[1], body, 1) >= 0 ||
	    (n = read(fds[1], back, sizeof(back))) != (ssize_t)len ||
	    memcmp(back, body, len) != 0)
		report_result(q->tag, JOB_FAILED, "5.0.0", "bad copy", false);
	else
		report_result(q->tag, JOB_SENT, "2.0.0", "copied", false);
}

static void
command(const struct request *q, const char *body, size_t len, const int fds[2])
{
	if (slice_eq(q->command, SLICE_LIT("ok")))
		report_result(q->tag, JOB_SENT, "2.0.0", "ran", false);
	else if (slice_eq(q->command, SLICE_LIT("stop")))
		report_result(q->tag, JOB_SENT, "2.0.0", "stopped", true);
	else if (slice_eq(q->command, SLICE_LIT("fail")))
		report_result(q->tag, JOB_FAILED, "5.3.0", "no", false);
	else if (slice_eq(q->command, SLICE_LIT("copy")))
		copy(q, body, len, fds);
	else if (slice_eq(q->command, SLICE_LIT("hang")))
		(void)pause();
	else if (slice_eq(q->command, SLICE_LIT("defer")))
		report_result(q->tag, JOB_DEFERRED, "4.3.0", "later", false);
	else
		_exit(1);
}

static void
serve(const struct request *q, const int fds[2])
{
	static char body[1 << 20];
	size_t len = 0;
	ssize_t n;

	put_log(q);
	while (len < q->body_bytes && (n = read(WORKER_BODY_FD, body + len,
					   (size_t)q->body_bytes - len)) > 0)
		len += (size_t)n;
	switch ((enum request_verb)q->verb) {
	case REQUEST_DELIVER:
		report_result(q->tag, JOB_SENT, "2.0.0", "delivered", false);
		break;
	case REQUEST_SCAN: {
		FILE *f = open_file("loops", "r");

		if (f != NULL)
			fclose(f);
		report_result(q->tag, f != NULL ? JOB_FAILED : JOB_SENT,
		    f != NULL ? "5.4.6" : "2.0.0", "loop", false);
		break;
	}
	case REQUEST_COMMAND: command(q, body, len, fds); break;
	default: plan(q); break;
	}
}

int
main(int argc, char **argv)
{
	static char packet[REQUEST_BYTES_MAX];
	char control[CMSG_SPACE(2 * sizeof(int))];
	struct iovec iov = { packet, sizeof(packet) };
	struct cmsghdr *c;
	struct request q;
	struct rd r;
	ssize_t n;

	if (argc < 2)
		return 64;
	directory = argv[1];
	for (;;) {
		struct msghdr m = { .msg_iov = &iov,
			.msg_iovlen = 1,
			.msg_control = control,
			.msg_controllen = sizeof(control) };
		int fds[2] = { -1, -1 };

		n = recvmsg(WORKER_CHANNEL_FD, &m, 0);
		if (n <= 0)
			return 0;
		c = CMSG_FIRSTHDR(&m);
		if (c != NULL)
			memcpy(fds, CMSG_DATA(c), sizeof(fds));
		r = rd_of(slice_of(packet, (size_t)n));
		if (!request_get(&r, &q) ||
		    (q.verb == REQUEST_COMMAND) != (fds[1] >= 0))
			return 5;
		serve(&q, fds);
		for (int i = 0; i < 2; i++)
			if (fds[i] >= 0)
				close(fds[i]);
	}
}
