/*
 * server: the process as a whole.
 *
 * Channels come and go with the roles at their other end.  When one is lost,
 * what was asked over it is answered for now with 451, and the sessions go
 * on; the master sends a new one.
 */
#include "smtpd/server.h"

#include <unistd.h>

#include "base/assert.h"
#include "ipc/domain_cache.h"
#include "smtpd/handed.h"
#include "smtpd/session.h"

enum {
	TAGS_PER_SESSION = 4,
	TAGS_SPARE = 1024,
	HEADER_FIELD_BYTES_MIN = 16,
};

static uint32_t
at_most(int64_t v, uint32_t max)
{
	return v < 0 ? 0 : v > max ? max : (uint32_t)v;
}

/* The machine's limits from the configuration in force. */
static void
configure(struct server *sv)
{
	const struct conf *c = sv->conf;
	uint32_t field = at_most(c->header_size_limit_bytes, UINT32_MAX);

	sv->smtps = (struct smtps_conf){
		.hostname = slice_str(c->myhostname),
		.banner = slice_str(c->smtpd_banner),
		.headers = {
			.field_bytes_max = field < HEADER_FIELD_BYTES_MIN ?
			    HEADER_FIELD_BYTES_MIN : field,
			.total_bytes_max =
			    (uint64_t)c->header_total_size_limit_bytes,
			.count_max = at_most(c->header_count_limit, UINT32_MAX),
			.hop_count_max = at_most(c->hopcount_limit, UINT32_MAX),
		},
		.size_max = (uint64_t)c->message_size_limit_bytes,
		.line_max = at_most(c->line_length_limit_bytes,
		    READ_BYTES_MAX),
		.rcpt_max = at_most(c->smtpd_recipient_limit, UINT32_MAX),
		.soft_errors = at_most(c->smtpd_soft_error_limit, UINT32_MAX),
		.hard_errors = at_most(c->smtpd_hard_error_limit, UINT32_MAX),
		.junk_max = at_most(c->smtpd_junk_command_limit, UINT32_MAX),
		.soft_bounce = c->soft_bounce,
	};
	sv->smtps.banner = slice_sub(sv->smtps.banner, 0, 500);
	sv->smtps.hostname = slice_sub(sv->smtps.hostname, 0, HOST_BYTES_MAX);
	/* A list that a user hands over as one message stays one, and unknown
	 * addresses on it are no attack. */
	sv->local = sv->smtps;
	if (c->extract_recipient_limit > c->smtpd_recipient_limit)
		sv->local.rcpt_max =
		    at_most(c->extract_recipient_limit, UINT32_MAX);
	sv->local.early_text = true; /* sendmail -bs < file */
	sv->local.soft_errors = sv->local.hard_errors = UINT32_MAX;
	handed_configure_all(sv);
}

static void open_owed(struct server *sv);

static void
on_task(void *arg, struct ev_task *t)
{
	(void)t;
	session_run_ready(arg);
}

static void
on_second(void *arg, struct ev_timer *t)
{
	struct server *sv = arg;

	/* What was refused for memory is not told when there is some. */
	queue_on_room(sv);
	open_owed(sv);
	clients_each_second(sv);
	ahead_each_second(sv);
	ev_timer_set(t, 1000);
}

enum err
server_new(struct ev_loop *loop, struct acct *a, const struct conf *conf,
    unsigned index, const struct server_events *events, struct server **out)
{
	struct server *sv = mem_alloc(a, sizeof(*sv));

	if (sv == NULL)
		return ERR_NOMEM;
	if (domain_cache_new(a, &sv->domains) != OK) {
		mem_free(a, sv);
		return ERR_NOMEM;
	}
	sv->loop = loop;
	sv->acct = a;
	sv->conf = conf;
	sv->index = index;
	sv->events = *events;
	sv->queue_state = OK;
	for (unsigned r = 0; r < ROLE_COUNT; r++)
		sv->owed_fds[r] = -1;
	list_init(&sv->starved);
	list_init(&sv->starved_strangers);
	list_init(&sv->asking);
	list_init(&sv->open_sessions);
	list_init(&sv->handed_over);
	list_init(&sv->ready);
	ev_task_init(&sv->task, on_task, sv);
	ev_timer_init(&sv->second_timer, loop, on_second, sv);
	sv->io.out = sv->out;
	sv->io.out_size = sizeof(sv->out);
	sv->io.spare = sv->spare;
	sv->io.spare_size = sizeof(sv->spare);
	configure(sv);
	limits_show(sv);
	ladder_init(&sv->ladder);
	*out = sv;
	return OK;
}

