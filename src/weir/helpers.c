/*
 * explain, fsck: programs of their own, for they link more than this one.
 */
#include <stdio.h>
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
		return cli_usage(cli, "which address?");
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
