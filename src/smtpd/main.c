/*
 * weir-smtpd: mail in by SMTP and LMTP.
 */
#include <unistd.h>

#include "role/role.h"
#include "role/user_list.h"
#include "smtpd/server.h"

static struct {
	struct role_self *self;
	struct server *server;
} smtpd;

static void
on_drained(void *arg)
{
	role_exit(arg);
}

static void
on_bad_peer(void *arg, enum role peer, const char *why)
{
	role_bad_peer(arg, peer, 0, why);
}

static void
on_visit(void *arg)
{
	role_want(arg, ROLE_PICKUP);
}

/* authorized_session_users; and who started the server, if that was not
 * root. */
static void
find_session_users(const struct role_self *self)
{
	uid_t users[ROLE_USERS_MAX];
	unsigned count = role_users(&self->conf->authorized_session_users,
	    "authorized_session_users", users);

	if (getuid() != 0 && count < ROLE_USERS_MAX)
		users[count++] = getuid();
	server_set_session_users(smtpd.server, users, count);
}

static enum err
on_start(struct role_self *self, struct errtext *et)
{
	struct server_events events = { on_drained, on_bad_peer, self,
		on_visit };
	enum err e;

	smtpd.self = self;
	e = server_new(self->loop, self->acct, self->conf, self->index, &events,
	    &smtpd.server);
	if (e != OK)
		return err_set(et, e, "no memory for the buffers of smtpd");
	find_session_users(self);
	return OK;
}

static void
on_channel(struct role_self *self, enum role peer, unsigned index, int fd)
{
	(void)self;
	server_set_channel(smtpd.server, peer, index, fd);
}

static void
on_listen(struct role_self *self, enum listen_kind kind, struct slice address,
    int fd)
{
	(void)self;
	(void)address;
	server_add_listener(smtpd.server, kind, fd);
}

static void
on_client_page(struct role_self *self, int fd)
{
	struct errtext et;
	enum err e = server_set_page(smtpd.server, fd, &et);

	close(fd);
	if (e != OK)
		role_die(self, "%s", et.text);
}

static void
on_go(struct role_self *self)
{
	if (smtpd.server->page.shared == NULL)
		role_die(self, "no page of clients was handed over");
	server_start(smtpd.server);
	role_ready(self);
}

static void
on_reload(struct role_self *self, const struct conf *old)
{
	(void)old;
	server_reload(smtpd.server, self->conf);
}

static void
on_drain(struct role_self *self, unsigned grace_ms)
{
	(void)self;
	(void)grace_ms; /* the master keeps the time */
	server_drain(smtpd.server);
}

int
main(int argc, char **argv)
{
	static const struct role_ops ops = {
		.role = ROLE_SMTPD,
		.on_start = on_start,
		.on_channel = on_channel,
		.on_listen = on_listen,
		.on_client_page = on_client_page,
		.on_go = on_go,
		.on_reload = on_reload,
		.on_drain = on_drain,
	};

	return role_main(argc, argv, &ops);
}
