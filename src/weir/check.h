/*
 * check: what can be said of a configuration beyond its own text: of users,
 * of programs, of what tables hold.  Messages go to standard error as those
 * of conf_load do.
 */
#pragma once

#include "base/err.h"
#include "weir/cli.h"

struct conf;

/*
 * check_system(conf):
 * Warn of users and of programs of transports that are not there.  They may
 * come before the mail does, or be on the machine this configuration is
 * for: so it is no error, and until then what needs them is deferred.
 */
void check_system(const struct conf *conf);

/*
 * check_transport_maps(cli, conf):
 * Read the entries of transport_maps: those of text, hash, texthash, inline
 * and static tables, and of the text beside a cdb or lmdb, of which it was
 * made.  An entry that names no transport, or a next hop that its transport
 * cannot use, is an error: mail for it would wait until it is too old.  A
 * line that is none is a warning.  Returns how many errors there are.
 * Blocks on the files.
 */
MUST_CHECK unsigned check_transport_maps(struct cli *cli,
    const struct conf *conf);
