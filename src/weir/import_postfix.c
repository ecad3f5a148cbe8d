/*
 * import-postfix: main.cf and master.cf as a weir.conf.
 *
 * A parameter that Weir has under the same name is taken over as it stands;
 * inet_interfaces and the lines of master.cf become what they mean here; the
 * rest is remarked, each with its line.  Where Postfix's default means
 * something else than ours it is written down.
 */
#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "conf/param.h"
#include "weir/cli.h"
#include "weir/commands.h"
#include "weir/import.h"

enum { IMPORT_PATH_BYTES = 1200 };

struct postfix {
	struct import *im;
	struct buf listen; /* of smtp_listen */
	char main_cf[IMPORT_PATH_BYTES];
	char master_cf[IMPORT_PATH_BYTES];
	bool networks; /* mynetworks was set */
};

/* What Postfix does where main.cf says nothing, and Weir would not. */
static void
take_defaults(struct postfix *p)
{
	static const struct {
		const char *name, *value;
	} defaults[] = {
		{ "mydestination",
		    "$myhostname, localhost.$mydomain, localhost" },
		{ "relay_domains", "$mydestination" },
		{ "recipient_delimiter", "" },
		{ "home_mailbox", "" },
		{ "mail_spool_directory", "/var/mail" },
	};

	for (size_t i = 0; i < ARRAY_LEN(defaults); i++)
		import_put(p->im, "default", 0, slice_str(defaults[i].name),
		    slice_str(defaults[i].value));
	if (access("/etc/aliases", R_OK) == 0)
		import_put(p->im, "default", 0, SLICE_LIT("alias_maps"),
		    SLICE_LIT("hash:/etc/aliases"));
}

/* ---- files as logical lines ---- */

/* Take the next logical line: those that begin with white space belong to
 * it.  Joined with blanks, in text; *number is that of its first line. */
static bool
next_line(FILE *f, char *text, size_t size, unsigned *number, unsigned *read)
{
	size_t len = 0;
	bool begun = false;
	int c;

	for (;;) {
		c = fgetc(f);
		if (c == EOF)
			break;
		if (begun && c != ' ' && c != '\t' && c != '#' && c != '\n') {
			ungetc(c, f);
			break;
		}
		if (c != '\n' && c != '#' && !begun) {
			*number = *read + 1;
			begun = true;
		}
		if (c == '\n') {
			(*read)++;
			continue;
		}
		for (bool skip = c == '#'; c != '\n' && c != EOF; c = fgetc(f))
			if (!skip && len < size - 1)
				text[len++] = (char)c;
		(*read)++;
		if (len < size - 1)
			text[len++] = ' ';
	}
	text[len] = '\0';
	return begun;
}

static FILE *
open_regular(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;
	FILE *f;

	if (fd < 0)
		return NULL;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
	    (f = fdopen(fd, "r")) != NULL)
		return f;
	close(fd);
	return NULL;
}

/* ---- main.cf ---- */

/* Each address of inet_interfaces with port, for smtp_listen. */
static void
add_listen(struct postfix *p, struct slice address, struct slice port)
{
	char text[200];
	bool v6 = slice_find(address, ':') < address.len &&
		  (address.len == 0 || address.data[0] != '[');

	(void)snprintf(text, sizeof(text), "%s%s%.*s%s:%.*s",
	    buf_data(&p->listen).len > 0 ? ", " : "", v6 ? "[" : "",
	    SLICE_ARGS(address), v6 ? "]" : "", SLICE_ARGS(port));
	if (buf_put(&p->listen, slice_str(text)) != OK)
		p->im->full = true;
}

