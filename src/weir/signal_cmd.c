/*
 * stop, reload: signals to the master, whose pid the status socket tells.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/time.h"
#include "conf/conf.h"
#include "role/plan.h"
#include "weir/cli.h"
#include "weir/commands.h"
#include "weir/pages.h"
#include "weir/render.h"

/* A descriptor of the running master; EX_OK, or the exit status after a
 * message. */
static int
find_master(struct cli *cli, const struct conf *conf, int *pidfd_out)
{
	struct pages pages;
	int status = pages_open(cli, conf, &pages);

	if (status != EX_OK)
		return status;
	pages_close(&pages);
	*pidfd_out = pages.master > 0 ? pidfd_open(pages.master, 0) : -1;
	if (*pidfd_out < 0) {
		cli_say(cli, "the master cannot be found: %s",
		    pages.master > 0 ? strerror(errno)
				     : "it runs in another pid namespace");
		return EX_UNAVAILABLE;
	}
	return EX_OK;
}

static int
send_signal(struct cli *cli, int pidfd, int sig)
{
	if (pidfd_send_signal(pidfd, sig, NULL, 0) == 0)
		return EX_OK;
	cli_say(cli, "signal to the master: %s%s", strerror(errno),
	    errno == EPERM ? "; run this as root or as who started it" : "");
	return errno == EPERM ? EX_NOPERM : EX_UNAVAILABLE;
}

/* Until the master is gone, at most timeout_ms. */
static bool
wait_gone(int pidfd, int64_t timeout_ms)
{
	struct clock *c = &clock_system;
	struct mono end = mono_add(c->mono(c), timeout_ms);
	struct pollfd p = { .fd = pidfd, .events = POLLIN };

	for (;;) {
		int64_t left = mono_sub(end, c->mono(c));

		if (left <= 0)
			return false;
		if (poll(&p, 1, (int)left) > 0)
			return true;
	}
}

int
cmd_stop(struct cli *cli)
{
	const struct conf *conf;
	int status = cli_parse_alone(cli, NULL, 0);
	int pidfd;

	if (status != CLI_GO)
		return status;
	conf = cli_conf(cli);
	if (conf == NULL)
		return EX_CONFIG;
	status = find_master(cli, conf, &pidfd);
	if (status == EX_OK) {
		status = send_signal(cli, pidfd, SIGTERM);
		/* The grace is for what runs; the rest is for the master. */
		if (status == EX_OK &&
		    !wait_gone(pidfd, conf->shutdown_grace_ms + 15000)) {
			cli_say(cli, "it still runs after shutdown_grace; "
				     "\"weir stop\" again stops it at once");
			status = EX_TEMPFAIL;
		}
		close(pidfd);
	}
	conf_free(conf);
	return status;
}

int
cmd_reload(struct cli *cli)
{
	const struct conf *conf;
	struct plan plan;
	int status = cli_parse_alone(cli, NULL, 0);
	int pidfd;

	if (status != CLI_GO)
		return status;
	/* A configuration with errors is told here, where somebody looks;
	 * the master would keep the old one and log the same. */
	conf = cli_conf(cli);
	if (conf == NULL)
		return EX_CONFIG;
	status = render_plan(conf, &plan);
	if (status == EX_OK)
		status = find_master(cli, conf, &pidfd);
	if (status == EX_OK) {
		status = send_signal(cli, pidfd, SIGHUP);
		close(pidfd);
	}
	conf_free(conf);
	return status;
}
