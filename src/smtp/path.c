/*
 * Happy path: SOCKET_CONNECT with the job's tag, SOCKET_CONNECTED with a
 * connected socket, and the session begins.
 * Failure modes: no such socket, nobody listens, no right to it: the reason of
 * the system, deferred; the socket's backlog is full: asked again every
 * AGAIN_MS; nothing of all that until lmtp_connect_timeout: timed out.  While
 * the lookup role is away the question waits.  An answer after its time is
 * closed; it names its path, so that it cannot be taken for another one's.
 */
#include "smtp/path.h"

#include <errno.h>
#include <string.h>

#include "base/hash.h"
#include "conf/conf.h"
#include "ipc/chan.h"
#include "ipc/frames.h"
#include "smtp/agent.h"
#include "smtp/conn.h"
#include "smtp/job.h"

enum { AGAIN_MS = 100 };

static bool
is_waiting(const struct job *j)
{
	return j->state == JOB_CONNECTING && j->conn == NULL &&
	       j->nexthop.path.len > 0;
}

static void
ask(struct job *j)
{
	struct agent *g = j->agent;
	struct fr_socket_connect q = { .path = j->nexthop.path };

	j->path_asked = g->lookup != NULL &&
			send_socket_connect(g->lookup, j->tag, &q, -1) == OK;
}

static void
failed(struct job *j, int errnum)
{
	ev_timer_clear(&j->timer);
	conn_not_made(j, &j->hosts[j->host_next - 1], errnum);
}

static void
on_timer(void *arg, struct ev_timer *t)
{
	struct job *j = arg;
	int64_t left_ms = mono_sub(j->path_deadline, ev_now(j->agent->loop));

	(void)t;
	if (left_ms <= 0) {
		agent_late(j->agent, AGENT_ROW_CONNECT, j->lmtp,
		    j->nexthop.path);
		failed(j, ETIMEDOUT);
		return;
	}
	ev_timer_set(&j->timer, left_ms);
	ask(j);
}

void
path_start(struct job *j)
{
	struct agent *g = j->agent;
	int64_t ms = j->lmtp ? g->conf->lmtp_connect_timeout_ms
			     : g->conf->smtp_connect_timeout_ms;

	j->state = JOB_CONNECTING;
	j->path_deadline = mono_add(ev_now(g->loop), ms);
	ev_timer_init(&j->timer, g->loop, on_timer, j);
	ev_timer_set(&j->timer, ms);
	ask(j);
}

void
path_forget_asked(struct agent *g)
{
	for (struct list_node *n = list_first(&g->jobs); n != NULL;
	     n = list_next(&g->jobs, n))
		CONTAINER(n, struct job, link)->path_asked = false;
}

void
path_ask_again(struct agent *g)
{
	for (struct list_node *n = list_first(&g->jobs); n != NULL;
	     n = list_next(&g->jobs, n)) {
		struct job *j = CONTAINER(n, struct job, link);

		if (is_waiting(j) && !j->path_asked)
			ask(j);
	}
}

/* The job that asked for this; NULL: it did not wait so long. */
static struct job *
find_asker(struct agent *g, uint32_t tag, struct slice path)
{
	struct hash_node *n = hash_first(&g->jobs_by_tag, hash_u64(tag));

	for (; n != NULL; n = hash_next(n)) {
		struct job *j = CONTAINER(n, struct job, by_tag);

		if (j->tag == tag)
			return is_waiting(j) && j->path_asked &&
				       slice_eq(j->nexthop.path, path)
				   ? j
				   : NULL;
	}
	return NULL;
}

static void
ask_later(struct job *j)
{
	int64_t left_ms = mono_sub(j->path_deadline, ev_now(j->agent->loop));

	j->path_asked = false;
	ev_timer_set(&j->timer, left_ms < AGAIN_MS ? left_ms : AGAIN_MS);
}

bool
path_on_connected(struct agent *g, struct frame *f)
{
	struct fr_socket_connected a;
	struct job *j;

	if (!get_socket_connected(f, &a) || (a.errnum == 0) != (f->fd >= 0))
		return false;
	j = find_asker(g, f->tag, a.path);
	if (j == NULL)
		return true; /* the channel closes the descriptor */
	j->path_asked = false;
	if (a.errnum == EAGAIN) {
		ask_later(j);
	} else if (a.errnum != 0) {
		failed(j, (int)a.errnum);
	} else {
		int fd = f->fd;

		f->fd = -1;
		ev_timer_clear(&j->timer);
		conn_adopt(j, &j->hosts[j->host_next - 1], fd);
	}
	return true;
}