static void
take_interfaces(struct postfix *p, unsigned line, struct slice value)
{
	struct slice word;

	buf_take(&p->listen, buf_data(&p->listen).len);
	while (slice_word(&value, ", \t", &word)) {
		if (slice_eq(word, SLICE_LIT("all"))) {
			add_listen(p, SLICE_LIT("*"), SLICE_LIT("25"));
		} else if (slice_eq(word, SLICE_LIT("loopback-only")) ||
			   slice_eq(word, SLICE_LIT("localhost"))) {
			add_listen(p, SLICE_LIT("127.0.0.1"), SLICE_LIT("25"));
			add_listen(p, SLICE_LIT("[::1]"), SLICE_LIT("25"));
		} else if (slice_find(word, '$') < word.len) {
			import_remark(p->im, p->main_cf, line,
			    "inet_interfaces: write the address of %.*s into "
			    "smtp_listen",
			    SLICE_ARGS(word));
		} else {
			add_listen(p, word, SLICE_LIT("25"));
		}
	}
	if (buf_data(&p->listen).len > 0)
		import_put(p->im, p->main_cf, line, SLICE_LIT("smtp_listen"),
		    buf_data(&p->listen));
}

/* Of a transport of master.cf: it exists when all is loaded, or the line is
 * taken out. */
static bool
is_transport_limit(struct slice name)
{
	return slice_ends_nocase(name,
		   SLICE_LIT("_destination_recipient_limit")) ||
	       slice_ends_nocase(name,
		   SLICE_LIT("_destination_concurrency_limit")) ||
	       slice_ends_nocase(name, SLICE_LIT("_time_limit"));
}

static void
take_parameter(struct postfix *p, unsigned line, struct slice text)
{
	size_t equals = slice_find(text, '=');
	struct slice name = slice_trim(slice_sub(text, 0, equals));
	struct slice value = slice_trim(slice_sub(text, equals + 1, text.len));
	const char *remark = conf_foreign_remark(name);

	if (equals == text.len || name.len == 0 ||
	    conf_foreign_installation(name))
		return;
	p->networks |= slice_eq(name, SLICE_LIT("mynetworks"));
	if (slice_eq(name, SLICE_LIT("inet_interfaces")))
		take_interfaces(p, line, value);
	else if (conf_param_find(name) != NULL || is_transport_limit(name))
		import_put(p->im, p->main_cf, line, name, value);
	else if (remark != NULL && strcmp(remark, "no counterpart") != 0)
		import_remark(p->im, p->main_cf, line, "%.*s: %s",
		    SLICE_ARGS(name), remark);
	else if (value.len > 0)
		import_remark(p->im, p->main_cf, line,
		    "%.*s = %.*s: no counterpart", SLICE_ARGS(name),
		    SLICE_ARGS(slice_sub(value, 0, 300)));
}

/* ---- master.cf ---- */

enum { FIELD_COUNT = 8 };
enum { FIELD_NAME, FIELD_TYPE, FIELD_COMMAND = 7 };

static void
take_inet(struct postfix *p, unsigned line, struct slice name)
{
	size_t colon = slice_rfind(name, ':');
	struct slice port =
	    colon == name.len ? name : slice_sub(name, colon + 1, name.len);

	if (slice_eq(name, SLICE_LIT("smtp")) ||
	    slice_eq(name, SLICE_LIT("25")))
		return; /* as inet_interfaces and the default say */
	if (slice_eq(port, SLICE_LIT("smtp")))
		port = SLICE_LIT("25");
	if (port.len == 0 || !isdigit((unsigned char)port.data[0])) {
		import_remark(p->im, p->master_cf, line,
		    "service %.*s: no counterpart yet", SLICE_ARGS(name));
		return;
	}
	add_listen(p,
	    colon == name.len ? SLICE_LIT("*") : slice_sub(name, 0, colon),
	    port);
	import_put(p->im, p->master_cf, line, SLICE_LIT("smtp_listen"),
	    buf_data(&p->listen));
}

/* The same words as in weir.conf; if they do not load they are remarked. */
static void
take_pipe(struct postfix *p, unsigned line, struct slice name,
    struct slice words)
{
	char key[200], value[4096];

	if ((size_t)snprintf(key, sizeof(key), "transport %.*s",
		SLICE_ARGS(name)) >= sizeof(key) ||
	    (size_t)snprintf(value, sizeof(value), "pipe %.*s",
		SLICE_ARGS(words)) >= sizeof(value)) {
		import_remark(p->im, p->master_cf, line,
		    "service %.*s: too long", SLICE_ARGS(name));
		return;
	}
	import_put(p->im, p->master_cf, line, slice_str(key), slice_str(value));
}

