/*
 * weir-dns: answers smtpd and smtp what names mean.
 */
#include <unistd.h>

#include "base/mem.h"
#include "dns/heap.h"
#include "dns/service.h"
#include "ev/loop.h"
#include "role/role.h"

static struct service service;
static struct ev_task show;

static void
on_bad_peer(void *arg, enum role peer, unsigned index, const char *why)
{
	role_bad_peer(arg, peer, index, why);
}

static const struct service_events events = { .on_bad_peer = on_bad_peer };

static void
on_show(void *arg, struct ev_task *t)
{
	(void)arg;
	(void)t;
	heap_show();
}

static enum err
on_start(struct role_self *self, struct errtext *et)
{
	heap_limit((size_t)self->acct->max_bytes);
	ev_task_init(&show, on_show, NULL);
	ev_each_turn(self->loop, &show);
	return service_init(&service, self->loop, self->acct, self->conf,
	    &events, self, et);
}

static void
on_channel(struct role_self *self, enum role peer, unsigned index, int fd)
{
	enum err e;

	if (peer != ROLE_SMTPD && peer != ROLE_SMTP) {
		(void)close(fd);
		return;
	}
	e = service_add(&service, peer, index, fd);
	if (e != OK)
		role_die(self, "channel to %s: %s", role_name(peer),
		    err_text(e));
}

/* Nothing here outlives a delivery: no on_drain.  Servers and limits take a
 * restart: the sandbox hides the files by which they are found. */
static const struct role_ops ops = {
	.role = ROLE_DNS,
	.on_start = on_start,
	.on_channel = on_channel,
};

int
main(int argc, char **argv)
{
	return role_main(argc, argv, &ops);
}
