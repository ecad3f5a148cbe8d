/*
 * lookup/role: who is a recipient, and where mail goes, asked by frames.
 *
 * Answers RESOLVE frames of smtpd and queue, and SOCKET_CONNECT of smtp, in
 * the order in which they come, one at a time: tables and the user database may
 * block, and nothing but other lookups waits for it.  Answers EXPAND frames of
 * local in steps between them (expander.h).  Where a user's own files decide,
 * local is asked, and only that answer waits (checks.h).
 *
 * Happy path: RESOLVE, resolve(), RESOLVED.
 *
 * Failure modes:
 *   a peer reads its answers too slowly: its channel is no longer read
 *   until there is room (the kernel then stops the peer);
 *   a peer dies: its channel is closed, the master sends a new one;
 *   a frame that does not decode: the channel is closed and the master told;
 *   the tables of a new configuration cannot be opened: every lookup fails
 *   for now until the next reload; those of a start: the process ends.
 */
#include "lookup/role.h"

#include <unistd.h>

#include "base/assert.h"
#include "base/limits.h"
#include "base/log.h"
#include "ipc/chan.h"
#include "ipc/frames.h"
#include "lookup/checks.h"
#include "lookup/expander.h"
#include "lookup/resolve.h"
#include "lookup/sockets.h"
#include "lookup/system.h"

enum {
	LINK_COUNT_MAX = 131, /* 64 smtpd, 64 smtp, queue, local, a spare */
	/* A channel is not read while half of its queue is taken; the other
	 * half holds the answers to what one call of it may have read. */
	QUEUE_BYTES_MAX = 928 * 1024,
	ANSWER_BYTES_MAX = 2400, /* RESOLVED, and what the queue adds */
	EXPANDED_BYTES_MAX = 4200,
};

_Static_assert((int)QUEUE_BYTES_MAX / 2 >=
		   ((int)CHAN_READ_FRAMES_MAX + (int)CHECKS_PARKED_MAX) *
		       (int)ANSWER_BYTES_MAX,
    "the answers to one read fit, and those that waited");

struct link {
	struct chan *chan; /* NULL: free */
	enum role peer;
	unsigned index;
	uint32_t number; /* never the same again */
	bool paused;
};

static struct {
	struct role_self *self;
	struct acct tables; /* of the resolver */
	struct resolver resolver;
	bool is_open; /* the resolver */
	struct expander expander;
	struct checks checks;
	struct system_facts system;
	struct sockets sockets;
	struct link links[LINK_COUNT_MAX];
	uint32_t link_count;   /* ever */
	struct limit_row *row; /* requests answered */
	int64_t answered;
} lookup;

/* What is answered while there are no tables. */
static void
answer_nothing(struct fr_resolved *out)
{
	*out = (struct fr_resolved){
		.verdict = RESOLVE_REFUSE,
		.code = 451,
		.status = SLICE_LIT("4.3.5"),
		.text = SLICE_LIT("Temporary lookup failure"),
	};
}

static void
link_close(struct link *l)
{
	struct chan *c = l->chan;

	l->chan = NULL;
	if (c != NULL && l->peer == ROLE_LOCAL) {
		expander_set_channel(&lookup.expander, NULL, 0);
		checks_set_channel(&lookup.checks, NULL);
	} else if (c != NULL) {
		checks_forget(&lookup.checks, l->number);
	}
	chan_close(c);
}

/* False: it is not known yet, local was asked. */
static bool
resolve_request(const struct fr_resolve *f, struct fr_resolved *answer)
{
	if (!lookup.is_open) {
		answer_nothing(answer);
		return true;
	}
	return resolve(&lookup.resolver, (enum resolve_purpose)f->purpose,
	    f->address, f->purpose == RESOLVE_RCPT ? f->sender : SLICE_NONE,
	    answer);
}

static void
answer_request(struct link *l, uint32_t tag, const struct fr_resolved *answer)
{
	if (l->peer == ROLE_QUEUE)
		sockets_note(&lookup.sockets, answer);
	limit_set_in_use(lookup.row, ++lookup.answered);
	if (send_resolved(l->chan, tag, answer, -1) != OK) {
		log_warning("answers to %s wait too long; its channel is "
			    "closed",
		    role_name(l->peer));
		link_close(l);
		return;
	}
	if (!l->paused && chan_room(l->chan) < QUEUE_BYTES_MAX / 2) {
		l->paused = true;
		chan_pause(l->chan, true);
		chan_tell_room(l->chan);
	}
}

