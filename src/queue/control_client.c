/* Clients of the control socket: who they are, how many, and for how long. */
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/assert.h"
#include "queue/control.h"

void
control_client_free(struct client *c)
{
	struct queue *q = c->q;

	for (unsigned i = 0; i < CLIENTS_MAX; i++)
		if (q->clients[i] == c)
			q->clients[i] = NULL;
	arena_fini(&c->arena);
	mem_free(&q->control_acct, c);
}

void
control_client_close(struct client *c)
{
	struct chan *chan = c->chan;

	control_cat_end(c);
	mem_free(&c->q->control_acct, c->ids);
	c->ids = NULL;
	ev_task_cancel(&c->task);
	c->chan = NULL;
	chan_close(chan);
	if (c->state != CLIENT_ASKING)
		control_client_free(c); /* else when the answer comes */
}

void
control_step_all(struct queue *q)
{
	for (unsigned i = 0; i < CLIENTS_MAX; i++)
		if (q->clients[i] != NULL && q->clients[i]->chan != NULL)
			control_again(q->clients[i]);
}

static bool
may_change(const struct queue *q, uid_t uid)
{
	if (uid == 0 || uid == q->env.owner || uid == geteuid())
		return true;
	for (unsigned i = 0; i < q->env.user_count; i++)
		if (q->env.users[i] == uid)
			return true;
	return false;
}

/* Places that this user leaves free for those who keep the server. */
static unsigned
reserve_of(const struct queue *q, uid_t uid)
{
	if (uid == 0 || uid == q->env.owner || uid == geteuid())
		return 0;
	return may_change(q, uid) ? CLIENTS_FOR_ROOT
				  : CLIENTS_FOR_ROOT + CLIENTS_FOR_TRUSTED;
}

/* A place for a client of this user; -1: none. */
static int
place(struct queue *q, uid_t uid, bool trusted)
{
	unsigned same = 0, free_count = 0;
	int free_slot = -1;

	for (unsigned i = 0; i < CLIENTS_MAX; i++) {
		if (q->clients[i] == NULL) {
			free_slot = (int)i;
			free_count++;
		} else {
			same += q->clients[i]->uid == uid;
		}
	}
	if (free_count <= reserve_of(q, uid) ||
	    (!trusted && same >= CLIENTS_PER_USER))
		return -1;
	return free_slot;
}

static void
take_client(struct queue *q, int fd)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);
	struct client *c;
	bool trusted;
	int slot;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) != 0) {
		(void)close(fd);
		return;
	}
	trusted = may_change(q, cred.uid);
	slot = place(q, cred.uid, trusted);
	c = slot < 0 ? NULL : mem_alloc(&q->control_acct, sizeof(*c));
	if (c == NULL || chan_open(q->loop, &q->control_acct, fd, ROLE_QUEUE,
			     ROLE_COMMAND, (unsigned)slot, &control_events, c,
			     CLIENT_QUEUE_BYTES, &c->chan) != OK) {
		mem_free(&q->control_acct, c);
		(void)close(fd);
		return;
	}
	c->q = q;
	c->uid = cred.uid;
	c->may_change = trusted;
	arena_init(&c->arena, &q->control_acct, 8192, LOAD_ARENA_BYTES_MAX);
	ev_task_init(&c->task, control_step, c);
	control_moved(c, CLIENT_IDLE_MS);
	q->clients[slot] = c;
}

static void
on_listen(void *arg, struct ev_io *io, unsigned ready)
{
	struct queue *q = arg;
	int fd;

	(void)ready;
	/* A few in each turn; the rest stay in the backlog. */
	for (unsigned i = 0; i < CLIENTS_MAX; i++) {
		fd = accept4(q->listen_fd, NULL, NULL,
		    SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0) {
			/* Descriptors, memory of the kernel: in a second. */
			if (errno == EMFILE || errno == ENFILE ||
			    errno == ENOBUFS || errno == ENOMEM)
				ev_io_want(io, 0);
			return;
		}
		take_client(q, fd);
	}
}

void
control_listen(struct queue *q, int fd)
{
	control_stop(q);
	q->listen_fd = fd;
	ev_io_init(&q->listen_io, q->loop, fd, on_listen, q);
	ev_io_want(&q->listen_io, EV_RD);
}

void
control_stop(struct queue *q)
{
	if (q->listen_fd < 0)
		return;
	ev_io_fini(&q->listen_io);
	(void)close(q->listen_fd);
	q->listen_fd = -1;
}

void
control_close(struct queue *q)
{
	control_stop(q);
	for (unsigned i = 0; i < CLIENTS_MAX; i++) {
		struct client *c = q->clients[i];

		if (c == NULL)
			continue;
		if (c->state == CLIENT_ASKING)
			c->state = CLIENT_IDLE; /* store_close drops it */
		control_client_close(c);
	}
}

void
control_tick(struct queue *q)
{
	struct mono now = queue_mono(q);

	if (q->listen_fd >= 0)
		ev_io_want(&q->listen_io, EV_RD);
	for (unsigned i = 0; i < CLIENTS_MAX; i++) {
		struct client *c = q->clients[i];

		if (c == NULL || c->chan == NULL)
			continue;
		if (mono_sub(now, c->deadline) >= 0)
			control_client_close(c);
		else
			control_again(c); /* a query that was refused */
	}
}

bool
control_holds(const struct queue *q, const struct store_msg *s)
{
	for (unsigned i = 0; i < CLIENTS_MAX; i++)
		if (q->clients[i] != NULL && &q->clients[i]->msg == s)
			return true;
	return false;
}
