/*
 * control: what the master and its roles say to each other.
 *
 * Which roles have a channel between them follows from frames.def: those that
 * have something to say.  A frame that cannot be sent, because a role does not
 * read its control channel, ends that role.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "ipc/frames.h"
#include "master/master.h"

/* ---- from a role ---- */

static bool
on_want(struct instance *i, struct frame *f)
{
	struct fr_want want;

	if (!get_want(f, &want) || want.role >= ROLE_COUNT)
		return false;
	instance_want(i->master, (enum role)want.role);
	return true;
}

static bool have_link(enum role a, enum role b);

/* The peer is believed only about somebody whom it talks to. */
static bool
on_bad_peer(struct instance *i, struct frame *f)
{
	struct fr_bad_peer bad;
	struct instance *sender;

	if (!get_bad_peer(f, &bad) || bad.peer >= ROLE_COUNT ||
	    !have_link(i->role, (enum role)bad.peer))
		return false;
	sender = instance_find(i->master, (enum role)bad.peer, bad.peer_index);
	if (sender == NULL)
		return false;
	log_error("%s %u got a malformed frame from %s %u: %.*s",
	    role_name(i->role), i->index, role_name(sender->role),
	    sender->index, SLICE_ARGS(bad.why));
	instance_kill(sender, "sent a malformed frame");
	return true;
}

static bool
on_ready(struct instance *i, struct frame *f)
{
	struct fr_ready ready;

	if (!get_ready(f, &ready) || i->state != INSTANCE_STARTING)
		return false;
	i->state = INSTANCE_SERVING;
	i->was_ready = true;
	life_ready(i->master);
	return true;
}

static void
on_frame(void *arg, struct chan *c, struct frame *f)
{
	struct instance *i = arg;
	bool ok = false;

	switch (f->type) {
	case FRAME_READY: ok = on_ready(i, f); break;
	case FRAME_WANT: ok = on_want(i, f); break;
	case FRAME_BAD_PEER: ok = on_bad_peer(i, f); break;
	default: break;
	}
	if (!ok)
		chan_bad(c, "not what the master expects");
}

static void
on_closed(void *arg, struct chan *c, bool bad, const char *why)
{
	struct instance *i = arg;

	if (bad) {
		log_error("malformed frame from %s %u: %s", role_name(i->role),
		    i->index, why);
		instance_kill(i, "sent a malformed frame");
		return;
	}
	/* It exits, or has crashed: the kernel will say which. */
	chan_close(c);
	i->control = NULL;
	if (i->state != INSTANCE_LEAVING)
		ev_timer_set(&i->timer, LEAVE_MS);
	i->state = INSTANCE_LEAVING;
}

static const struct chan_events events = { on_frame, on_closed, NULL };

enum err
control_open(struct instance *i, int fd)
{
	struct master *m = i->master;

	return chan_open(m->loop, &m->acct, fd, ROLE_MASTER, i->role, i->index,
	    &events, i, CONTROL_QUEUE_BYTES, &i->control);
}

/* ---- to a role ---- */

static bool
sent(struct instance *i, enum err e)
{
	if (e == OK || e == ERR_CLOSED) /* its end will be seen */
		return e == OK;
	instance_kill(i, "does not read its control channel");
	return false;
}

static bool
have_link(enum role a, enum role b)
{
	if (a == b || a == ROLE_MASTER || b == ROLE_MASTER ||
	    a == ROLE_COMMAND || b == ROLE_COMMAND)
		return false;
	return chan_frame_bytes_max(a, b) > 0 || chan_frame_bytes_max(b, a) > 0;
}

static void
connect_pair(struct instance *a, struct instance *b)
{
	struct fr_channel to_a = { (uint8_t)b->role, (uint8_t)b->index };
	struct fr_channel to_b = { (uint8_t)a->role, (uint8_t)a->index };
	int pair[2];

	if (chan_pair(pair) != OK) {
		instance_kill(a, "no descriptors for its channels");
		return;
	}
	if (sent(a, send_channel(a->control, 0, &to_a, pair[0])))
		(void)sent(b, send_channel(b->control, 0, &to_b, pair[1]));
	close(pair[0]);
	close(pair[1]);
}

