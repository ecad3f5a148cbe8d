/*
 * weir-local: mail into the mailboxes of this system.
 *
 * Where Weir runs as root this role stays root, for it must start workers as
 * every user; so it parses no byte of a message and no file of a user: bodies
 * go from the log to the worker's pipe inside the kernel, and what is
 * forwarded is handed back to the queue unseen.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "conf/conf.h"
#include "ev/loop.h"
#include "local/jobs.h"
#include "role/role.h"
#include "table/assigned.h"

enum { PROGRAM_BYTES_MAX = 4096 };

static struct {
	struct role_self *self;
	struct target_env env;
	struct jobs *jobs;
	char program[PROGRAM_BYTES_MAX]; /* weir-deliver */
} local;

/* weir-deliver lies beside us. */
static enum err
find_program(struct errtext *et)
{
	char self[PROGRAM_BYTES_MAX - 16];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash;

	if (n < 0)
		return err_sys(et, errno, "cannot read /proc/self/exe");
	self[n] = '\0';
	slash = strrchr(self, '/');
	if (slash == NULL)
		return err_set(et, ERR_SYS, "%s is no absolute path", self);
	*slash = '\0';
	snprintf(local.program, sizeof(local.program), "%s/weir-deliver", self);
	if (access(local.program, X_OK) < 0)
		return err_sys(et, errno, "cannot execute %s", local.program);
	return OK;
}

static void
on_bad_queue(void *arg, const char *why)
{
	(void)arg;
	role_bad_peer(local.self, ROLE_QUEUE, 0, why);
}

static void
on_bad_lookup(void *arg, const char *why)
{
	(void)arg;
	role_bad_peer(local.self, ROLE_LOOKUP, 0, why);
}

static void
on_child(void *arg, int signum)
{
	(void)signum;
	jobs_reap(arg);
}

/* The users_assign of the configuration in force. */
static enum err
open_assigned(struct role_self *self)
{
	assigned_close(local.env.assigned);
	local.env.assigned = NULL;
	if (self->conf->users_assign[0] == '\0')
		return OK;
	return assigned_open(self->acct, self->conf->users_assign,
	    &local.env.assigned);
}

static enum err
on_start(struct role_self *self, struct errtext *et)
{
	enum err e = find_program(et);

	if (e != OK)
		return e;
	signal(SIGPIPE, SIG_IGN);
	local.self = self;
	local.env = (struct target_env){
		.conf = self->conf,
		.is_root = geteuid() == 0,
		.own = { self->uid, self->gid, self->gid },
	};
	e = open_assigned(self);
	if (e != OK)
		return err_set(et, e, "no memory for users_assign");
	e = jobs_new(self->loop, self->acct, &local.env, local.program,
	    &local.jobs);
	if (e != OK)
		return err_set(et, e, "cannot make table of jobs");
	jobs_on_bad(local.jobs, on_bad_queue, on_bad_lookup, NULL);
	target_prepare(&local.env);
	return ev_signal(self->loop, SIGCHLD, on_child, local.jobs);
}

static void
on_channel(struct role_self *self, enum role peer, unsigned index, int fd)
{
	switch (peer) {
	case ROLE_QUEUE:
		if (jobs_set_queue(local.jobs, fd, index) != OK)
			role_die(self, "cannot open channel to queue");
		break;
	case ROLE_LOOKUP:
		if (jobs_set_lookup(local.jobs, fd, index) != OK)
			role_die(self, "cannot open channel to lookup");
		break;
	default: close(fd);
	}
}

static void
on_reload(struct role_self *self, const struct conf *old)
{
	(void)old;
	local.env.conf = self->conf;
	if (open_assigned(self) != OK)
		role_die(self, "no memory for users_assign");
	jobs_reload(local.jobs);
	target_prepare(&local.env);
}

static void
on_idle(void *arg)
{
	role_exit(arg);
}

static void
on_drain(struct role_self *self, unsigned grace_ms)
{
	/* The master ends the grace. */
	(void)grace_ms;
	jobs_drain(local.jobs, on_idle, self);
}

int
main(int argc, char **argv)
{
	static const struct role_ops ops = {
		.role = ROLE_LOCAL,
		.on_start = on_start,
		.on_channel = on_channel,
		.on_reload = on_reload,
		.on_drain = on_drain,
	};

	return role_main(argc, argv, &ops);
}