/* What unproven clients may hold together of the memory that no pool needs:
 * their commands, replies and recipients.  The rest is found by the others,
 * however many strangers there are. */
static void
share_memory(struct server *sv, unsigned sessions)
{
	int64_t pools = (int64_t)(pool_cost(sizeof(struct session), sessions) +
				  pool_cost(sizeof(struct txn), sessions));
	int64_t room = acct_room(sv->acct), rest = room - pools;

	if (rest < room / 2)
		rest = room / 2;
	sv->memory_max = room;
	sv->share_max = sv->acct->max_bytes;
	acct_init(&sv->unproven, sv->acct, "unproven clients",
	    rest / 100 * sv->conf->unproven_share, true, "unproven_share");
}

/* Sessions are as many as the gate of all processes: one of them may get
 * every client. */
static enum err
make_pools(struct server *sv)
{
	unsigned sessions = sv->page.slot_count;
	uint32_t tags = sessions * TAGS_PER_SESSION + TAGS_SPARE;
	enum err e;

	pool_init(&sv->sessions, sv->acct, "sessions", "concurrency_incoming",
	    sizeof(struct session), sessions);
	pool_init(&sv->txns, sv->acct, "transactions", "concurrency_incoming",
	    sizeof(struct txn), sessions);
	pool_init(&sv->handed, sv->acct, "connections handed over",
	    "concurrency_incoming", sizeof(struct handed), 2 * sessions);
	e = tags_init(&sv->tags, sv->acct, tags > TAGS_MAX ? TAGS_MAX : tags);
	if (e == OK)
		share_memory(sv, sessions);
	return e;
}

enum err
server_set_page(struct server *sv, int fd, struct errtext *et)
{
	enum err e;

	ASSERT(sv->page.shared == NULL);
	e = client_page_map(fd, &sv->page, et);
	if (e != OK)
		return e;
	/* What a predecessor of this process held is not ours. */
	client_page_release(&sv->page, sv->index);
	e = make_pools(sv);
	if (e != OK)
		return err_set(et, e, "no memory for the table of requests");
	if (sv->index == 0) {
		sv->gate_row = limits_row(LIMIT_GATE, "incoming",
		    "concurrency_incoming", sizeof(struct session),
		    client_page_session_max(&sv->page));
		sv->share_row = limits_row(LIMIT_GATE, "unproven sessions",
		    "unproven_share", sizeof(struct session), 0);
	}
	return OK;
}

static void
close_sessions(struct server *sv)
{
	struct list_node *n;

	while ((n = list_first(&sv->open_sessions)) != NULL)
		session_free(CONTAINER(n, struct session, node));
}

void
server_free(struct server *sv)
{
	if (sv == NULL)
		return;
	sv->events.on_drained = NULL;
	accept_stop(sv);
	close_sessions(sv);
	handed_close(sv, true);
	for (unsigned r = 0; r < ROLE_COUNT; r++)
		if (sv->owed_fds[r] >= 0)
			close(sv->owed_fds[r]);
	chan_close(sv->queue);
	chan_close(sv->lookup);
	chan_close(sv->dns);
	ev_task_cancel(&sv->task);
	ev_timer_clear(&sv->second_timer);
	if (sv->page.shared != NULL) {
		pool_fini(&sv->sessions);
		pool_fini(&sv->txns);
		pool_fini(&sv->handed);
		tags_fini(&sv->tags);
		acct_fini(&sv->unproven);
		client_page_unmap(&sv->page);
	}
	domain_cache_free(sv->domains);
	mem_free(sv->acct, sv);
}

/* ---- channels ---- */

static struct chan **
channel_of(struct server *sv, enum role peer)
{
	switch (peer) {
	case ROLE_QUEUE: return &sv->queue;
	case ROLE_LOOKUP: return &sv->lookup;
	case ROLE_DNS: return &sv->dns;
	default: return NULL;
	}
}

static void
lose_channel(struct server *sv, enum role peer)
{
	struct chan **c = channel_of(sv, peer);

	if (*c == NULL)
		return;
	chan_close(*c);
	*c = NULL;
	if (peer == ROLE_QUEUE)
		queue_on_lost(sv);
	else if (peer == ROLE_LOOKUP)
		lookup_on_lost(sv);
	else
		names_on_lost(sv);
}

