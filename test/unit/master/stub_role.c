/*
 * stub_role: every role program of test_master.  Which one it is follows from
 * its name; what it does besides is said by the environment, STUB_ROLE=WORDS:
 *
 *   die      exits before it is ready    want     asks for bounce
 *   second   its second process exits so  stuck    does not drain
 * and at a reload:
 *   accuse   calls smtp 1 malformed       slander  calls local malformed
 *   babble   sends a frame that the master does not expect
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "conf/conf.h"
#include "ev/loop.h"
#include "role/role.h"

static bool
told(const struct role_self *self, const char *word)
{
	char name[32] = "STUB_";
	const char *words;
	size_t n = strlen(name);

	snprintf(name + n, sizeof(name) - n, "%s", role_name(self->role));
	for (; name[n] != 0; n++)
		name[n] = (char)toupper((unsigned char)name[n]);
	words = getenv(name);
	return words != NULL && strstr(words, word) != NULL;
}

static void
on_channel(struct role_self *self, enum role peer, unsigned index, int fd)
{
	log_info("%s %u has a channel to %s %u", role_name(self->role),
	    self->index, role_name(peer), index);
	close(fd);
}

static void
on_listen(struct role_self *self, enum listen_kind kind, struct slice address,
    int fd)
{
	log_info("%s %u listens %d %.*s", role_name(self->role), self->index,
	    (int)kind, SLICE_ARGS(address));
	close(fd);
}

static void
on_client_page(struct role_self *self, int fd)
{
	log_info("%s %u has the client page", role_name(self->role),
	    self->index);
	close(fd);
}

static void
on_go(struct role_self *self)
{
	log_info("%s %u go, pid %ld, incoming %d", role_name(self->role),
	    self->index, (long)getpid(), (int)self->conf->concurrency_incoming);
	if (told(self, "die") || (self->index == 1 && told(self, "second")))
		role_die(self, "told to");
	if (told(self, "want"))
		role_want(self, ROLE_BOUNCE);
	role_ready(self);
	if (self->role == ROLE_BOUNCE)
		role_exit(self);
}

static void
on_reload(struct role_self *self, const struct conf *old)
{
	log_info("%s %u reload %d -> %d, incoming %d", role_name(self->role),
	    self->index, (int)old->concurrency_local,
	    (int)self->conf->concurrency_local,
	    (int)self->conf->concurrency_incoming);
	if (self->index == 0 && told(self, "accuse"))
		role_bad_peer(self, ROLE_SMTP, 1, "test");
	if (self->index == 0 && told(self, "slander"))
		role_bad_peer(self, ROLE_LOCAL, 0, "test");
	if (self->index == 0 && told(self, "babble"))
		role_ready(self); /* twice */
}

static void
on_flush(struct role_self *self)
{
	log_info("%s %u flush", role_name(self->role), self->index);
}

static void
on_drain(struct role_self *self, unsigned grace_ms)
{
	log_info("%s %u drain %u", role_name(self->role), self->index,
	    grace_ms);
	if (!told(self, "stuck"))
		role_exit(self);
}

int
main(int argc, char **argv)
{
	static struct role_ops ops = {
		.on_channel = on_channel,
		.on_listen = on_listen,
		.on_client_page = on_client_page,
		.on_go = on_go,
		.on_reload = on_reload,
		.on_flush = on_flush,
		.on_drain = on_drain,
	};
	const char *name = strrchr(argv[0], '-');

	for (unsigned r = 0; name != NULL && r < ROLE_COUNT; r++)
		if (strcmp(name + 1, role_name((enum role)r)) == 0)
			ops.role = (enum role)r;
	return role_main(argc, argv, &ops);
}
