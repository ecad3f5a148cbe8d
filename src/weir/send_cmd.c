/*
 * send: a test message to the running server.
 */
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/buf.h"
#include "conf/conf.h"
#include "weir/cli.h"
#include "weir/commands.h"
#include "weir/submit.h"

enum { BODY_BYTES_MAX = 64 << 20 };

/* All of standard input; false when it is too much. */
static bool
read_body(struct buf *body)
{
	for (;;) {
		size_t room;
		ssize_t n;
		char *at;

		if (buf_room(body, 4096, &at, &room) != OK)
			return false;
		n = read(STDIN_FILENO, at, room);
		if (n <= 0)
			return n == 0;
		buf_grew(body, (size_t)n);
	}
}

/* "user@myorigin" */
static void
default_sender(const struct conf *conf, char *buf, size_t size)
{
	const struct passwd *pw = getpwuid(getuid());

	snprintf(buf, size, "%s@%s", pw != NULL ? pw->pw_name : "nobody",
	    conf->myorigin);
}

/* No line may be smuggled into the dialogue or the header. */
static bool
is_one_line(const char *text)
{
	return text[strcspn(text, "\r\n")] == '\0';
}

static int
check_words(struct cli *cli, const struct submission *m)
{
	for (size_t i = 0; i < m->to_count; i++)
		if (!is_one_line(m->to[i]) || strpbrk(m->to[i], "<>") != NULL ||
		    strchr(m->to[i], '@') == NULL)
			return cli_usage(cli, "\"%s\" is no address", m->to[i]);
	if (!is_one_line(m->from) || strpbrk(m->from, "<>") != NULL)
		return cli_usage(cli, "\"%s\" is no address", m->from);
	if (!is_one_line(m->subject))
		return cli_usage(cli, "the subject must be one line");
	return EX_OK;
}

static int
send_one(struct cli *cli, const struct conf *conf, struct submission *m)
{
	char reply[SUBMIT_REPLY_BYTES];
	char sender[300];
	struct buf body;
	int status;

	if (m->from == NULL) {
		default_sender(conf, sender, sizeof(sender));
		m->from = sender;
	} else if (strcmp(m->from, "<>") == 0) {
		m->from = "";
	}
	status = check_words(cli, m);
	if (status != EX_OK)
		return status;
	buf_init(&body, &cli->acct, 16384, BODY_BYTES_MAX);
	m->body = SLICE_LIT("This is a test message, sent with weir send.\n");
	if (!isatty(STDIN_FILENO)) {
		if (!read_body(&body)) {
			cli_say(cli, "standard input: cannot be read, or more "
				     "than 64 MiB");
			buf_fini(&body);
			return EX_NOINPUT;
		}
		if (buf_data(&body).len > 0)
			m->body = buf_data(&body);
	}
	status = submit_message(cli, conf, m, true, reply);
	if (status == EX_OK)
		printf("%s\n", reply);
	buf_fini(&body);
	return status;
}

int
cmd_send(struct cli *cli)
{
	struct submission m = { .subject = "test" };
	const struct cli_option options[] = {
		{ .letter = 'f', .name = "from", .value = &m.from },
		{ .letter = 's', .name = "subject", .value = &m.subject },
	};
	const struct conf *conf;
	int status = cli_parse(cli, options, ARRAY_LEN(options));

	if (status != CLI_GO)
		return status;
	if (cli->argc == 0)
		return cli_usage(cli, "to whom?");
	m.to = cli->argv;
	m.to_count = (size_t)cli->argc;
	conf = cli_conf(cli);
	if (conf == NULL)
		return EX_CONFIG;
	status = send_one(cli, conf, &m);
	conf_free(conf);
	return status;
}
