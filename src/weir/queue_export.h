/*
 * queue_export: every message of the queue as one file.
 */
#pragma once

#include "weir/ctl.h"

/*
 * queue_export(cli, ctl, directory):
 * Write DIRECTORY/ID for each message: a line of JSON (the envelope, as
 * `weir queue show --json` prints it), then the message as received (CRLF).
 * A file appears under its name when it is whole and synced.  A message that
 * leaves the queue meanwhile is left out.  Prints the count.
 */
int queue_export(struct cli *cli, struct ctl *c, const char *directory);
