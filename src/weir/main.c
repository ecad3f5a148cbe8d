/*
 * weir: the light command.  It links libc, base, the frames and the
 * configuration only; what needs more is a program of its own that it
 * executes.  Called by a name that administrators know (mailq, postqueue,
 * ...) it behaves as that, and `weir NAME` does the same.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "weir/cli.h"
#include "weir/commands.h"

const struct command commands[] = {
	{ "run", "[-c FILE] [-o name=value]...",
	    "run the server in the foreground",
	    "  TERM stops it (a second one at once), HUP reloads, ALRM makes "
	    "everything\n  deferred due now, USR1 reopens the log.\n",
	    cmd_run },
	{ "try", "[DIR] [-o name=value]...", "a mail server for this machine",
	    "  All of it lies below DIR (./weir-try): weir.conf, the queue, "
	    "mail/USER/Maildir.\n  SMTP on 127.0.0.1:2525; ^C stops it.\n",
	    cmd_try },
	{ "check", "", "look for errors in the configuration",
	    "  Exit status 78 when there are any.\n", cmd_check },
	{ "config", "[-n] [-s] [-x] [--json] [NAME...]",
	    "print the configuration",
	    "  -n      only what differs from the default\n"
	    "  -s      with the source of each value\n"
	    "  -x      with the $names replaced\n"
	    "  --json  as JSON\n",
	    cmd_config },
	{ "limits", "[--json] [--plan]", "every limit, and how near it is",
	    "  --json  as one JSON object\n"
	    "  --plan  how memory_budget will be divided, without a server\n",
	    cmd_limits },
	{ "status", "[--json]", "the server on one screen",
	    "  --json  as one JSON object\n", cmd_status },
	{ "top", "[--every TIME]", "the same, again and again; q ends it",
	    "  --every TIME  how often (2s)\n", cmd_top },
	{ "stop", "", "finish what runs and stop", NULL, cmd_stop },
	{ "reload", "", "check the configuration and use it", NULL,
	    cmd_reload },
	{ "queue", "VERB [ID...] [filters] [--json]", "the messages that wait",
	    "  list           one line each\n"
	    "  show ID        envelope and state\n"
	    "  cat ID         the message; --raw with its CRLF\n"
	    "  hold, release, retry, delete, fail ID...|-|filters\n"
	    "                 fail tells the sender, delete does not; filters "
	    "need --yes,\n                 and --yes alone means all; - reads "
	    "ids from standard input\n"
	    "  export DIR     every message as one file, also of a stopped "
	    "server\n"
	    "filters: --from=ADDRESS --to=ADDRESS --domain=DOMAIN --age=TIME\n"
	    "  --status=incoming,active,deferred,hold --limit=COUNT\n"
	    "  --json         objects in place of text\n",
	    cmd_queue },
	{ "send", "TO... [-f FROM] [-s SUBJECT]", "send a test message",
	    "  The body is read from standard input unless that is a "
	    "terminal.\n",
	    cmd_send },
	{ "explain", "[--json] ADDRESS", "how mail to ADDRESS would be routed",
	    NULL, cmd_explain },
	{ "fsck", "[--json] [DIR]", "read a spool and name what is damaged",
	    "  DIR is a queue_directory; nothing in it is changed.\n",
	    cmd_fsck },
	{ "import-qmail", "[-x RULES] [DIR]",
	    "a weir.conf that means what a qmail installation does",
	    "  DIR        /var/qmail, or a control directory\n"
	    "  -x RULES   the rules of tcpserver as text (/etc/tcp.smtp)\n"
	    "  Nothing is changed; what has no counterpart is said in "
	    "comments.\n",
	    cmd_import_qmail },
	{ "import-postfix", "[DIR]",
	    "a weir.conf that means what main.cf and master.cf do",
	    "  DIR        /etc/postfix\n"
	    "  Nothing is changed; what has no counterpart is said in "
	    "comments.\n",
	    cmd_import_postfix },
	{ "version", "", "print the version", NULL, cmd_version },
	{ "help", "[COMMAND]", "print this, or the help of a command", NULL,
	    cmd_help },
	{ "sendmail", "[options] [RECIPIENT...]", NULL,
	    "  -t              recipients from To, Cc and Bcc as well\n"
	    "  -f ADDRESS      the sender; <> for none\n"
	    "  -F NAME         its full name\n"
	    "  -i, -oi         a line with a dot alone does not end the "
	    "message\n"
	    "  -bs             SMTP on standard input and output\n"
	    "  -bp, -q         mailq; postqueue -f\n"
	    "The message is read from standard input; see sendmail(1).\n",
	    cmd_sendmail, true },
	{ "mailq", "[-C FILE]", NULL,
	    "  The queue, as postqueue -p prints it.\n"
	    "  -C FILE        the configuration, as -c and as sendmail -C\n",
	    cmd_mailq },
	{ "postqueue", "-p | -j | -f | -i ID", NULL,
	    "  -p     the queue\n"
	    "  -j     as JSON, an object a line\n"
	    "  -f     everything deferred is due now\n"
	    "  -i ID  that message is due now\n",
	    cmd_postqueue },
	{ "postsuper", "[-d ID] [-h ID] [-H ID] [-r ID] [QUEUE...]", NULL,
	    "  -d  delete   -h  put on hold   -H  release   -r  try again now\n"
	    "  ID is a message, ALL, or - for ids from standard input; QUEUE "
	    "(incoming,\n  active, deferred, hold) bounds ALL.\n",
	    cmd_postsuper },
	{ "postcat", "-q [-beh] ID...", NULL,
	    "  -e  envelope   -h  header   -b  body   (all, if none is "
	    "given)\n",
	    cmd_postcat },
	{ "postconf", "[-n | -d] [-hx] [NAME...]", NULL,
	    "  -n  only what differs from the default\n"
	    "  -d  the defaults\n"
	    "  -h  values without their names\n"
	    "  -x  with the $names replaced\n",
	    cmd_postconf },
	{ "postmap", "[options] [TYPE:]FILE...", NULL,
	    "  Make cdb:FILE or lmdb:FILE of the text FILE; see postmap(1).\n",
	    cmd_postmap },
	{ "postalias", "[options] [TYPE:]FILE...", NULL,
	    "  The same for aliases; see postmap(1).\n", cmd_postalias },
	{ "newaliases", "[-v] [-C FILE]", NULL,
	    "  Make the tables of alias_database.\n", cmd_newaliases },
	{ "forward", "ADDRESS...", NULL,
	    "  Send standard input to other addresses; see forward(1).\n",
	    cmd_forward },
	{ "condredirect", "ADDRESS PROGRAM [ARG...]", NULL,
	    "  The same if PROGRAM exits 0.\n", cmd_condredirect },
	{ "bouncesaying", "TEXT [PROGRAM [ARG...]]", NULL,
	    "  Refuse with TEXT, if PROGRAM exits 0.\n", cmd_bouncesaying },
	{ "except", "PROGRAM [ARG...]", NULL,
	    "  The reverse of what PROGRAM says.\n", cmd_except },
	{ "preline", "[-frdFRD] PROGRAM [ARG...]", NULL,
	    "  PROGRAM gets From_, Return-Path and Delivered-To in front.\n",
	    cmd_preline },
	{ "maildirmake", "DIRECTORY", NULL,
	    "  Make a Maildir; see maildirmake(1).\n", cmd_maildirmake },
	{ "maildir2mbox", "", NULL,
	    "  Move $MAILDIR to the end of $MAIL, by way of $MAILTMP.\n",
	    cmd_maildir2mbox },
	{ "mbox2maildir", "[MBOX MAILDIR]", NULL,
	    "  Move $MAIL into $MAILDIR.\n", cmd_mbox2maildir },
	{ "qmail-inject", "[-aAhHnN] [-f SENDER] [RECIPIENT...]", NULL,
	    "  Complete a message and send it; see qmail-inject(8).\n",
	    cmd_qmail_inject, true },
	{ "qmail-queue", "", NULL,
	    "  Take a message from descriptor 0, its envelope from 1; see "
	    "qmail-queue(8).\n",
	    cmd_qmail_queue, true },
	{ "qmail-qstat", "", NULL, "  The number of messages.\n",
	    cmd_qmail_qstat },
	{ "qmail-qread", "", NULL,
	    "  The messages with their recipients, as qmail prints them.\n",
	    cmd_qmail_qread },
	{ "qmail-showctl", "", NULL,
	    "  The control files and the values in force, as qmail prints "
	    "them.\n",
	    cmd_qmail_showctl },
	{ "qmail-start", "DEFAULTDELIVERY [LOGGER [ARG...]]", NULL,
	    "  Run the server as qmail's run scripts do; see qmail-start(8).\n",
	    cmd_qmail_start, true },
	{ "qmail-send", "", NULL,
	    "  The same, with the mailboxes of the configuration.\n",
	    cmd_qmail_send, true },
	{ .name = NULL },
};

int
cmd_version(struct cli *cli)
{
	int status = cli_parse(cli, NULL, 0);

	if (status == CLI_GO) {
		printf("weir %s\n", WEIR_VERSION);
		status = EX_OK;
	}
	return status;
}

static const char *program = "weir"; /* argv[0] */