static void
on_frame(void *arg, struct chan *c, struct frame *f)
{
	struct server *sv = arg;

	switch (chan_peer(c)) {
	case ROLE_QUEUE: queue_on_frame(sv, f); break;
	case ROLE_LOOKUP: lookup_on_frame(sv, f); break;
	default: names_on_frame(sv, f); break;
	}
}

static void
on_closed(void *arg, struct chan *c, bool bad, const char *why)
{
	struct server *sv = arg;
	enum role peer = chan_peer(c);

	if (bad && sv->events.on_bad_peer != NULL)
		sv->events.on_bad_peer(sv->events.arg, peer, why);
	lose_channel(sv, peer);
}

static void
on_room(void *arg, struct chan *c)
{
	if (chan_peer(c) == ROLE_QUEUE)
		queue_on_room(arg);
	else if (chan_peer(c) == ROLE_LOOKUP)
		lookup_on_room(arg);
}

/* What may wait for the queue role: at most an eighth of our memory, and at
 * least a large frame and some small ones. */
static size_t
queue_bytes(const struct server *sv)
{
	int64_t part = acct_room(sv->acct) / 8;

	if (part < 2 * READ_BYTES_MAX)
		return 2 * READ_BYTES_MAX;
	return part < CHAN_QUEUE_BYTES ? (size_t)part : CHAN_QUEUE_BYTES;
}

static int
take_owed(struct server *sv, enum role peer)
{
	int fd = sv->owed_fds[peer];

	sv->owed_fds[peer] = -1;
	return fd;
}

/* All peers of an smtpd are alone in their role. */
static void
open_owed(struct server *sv)
{
	for (unsigned r = 0; r < ROLE_COUNT; r++)
		if (sv->owed_fds[r] >= 0)
			server_set_channel(sv, (enum role)r, 0,
			    take_owed(sv, (enum role)r));
}

void
server_set_channel(struct server *sv, enum role peer, unsigned index, int fd)
{
	static const struct chan_events events = {
		.on_frame = on_frame,
		.on_closed = on_closed,
		.on_room = on_room,
	};
	struct chan **c = channel_of(sv, peer);
	enum err e;

	if (c == NULL) {
		close(fd);
		return;
	}
	lose_channel(sv, peer);
	if (sv->owed_fds[peer] >= 0)
		close(take_owed(sv, peer));
	e = chan_open(sv->loop, sv->acct, fd, ROLE_SMTPD, peer, index, &events,
	    sv, peer == ROLE_QUEUE ? queue_bytes(sv) : CHAN_SMALL_BYTES, c);
	if (e != OK) {
		/* What its other end sends waits in it. */
		*c = NULL;
		sv->owed_fds[peer] = fd;
		log_warning("no channel to %s yet: %s", role_name(peer),
		    err_text(e));
		return;
	}
	if (peer == ROLE_QUEUE)
		sv->queue_state = OK;
}

/* ---- life ---- */

void
server_set_session_users(struct server *sv, const uid_t *users, unsigned count)
{
	ASSERT(count <= SESSION_USERS_MAX);
	if (count > 0)
		memcpy(sv->session_users, users, count * sizeof(*users));
	sv->session_user_count = count;
}

void
server_start(struct server *sv)
{
	sv->listening = true;
	accept_update(sv);
	clients_each_second(sv);
	ev_timer_set(&sv->second_timer, 1000);
}

/* The role's share of memory may have changed. */
static void
share_anew(struct server *sv)
{
	sv->memory_max += sv->acct->max_bytes - sv->share_max;
	sv->share_max = sv->acct->max_bytes;
	if (sv->memory_max < 1)
		sv->memory_max = 1;
}

void
server_reload(struct server *sv, const struct conf *conf)
{
	sv->conf = conf;
	share_anew(sv);
	domain_cache_clear(sv->domains);
	configure(sv);
	limits_show(sv);
}

void
server_drain(struct server *sv)
{
	struct list_node *n, *next;

	sv->draining = true;
	accept_stop(sv);
	handed_close(sv, false);
	ahead_return_all(sv);
	for (n = list_first(&sv->open_sessions); n != NULL; n = next) {
		next = list_next(&sv->open_sessions, n);
		session_end_idle(CONTAINER(n, struct session, node));
	}
	if (list_empty(&sv->open_sessions) && sv->events.on_drained != NULL)
		sv->events.on_drained(sv->events.arg);
}
