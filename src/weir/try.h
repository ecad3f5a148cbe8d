/*
 * try: the directory of a server for one's own machine.
 */
#pragma once

#include <stddef.h>

#include "weir/cli.h"

enum { TRY_PATH_BYTES = 1024 };

struct try_paths {
	char dir[TRY_PATH_BYTES]; /* absolute */
	char conf[TRY_PATH_BYTES + 16];
	char mail[TRY_PATH_BYTES + 16];
};

/*
 * try_setup(cli, directory, out):
 * Make the directory (NULL: ./weir-try), its weir.conf unless there is one,
 * and the directory of the mailboxes, owned by the user as whom the roles will
 * run.  EX_OK or the exit status after a message.
 */
int try_setup(struct cli *cli, const char *directory, struct try_paths *out);

/* The text of weir.conf for a directory; false when it does not fit. */
bool try_conf_text(const char *dir, char *buf, size_t size);
