/*
 * pages: the limits pages of a running server, read-only, and its master.
 */
#pragma once

#include <stddef.h>
#include <sys/types.h>

#include "base/limits.h"

struct cli;
struct conf;

enum { PAGES_MAX = 253 }; /* descriptors in one message (SCM_MAX_FD) */

struct pages {
	struct limits_page *page[PAGES_MAX];
	size_t count;
	pid_t master; /* peer of the status socket */
};

/*
 * pages_open(cli, conf, p):
 * Ask the running server.  Waits at most a minute.  EX_OK, or the exit status
 * after a message: EX_UNAVAILABLE when no server runs, EX_NOPERM, ...
 */
int pages_open(struct cli *cli, const struct conf *conf, struct pages *p);
void pages_close(struct pages *p);

/*
 * run_connect(cli, conf, name, type, fd_out):
 * Connect to the socket queue_directory/run/NAME.  As above.
 */
int run_connect(struct cli *cli, const struct conf *conf, const char *name,
    int type, int *fd_out);
/* The same without a message: the descriptor, or minus the errno. */
int run_open(const struct conf *conf, const char *name, int type);
/* Is that the errno of a socket behind which no server runs? */
bool run_is_stopped(int errnum);
