/*
 * user_cmd: maildirmake, forward and their kin, the faces of src/usercmd.
 * Their options, messages and exit codes are qmail's, not those of cli.h.
 */
#include <string.h>

#include "conf/conf.h"
#include "usercmd/usercmd.h"
#include "weir/cli.h"
#include "weir/commands.h"

static const struct conf *
load_conf(void *arg)
{
	return cli_conf(arg);
}

static int
run(struct cli *cli, int (*command)(struct usercmd *u))
{
	struct usercmd u = {
		.name = cli->command->name,
		.acct = &cli->acct,
		.conf = load_conf,
		.arg = cli,
	};

	cli_take_common(cli);
	if (cli->argc == 1 && strcmp(cli->argv[0], "--help") == 0)
		return cli_parse(cli, NULL, 0);
	u.words = cli->argv;
	u.count = cli->argc;
	return command(&u);
}

int
cmd_forward(struct cli *cli)
{
	return run(cli, usercmd_forward);
}

int
cmd_condredirect(struct cli *cli)
{
	return run(cli, usercmd_condredirect);
}

int
cmd_bouncesaying(struct cli *cli)
{
	return run(cli, usercmd_bouncesaying);
}

int
cmd_except(struct cli *cli)
{
	return run(cli, usercmd_except);
}

int
cmd_preline(struct cli *cli)
{
	return run(cli, usercmd_preline);
}

int
cmd_maildirmake(struct cli *cli)
{
	return run(cli, usercmd_maildirmake);
}

int
cmd_maildir2mbox(struct cli *cli)
{
	return run(cli, usercmd_maildir2mbox);
}

int
cmd_mbox2maildir(struct cli *cli)
{
	return run(cli, usercmd_mbox2maildir);
}