static void
on_resolve(struct link *l, struct frame *f)
{
	struct fr_resolve request;
	struct fr_resolved answer;

	if (!get_resolve(f, &request) ||
	    request.purpose >= RESOLVE_PURPOSE_COUNT) {
		chan_bad(l->chan, "RESOLVE does not decode");
		return;
	}
	if (!resolve_request(&request, &answer)) {
		if (checks_park(&lookup.checks, &request, f->tag, l->number))
			return;
		answer_nothing(&answer);
	}
	answer_request(l, f->tag, &answer);
}

/* A request that waited for local. */
static bool
resolve_again(struct parked *p)
{
	struct fr_resolve request = {
		.purpose = p->purpose,
		.address = slice_of(p->address, p->address_len),
		.sender = slice_of(p->sender, p->sender_len),
	};
	struct fr_resolved answer;

	if (!resolve_request(&request, &answer))
		return false;
	for (size_t i = 0; i < LINK_COUNT_MAX; i++) {
		struct link *l = &lookup.links[i];

		if (l->chan != NULL && l->number == p->link) {
			answer_request(l, p->tag, &answer);
			break;
		}
	}
	return true;
}

static void
on_checked(struct link *l, struct frame *f)
{
	struct fr_checked answer;

	if (get_checked(f, &answer) && answer.verdict < CHECK_VERDICT_COUNT)
		checks_on_checked(&lookup.checks, f->tag,
		    (enum check_verdict)answer.verdict);
	else
		chan_bad(l->chan, "CHECKED does not decode");
}

static enum err
on_check(void *arg, struct slice user, struct slice extension,
    struct errtext *et)
{
	(void)arg;
	return checks_ask(&lookup.checks, user, extension, et);
}

static void
on_socket_connect(struct link *l, struct frame *f)
{
	struct fr_socket_connect request;
	struct fr_socket_connected answer = { 0 };
	int fd, errnum = 0;

	if (!get_socket_connect(f, &request)) {
		chan_bad(l->chan, "SOCKET_CONNECT does not decode");
		return;
	}
	fd = sockets_connect(&lookup.sockets, lookup.self->conf, request.path,
	    &errnum);
	answer.path = request.path;
	answer.errnum = (uint16_t)errnum;
	if (send_socket_connected(l->chan, f->tag, &answer, fd) != OK) {
		log_warning("answers to %s wait too long; its channel is "
			    "closed",
		    role_name(l->peer));
		link_close(l);
	}
	if (fd >= 0)
		(void)close(fd);
}

static void
on_expand(struct link *l, struct frame *f)
{
	struct fr_expand request;

	if (get_expand(f, &request))
		expander_ask(&lookup.expander, f->tag, request.address);
	else
		chan_bad(l->chan, "EXPAND does not decode");
}

static void
on_frame(void *arg, struct chan *c, struct frame *f)
{
	struct link *l = arg;

	switch (f->type) {
	case FRAME_RESOLVE: on_resolve(l, f); break;
	case FRAME_EXPAND: on_expand(l, f); break;
	case FRAME_CHECKED: on_checked(l, f); break;
	case FRAME_SOCKET_CONNECT: on_socket_connect(l, f); break;
	default: chan_bad(c, "not a frame for lookup"); break;
	}
}

static void
on_room(void *arg, struct chan *c)
{
	struct link *l = arg;

	if (l->paused) {
		l->paused = false;
		chan_pause(c, false);
	}
	if (l->peer == ROLE_LOCAL)
		expander_room(&lookup.expander);
}

static void
on_closed(void *arg, struct chan *c, bool bad, const char *why)
{
	struct link *l = arg;

	(void)c;
	if (bad)
		role_bad_peer(lookup.self, l->peer, l->index, why);
	link_close(l);
}

static const struct chan_events link_events = {
	.on_frame = on_frame,
	.on_closed = on_closed,
	.on_room = on_room,
};

