/*
 * import-qmail: a qmail installation as a weir.conf.
 *
 * The control files are read as control_directory reads them, so both mean the
 * same; what else such an installation consists of (the argument of
 * qmail-start, tcpserver's rules) is looked for in its usual places.
 */
#include <arpa/inet.h>
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "conf/conf.h"
#include "weir/cli.h"
#include "weir/commands.h"
#include "weir/import.h"

enum { IMPORT_PATH_BYTES = 1200, IMPORT_FILE_BYTES = 256 * 1024 };

struct qmail {
	struct import *im;
	char home[IMPORT_PATH_BYTES - 40]; /* /var/qmail */
	char control[IMPORT_PATH_BYTES];   /* its control directory */
	char rules[IMPORT_PATH_BYTES];	   /* tcpserver's, as text */
};

/* A whole small file into data, terminated; false: there is none. */
static bool
read_text(const char *path, char *data, size_t size)
{
	size_t len = 0;
	ssize_t n;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (fd < 0)
		return false;
	while (len < size - 1 && (n = read(fd, data + len, size - 1 - len)) > 0)
		len += (size_t)n;
	close(fd);
	data[len] = '\0';
	return true;
}

/* ---- control files ---- */

static void
take_rendered(struct qmail *q, struct slice text)
{
	while (text.len > 0) {
		size_t end = slice_find(text, '\n');
		struct slice line = slice_sub(text, 0, end);
		size_t equals = slice_find(line, '=');
		struct slice name = slice_trim(slice_sub(line, 0, equals));

		text = slice_sub(text, end + 1, text.len);
		if (equals < line.len &&
		    !slice_eq(name, SLICE_LIT("control_directory")))
			import_put(q->im, q->control, 0, name,
			    slice_trim(slice_sub(line, equals + 1, line.len)));
	}
}

static void
take_messages(struct qmail *q, const struct conf_report *report)
{
	for (unsigned i = 0; i < report->count; i++) {
		const char *text = report->messages[i].text;

		if (import_message_line(text, &text) != 0)
			continue;
		import_remark(q->im,
		    report->messages[i].is_error ? "error" : "note", 0, "%s",
		    text);
	}
}

static bool
has_rcpthosts(const struct qmail *q)
{
	char path[IMPORT_PATH_BYTES + 40];

	(void)snprintf(path, sizeof(path), "%s/rcpthosts", q->control);
	return access(path, F_OK) == 0;
}

static int
take_control(struct qmail *q)
{
	struct conf_report *report = conf_report_new(&q->im->cli->acct);
	const struct conf *conf;
	struct errtext et = { "" };
	char line[IMPORT_PATH_BYTES + 80];
	struct buf out;
	enum err e;

	if (report == NULL)
		return EX_TEMPFAIL;
	(void)snprintf(line, sizeof(line), "control_directory = %s\n%s",
	    q->control, has_rcpthosts(q) ? "" : "relay_domains =\n");
	e = import_load(q->im, slice_str(line), report, &conf);
	if (e != OK) {
		for (unsigned i = 0; i < report->count; i++)
			if (report->messages[i].is_error)
				fprintf(stderr, "%s\n",
				    report->messages[i].text);
		cli_say(q->im->cli, "%s: mend what is wrong in it first",
		    q->control);
		conf_report_free(&q->im->cli->acct, report);
		return EX_DATAERR;
	}
	buf_init(&out, &q->im->cli->acct, 65536, IMPORT_BYTES_MAX);
	e = conf_render(conf, NULL, 0, CONF_RENDER_CHANGED, &out, &et);
	if (e == OK)
		take_rendered(q, buf_data(&out));
	buf_fini(&out);
	take_messages(q, report);
	conf_report_free(&q->im->cli->acct, report);
	conf_free(conf);
	return e == OK ? EX_OK : EX_TEMPFAIL;
}

