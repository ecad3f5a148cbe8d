/*
 * commands: the function of each command; files are named after them.  All
 * return the exit status.
 */
#pragma once

#include <stdbool.h>

struct cli;

/* In the order of the table in main.c, which says what each does. */
int cmd_run(struct cli *cli);
int cmd_try(struct cli *cli);
int cmd_check(struct cli *cli);
int cmd_config(struct cli *cli);
int cmd_limits(struct cli *cli);
/* doc/limits.md to standard output; an exit status. */
int limits_doc(void);
int cmd_status(struct cli *cli);
int cmd_top(struct cli *cli);
int cmd_stop(struct cli *cli);
int cmd_reload(struct cli *cli);
int cmd_queue(struct cli *cli);
int cmd_send(struct cli *cli);
int cmd_explain(struct cli *cli);
int cmd_fsck(struct cli *cli);
int cmd_qmail_queue(struct cli *cli);
int cmd_qmail_inject(struct cli *cli);
/* sendmail and newaliases in qmail's manner, and whether we were called there:
 * from a directory .../qmail/bin. */
int cmd_qmail_sendmail(struct cli *cli);
int cmd_qmail_newaliases(struct cli *cli);
bool cli_is_qmail(void);
int cmd_qmail_qstat(struct cli *cli);
int cmd_qmail_qread(struct cli *cli);
int cmd_qmail_showctl(struct cli *cli);
int cmd_qmail_start(struct cli *cli);
int cmd_qmail_send(struct cli *cli);
int cmd_import_qmail(struct cli *cli);
int cmd_import_postfix(struct cli *cli);
int cmd_help(struct cli *cli);
int cmd_version(struct cli *cli);

/* Known names of other mail systems. */
int cmd_sendmail(struct cli *cli);
int cmd_mailq(struct cli *cli);
int cmd_postqueue(struct cli *cli);
int cmd_postsuper(struct cli *cli);
int cmd_postcat(struct cli *cli);
int cmd_postconf(struct cli *cli);
int cmd_postmap(struct cli *cli);
int cmd_postalias(struct cli *cli);
int cmd_newaliases(struct cli *cli);
int cmd_forward(struct cli *cli);
int cmd_condredirect(struct cli *cli);
int cmd_bouncesaying(struct cli *cli);
int cmd_except(struct cli *cli);
int cmd_preline(struct cli *cli);
int cmd_maildirmake(struct cli *cli);
int cmd_maildir2mbox(struct cli *cli);
int cmd_mbox2maildir(struct cli *cli);
