#include "weir/submit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/time.h"
#include "conf/conf.h"
#include "conf/net.h"
#include "weir/pages.h"

enum {
	REPLY_LINES_MAX = 100,
	LINE_BYTES_MAX = 1024,
	TIMEOUT_S = 60,
};

struct session {
	struct cli *cli;
	FILE *in, *out;
	char *reply; /* SUBMIT_REPLY_BYTES */
};

/* ---- connecting ---- */

static void
address_of(const struct net_listen *l, struct sockaddr_storage *to,
    socklen_t *len)
{
	struct sockaddr_in *in4 = (struct sockaddr_in *)to;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)to;

	*to = (struct sockaddr_storage){ .ss_family = AF_UNSPEC };
	if (!l->any && l->addr.family == 6) {
		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons(l->port);
		memcpy(&in6->sin6_addr, l->addr.octets, 16);
		*len = sizeof(*in6);
		return;
	}
	in4->sin_family = AF_INET;
	in4->sin_port = htons(l->port);
	if (l->any)
		in4->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	else
		memcpy(&in4->sin_addr, l->addr.octets, 4);
	/* Who listens on every address is found on the nearest. */
	if (in4->sin_addr.s_addr == htonl(INADDR_ANY))
		in4->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	*len = sizeof(*in4);
}

