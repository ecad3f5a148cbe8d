/*
 * explain, fsck, postmap and its kin: programs of their own, for they link more
 * than this one.
 */
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "conf/conf.h"
#include "weir/cli.h"
#include "weir/commands.h"
#include "weir/master_args.h"

int
cmd_explain(struct cli *cli)
{
	static char name[] = "weir-lookup";
	static char explain[] = "--explain";
	static char json_option[] = "--json";
	bool json = false;
	const struct cli_option options[] = {
		{ .name = "json", .flag = &json },
	};
	struct master_args m, out;
	size_t n = 0;
	int status = cli_parse(cli, options, ARRAY_LEN(options));

	if (status != CLI_GO)
		return status;
	if (cli->argc != 1)
		return cli_usage(cli, cli->argc == 0 ? "which address?"
						     : "one address at a time");
	master_args(cli, &m);
	out.argv[n++] = name;
	out.argv[n++] = explain;
	if (json)
		out.argv[n++] = json_option;
	for (size_t i = 1; i < m.count; i++)
		out.argv[n++] = m.argv[i];
	out.argv[n++] = cli->argv[0];
	out.argv[n] = NULL;
	return cli_exec(cli, "lookup", out.argv);
}

int
cmd_fsck(struct cli *cli)
{
	static char name[] = "weir-fsck";
	static char json_option[] = "--json";
	bool json = false;
	const struct cli_option options[] = {
		{ .name = "json", .flag = &json },
	};
	char *argv[4] = { name };
	const struct conf *conf;
	size_t n = 1;
	int status = cli_parse(cli, options, ARRAY_LEN(options));

	if (status != CLI_GO)
		return status;
	if (cli->argc > 1)
		return cli_usage(cli, "one directory at a time");
	if (json)
		argv[n++] = json_option;
	if (cli->argc == 1) {
		argv[n] = cli->argv[0];
		return cli_exec(cli, "fsck", argv);
	}
	conf = cli_conf(cli);
	if (conf == NULL)
		return EX_CONFIG;
	argv[n] = (char *)(uintptr_t)conf->queue_directory;
	return cli_exec(cli, "fsck", argv);
}

enum { HELPER_ARGS_MAX = 4096 };

/* Options are the program's own; only --help is answered here. */
static int
run_postmap(struct cli *cli)
{
	static char name[] = "weir-postmap";
	static char *argv[HELPER_ARGS_MAX + 4];
	size_t n = 0;

	if (cli->argc == 1 && strcmp(cli->argv[0], "--help") == 0)
		return cli_parse(cli, NULL, 0);
	if (cli->argc > HELPER_ARGS_MAX)
		return cli_usage(cli, "more than %d words", HELPER_ARGS_MAX);
	argv[n++] = name;
	argv[n++] = (char *)(uintptr_t)cli->command->name;
	for (int i = 0; i < cli->argc; i++)
		argv[n++] = cli->argv[i];
	return cli_exec(cli, "postmap", argv);
}

int
cmd_postmap(struct cli *cli)
{
	return run_postmap(cli);
}

int
cmd_postalias(struct cli *cli)
{
	return run_postmap(cli);
}

int
cmd_newaliases(struct cli *cli)
{
	return run_postmap(cli);
}