void
control_link(struct instance *i)
{
	struct master *m = i->master;

	for (unsigned k = 0; k < m->instance_count && i->control != NULL; k++) {
		struct instance *peer = &m->instances[k];

		if (peer->linked && peer->control != NULL &&
		    have_link(i->role, peer->role))
			connect_pair(i, peer);
	}
	i->linked = i->control != NULL;
}

static void
give_listeners(struct instance *i)
{
	struct listeners *l = &i->master->listeners;

	for (unsigned k = 0; k < l->count && i->control != NULL; k++) {
		const struct listener *s = &l->items[k];
		struct fr_listen f = { (uint8_t)s->kind,
			slice_str(s->address) };

		if (s->role == i->role &&
		    (s->owner == LISTEN_ALL || s->owner == (int)i->index))
			(void)sent(i, send_listen(i->control, 0, &f, s->fd));
	}
}

/*
 * An smtpd that will not be back for a while: who waits in its sockets, and who
 * comes, is served by another, which keeps them once it has them.
 */
void
control_lend(struct instance *from)
{
	struct master *m = from->master;
	struct listeners *l = &m->listeners;
	struct instance *to = NULL;

	for (unsigned k = 0; k < m->instance_count; k++) {
		struct instance *i = &m->instances[k];

		if (i->role != from->role || i->state != INSTANCE_SERVING)
			continue;
		if (i->pid == from->lent_to)
			return;
		if (to == NULL)
			to = i;
	}
	if (to == NULL)
		return;
	from->lent_to = to->pid;
	for (unsigned k = 0; k < l->count && to->control != NULL; k++) {
		const struct listener *s = &l->items[k];
		struct fr_listen f = { (uint8_t)s->kind,
			slice_str(s->address) };

		if (s->role == from->role && s->owner == (int)from->index)
			(void)sent(to, send_listen(to->control, 0, &f, s->fd));
	}
	log_warning("%s %u serves the sockets of %s %u too",
	    role_name(to->role), to->index, role_name(from->role), from->index);
}

void
control_go(struct instance *i)
{
	struct fr_client_page page = { 0 };
	struct fr_go go = { 0 };

	give_listeners(i);
	if (i->control != NULL && i->role == ROLE_SMTPD)
		(void)sent(i, send_client_page(i->control, 0, &page,
				  i->master->client_page_fd));
	if (i->control != NULL)
		(void)sent(i, send_go(i->control, 0, &go, -1));
}

void
control_conf(struct master *m)
{
	struct fr_conf f = { m->config.generation };

	for (unsigned k = 0; k < m->instance_count; k++) {
		struct instance *i = &m->instances[k];
		int fd;

		if (i->control == NULL)
			continue;
		if (config_text_reader(&m->config, &fd) != OK) {
			instance_kill(i, "cannot be given the configuration");
			continue;
		}
		(void)sent(i, send_conf(i->control, 0, &f, fd));
		close(fd);
	}
}

void
control_drain(struct instance *i, int64_t grace_ms)
{
	struct fr_drain f = { grace_ms > UINT32_MAX ? UINT32_MAX
						    : (uint32_t)grace_ms };

	if (i->control == NULL || i->told_drain)
		return;
	i->told_drain = true;
	(void)sent(i, send_drain(i->control, 0, &f, -1));
}

void
control_flush(struct master *m)
{
	struct instance *i = instance_find(m, ROLE_QUEUE, 0);
	struct fr_flush f = { 0 };

	if (i != NULL && i->control != NULL)
		(void)sent(i, send_flush(i->control, 0, &f, -1));
}

void
control_reopen_log(struct master *m)
{
	struct fr_reopen_log f = { 0 };

	for (unsigned k = 0; k < m->instance_count; k++) {
		struct instance *i = &m->instances[k];

		if (i->control != NULL)
			(void)sent(i, send_reopen_log(i->control, 0, &f, -1));
	}
}