static int
connect_tcp(struct cli *cli, const struct conf *conf, int *fd_out)
{
	const struct timeval limit = { .tv_sec = TIMEOUT_S };
	struct sockaddr_storage to;
	struct net_listen l = { .port = 0 };
	socklen_t len;
	size_t i = 0;

	while (i < conf->smtp_listen.count &&
	       (net_listen_parse(conf->smtp_listen.items[i], &l, NULL) != OK ||
		   l.path.len > 0))
		i++;
	if (i == conf->smtp_listen.count) {
		cli_say(cli, "smtp_listen names no address to send to");
		return EX_UNAVAILABLE;
	}
	address_of(&l, &to, &len);
	*fd_out = socket(to.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (*fd_out < 0) {
		cli_say(cli, "socket: %s", strerror(errno));
		return EX_OSERR;
	}
	setsockopt(*fd_out, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	setsockopt(*fd_out, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	if (connect(*fd_out, (struct sockaddr *)&to, len) == 0)
		return EX_OK;
	cli_say(cli,
	    "no server answers on %.*s: %s; start it with \"weir run\"",
	    SLICE_ARGS(conf->smtp_listen.items[i]), strerror(errno));
	close(*fd_out);
	return EX_UNAVAILABLE;
}

static int
connect_server(struct cli *cli, const struct conf *conf, bool local,
    int *fd_out)
{
	if (local) {
		*fd_out = run_open(conf, "submit", SOCK_STREAM);
		if (*fd_out >= 0)
			return EX_OK;
	}
	return connect_tcp(cli, conf, fd_out);
}

/* ---- the dialogue ---- */

/* The code of the next reply; 0 when there is none.  Its last line is kept. */
static int
read_reply(struct session *s)
{
	char line[LINE_BYTES_MAX];

	for (int i = 0; i < REPLY_LINES_MAX; i++) {
		struct slice text;
		uint64_t code;
		size_t n;

		if (fgets(line, sizeof(line), s->in) == NULL)
			return 0;
		text = slice_str(line);
		while (text.len > 0 && (text.data[text.len - 1] == '\n' ||
					   text.data[text.len - 1] == '\r'))
			text.len--;
		if (text.len < 3 ||
		    !slice_to_u64(slice_sub(text, 0, 3), 599, &code))
			return 0;
		if (text.len > 3 && text.data[3] == '-')
			continue;
		n = slice_escape(&text, s->reply, SUBMIT_REPLY_BYTES - 1);
		s->reply[n] = '\0';
		return (int)code;
	}
	return 0;
}

/* Exit status of a reply that should have been want. */
static int
judge(struct session *s, const char *what, int code, int want, int permanent)
{
	if (code == want)
		return EX_OK;
	if (code == 0) {
		cli_say(s->cli, "%s: the server does not answer", what);
		return EX_TEMPFAIL;
	}
	cli_say(s->cli, "%s: %s", what, s->reply);
	return code < 500 ? EX_TEMPFAIL : permanent;
}

static int
command(struct session *s, const char *what, int want, int permanent)
{
	if (fflush(s->out) != 0)
		return judge(s, what, 0, want, permanent);
	return judge(s, what, read_reply(s), want, permanent);
}

static bool
is_ascii(struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if ((unsigned char)s.data[i] > 127)
			return false;
	return true;
}

static int
envelope(struct session *s, const struct submission *m)
{
	bool utf8 = !is_ascii(slice_str(m->from));
	int status;

	for (size_t i = 0; i < m->to_count; i++)
		utf8 |= !is_ascii(slice_str(m->to[i]));
	fprintf(s->out, "MAIL FROM:<%s>%s%s\r\n", m->from,
	    is_ascii(m->body) && !utf8 ? "" : " BODY=8BITMIME",
	    utf8 ? " SMTPUTF8" : "");
	status = command(s, m->from, 250, EX_UNAVAILABLE);
	for (size_t i = 0; i < m->to_count && status == EX_OK; i++) {
		fprintf(s->out, "RCPT TO:<%s>\r\n", m->to[i]);
		status = command(s, m->to[i], 250, EX_NOUSER);
	}
	return status;
}

static void
put_header(struct session *s, const struct conf *conf,
    const struct submission *m)
{
	char date[TIME_RFC5322_BYTES];

	time_rfc5322(clock_system.wall(&clock_system), date);
	fprintf(s->out, "Date: %s\r\nFrom: <%s>\r\nTo: ", date,
	    m->from[0] != '\0' ? m->from : "MAILER-DAEMON");
	for (size_t i = 0; i < m->to_count; i++)
		fprintf(s->out, "%s<%s>", i > 0 ? ",\r\n\t" : "", m->to[i]);
	fprintf(s->out,
	    "\r\nSubject: %s\r\nMessage-ID: <%016" PRIx64 "@%s>\r\n",
	    m->subject, random_u64(), conf->myhostname);
	if (!is_ascii(m->body))
		fprintf(s->out, "MIME-Version: 1.0\r\n"
				"Content-Type: text/plain; charset=utf-8\r\n"
				"Content-Transfer-Encoding: 8bit\r\n");
	fputs("\r\n", s->out);
}

/* Lines with CRLF, a leading dot doubled (RFC 5321 section 4.5.2). */
static void
put_body(struct session *s, struct slice body)
{
	while (body.len > 0) {
		size_t end = slice_find(body, '\n');
		struct slice line = slice_sub(body, 0, end);

		if (line.len > 0 && line.data[line.len - 1] == '\r')
			line.len--;
		if (line.len > 0 && line.data[0] == '.')
			putc('.', s->out);
		/* A lone CR may not be sent. */
		for (size_t i = 0; i < line.len; i++)
			putc(line.data[i] == '\r' ? ' ' : line.data[i], s->out);
		fputs("\r\n", s->out);
		body = slice_sub(body, end + 1, body.len);
	}
	fputs(".\r\n", s->out);
}

static int
dialogue(struct session *s, const struct conf *conf, const struct submission *m)
{
	int status = command(s, "greeting", 220, EX_UNAVAILABLE);

	if (status != EX_OK)
		return status;
	fprintf(s->out, "EHLO %s\r\n", conf->myhostname);
	status = command(s, "EHLO", 250, EX_UNAVAILABLE);
	if (status == EX_OK)
		status = envelope(s, m);
	if (status != EX_OK)
		return status;
	fputs("DATA\r\n", s->out);
	status = command(s, "DATA", 354, EX_UNAVAILABLE);
	if (status != EX_OK)
		return status;
	put_header(s, conf, m);
	put_body(s, m->body);
	return command(s, "message", 250, EX_UNAVAILABLE);
}

int
submit_message(struct cli *cli, const struct conf *conf,
    const struct submission *m, bool local,
    char reply_out[static SUBMIT_REPLY_BYTES])
{
	struct session s = { .cli = cli, .reply = reply_out };
	int status;
	int fd;

	reply_out[0] = '\0';
	status = connect_server(cli, conf, local, &fd);
	if (status != EX_OK)
		return status;
	s.in = fdopen(fd, "r");
	s.out = s.in == NULL ? NULL : fdopen(dup(fd), "w");
	if (s.out == NULL) {
		cli_say(cli, "out of memory");
		status = EX_OSERR;
	} else {
		/* A server that hangs up is an answer, not our end. */
		signal(SIGPIPE, SIG_IGN);
		status = dialogue(&s, conf, m);
		fputs("QUIT\r\n", s.out);
		fclose(s.out);
		signal(SIGPIPE, SIG_DFL);
	}
	if (s.in != NULL)
		fclose(s.in);
	else
		close(fd);
	return status;
}
