/*
 * weir-smtp: delivers to other servers over SMTP and LMTP.
 */
#include <unistd.h>

#include "base/log.h"
#include "role/role.h"
#include "smtp/agent.h"

static struct agent agent;

static void
on_bad_peer(void *arg, enum role peer, const char *why)
{
	role_bad_peer(arg, peer, 0, why);
}

static void
on_drained(void *arg)
{
	role_exit(arg);
}

static const struct agent_events events = {
	.on_bad_peer = on_bad_peer,
	.on_drained = on_drained,
};

static enum err
on_start(struct role_self *self, struct errtext *et)
{
	enum err e;

	e = agent_init(&agent, self->loop, self->acct, self->conf, &events,
	    self);
	return e == OK ? OK : err_set(et, e, "start: %s", err_text(e));
}

static void
on_channel(struct role_self *self, enum role peer, unsigned index, int fd)
{
	enum err e;

	if (peer != ROLE_QUEUE && peer != ROLE_DNS && peer != ROLE_LOOKUP) {
		(void)close(fd);
		return;
	}
	e = agent_set_channel(&agent, peer, index, fd);
	if (e != OK)
		role_die(self, "channel to %s: %s", role_name(peer),
		    err_text(e));
}

static void
on_reload(struct role_self *self, const struct conf *old)
{
	(void)old;
	agent_configure(&agent, self->conf);
}

static void
on_drain(struct role_self *self, unsigned grace_ms)
{
	(void)self;
	(void)grace_ms; /* the master ends who takes longer */
	agent_drain(&agent);
}

static const struct role_ops ops = {
	.role = ROLE_SMTP,
	.on_start = on_start,
	.on_channel = on_channel,
	.on_reload = on_reload,
	.on_drain = on_drain,
};

int
main(int argc, char **argv)
{
	return role_main(argc, argv, &ops);
}
