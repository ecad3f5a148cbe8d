/*
 * client: a message into the running server, by SMTP over its local socket.
 */
#pragma once

#include "base/err.h"
#include "sendmail/message.h"

/*
 * client_connect(queue_directory, fd_out, et):
 * EX_OK; EX_UNAVAILABLE when no server runs there; EX_TEMPFAIL with et for
 * anything else.
 */
int client_connect(const char *queue_directory, int *fd_out,
    struct errtext *et);

/*
 * client_submit(m, fd, begun_out, et):
 * The whole conversation; m is begun.  Recipients that are refused for good
 * are told on standard error, the others get the message.  Returns the exit
 * status: EX_OK; EX_NOUSER when some or all were refused; EX_DATAERR,
 * EX_UNAVAILABLE, EX_IOERR or EX_TEMPFAIL with et, and nothing was sent.
 * begun_out: the server was asked to take it; else it takes nobody now, and m
 * is as it was.
 */
int client_submit(struct message *m, int fd, bool *begun_out,
    struct errtext *et);

/* -bs: standard input to fd and back, until either side ends. */
int client_relay(int fd, struct errtext *et);

/* After a message was dropped: if a server runs now after all, visit it, so
 * that it looks into the drop directory. */
void client_visit(const char *queue_directory);
