/*
 * master_args: how the master is called: weir-master [-c FILE]
 * [-o name=value]...
 */
#pragma once

#include <stddef.h>

#include "weir/cli.h"

enum { MASTER_ARGS_MAX = 2 * CLI_OVERRIDE_COUNT_MAX + 8 };

struct master_args {
	char *argv[MASTER_ARGS_MAX]; /* ended by NULL; borrowed from cli */
	size_t count;
};

/* From the options that every command takes. */
void master_args(const struct cli *cli, struct master_args *m);
