/*
 * cli_conf: the configuration of a command.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "conf/conf.h"
#include "weir/cli.h"

const struct conf *
cli_conf(struct cli *cli)
{
	struct conf_input in = {
		.path = cli->conf_path,
		.overrides = cli->overrides,
		.override_count = cli->override_count,
	};
	struct conf_report *report = conf_report_new(&cli->acct);
	const struct conf *conf = NULL;

	if (report == NULL) {
		cli_say(cli, "out of memory");
		return NULL;
	}
	if (conf_load(&cli->acct, &in, report, &conf) != OK) {
		for (unsigned i = 0; i < report->count; i++)
			if (report->messages[i].is_error)
				fprintf(stderr, "%s\n",
				    report->messages[i].text);
		if (report->error_count > report->count)
			fprintf(stderr, "and %u more\n",
			    report->error_count - report->count);
		if (report->error_count == 0)
			cli_say(cli, "the configuration cannot be read");
		conf = NULL;
	}
	conf_report_free(&cli->acct, report);
	return conf;
}

const struct conf *
cli_conf_qmail(struct cli *cli)
{
	static const char option[] = "control_directory=/var/qmail/control";
	const struct conf *conf = cli_conf(cli);

	if (conf == NULL || conf->control_directory[0] != '\0' ||
	    access(strchr(option, '/'), R_OK | X_OK) != 0 ||
	    cli->override_count == CLI_OVERRIDE_COUNT_MAX)
		return conf;
	conf_free(conf);
	cli->overrides[cli->override_count++] = option;
	return cli_conf(cli);
}
