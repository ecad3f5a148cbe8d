/*
 * pickup: takes in what sendmail dropped while no server ran.
 *
 * Started when there is something in the drop directory; it looks again and
 * again for LINGER_MS, for a sendmail that found no server may still be
 * writing, and leaves.
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/time.h"
#include "ev/loop.h"
#include "pickup/drop_dir.h"
#include "pickup/take.h"
#include "role/role.h"

enum { LINGER_MS = 60 * 1000, RESCAN_MS = 2000 };

static struct {
	struct role_self *self;
	struct take *take;
	struct ev_timer timer;
	struct mono leave; /* when nothing comes until then */
} pickup;

static void
on_empty(void *arg)
{
	struct mono now = ev_now(pickup.self->loop);

	(void)arg;
	if (pickup.self->draining || mono_sub(now, pickup.leave) >= 0)
		role_exit(pickup.self);
	else
		ev_timer_set(&pickup.timer, RESCAN_MS);
}

static void
on_timer(void *arg, struct ev_timer *timer)
{
	(void)arg;
	(void)timer;
	take_scan(pickup.take);
}

static void
on_bad(void *arg, const char *why)
{
	(void)arg;
	if (why != NULL)
		role_bad_peer(pickup.self, ROLE_QUEUE, 0, why);
}

static enum err
on_start(struct role_self *self, struct errtext *et)
{
	static const struct take_events events = { on_empty, on_bad, NULL };
	int fd = open("drop", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	enum err e;

	if (fd < 0)
		return err_sys(et, errno, "cannot open drop directory");
	pickup.self = self;
	(void)limits_row(LIMIT_COUNT, "files found at one look", "",
	    sizeof(struct drop_found), DROP_FOUND_MAX);
	e = take_new(self->loop, self->acct, fd, &events, &pickup.take);
	if (e != OK)
		return err_set(et, e, "no memory for a message");
	take_set_conf(pickup.take, self->conf);
	ev_timer_init(&pickup.timer, self->loop, on_timer, NULL);
	return OK;
}

static void
on_channel(struct role_self *self, enum role peer, unsigned index, int fd)
{
	if (peer != ROLE_QUEUE) {
		close(fd);
		return;
	}
	if (take_set_queue(pickup.take, fd, index) != OK)
		role_die(self, "cannot open channel to queue");
}

static void
on_go(struct role_self *self)
{
	role_ready(self);
	pickup.leave = mono_add(ev_now(self->loop), LINGER_MS);
	take_scan(pickup.take);
}

static void
on_reload(struct role_self *self, const struct conf *old)
{
	(void)old;
	take_set_conf(pickup.take, self->conf);
}

static void
on_drain(struct role_self *self, unsigned grace_ms)
{
	(void)self;
	/* The master ends the grace. */
	(void)grace_ms;
	take_drain(pickup.take);
}

int
main(int argc, char **argv)
{
	static const struct role_ops ops = {
		.role = ROLE_PICKUP,
		.on_start = on_start,
		.on_channel = on_channel,
		.on_go = on_go,
		.on_reload = on_reload,
		.on_drain = on_drain,
	};

	return role_main(argc, argv, &ops);
}
