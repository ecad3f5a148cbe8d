/*
 * qmail_cmd: qmail-queue, the face of src/sendmail/qmail_queue.
 */
#include "conf/conf.h"
#include "sendmail/qmail_queue.h"
#include "weir/cli.h"
#include "weir/commands.h"

enum { PROGRAM_BYTES_MAX = 4096 };

int
cmd_qmail_queue(struct cli *cli)
{
	char drop[PROGRAM_BYTES_MAX];

	/* Only needed, and only missed, while no server runs. */
	(void)cli_program("drop", drop, sizeof(drop));
	return qmail_queue(cli_conf(cli), &cli->acct, drop);
}
