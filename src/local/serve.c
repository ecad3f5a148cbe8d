/*
 * serve: one request after the other.
 */
#include "local/serve.h"

#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "local/dotfile.h"
#include "local/header.h"

/* ---- results ---- */

struct packet {
	const struct worker_io *io;
	uint32_t tag;
	struct wr w;
	unsigned char bytes[RESULTS_BYTES_MAX];
};

/* Of an action, encoded. */
enum { ACTION_BYTES_MAX = 16 + ACTION_TEXT_BYTES_MAX };

_Static_assert((int)ACTION_BYTES_MAX <= (int)RESULTS_BYTES_MAX,
    "an action fits into an empty packet");

static void
packet_begin(struct packet *p, const struct worker_io *io, uint32_t tag)
{
	p->io = io;
	p->tag = tag;
	p->w = wr_of(p->bytes, sizeof(p->bytes));
}

static void
packet_send(struct packet *p)
{
	ASSERT(!p->w.full);
	p->io->report(p->io->arg, wr_done(&p->w));
	p->w = wr_of(p->bytes, sizeof(p->bytes));
}

static void
packet_action(void *arg, enum action_kind kind, uint32_t line,
    struct slice text)
{
	struct packet *p = arg;

	if (p->w.size - p->w.len < ACTION_BYTES_MAX)
		packet_send(p);
	result_put_action(&p->w, p->tag, kind, line, text);
}

static void
packet_end(struct packet *p, const struct outcome *o, bool stop)
{
	if (p->w.size - p->w.len < OUTCOME_TEXT_BYTES + 32)
		packet_send(p);
	if (stop)
		result_put_stop(&p->w, p->tag, o);
	else
		result_put(&p->w, p->tag, o);
	packet_send(p);
}

/* ---- what is asked ---- */

/* False: the body broke off. */
static bool
scan_body(struct server *s, const struct request *q, bool *loops_out)
{
	static struct loop_scan scan;
	struct slice piece;
	struct body y;

	body_begin(&y, s->io, q->body_bytes);
	loop_scan_init(&scan, q->address);
	while ((piece = body_next(&y)).len > 0)
		(void)loop_scan_feed(&scan, piece);
	*loops_out = loop_scan_end(&scan);
	return !y.broken;
}

static bool
scan(struct server *s, const struct request *q, struct outcome *o)
{
	bool loops;

	if (!scan_body(s, q, &loops))
		return false;
	if (loops)
		outcome_set(o, JOB_FAILED, "5.4.6",
		    "mail forwarding loop for %.*s", SLICE_ARGS(q->address));
	else
		outcome_set(o, JOB_SENT, "2.0.0", "no loop");
	return true;
}

static bool
plan(struct server *s, const struct request *q, struct packet *p,
    struct outcome *o)
{
	const struct action_sink to = { packet_action, p };
	bool loops;

	if (!scan_body(s, q, &loops))
		return false;
	dotfile_plan(q, loops, &to, o);
	return true;
}

/* What decides which dot files are looked for. */
static struct slice
known_key(const struct request *q, unsigned char *buf, size_t size)
{
	struct wr w = wr_of(buf, size);

	wr_str(&w, q->base, PATH_BYTES_MAX);
	wr_str(&w, q->dash, DASH_BYTES_MAX);
	wr_str(&w, q->extension, EXTENSION_BYTES_MAX);
	wr_str(&w, q->address, ADDRESS_BYTES_MAX);
	ASSERT(!w.full);
	return wr_done(&w);
}

static bool
is_default(struct server *s, const struct request *q)
{
	struct dot_known *k = &s->known;
	unsigned char buf[sizeof(k->bytes)];
	struct slice key = known_key(q, buf, sizeof(buf));

	if (batch_count(s->batch) > 0 && k->serial == batch_serial(s->batch) &&
	    slice_eq(key, slice_of(k->bytes, k->len)))
		return true;
	if (!dotfile_is_default(q))
		return false;
	k->serial = batch_serial(s->batch);
	k->len = key.len;
	memcpy(k->bytes, key.data, key.len);
	return true;
}

/* The usual case, in one request: there is no dot file. */
static bool
delivers_at_once(struct server *s, const struct request *q)
{
	return q->verb == REQUEST_DELIVER ||
	       (q->verb == REQUEST_PLAN && (q->flags & REQUEST_OR_DELIVER) &&
		   is_default(s, q));
}

static bool
command(struct server *s, const struct request *q,
    int fds[static REQUEST_COPY_FDS], struct outcome *o, bool *stop_out)
{
	struct body y;

	/* It may take long; results must not wait for it. */
	batch_finish(s->batch);
	body_begin(&y, s->io, q->body_bytes);
	if (fds[REQUEST_COPY_FDS - 1] >= 0)
		return command_serve(q, &s->world, &y, fds, o, stop_out);
	outcome_set(o, JOB_DEFERRED, "4.3.0",
	    "no copy of the message came with the command");
	return body_drain(&y);
}

bool
serve_request(struct server *s, const struct request *q,
    int fds[static REQUEST_COPY_FDS])
{
	static struct packet p;
	struct outcome o;
	bool ok = true, stop = false;
	int i;

	/* No descriptor comes with these. */
	if (delivers_at_once(s, q))
		return batch_deliver(s->batch, q);
	packet_begin(&p, s->io, q->tag);
	switch (q->verb) {
	case REQUEST_SCAN: ok = scan(s, q, &o); break;
	case REQUEST_PLAN: ok = plan(s, q, &p, &o); break;
	case REQUEST_CHECK: dotfile_check(q, &o); break;
	case REQUEST_PIPE:
	case REQUEST_COMMAND: ok = command(s, q, fds, &o, &stop); break;
	default: ASSERT(q->verb < REQUEST_VERBS);
	}
	for (i = 0; i < REQUEST_COPY_FDS; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	if (ok)
		packet_end(&p, &o, stop);
	return ok;
}
