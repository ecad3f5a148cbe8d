/*
 * forward: transactions with the queue, for messages that go on.
 *
 * Happy path: submitted -> TXN_OPEN and the recipients -> TXN_READY gives the
 * id -> trace fields, body, TXN_COMMIT -> TXN_DONE: sent.
 *
 * Failure modes: a refusal (the queue drains, is full, or has no disk), a
 * segment that cannot be read, an answer that does not come in time: deferred,
 * the whole plan runs again later.  The queue goes away: nobody is left to
 * tell, the job is forgotten, too.  A crash of either side between TXN_COMMIT
 * and the original's result forwards again: a duplicate, never a loss.
 */
#include "local/forward.h"

#include <string.h>

#include "base/assert.h"
#include "base/limits.h"
#include "base/mem.h"
#include "conf/conf.h"
#include "ipc/chan.h"
#include "ipc/frames.h"
#include "local/target.h"
#include "proto/received.h"

enum {
	RCPTS_BYTES = 49152,
	READ_BYTES = 32 * 1024,
	DELIVERED_TO_BYTES_MAX = ADDRESS_BYTES_MAX + 32,
	HEAD_BYTES_MAX = RECEIVED_BYTES_MAX + DELIVERED_TO_BYTES_MAX,
};

_Static_assert((int)READ_BYTES >= (int)HEAD_BYTES_MAX,
    "the trace fields fit where the body passes");

struct forwards {
	struct ev_loop *loop;
	struct acct *acct;
	const struct target_env *env;
	struct chan *queue; /* NULL: none now */
	struct list active, waiting;
	unsigned active_count;
	uint32_t next_tag;
	struct ev_task task;
	struct limit_row *row;
	char buffer[READ_BYTES];
	unsigned char rcpts[RCPTS_BYTES];
};

/* ---- the end of one ---- */

void
forward_cancel(struct forward *f)
{
	struct forwards *fs = f->all;

	if (fs == NULL)
		return;
	if (list_linked(&f->node) && f->txn.chan != NULL) {
		fs->active_count--;
		limit_set_in_use(fs->row, fs->active_count);
	}
	if (fs->queue != NULL)
		txn_client_abort(&f->txn);
	list_remove(&f->node);
	ev_timer_clear(&f->timer);
	f->all = NULL;
	ev_defer(fs->loop, &fs->task);
}

static void
end_deferred(struct forward *f, enum err e)
{
	forward_cancel(f);
	/* Whatever class it has: what cannot be forwarded now stays. */
	outcome_set(&f->outcome, JOB_DEFERRED,
	    err_class(e) == ERR_CLASS_PERM ? "4.3.0" : err_status(e),
	    "cannot forward: %s", err_text(e));
	f->on_done(f);
}

static void
end_sent(struct forward *f)
{
	f->id = f->txn.id;
	forward_cancel(f);
	outcome_set(&f->outcome, JOB_SENT, "2.0.0", "forwarded as %llu",
	    (unsigned long long)f->id);
	f->on_done(f);
}

static void
on_timer(void *arg, struct ev_timer *t)
{
	(void)t;
	end_deferred(arg, ERR_TIMEOUT);
}

/* ---- what is sent ---- */

static enum err
open_transaction(struct forward *f)
{
	unsigned char buf[ENVELOPE_BYTES_MAX];
	struct wr w = wr_of(buf, sizeof(buf));
	struct forwards *fs = f->all;
	struct clock *clock = ev_clock(fs->loop);
	struct fr_txn_open open = {
		.size_hint_bytes = f->body.left_bytes + HEAD_BYTES_MAX,
		.rcpt_count = f->rcpt_count,
	};

	f->envelope.arrival_ms = (uint64_t)clock->wall(clock).ms;
	envelope_put(&w, &f->envelope);
	if (w.full)
		return ERR_TOOBIG;
	open.envelope = wr_done(&w);
	f->rcpt = f->rcpts;
	return txn_client_open(&f->txn, fs->queue, ++fs->next_tag, &open);
}

