/* Channels to the other roles, and what each may send. */
#include "base/assert.h"
#include "queue/internal.h"

static void
peer_free(struct peer *p)
{
	struct queue *q = p->q;

	for (unsigned i = 0; i < PEERS_MAX; i++)
		if (q->peers[i] == p)
			q->peers[i] = NULL;
	segments_free(p);
	mem_free(&q->chan_acct, p);
}

/* The peer is gone: whatever it had is undone. */
static void
peer_close(struct peer *p)
{
	struct queue *q = p->q;
	struct chan *c = p->chan;

	p->chan = NULL;
	switch (p->role) {
	case ROLE_SMTPD:
	case ROLE_PICKUP: txn_peer_closed(p); break;
	case ROLE_BOUNCE:
		txn_peer_closed(p);
		q->bounce = NULL;
		report_closed(q, p);
		break;
	case ROLE_LOOKUP:
		q->lookup = NULL;
		route_peer_closed(q);
		break;
	case ROLE_SMTP: job_agent_closed(p); break;
	case ROLE_LOCAL:
		txn_peer_closed(p);
		job_agent_closed(p);
		break;
	default: break;
	}
	chan_close(c);
	peer_free(p);
}

static void
on_closed(void *arg, struct chan *c, bool bad, const char *why)
{
	struct peer *p = arg;
	struct queue *q = p->q;
	enum role role = p->role;
	unsigned index = p->index;

	(void)c;
	peer_close(p);
	if (bad)
		q->env.bad_peer(q->env.arg, role, index, why);
}

static void
on_frame(void *arg, struct chan *c, struct frame *f)
{
	struct peer *p = arg;

	if (p->chan == NULL || p->q->dead)
		return;
	switch (p->role) {
	case ROLE_SMTPD:
	case ROLE_PICKUP: txn_on_frame(p, f); break;
	case ROLE_BOUNCE:
		if (f->type == FRAME_REPORT_FAILED)
			report_on_frame(p, f);
		else
			txn_on_frame(p, f);
		break;
	case ROLE_LOOKUP: route_on_frame(p, f); break;
	case ROLE_SMTP: job_on_frame(p, f); break;
	case ROLE_LOCAL:
		if (f->type == FRAME_JOB_RESULTS ||
		    f->type == FRAME_JOB_WRITTEN || f->type == FRAME_JOB_DONE)
			job_on_frame(p, f);
		else
			txn_on_frame(p, f);
		break;
	default: chan_bad(c, "a frame that this role does not send"); break;
	}
}

static void
on_room(void *arg, struct chan *c)
{
	struct peer *p = arg;

	(void)c;
	if (p->segments.buckets != NULL)
		segments_send_owed(p);
	if (p->role == ROLE_LOOKUP)
		ev_defer(p->q->loop, &p->q->route_task);
	else if (p->role == ROLE_BOUNCE)
		ev_defer(p->q->loop, &p->q->report_task);
	else if (p->role == ROLE_SMTP || p->role == ROLE_LOCAL)
		job_agent_room(p);
}

static const struct chan_events peer_events = { on_frame, on_closed, on_room };

/* Its place in q->peers, after an older channel to it was closed; -1: full. */
static int
peer_slot(struct queue *q, enum role role, unsigned index)
{
	int slot = -1;

	for (unsigned i = 0; i < PEERS_MAX; i++) {
		struct peer *old = q->peers[i];

		if (old != NULL && old->role == role && old->index == index)
			peer_close(old);
		if (slot < 0 && q->peers[i] == NULL)
			slot = (int)i;
	}
	return slot;
}

static bool
is_agent(enum role role)
{
	return role == ROLE_SMTP || role == ROLE_LOCAL || role == ROLE_BOUNCE;
}