static int
run_command(const struct command *c, const char *self, int argc, char **argv)
{
	static struct cli cli;
	int status;

	cli.command = c;
	cli.self = self;
	cli.program = program;
	cli.argc = argc;
	cli.argv = argv;
	cli.conf_path = getenv("WEIR_CONF");
	acct_init(&cli.acct, NULL, "command", 0, false, "");
	status = c->run(&cli);
	if (fflush(stdout) != 0 || ferror(stdout)) {
		perror("weir: standard output");
		return status == EX_OK ? EX_IOERR : status;
	}
	return status;
}

static void
print_commands(FILE *to)
{
	fprintf(to, "usage: weir COMMAND [options]\n\n");
	for (const struct command *c = commands; c->name != NULL; c++)
		if (c->summary != NULL)
			fprintf(to, "  %-14s %s\n", c->name, c->summary);
	fprintf(to, "\nalso under their own names:");
	for (const struct command *c = commands; c->name != NULL; c++)
		if (c->summary == NULL)
			fprintf(to, " %s", c->name);
	fprintf(to, "\n\nweir COMMAND --help says more; so does weir(8).\n");
}

static int
unknown(const char *name)
{
	const char *near = cli_nearest(name);
	const struct cli cli = { .self = "weir" };

	if (near != NULL)
		cli_say(&cli, "unknown command \"%s\"; did you mean %s?", name,
		    near);
	else
		cli_say(&cli, "unknown command \"%s\"; weir help lists them",
		    name);
	return EX_USAGE;
}

