#include "simchan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/mem.h"
#include "ipc/frames.h"

enum { FRAMES_PER_CALL = 32, CONNECTS_MAX = 16 };

struct item {
	struct item *next;
	uint16_t type;
	uint32_t tag;
	size_t len;
	char data[];
};

/* What one end is to read. */
struct box {
	struct item *first, **last;
	size_t bytes;
};

struct chan {
	struct acct *acct;
	const struct chan_events *events;
	void *arg;
	struct chan *next_dead;
	enum role peer;
	unsigned peer_index;
	unsigned pair, side;
	size_t out_max_bytes;
	bool paused, bad, ended, refused, closed;
	char why[CHAN_WHY_BYTES];
};

static struct pair {
	bool used;
	bool closed[2];
	struct chan *end[2];
	struct box box[2];
} pairs[SIMCHAN_PAIRS_MAX];

static unsigned pair_count; /* no pair behind it is used */
static struct chan *dead;   /* closed from a callback */
static bool delivering;
static int connects[CONNECTS_MAX];
static unsigned connect_uids[CONNECTS_MAX], connect_count;
size_t simchan_bytes_max = 1 << 20;

static void
box_clear(struct box *b)
{
	struct item *i;

	while ((i = b->first) != NULL) {
		b->first = i->next;
		free(i);
	}
	b->last = &b->first;
	b->bytes = 0;
}

enum err
chan_pair(int fd_out[2])
{
	for (unsigned i = 0; i < SIMCHAN_PAIRS_MAX; i++) {
		struct pair *p = &pairs[i];

		if (p->used)
			continue;
		*p = (struct pair){ .used = true };
		box_clear(&p->box[0]);
		box_clear(&p->box[1]);
		if (i >= pair_count)
			pair_count = i + 1;
		fd_out[0] = SIMCHAN_FD + (int)i * 2;
		fd_out[1] = fd_out[0] + 1;
		return OK;
	}
	return ERR_FULL;
}

static void
side_close(unsigned pair, unsigned side)
{
	struct pair *p = &pairs[pair];

	p->closed[side] = true;
	p->end[side] = NULL;
	box_clear(&p->box[side]);
	if (p->closed[!side])
		p->used = false;
}

enum err
chan_open(struct ev_loop *loop, struct acct *a, int fd, enum role self,
    enum role peer, unsigned peer_index, const struct chan_events *events,
    void *arg, size_t queue_max_bytes, struct chan **out)
{
	unsigned n = (unsigned)(fd - SIMCHAN_FD);
	struct chan *c =
	    a == NULL ? calloc(1, sizeof(*c)) : mem_alloc(a, sizeof(*c));

	(void)loop;
	(void)self;
	ASSERT(fd >= SIMCHAN_FD && n / 2 < SIMCHAN_PAIRS_MAX);
	if (c == NULL)
		return ERR_FULL;
	*c = (struct chan){ .acct = a,
		.events = events,
		.arg = arg,
		.peer = peer,
		.peer_index = peer_index,
		.pair = n / 2,
		.side = n % 2,
		.out_max_bytes =
		    a != NULL && simchan_bytes_max < queue_max_bytes
			? simchan_bytes_max
			: queue_max_bytes };
	pairs[c->pair].end[c->side] = c;
	*out = c;
	return OK;
}

static void
chan_free(struct chan *c)
{
	if (c->acct == NULL)
		free(c);
	else
		mem_free(c->acct, c);
}

void
chan_close(struct chan *c)
{
	if (c == NULL || c->closed)
		return;
	c->closed = true;
	side_close(c->pair, c->side);
	if (delivering) {
		c->next_dead = dead;
		dead = c;
	} else {
		chan_free(c);
	}
}

enum err
chan_send(struct chan *c, uint16_t type, uint32_t tag, struct slice fields,
    struct slice blob, int fd)
{
	struct pair *p = &pairs[c->pair];
	struct box *b = &p->box[!c->side];
	size_t len = fields.len + blob.len;
	struct item *i;

	(void)fd;
	if (c->ended || c->bad || p->closed[!c->side])
		return ERR_CLOSED;
	if (b->first != NULL && b->bytes + len > c->out_max_bytes) {
		c->refused = true;
		return ERR_FULL;
	}
	i = malloc(sizeof(*i) + len + 1);
	if (i == NULL)
		abort();
	*i = (struct item){ .type = type, .tag = tag, .len = len };
	if (fields.len > 0)
		memcpy(i->data, fields.data, fields.len);
	if (blob.len > 0)
		memcpy(i->data + fields.len, blob.data, blob.len);
	*b->last = i;
	b->last = &i->next;
	b->bytes += len;
	return OK;
}

void
chan_flush(struct chan *c)
{
	(void)c;
}

void
chan_pause(struct chan *c, bool paused)
{
	c->paused = paused;
}

