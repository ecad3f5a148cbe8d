/*
 * commands: the function of each command; one file each.  All return the exit
 * status.
 */
#pragma once

struct cli;

int cmd_run(struct cli *cli);
int cmd_help(struct cli *cli);
int cmd_version(struct cli *cli);
