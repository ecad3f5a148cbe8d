/*
 * submit: one message to a running server over SMTP, blocking.
 */
#pragma once

#include <stddef.h>

#include "base/slice.h"
#include "weir/cli.h"

struct conf;

struct submission {
	const char *from; /* may be empty */
	char *const *to;
	size_t to_count;
	const char *subject;
	struct slice body; /* lines end with LF or CRLF */
};

enum { SUBMIT_REPLY_BYTES = 600 };

/*
 * submit_message(cli, conf, m, local, reply_out):
 * local: through queue_directory/run/submit where that is served; else, and
 * else always, to the first address of smtp_listen.  reply_out gets the
 * server's last words, printable.
 *
 * EX_OK; EX_TEMPFAIL (4xx, no answer), EX_NOUSER (5xx to RCPT),
 * EX_UNAVAILABLE (5xx, no server) after a message.
 */
int submit_message(struct cli *cli, const struct conf *conf,
    const struct submission *m, bool local,
    char reply_out[static SUBMIT_REPLY_BYTES]);
