/*
 * qmail_cmd: qmail-queue and qmail-inject, the faces of src/sendmail; and
 * sendmail, mailq and newaliases in qmail's manner, which is theirs where
 * qmail has its programs: .../qmail/bin.
 */
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>

#include "conf/conf.h"
#include "sendmail/qmail_inject.h"
#include "sendmail/qmail_queue.h"
#include "sendmail/sendmail.h"
#include "weir/cli.h"
#include "weir/commands.h"

enum { PROGRAM_BYTES_MAX = 4096 };

bool
cli_is_qmail(void)
{
	/* The path that was executed, found by a shell or not. */
	const char *path = (const char *)(uintptr_t)getauxval(AT_EXECFN);
	const char *slash = path != NULL ? strrchr(path, '/') : NULL;

	return slash != NULL &&
	       slice_ends_nocase(slice_of(path, (size_t)(slash - path)),
		   SLICE_LIT("/qmail/bin"));
}

/* --help alone, as every command has it; no program calls that. */
static bool
wants_help(const struct cli *cli)
{
	return cli->argc == 1 && strcmp(cli->argv[0], "--help") == 0;
}

int
cmd_qmail_queue(struct cli *cli)
{
	const struct conf *conf;
	char drop[PROGRAM_BYTES_MAX];
	int code;

	if (wants_help(cli))
		return cli_parse(cli, NULL, 0);
	conf = cli_conf_qmail(cli);
	/* Only needed, and only missed, while no server runs. */
	(void)cli_program("drop", drop, sizeof(drop));
	code = qmail_queue(conf, &cli->acct, drop);
	conf_free(conf);
	return code;
}

static int
usage(const char *text)
{
	fprintf(stderr, "%s\n", text);
	return QMAIL_PERM;
}

static int
inject(struct cli *cli, const struct inject_options *options)
{
	const struct conf *conf = cli_conf_qmail(cli);
	char drop[PROGRAM_BYTES_MAX];
	int code;

	(void)cli_program("drop", drop, sizeof(drop));
	code = qmail_inject(options, conf, &cli->acct, drop);
	conf_free(conf);
	return code;
}

int
cmd_qmail_inject(struct cli *cli)
{
	struct inject_options options;

	if (wants_help(cli))
		return cli_parse(cli, NULL, 0);
	if (inject_options_parse(cli->argc, cli->argv, &options) != OK)
		return usage("qmail-inject: usage: qmail-inject [-aAhHnN] "
			     "[-f sender] [recipient ...]");
	return inject(cli, &options);
}

static int
smtp(struct cli *cli)
{
	const struct conf *conf = cli_conf_qmail(cli);
	struct errtext et = { .text = "" };
	int status = QMAIL_INJECT_OK;

	if (conf == NULL || sendmail_smtp(conf, &et) != 0) {
		printf("421 4.3.0 %s\r\n", et.text);
		status = QMAIL_TEMP;
	}
	conf_free(conf);
	return status;
}

int
cmd_qmail_sendmail(struct cli *cli)
{
	enum qmail_sendmail_mode mode;
	struct inject_options options;

	if (qmail_sendmail_parse(cli->argc, cli->argv, &options, &mode) != OK)
		return usage("sendmail: usage: sendmail [-t] [-f sender] "
			     "[-F name] [-bp] [-bs] [recipient ...]");
	switch (mode) {
	case QMAIL_SENDMAIL_SMTP: return smtp(cli);
	case QMAIL_SENDMAIL_QREAD: cli->argc = 0; return cmd_qmail_qread(cli);
	case QMAIL_SENDMAIL_INJECT: break;
	}
	return inject(cli, &options);
}

int
cmd_qmail_newaliases(struct cli *cli)
{
	(void)cli;
	return usage("sendmail: fatal: please use fastforward/newaliases "
		     "instead");
}