/* The place of this peer, or a free one. */
static struct link *
link_find(enum role peer, unsigned index)
{
	struct link *free_one = NULL;

	for (size_t i = 0; i < LINK_COUNT_MAX; i++) {
		struct link *l = &lookup.links[i];

		if (l->chan == NULL)
			free_one = free_one == NULL ? l : free_one;
		else if (l->peer == peer && l->index == index)
			return l;
	}
	return free_one;
}

static void
on_channel(struct role_self *self, enum role peer, unsigned index, int fd)
{
	struct link *l = link_find(peer, index);

	if (l == NULL)
		role_die(self, "more than %d channels", LINK_COUNT_MAX);
	ASSERT(chan_frame_bytes_max(ROLE_LOOKUP, peer) + 16 <=
	       (peer == ROLE_LOCAL ? EXPANDED_BYTES_MAX : ANSWER_BYTES_MAX));
	link_close(l);
	*l = (struct link){ .peer = peer,
		.index = index,
		.number = ++lookup.link_count };
	if (chan_open(self->loop, self->acct, fd, ROLE_LOOKUP, peer, index,
		&link_events, l, QUEUE_BYTES_MAX, &l->chan) != OK)
		role_die(self, "no memory for the channel to %s",
		    role_name(peer));
	if (peer != ROLE_LOCAL)
		return;
	expander_set_channel(&lookup.expander, l->chan, QUEUE_BYTES_MAX / 2);
	checks_set_channel(&lookup.checks, l->chan);
}

/* Bounds of single objects; the accounts and the channels show theirs. */
static void
show_limits(void)
{
	lookup.row = limits_row(LIMIT_GAUGE, "lookups", "", 0, 0);
	(void)limits_row(LIMIT_SIZE, "table file", "", 1, TABLE_FILE_BYTES_MAX);
	(void)limits_row(LIMIT_SIZE, "table value", "", 1,
	    TABLE_VALUE_BYTES_MAX);
	(void)limits_row(LIMIT_COUNT, "entries of a table", "", 0,
	    TABLE_ENTRY_COUNT_MAX);
	(void)limits_row(LIMIT_COUNT, "tables of a parameter", "", 0,
	    TABLE_COUNT_MAX);
	(void)limits_row(LIMIT_COUNT, "steps through aliases", "", 0,
	    RESOLVE_ALIAS_DEPTH_MAX);
	(void)limits_row(LIMIT_COUNT, "users remembered", "",
	    sizeof(struct system_user), SYSTEM_CACHE_COUNT);
	(void)limits_row(LIMIT_COUNT, "channels", "", 0, LINK_COUNT_MAX);
	(void)limits_row(LIMIT_COUNT, "sockets known", "", SOCKETS_PATH_BYTES,
	    SOCKETS_KNOWN_MAX);
}

static enum err
on_start(struct role_self *self, struct errtext *et)
{
	enum err e;

	lookup.self = self;
	show_limits();
	acct_init(&lookup.tables, self->acct, "tables", 0, true,
	    "memory_budget");
	system_facts_init(&lookup.system);
	lookup.system.ops.check = on_check;
	checks_init(&lookup.checks, self->loop, resolve_again);
	sockets_configure(&lookup.sockets, self->conf);
	e = resolver_open(&lookup.resolver, &lookup.tables, self->conf,
	    &lookup.system.ops, et);
	lookup.is_open = e == OK;
	expander_init(&lookup.expander, self->loop, self->acct);
	if (lookup.is_open)
		expander_set_resolver(&lookup.expander, &lookup.resolver);
	return e;
}

static void
on_reload(struct role_self *self, const struct conf *old)
{
	struct errtext et;

	(void)old;
	sockets_configure(&lookup.sockets, self->conf);
	expander_set_resolver(&lookup.expander, NULL);
	if (lookup.is_open)
		resolver_close(&lookup.resolver);
	lookup.is_open = resolver_open(&lookup.resolver, &lookup.tables,
			     self->conf, &lookup.system.ops, &et) == OK;
	if (!lookup.is_open)
		log_error("no lookups until the next reload: %s", et.text);
	else
		expander_set_resolver(&lookup.expander, &lookup.resolver);
}

const struct role_ops lookup_role_ops = {
	.role = ROLE_LOOKUP,
	.on_start = on_start,
	.on_channel = on_channel,
	.on_reload = on_reload,
};