/* Files of the control directory that are ours to explain. */
static void
look_at_control(struct qmail *q)
{
	char path[IMPORT_PATH_BYTES + 40], text[256];
	size_t digits;

	if (!has_rcpthosts(q))
		import_remark(q->im, "rcpthosts", 0,
		    "missing: qmail relays for everybody then; here mail is "
		    "taken for mydestination and virtualdomains only, more "
		    "domains go into relay_domains");
	(void)snprintf(path, sizeof(path), "%s/concurrencyincoming",
	    q->control);
	if (!read_text(path, text, sizeof(text)))
		return;
	digits = strspn(text, "0123456789");
	if (digits > 0)
		import_put(q->im, "concurrencyincoming", 1,
		    SLICE_LIT("concurrency_incoming"), slice_of(text, digits));
}

/* ---- the default delivery ---- */

static void
take_delivery(struct qmail *q, const char *from, struct slice how)
{
	how = slice_trim(how);
	if (how.len > 2 && how.data[0] == '.' && how.data[1] == '/') {
		import_put(q->im, from, 0, SLICE_LIT("home_mailbox"),
		    slice_sub(how, 2, how.len));
	} else if (how.len > 1 && how.data[0] == '|') {
		import_put(q->im, from, 0, SLICE_LIT("mailbox_command"), how);
	} else if (how.len > 0) {
		import_remark(q->im, from, 0,
		    "default delivery \"%.*s\": write home_mailbox or "
		    "mailbox_command",
		    SLICE_ARGS(how));
	}
}

/* control/defaultdelivery, or the word behind qmail-start in rc. */
static bool
find_delivery(struct qmail *q)
{
	char path[IMPORT_PATH_BYTES + 40], text[4096];
	const char *at;
	size_t len;

	(void)snprintf(path, sizeof(path), "%s/defaultdelivery", q->control);
	if (read_text(path, text, sizeof(text))) {
		len = strcspn(text, "\n");
		take_delivery(q, "defaultdelivery", slice_of(text, len));
		return true;
	}
	(void)snprintf(path, sizeof(path), "%s/rc", q->home);
	if (!read_text(path, text, sizeof(text)))
		return false;
	at = strstr(text, "qmail-start ");
	if (at == NULL)
		return false;
	at += strlen("qmail-start ");
	at += strspn(at, " \t\\\n'\"");
	if (at[0] == '$' || at[0] == '`')
		return false;
	len = strcspn(at, at[0] == '|' ? "'\"\n" : " \t\n'\"");
	take_delivery(q, "rc", slice_of(at, len));
	return len > 0;
}

/* ---- who may relay ---- */

/* "127." as a network, into out; false: not of that form. */
static bool
network_of(struct slice prefix, char *out, size_t size)
{
	char text[20];
	struct in_addr a;
	unsigned dots = 0;

	if (!slice_copy(prefix, text, sizeof(text)))
		return false;
	if (inet_pton(AF_INET, text, &a) == 1)
		return (size_t)snprintf(out, size, "%s", text) < size;
	for (size_t i = 0; i < prefix.len; i++) {
		if (prefix.data[i] == '.')
			dots++;
		else if (!isdigit((unsigned char)prefix.data[i]))
			return false;
	}
	if (dots == 0 || dots > 3 || prefix.data[prefix.len - 1] != '.')
		return false;
	return (size_t)snprintf(out, size, "%s%s/%u", text,
		   dots == 1   ? "0.0.0"
		   : dots == 2 ? "0.0"
			       : "0",
		   8 * dots) < size;
}

static void
take_rule(struct qmail *q, unsigned number, struct slice line,
    struct buf *networks)
{
	struct slice address = slice_sub(line, 0, slice_find(line, ':'));
	struct slice rest = slice_sub(line, address.len + 1, line.len);
	char text[40];
	bool relays = memmem(rest.data, rest.len, "RELAYCLIENT", 11) != NULL;

	if (line.len == 0 || line.data[0] == '#')
		return;
	if (relays && network_of(address, text, sizeof(text)) &&
	    buf_put(networks, SLICE_LIT(" ")) == OK &&
	    buf_put(networks, slice_str(text)) == OK)
		return;
	if (relays || !slice_eq(rest, SLICE_LIT("allow")))
		import_remark(q->im, q->rules, number,
		    "\"%.*s\" has no counterpart%s", SLICE_ARGS(line),
		    relays ? "; write mynetworks" : "");
}

