/*
 * run: execute the master.
 */
#include <stdlib.h>
#include <sysexits.h>

#include "base/assert.h"
#include "weir/cli.h"
#include "weir/commands.h"
#include "weir/master_args.h"

void
master_args(const struct cli *cli, struct master_args *m)
{
	static char name[] = "weir-master";
	static char conf[] = "-c";
	static char override[] = "-o";
	size_t n = 0;

	m->argv[n++] = name;
	if (cli->conf_path != NULL) {
		m->argv[n++] = conf;
		m->argv[n++] = (char *)(uintptr_t)cli->conf_path;
	}
	for (size_t i = 0; i < cli->override_count; i++) {
		m->argv[n++] = override;
		m->argv[n++] = (char *)(uintptr_t)cli->overrides[i];
	}
	m->argv[n] = NULL;
	m->count = n;
	ASSERT(n < MASTER_ARGS_MAX);
}

int
cmd_run(struct cli *cli)
{
	struct master_args m;
	int status = cli_parse_alone(cli, NULL, 0);

	if (status != CLI_GO)
		return status;
	master_args(cli, &m);
	return cli_exec(cli, "master", m.argv);
}