void
chan_bad(struct chan *c, const char *why)
{
	if (c->bad || c->ended)
		return;
	c->bad = true;
	if (!slice_copy(slice_str(why), c->why, sizeof(c->why)))
		c->why[0] = '\0';
}

/* ---- delivery ---- */

static bool
end_due(const struct chan *c)
{
	const struct pair *p = &pairs[c->pair];

	return !c->ended && (c->bad || (p->closed[!c->side] &&
					   p->box[c->side].first == NULL));
}

static bool
room_due(const struct chan *c)
{
	const struct pair *p = &pairs[c->pair];

	return c->refused && !c->bad && !p->closed[!c->side] &&
	       p->box[!c->side].bytes <= c->out_max_bytes / 2;
}

static bool
due(const struct chan *c)
{
	return (!c->paused && !c->bad && !c->ended &&
		   pairs[c->pair].box[c->side].first != NULL) ||
	       end_due(c) || room_due(c);
}

static void
deliver(struct chan *c)
{
	struct box *b = &pairs[c->pair].box[c->side];

	for (unsigned n = 0; n < FRAMES_PER_CALL && !c->closed && !c->paused &&
			     !c->bad && b->first != NULL;
	     n++) {
		struct item *i = b->first;
		struct frame f = { .type = i->type,
			.tag = i->tag,
			.fields = slice_of(i->data, i->len),
			.fd = -1 };

		b->first = i->next;
		if (b->first == NULL)
			b->last = &b->first;
		b->bytes -= i->len;
		c->events->on_frame(c->arg, c, &f);
		free(i);
	}
	if (!c->closed && room_due(c)) {
		c->refused = false;
		if (c->events->on_room != NULL)
			c->events->on_room(c->arg, c);
	}
	if (!c->closed && end_due(c)) {
		c->ended = true;
		c->events->on_closed(c->arg, c, c->bad,
		    c->bad ? c->why : "closed");
	}
}

bool
simchan_deliver(void)
{
	bool any = false;
	struct chan *c;

	delivering = true;
	for (unsigned i = 0; i < pair_count; i++)
		for (unsigned side = 0; side < 2; side++) {
			c = pairs[i].used ? pairs[i].end[side] : NULL;
			if (c == NULL || !due(c))
				continue;
			any = true;
			deliver(c);
		}
	delivering = false;
	while ((c = dead) != NULL) {
		dead = c->next_dead;
		chan_free(c);
	}
	return any;
}

bool
simchan_pending(void)
{
	for (unsigned i = 0; i < pair_count; i++)
		for (unsigned side = 0; side < 2; side++)
			if (pairs[i].used && pairs[i].end[side] != NULL &&
			    due(pairs[i].end[side]))
				return true;
	return false;
}

void
simchan_reset(void)
{
	for (unsigned i = 0; i < SIMCHAN_PAIRS_MAX; i++) {
		ASSERT(pairs[i].end[0] == NULL && pairs[i].end[1] == NULL);
		box_clear(&pairs[i].box[0]);
		box_clear(&pairs[i].box[1]);
		pairs[i].used = false;
	}
	pair_count = 0;
	connect_count = 0;
}

/* ---- what the control socket asks the system ---- */

void
simchan_connect(int fd, unsigned uid)
{
	ASSERT(connect_count < CONNECTS_MAX);
	connects[connect_count] = fd;
	connect_uids[connect_count++] = uid;
}

int __wrap_accept4(int fd, struct sockaddr *sa, socklen_t *len, int flags);
int __wrap_getsockopt(int fd, int level, int name, void *to, socklen_t *len);
int __wrap_close(int fd);
int __real_close(int fd);

static unsigned accepted_uid;

int
__wrap_accept4(int fd, struct sockaddr *sa, socklen_t *len, int flags)
{
	(void)sa;
	(void)len;
	(void)flags;
	ASSERT(fd == SIMCHAN_LISTEN);
	if (connect_count == 0) {
		errno = EAGAIN;
		return -1;
	}
	accepted_uid = connect_uids[--connect_count];
	return connects[connect_count];
}

int
__wrap_getsockopt(int fd, int level, int name, void *to, socklen_t *len)
{
	struct ucred *cred = to;

	(void)fd;
	ASSERT(level == SOL_SOCKET && name == SO_PEERCRED &&
	       *len == sizeof(*cred));
	*cred = (struct ucred){ .uid = accepted_uid };
	return 0;
}

int
__wrap_close(int fd)
{
	unsigned n = (unsigned)(fd - SIMCHAN_FD);

	if (fd < SIMCHAN_LISTEN)
		return __real_close(fd);
	if (fd >= SIMCHAN_FD && n / 2 < SIMCHAN_PAIRS_MAX &&
	    pairs[n / 2].end[n % 2] == NULL && pairs[n / 2].used)
		side_close(n / 2, n % 2);
	return 0;
}