static void
take_rules(struct qmail *q)
{
	static char text[IMPORT_FILE_BYTES];
	struct slice rest;
	struct buf networks;
	unsigned number = 0;

	if (!read_text(q->rules, text, sizeof(text))) {
		import_remark(q->im, q->rules, 0,
		    "cannot be read: say with -x where the rules of tcpserver "
		    "are, or write mynetworks: who may relay");
		return;
	}
	buf_init(&networks, &q->im->cli->acct, 256, IMPORT_FILE_BYTES);
	for (rest = slice_str(text); rest.len > 0;) {
		size_t end = slice_find(rest, '\n');

		take_rule(q, ++number, slice_trim(slice_sub(rest, 0, end)),
		    &networks);
		rest = slice_sub(rest, end + 1, rest.len);
	}
	if (buf_data(&networks).len > 0)
		import_put(q->im, q->rules, 0, SLICE_LIT("mynetworks"),
		    slice_trim(buf_data(&networks)));
	buf_fini(&networks);
}

/* ---- the whole ---- */

static void
look_around(struct qmail *q)
{
	char path[IMPORT_PATH_BYTES + 40];

	/* qmail reads the cdb alone. */
	(void)snprintf(path, sizeof(path), "%s/users/cdb", q->home);
	if (access(path, F_OK) == 0)
		import_put(q->im, path, 0, SLICE_LIT("users_assign"),
		    slice_str(path));
	(void)snprintf(path, sizeof(path), "%s/queue/mess", q->home);
	if (access(path, F_OK) == 0)
		import_remark(q->im, path, 0,
		    "messages that wait here are not taken over: let qmail "
		    "deliver them first");
}

static bool
set_places(struct qmail *q, const char *dir, const char *rules)
{
	char me[IMPORT_PATH_BYTES + 8];
	size_t len = strlen(dir);

	while (len > 1 && dir[len - 1] == '/')
		len--;
	if (len >= sizeof(q->home))
		return false;
	(void)snprintf(q->home, sizeof(q->home), "%.*s", (int)len, dir);
	(void)snprintf(q->control, sizeof(q->control), "%s/control", q->home);
	(void)snprintf(me, sizeof(me), "%s/me", q->home);
	if (access(q->control, F_OK) != 0 && access(me, F_OK) == 0)
		(void)snprintf(q->control, sizeof(q->control), "%s", q->home);
	return (size_t)snprintf(q->rules, sizeof(q->rules), "%s", rules) <
		   sizeof(q->rules) &&
	       access(q->control, R_OK | X_OK) == 0;
}

int
cmd_import_qmail(struct cli *cli)
{
	const char *rules = "/etc/tcp.smtp";
	const struct cli_option options[] = {
		{ .letter = 'x', .value = &rules },
	};
	static struct qmail q;
	const char *dir;
	int status = cli_parse(cli, options, ARRAY_LEN(options));

	if (status != CLI_GO)
		return status;
	if (cli->argc > 1)
		return cli_usage(cli, "one directory, not %d", cli->argc);
	dir = cli->argc == 1 ? cli->argv[0] : "/var/qmail";
	if (dir[0] != '/' || !set_places(&q, dir, rules)) {
		cli_say(cli,
		    "%s: no control directory of qmail there; give "
		    "the absolute path of one, such as /var/qmail",
		    dir);
		return EX_NOINPUT;
	}
	q.im = import_new(cli, q.control);
	if (q.im == NULL)
		return EX_TEMPFAIL;
	status = take_control(&q);
	if (status != EX_OK)
		return status;
	look_at_control(&q);
	if (!find_delivery(&q))
		import_put(q.im, "qmail-start", 0, SLICE_LIT("home_mailbox"),
		    SLICE_LIT("Mailbox"));
	take_rules(&q);
	look_around(&q);
	return import_print(q.im);
}