static void
take_service(struct postfix *p, unsigned line, struct slice rest)
{
	static const char *const known[] = { "smtp", "relay", "smtpd", "pickup",
		"cleanup", "qmgr", "tlsmgr", "rewrite", "bounce",
		"trivial-rewrite", "verify", "flush", "proxymap", "showq",
		"error", "discard", "local", "virtual", "lmtp", "anvil",
		"scache", "postlogd", "postscreen" };
	struct slice field[FIELD_COUNT];
	unsigned count = 0;

	while (count < FIELD_COUNT && slice_word(&rest, " \t", &field[count]))
		count++;
	if (count < FIELD_COUNT)
		return;
	if (slice_eq(field[FIELD_TYPE], SLICE_LIT("inet")) &&
	    slice_eq(field[FIELD_COMMAND], SLICE_LIT("smtpd"))) {
		take_inet(p, line, field[FIELD_NAME]);
		if (slice_trim(rest).len > 0)
			import_remark(p->im, p->master_cf, line,
			    "options of %.*s are not taken over: %.*s",
			    SLICE_ARGS(field[FIELD_NAME]),
			    SLICE_ARGS(slice_sub(slice_trim(rest), 0, 500)));
		return;
	}
	if (slice_eq(field[FIELD_COMMAND], SLICE_LIT("pipe"))) {
		take_pipe(p, line, field[FIELD_NAME], slice_trim(rest));
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (slice_eq(field[FIELD_COMMAND], slice_str(known[i])))
			return;
	import_remark(p->im, p->master_cf, line,
	    "service %.*s (%.*s): no counterpart",
	    SLICE_ARGS(field[FIELD_NAME]), SLICE_ARGS(field[FIELD_COMMAND]));
}

/* ---- the whole ---- */

static bool
each_line(struct postfix *p, const char *path,
    void (*take)(struct postfix *, unsigned, struct slice))
{
	static char text[65536];
	unsigned number = 0, read = 0;
	FILE *f = open_regular(path);

	if (f == NULL)
		return false;
	while (next_line(f, text, sizeof(text), &number, &read))
		take(p, number, slice_trim(slice_str(text)));
	(void)fclose(f);
	return true;
}

int
cmd_import_postfix(struct cli *cli)
{
	static struct postfix p;
	const char *dir;
	int status = cli_parse(cli, NULL, 0);

	if (status != CLI_GO)
		return status;
	if (cli->argc > 1)
		return cli_usage(cli, "one directory, not %d", cli->argc);
	dir = cli->argc == 1 ? cli->argv[0] : "/etc/postfix";
	if ((size_t)snprintf(p.main_cf, sizeof(p.main_cf), "%s/main.cf", dir) >=
		sizeof(p.main_cf) ||
	    (size_t)snprintf(p.master_cf, sizeof(p.master_cf), "%s/master.cf",
		dir) >= sizeof(p.master_cf))
		return cli_usage(cli, "the path is too long");
	p.im = import_new(cli, p.main_cf);
	if (p.im == NULL)
		return EX_TEMPFAIL;
	buf_init(&p.listen, &cli->acct, 256, 65536);
	add_listen(&p, SLICE_LIT("*"), SLICE_LIT("25"));
	take_defaults(&p);
	if (!each_line(&p, p.main_cf, take_parameter)) {
		cli_say(cli,
		    "%s: cannot be read; give the directory that "
		    "holds main.cf, such as /etc/postfix",
		    p.main_cf);
		return EX_NOINPUT;
	}
	/* Without it Postfix may trust the networks of its interfaces. */
	if (!p.networks)
		import_remark(p.im, p.main_cf, 0,
		    "mynetworks: not set, so mynetworks_style says there who "
		    "may relay; here it is 127.0.0.0/8 and [::1]/128: write "
		    "what postconf mynetworks shows");
	if (!each_line(&p, p.master_cf, take_service))
		import_remark(p.im, p.master_cf, 0, "cannot be read");
	return import_print(p.im);
}
