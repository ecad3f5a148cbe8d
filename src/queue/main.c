/* The process of the queue role: what the master says, to src/queue/queue.h. */
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "conf/conf.h"
#include "queue/queue.h"
#include "role/role.h"
#include "store/disk.h"

static struct queue *queue;
static struct disk_posix disk;

static void
want(void *arg, enum role wanted)
{
	role_want(arg, wanted);
}

static void
bad_peer(void *arg, enum role peer, unsigned index, const char *why)
{
	role_bad_peer(arg, peer, index, why);
}

static void
die(void *arg, const char *why)
{
	role_die(arg, "%s", why);
}

static void
drained(void *arg)
{
	queue_close(queue);
	queue = NULL;
	role_exit(arg);
}

static uid_t
spool_owner(void)
{
	struct stat st;

	return fstat(disk.root_fd, &st) == 0 ? st.st_uid : 0;
}

static enum err
on_start(struct role_self *self, struct errtext *et)
{
	struct queue_env env = {
		.loop = self->loop,
		.acct = self->acct,
		.conf = self->conf,
		.disk = &disk.disk,
		.index_dir = self->conf->queue_directory,
		.threads = true,
		.arg = self,
		.want = want,
		.bad_peer = bad_peer,
		.die = die,
		.drained = drained,
	};
	enum err e;

	e = disk_posix_open(&disk, self->conf->queue_directory, et);
	if (e != OK)
		return e;
	env.owner = spool_owner();
	return queue_open(&env, &queue, et);
}

static void
on_channel(struct role_self *self, enum role peer, unsigned index, int fd)
{
	(void)self;
	queue_channel(queue, peer, index, fd);
}

static void
on_listen(struct role_self *self, enum listen_kind kind, struct slice address,
    int fd)
{
	(void)self;
	(void)address;
	if (kind == LISTEN_CONTROL)
		queue_listen(queue, fd);
	else
		(void)close(fd);
}

static void
on_go(struct role_self *self)
{
	queue_go(queue);
	role_ready(self);
}

static void
on_reload(struct role_self *self, const struct conf *old)
{
	(void)old;
	queue_reload(queue, self->conf);
}

static void
on_drain(struct role_self *self, unsigned grace_ms)
{
	(void)self;
	queue_drain(queue, grace_ms);
}

static void
on_flush(struct role_self *self)
{
	(void)self;
	queue_flush(queue);
}

static const struct role_ops ops = {
	.role = ROLE_QUEUE,
	.on_start = on_start,
	.on_channel = on_channel,
	.on_listen = on_listen,
	.on_go = on_go,
	.on_reload = on_reload,
	.on_drain = on_drain,
	.on_flush = on_flush,
};

int
main(int argc, char **argv)
{
	return role_main(argc, argv, &ops);
}
