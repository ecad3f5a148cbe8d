/*
 * sendmail: a message from a local user.
 */
#pragma once

#include "base/err.h"
#include "sendmail/options.h"

struct acct;
struct conf;

/*
 * sendmail_deliver(options, conf, a, drop_program, et):
 * Read a message from standard input and submit it to the server of
 * conf->queue_directory, or, when none runs, give it to drop_program (path of
 * weir-drop).  Returns an exit status of sysexits.h, with et unless EX_OK.
 */
int sendmail_deliver(const struct sendmail_options *options,
    const struct conf *conf, struct acct *a, const char *drop_program,
    struct errtext *et);

/* The same for a message that was begun (message.h): into the server, or the
 * drop directory. */
struct message;
int sendmail_submit(struct message *m, const char *drop_program,
    struct errtext *et);

/* -bs: SMTP on standard input and output. */
int sendmail_smtp(const struct conf *conf, struct errtext *et);