/* As many as one frame holds. */
static struct slice
pack_rcpts(struct forward *f, const struct forward_rcpt **next_out)
{
	const struct forward_rcpt *r = f->rcpt;
	struct wr w = wr_of(f->all->rcpts, RCPTS_BYTES);

	for (; r != NULL && w.size - w.len >= ENVELOPE_RCPT_BYTES_MAX;
	     r = r->next) {
		struct envelope_rcpt out = {
			.notify = r->notify,
			.address = r->address,
			.orcpt = r->orcpt,
			.original = r->original,
		};

		envelope_rcpt_put(&w, &out);
	}
	ASSERT(!w.full);
	*next_out = r;
	return wr_done(&w);
}

static enum err
send_rcpts(struct forward *f)
{
	const struct forward_rcpt *next;
	enum err e = OK;

	while (f->rcpt != NULL && e == OK) {
		e = txn_client_rcpts(&f->txn, pack_rcpts(f, &next));
		if (e == OK)
			f->rcpt = next;
	}
	return e;
}

static size_t
put_delivered_to(struct slice address, char *out)
{
	static const struct slice name = SLICE_LIT("Delivered-To: ");
	size_t len = 0;

	if (address.len == 0)
		return 0;
	ASSERT(name.len + address.len + 2 <= DELIVERED_TO_BYTES_MAX);
	memcpy(out, name.data, name.len);
	len = name.len;
	memcpy(out + len, address.data, address.len);
	len += address.len;
	memcpy(out + len, "\r\n", 2);
	return len + 2;
}

/* The credit of a beginning is enough for it. */
static enum err
send_head(struct forward *f)
{
	struct forwards *fs = f->all;
	struct clock *clock = ev_clock(fs->loop);
	struct received r = {
		.origin = ORIGIN_REPORT,
		.hostname = slice_str(fs->env->conf->myhostname),
		.id = f->txn.id,
		.when = clock->wall(clock),
	};
	size_t len = received_put(&r, fs->buffer), sent;
	enum err e;

	len += put_delivered_to(f->delivered_to, fs->buffer + len);
	if (f->txn.credit_bytes < len)
		return ERR_AGAIN;
	e = txn_client_body(&f->txn, slice_of(fs->buffer, len), &sent);
	if (e == OK)
		f->head_sent = true;
	return e;
}

static enum err
send_some(struct forward *f)
{
	struct body_source before = f->body;
	struct forwards *fs = f->all;
	size_t want = sizeof(fs->buffer), len, sent;
	enum err e;

	if (f->txn.credit_bytes == 0)
		return ERR_AGAIN;
	if (f->txn.credit_bytes < want)
		want = f->txn.credit_bytes;
	e = body_source_read(&f->body, fs->buffer, want, &len);
	if (e != OK)
		return e == ERR_NOTFOUND || e == ERR_CORRUPT ? ERR_IO : e;
	e = txn_client_body(&f->txn, slice_of(fs->buffer, len), &sent);
	if (e != OK)
		f->body = before;
	else
		ASSERT(sent == len);
	return e;
}

static bool
is_ascii(struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if ((unsigned char)s.data[i] >= 0x80)
			return false;
	return true;
}

static enum err
commit(struct forward *f)
{
	uint32_t longest = f->envelope.longest_line_bytes;
	uint32_t flags = f->envelope.flags;

	if (!is_ascii(f->delivered_to))
		flags |= ENVELOPE_8BIT | ENVELOPE_UTF8;
	if (longest < DELIVERED_TO_BYTES_MAX)
		longest = DELIVERED_TO_BYTES_MAX;
	return txn_client_commit(&f->txn, flags, longest);
}

/* As far as credit and channel allow.  May end f. */
static void
advance(struct forward *f)
{
	enum err e = OK;

	ev_timer_set(&f->timer, FORWARD_TIMEOUT_MS);
	if (f->txn.state == TXN_CLIENT_OPENING)
		e = send_rcpts(f);
	if (f->txn.state == TXN_CLIENT_BODY && !f->head_sent)
		e = send_head(f);
	while (e == OK && f->txn.state == TXN_CLIENT_BODY)
		e = f->body.left_bytes > 0 ? send_some(f) : commit(f);
	/* TXN_CREDIT or room in the channel goes on. */
	if (e != OK && e != ERR_AGAIN && e != ERR_FULL)
		end_deferred(f, e);
}

