/* The process of the queue role: what the master says, to src/queue/queue.h. */
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "conf/conf.h"
#include "queue/queue.h"
#include "role/plan.h"
#include "role/role.h"
#include "role/user_list.h"
#include "store/disk.h"

enum { EARLY_MAX = 160 };

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

/* What comes before the queue is open: it opens in on_go, for the store's
 * threads must be inside the sandbox. */
static struct {
	enum role peer;
	unsigned index;
	int fd;
} early[EARLY_MAX];
static unsigned early_count;
static int early_listen = -1;

/* authorized_queue_users: asked for before the sandbox closes. */
static uid_t users[ROLE_USERS_MAX];
static unsigned user_count;

static enum err
on_start(struct role_self *self, struct errtext *et)
{
	(void)et;
	user_count = role_users(&self->conf->authorized_queue_users,
	    "authorized_queue_users", users);
	return OK;
}

static uid_t
spool_owner(void)
{
	struct stat st;

	return fstat(disk.root_fd, &st) == 0 ? st.st_uid : 0;
}

/* A spool made as one user is opened as another: the users weir and weirq
 * came later, or somebody copied it. */
static enum err
check_spool(const struct conf *c, uid_t owner, struct errtext *et)
{
	const char *const paths[] = { ".", "lock" };
	struct stat st = { .st_uid = owner };

	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		if (access(paths[i], R_OK | W_OK) == 0 || errno != EACCES)
			continue;
		(void)stat(paths[i], &st);
		return err_set(et, ERR_SYS,
		    "%s/%s belongs to user id %lu, and the queue works as user "
		    "id %lu; write: chown -R %lu %s",
		    c->queue_directory, paths[i], (unsigned long)st.st_uid,
		    (unsigned long)geteuid(), (unsigned long)geteuid(),
		    c->queue_directory);
	}
	return OK;
}

static enum err
open_queue(struct role_self *self, struct errtext *et)
{
	/* The working directory is queue_directory. */
	struct queue_env env = {
		.loop = self->loop,
		.acct = self->acct,
		.conf = self->conf,
		.disk = &disk.disk,
		.index_dir = ".",
		.threads = true,
		.users = users,
		.user_count = user_count,
		.arg = self,
		.want = want,
		.bad_peer = bad_peer,
		.die = die,
		.drained = drained,
	};
	enum err e = disk_posix_open(&disk, ".", et);
	int64_t nofile = plan_nofile_max();
	struct plan plan;

	if (e == OK) {
		env.owner = spool_owner();
		e = check_spool(self->conf, env.owner, et);
	}
	if (e == OK)
		e = plan_make(self->conf, plan_cpu_count(), nofile, &plan, et);
	if (e != OK)
		return e;
	env.nofile_max = nofile;
	env.local_max = plan_fit(&plan, ROLE_LOCAL, nofile);
	env.remote_max = plan_fit(&plan, ROLE_SMTP, nofile);
	return queue_open(&env, &queue, et);
}

static void
on_channel(struct role_self *self, enum role peer, unsigned index, int fd)
{
	(void)self;
	if (queue != NULL) {
		queue_channel(queue, peer, index, fd);
	} else if (early_count < EARLY_MAX) {
		early[early_count].peer = peer;
		early[early_count].index = index;
		early[early_count++].fd = fd;
	} else {
		(void)close(fd);
	}
}

static void
on_listen(struct role_self *self, enum listen_kind kind, struct slice address,
    int fd)
{
	(void)self;
	(void)address;
	if (kind != LISTEN_CONTROL)
		(void)close(fd);
	else if (queue != NULL)
		queue_listen(queue, fd);
	else
		early_listen = fd;
}

static void
on_go(struct role_self *self)
{
	struct errtext et = { "" };

	if (open_queue(self, &et) != OK)
		role_die(self, "the queue cannot be opened: %s", et.text);
	if (early_listen >= 0)
		queue_listen(queue, early_listen);
	for (unsigned i = 0; i < early_count; i++)
		queue_channel(queue, early[i].peer, early[i].index,
		    early[i].fd);
	queue_go(queue);
	role_ready(self);
}

static void
on_reload(struct role_self *self, const struct conf *old)
{
	(void)old;
	if (queue != NULL)
		queue_reload(queue, self->conf);
}

static void
on_drain(struct role_self *self, unsigned grace_ms)
{
	if (queue != NULL)
		queue_drain(queue, grace_ms);
	else
		role_exit(self);
}

static void
on_flush(struct role_self *self)
{
	(void)self;
	if (queue != NULL)
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
