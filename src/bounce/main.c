/* The process of the bounce role: reads hostile headers, has no rights.  Runs
 * on demand and leaves when it is idle. */
#include <unistd.h>

#include "bounce/reporter.h"
#include "role/role.h"

static struct reporter *reporter;

static void
idle(void *arg)
{
	role_exit(arg);
}

static void
bad_queue(void *arg, const char *why)
{
	role_bad_peer(arg, ROLE_QUEUE, 0, why);
}

static enum err
on_start(struct role_self *self, struct errtext *et)
{
	struct reporter_env env = {
		.loop = self->loop,
		.acct = self->acct,
		.conf = self->conf,
		.arg = self,
		.idle = idle,
		.bad_queue = bad_queue,
	};
	enum err e = reporter_open(&env, &reporter);

	return e == OK ? OK : err_set(et, e, "memory for reports");
}

static void
on_channel(struct role_self *self, enum role peer, unsigned index, int fd)
{
	(void)self;
	(void)index;
	if (peer == ROLE_QUEUE)
		reporter_channel(reporter, fd);
	else
		(void)close(fd);
}

static void
on_reload(struct role_self *self, const struct conf *old)
{
	(void)old;
	reporter_reload(reporter, self->conf);
}

static const struct role_ops ops = {
	.role = ROLE_BOUNCE,
	.on_start = on_start,
	.on_channel = on_channel,
	.on_reload = on_reload,
};

int
main(int argc, char **argv)
{
	return role_main(argc, argv, &ops);
}