/* ---- all of them ---- */

static struct forward *
find(struct forwards *fs, uint32_t tag)
{
	struct list_node *n;

	for (n = list_first(&fs->active); n != NULL;
	     n = list_next(&fs->active, n))
		if (CONTAINER(n, struct forward, node)->txn.tag == tag)
			return CONTAINER(n, struct forward, node);
	return NULL;
}

static void
start(struct forwards *fs, struct forward *f)
{
	enum err e = open_transaction(f);

	if (e == ERR_FULL)
		e = ERR_AGAIN;
	if (e != OK) {
		f->txn.chan = NULL;
		end_deferred(f, e);
		return;
	}
	list_push_back(&fs->active, &f->node);
	fs->active_count++;
	limit_set_in_use(fs->row, fs->active_count);
	advance(f);
}

static void
on_task(void *arg, struct ev_task *t)
{
	struct forwards *fs = arg;
	struct list_node *n;

	(void)t;
	while (fs->queue != NULL && fs->active_count < FORWARDS_MAX &&
	       (n = list_pop_front(&fs->waiting)) != NULL)
		start(fs, CONTAINER(n, struct forward, node));
}

void
forward_submit(struct forwards *fs, struct forward *f)
{
	ASSERT(f->all == NULL && f->rcpts != NULL);
	f->all = fs;
	f->txn = (struct txn_client){ 0 };
	f->head_sent = false;
	ev_timer_init(&f->timer, fs->loop, on_timer, f);
	list_push_back(&fs->waiting, &f->node);
	ev_defer(fs->loop, &fs->task);
}

void
forwards_on_frame(struct forwards *fs, struct frame *frame)
{
	struct forward *f = find(fs, frame->tag);

	if (f == NULL)
		return; /* it was given up */
	switch (txn_client_on_frame(&f->txn, frame)) {
	case TXN_CLIENT_IGNORE: break;
	case TXN_CLIENT_READY:
	case TXN_CLIENT_CREDIT: advance(f); break;
	case TXN_CLIENT_DONE: end_sent(f); break;
	case TXN_CLIENT_REFUSED: end_deferred(f, f->txn.error); break;
	case TXN_CLIENT_BAD:
		chan_bad(fs->queue, "an answer out of turn");
		break;
	}
}

void
forwards_on_room(struct forwards *fs)
{
	struct list_node *n, *next;

	for (n = list_first(&fs->active); n != NULL; n = next) {
		next = list_next(&fs->active, n);
		advance(CONTAINER(n, struct forward, node));
	}
}

void
forwards_set_queue(struct forwards *fs, struct chan *queue)
{
	struct list_node *n;

	fs->queue = NULL;
	while ((n = list_first(&fs->active)) != NULL)
		forward_cancel(CONTAINER(n, struct forward, node));
	while ((n = list_first(&fs->waiting)) != NULL)
		forward_cancel(CONTAINER(n, struct forward, node));
	fs->queue = queue;
}

enum err
forwards_new(struct ev_loop *loop, struct acct *a, const struct target_env *env,
    struct forwards **out)
{
	struct forwards *fs = mem_alloc(a, sizeof(*fs));

	if (fs == NULL)
		return ERR_FULL;
	fs->loop = loop;
	fs->acct = a;
	fs->env = env;
	list_init(&fs->active);
	list_init(&fs->waiting);
	ev_task_init(&fs->task, on_task, fs);
	fs->row = limits_row(LIMIT_COUNT, "forwards at once", "",
	    sizeof(struct forward), FORWARDS_MAX);
	limits_row(LIMIT_DEADLINE, "forward without progress", "", 0,
	    FORWARD_TIMEOUT_MS);
	*out = fs;
	return OK;
}

void
forwards_free(struct forwards *fs)
{
	if (fs == NULL)
		return;
	forwards_set_queue(fs, NULL);
	ev_task_cancel(&fs->task);
	mem_free(fs->acct, fs);
}
