/*
 * sendmail: choosing the way into the queue.
 */
#include "sendmail/sendmail.h"

#include <signal.h>
#include <sysexits.h>
#include <unistd.h>

#include "conf/conf.h"
#include "sendmail/client.h"
#include "sendmail/drop.h"
#include "sendmail/message.h"

/* Into the drop directory. */
static int
drop(struct message *m, const char *program, struct errtext *et)
{
	int status = drop_message(m, program, et);

	/* A server that started meanwhile has looked too early. */
	if (status == EX_OK)
		client_visit(m->conf->queue_directory);
	return status;
}

int
sendmail_submit(struct message *m, const char *drop_program, struct errtext *et)
{
	bool begun;
	int fd, status;

	status = client_connect(m->conf->queue_directory, &fd, et);
	if (status == EX_UNAVAILABLE)
		return drop(m, drop_program, et);
	if (status != EX_OK)
		return status;
	status = client_submit(m, fd, &begun, et);
	close(fd);
	/* Stopping, or full: the programs that call us do not try again. */
	if (status == EX_TEMPFAIL && !begun)
		return drop(m, drop_program, et);
	return status;
}

int
sendmail_deliver(const struct sendmail_options *options,
    const struct conf *conf, struct acct *a, const char *drop_program,
    struct errtext *et)
{
	static struct message m;
	int status;

	message_init(&m, conf, a, options, STDIN_FILENO);
	status = message_begin(&m, et);
	/* Only now: a slow writer holds no session of the server's while he
	 * thinks about the header. */
	return status == EX_OK ? sendmail_submit(&m, drop_program, et) : status;
}

int
sendmail_smtp(const struct conf *conf, struct errtext *et)
{
	int fd, status;

	signal(SIGPIPE, SIG_IGN);
	status = client_connect(conf->queue_directory, &fd, et);
	if (status == EX_UNAVAILABLE)
		err_set(et, ERR_SYS, "no server runs in %s",
		    conf->queue_directory);
	if (status != EX_OK)
		return status;
	status = client_relay(fd, et);
	close(fd);
	return status;
}
