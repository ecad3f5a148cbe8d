/*
 * sendmail_cmd: sendmail, the face of src/sendmail.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "conf/conf.h"
#include "sendmail/sendmail.h"
#include "weir/cli.h"
#include "weir/commands.h"

enum { PROGRAM_BYTES_MAX = 4096 };

/* -bp, -q and -bi are commands of their own. */
static int
become(struct cli *cli, const char *name, const char *option)
{
	char *argv[3] = { (char *)(uintptr_t)name, (char *)(uintptr_t)option,
		NULL };

	if (cli->conf_path != NULL &&
	    setenv("WEIR_CONF", cli->conf_path, 1) != 0)
		return EX_OSERR;
	execv("/proc/self/exe", argv);
	cli_say(cli, "cannot execute %s", name);
	return EX_OSERR;
}

static int
deliver(struct cli *cli, const struct sendmail_options *options,
    struct errtext *et)
{
	const struct conf *conf = cli_conf(cli);
	char program[PROGRAM_BYTES_MAX];
	int status;

	if (conf == NULL) {
		et->text[0] = '\0';
		return EX_CONFIG;
	}
	if (options->mode == SENDMAIL_SMTP) {
		status = sendmail_smtp(conf, et);
	} else {
		/* Only needed, and only complained of, while no server runs. */
		(void)cli_program("drop", program, sizeof(program));
		status =
		    sendmail_deliver(options, conf, &cli->acct, program, et);
	}
	conf_free(conf);
	return status;
}

int
cmd_sendmail(struct cli *cli)
{
	struct sendmail_options options;
	struct errtext et = { .text = "" };
	int status;

	if (cli->argc == 1 && strcmp(cli->argv[0], "--help") == 0)
		return cli_help(cli);
	if (sendmail_options_parse(cli->argc, cli->argv, &options, &et) != OK)
		return cli_usage(cli, "%s", et.text);
	if (options.conf_path != NULL)
		cli->conf_path = options.conf_path;
	switch (options.mode) {
	case SENDMAIL_MAILQ: return become(cli, "mailq", NULL);
	case SENDMAIL_FLUSH: return become(cli, "postqueue", "-f");
	case SENDMAIL_ALIASES: return become(cli, "newaliases", NULL);
	default: break;
	}
	status = deliver(cli, &options, &et);
	if (status != EX_OK && et.text[0] != '\0')
		cli_say(cli, "%s", et.text);
	return status;
}