int
cmd_help(struct cli *cli)
{
	static char help_option[] = "--help";
	char *argv[1] = { help_option };
	const struct command *c;
	int status = cli_parse(cli, NULL, 0);

	if (status != CLI_GO)
		return status;
	if (cli->argc == 0) {
		print_commands(stdout);
		return EX_OK;
	}
	c = cli_find(cli->argv[0]);
	if (c == NULL)
		return unknown(cli->argv[0]);
	return run_command(c, c->summary == NULL ? c->name : "weir", 1, argv);
}

/* The first word that is not an option is the command; options before it
 * belong to it as well. */
static int
by_word(int argc, char **argv)
{
	const struct command *c;
	char *name;
	int at = 1;

	while (at + 1 < argc && argv[at][0] == '-' &&
	       (argv[at][1] == 'c' || argv[at][1] == 'o') &&
	       argv[at][2] == '\0')
		at += 2;
	if (at >= argc) {
		print_commands(stderr);
		return EX_USAGE;
	}
	name = argv[at];
	if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
		print_commands(stdout);
		return EX_OK;
	}
	if (strcmp(name, "--version") == 0)
		name = argv[at] + 2;
	c = cli_find(name);
	if (c == NULL)
		return unknown(name);
	memmove(argv + 2, argv + 1, (size_t)(at - 1) * sizeof(*argv));
	return run_command(c, c->summary == NULL ? c->name : "weir", argc - 2,
	    argv + 2);
}

/* What names that others have, too, do in qmail's directory. */
static const struct command *
in_qmails_manner(const struct command *c)
{
	static const struct command theirs[] = {
		{ "sendmail", "[-t] [-f SENDER] [-F NAME] [RECIPIENT...]", NULL,
		    NULL, cmd_qmail_sendmail, true },
		{ "mailq", "", NULL, NULL, cmd_qmail_qread },
		{ "newaliases", "", NULL, NULL, cmd_qmail_newaliases, true },
	};

	for (size_t i = 0; i < ARRAY_LEN(theirs); i++)
		if (strcmp(c->name, theirs[i].name) == 0)
			return &theirs[i];
	return c;
}

int
main(int argc, char **argv)
{
	const struct command *c;
	const char *slash;
	const char *self;

	if (argc < 1)
		return EX_USAGE;
	program = argv[0];
	slash = strrchr(argv[0], '/');
	self = slash != NULL ? slash + 1 : argv[0];
	c = cli_find(self);
	if (c != NULL && cli_is_qmail())
		c = in_qmails_manner(c);
	/* Only known names of other systems are commands by themselves. */
	if (c != NULL && c->summary == NULL)
		return run_command(c, c->name, argc - 1, argv + 1);
	return by_word(argc, argv);
}