static struct peer *
peer_new(struct queue *q, enum role role, unsigned index)
{
	struct peer *p = mem_alloc(&q->chan_acct, sizeof(*p));

	if (p == NULL)
		return NULL;
	p->q = q;
	p->role = role;
	p->index = index;
	list_init(&p->txns);
	list_init(&p->jobs);
	list_init(&p->sending);
	list_init(&p->segment_lru);
	if (is_agent(role) &&
	    hash_init(&p->segments, &q->chan_acct, 64) != OK) {
		mem_free(&q->chan_acct, p);
		return NULL;
	}
	return p;
}

/* It is kept, and what its other end sends waits in it. */
static void
owe_channel(struct queue *q, enum role role, unsigned index, int fd)
{
	for (unsigned i = 0; i < PEERS_MAX; i++) {
		if (q->owed_channels[i].fd >= 0)
			continue;
		q->owed_channels[i].role = role;
		q->owed_channels[i].index = index;
		q->owed_channels[i].fd = fd;
		log_warning("no memory for the channel to %s %u yet",
		    role_name(role), index);
		return;
	}
	log_error("no room for a channel to %s %u", role_name(role), index);
	queue_close_fd(fd);
}

/* A newer one came, or it is tried again. */
static int
take_owed(struct queue *q, unsigned i)
{
	int fd = q->owed_channels[i].fd;

	q->owed_channels[i].fd = -1;
	return fd;
}

void
peer_owed_init(struct queue *q)
{
	for (unsigned i = 0; i < PEERS_MAX; i++)
		q->owed_channels[i].fd = -1;
}

void
peer_open_owed(struct queue *q)
{
	for (unsigned i = 0; i < PEERS_MAX; i++)
		if (q->owed_channels[i].fd >= 0)
			peer_open(q, q->owed_channels[i].role,
			    q->owed_channels[i].index, take_owed(q, i));
}

void
peer_open(struct queue *q, enum role role, unsigned index, int fd)
{
	int slot;
	struct peer *p;

	for (unsigned i = 0; i < PEERS_MAX; i++)
		if (q->owed_channels[i].fd >= 0 &&
		    q->owed_channels[i].role == role &&
		    q->owed_channels[i].index == index)
			queue_close_fd(take_owed(q, i));
	slot = peer_slot(q, role, index);
	p = slot < 0 ? NULL : peer_new(q, role, index);
	if (p == NULL ||
	    chan_open(q->loop, &q->chan_acct, fd, ROLE_QUEUE, role, index,
		&peer_events, p, PEER_QUEUE_BYTES, &p->chan) != OK) {
		if (p != NULL)
			peer_free(p);
		owe_channel(q, role, index, fd);
		return;
	}
	q->peers[slot] = p;
	switch (role) {
	case ROLE_LOOKUP:
		q->lookup = p;
		ev_defer(q->loop, &q->route_task);
		break;
	case ROLE_BOUNCE:
		q->bounce = p;
		ev_defer(q->loop, &q->report_task);
		break;
	case ROLE_SMTP:
	case ROLE_LOCAL: job_agent_opened(p); break;
	case ROLE_SMTPD: shortage_tell(p); break;
	default: break;
	}
}

void
peer_close_all(struct queue *q)
{
	for (unsigned i = 0; i < PEERS_MAX; i++) {
		queue_close_fd(take_owed(q, i));
		if (q->peers[i] != NULL)
			peer_close(q->peers[i]);
	}
}

void
peer_bad(struct peer *p, const char *why)
{
	if (p->chan != NULL)
		chan_bad(p->chan, why);
}

void
peer_stuck(struct peer *p, enum err e)
{
	/* ERR_CLOSED: on_closed follows. */
	if (e == ERR_FULL)
		peer_bad(p, "does not read what it is sent");
}

void
peers_pause_body(struct queue *q, bool paused)
{
	for (unsigned i = 0; i < PEERS_MAX; i++) {
		struct peer *p = q->peers[i];

		if (p != NULL && p->chan != NULL &&
		    (p->role == ROLE_SMTPD || p->role == ROLE_LOCAL ||
			p->role == ROLE_BOUNCE || p->role == ROLE_PICKUP))
			chan_pause(p->chan, paused);
	}
}
