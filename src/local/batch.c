/*
 * batch: deliveries of a worker, written first, then synced together.
 *
 * Happy path, Maildir: read the first piece of the body, see that the message
 * does not loop, open the Maildir (shared with others of the group), write
 * the file; at the commit the group goes to the syncer (group.c), and what
 * comes meanwhile is written into the other group, the next commit.
 *
 * Failure modes: a fault of one delivery is its own result, its body is still
 * read to the end, since the next one's follows in the same pipe.  A body
 * that ends early means that weir-local died: the queue will send everything
 * again, so nothing is published any more.
 */
#include "local/batch.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "local/base_dir.h"
#include "local/group.h"
#include "local/header.h"
#include "local/maildir.h"
#include "local/mbox.h"
#include "local/sink.h"

struct batch {
	const struct worker_io *io;
	struct group groups[2];
	struct group *fill;   /* takes deliveries */
	struct group *flight; /* becomes durable; NULL: none */
	uint64_t serial;      /* of fill */
	struct sink sink;
	struct loop_scan scan;
	unsigned char results[RESULTS_BYTES_MAX];
};

static struct batch the_batch;

struct batch *
batch_init(const struct worker_io *io)
{
	the_batch.io = io;
	the_batch.fill = &the_batch.groups[0];
	the_batch.flight = NULL;
	the_batch.serial = 1;
	group_clear(&the_batch.groups[0]);
	group_clear(&the_batch.groups[1]);
	return &the_batch;
}

unsigned
batch_count(const struct batch *b)
{
	return b->fill->slot_count;
}

uint64_t
batch_serial(const struct batch *b)
{
	return b->serial;
}

bool
batch_full(const struct batch *b)
{
	return b->fill->slot_count == GROUP_SLOTS_MAX;
}

bool
batch_syncing(const struct batch *b)
{
	return b->flight != NULL;
}

/* ---- places ---- */

static unsigned
path_flags(const struct request *q)
{
	unsigned flags = 0;

	if (q->flags & REQUEST_CREATE)
		flags |= PATH_CREATE;
	if (q->flags & REQUEST_HOME)
		flags |= PATH_FOLLOW;
	return flags;
}

static struct group_dir *
open_dir(struct group *g, const struct request *q, struct outcome *o)
{
	struct group_dir *d = group_find_dir(g, q);
	int base_fd;
	bool opened;

	if (d != NULL)
		return d;
	ASSERT(g->dir_count < GROUP_DIRS_MAX);
	d = &g->dirs[g->dir_count];
	if (!slice_copy(q->base, d->base, sizeof(d->base)) ||
	    !slice_copy(q->path, d->path, sizeof(d->path))) {
		outcome_set(o, JOB_DEFERRED, "4.3.5", "mailbox is no path");
		return NULL;
	}
	d->flags = q->flags;
	if (!base_open(q, &base_fd, o))
		return NULL;
	opened = maildir_open(&d->maildir, base_fd, q->path, path_flags(q), o);
	close(base_fd);
	if (!opened)
		return NULL;
	g->dir_count++;
	return d;
}

/* ---- one message ---- */

static void
report_one(struct batch *b, uint32_t tag, const struct outcome *o)
{
	group_slot(b->fill, tag)->outcome = *o;
}

static bool
loops(const struct request *q, struct outcome *o)
{
	return outcome_set(o, JOB_FAILED, "5.4.6",
	    "mail forwarding loop for %.*s", SLICE_ARGS(q->address));
}

/*
 * Everything of the message into the sink, beginning with piece.  False, with
 * o set, when it loops, a write failed, or the body broke off.
 */
static bool
write_message(struct batch *b, const struct request *q, struct body *y,
    struct slice piece, struct outcome *o)
{
	char added[HEADER_ADDED_BYTES_MAX];
	size_t len = header_added(q->sender, q->address, q->original, added);

	sink_raw(&b->sink, slice_of(added, len));
	sink_message(&b->sink, piece);
	while ((piece = body_next(y)).len > 0 && b->sink.errnum == 0) {
		if (loop_scan_feed(&b->scan, piece))
			return loops(q, o);
		sink_message(&b->sink, piece);
	}
	if (y->broken)
		return outcome_set(o, JOB_DEFERRED, "4.3.0",
		    "message broke off");
	if (loop_scan_end(&b->scan))
		return loops(q, o);
	if (b->sink.errnum != 0)
		return outcome_errno(o, b->sink.errnum, "cannot write mailbox");
	return true;
}

static void
to_maildir(struct batch *b, const struct request *q, struct body *y,
    struct slice piece)
{
	struct outcome o;
	struct group_dir *d = open_dir(b->fill, q, &o);
	struct maildir_file file;
	struct slot *s;

	if (d == NULL || !maildir_create(&d->maildir, &file, &o)) {
		report_one(b, q->tag, &o);
		return;
	}
	sink_begin(&b->sink, file.fd, false);
	if (!write_message(b, q, y, piece, &o))
		goto discard;
	sink_message_end(&b->sink, false);
	if (!sink_flush(&b->sink)) {
		outcome_errno(&o, b->sink.errnum, "cannot write mailbox");
		goto discard;
	}
	if (!maildir_written(&file, b->sink.written_bytes,
		q->flags & REQUEST_FULL_BOUNCES, &o))
		goto discard;
	s = group_slot(b->fill, q->tag);
	s->state = SLOT_WRITTEN;
	s->file = file;
	return;

discard:
	maildir_discard(&file);
	report_one(b, q->tag, &o);
}

static void
to_mbox(struct batch *b, const struct request *q, struct body *y,
    struct slice piece)
{
	struct mbox_request req = {
		.path = q->path,
		.path_flags = path_flags(q),
		.sender = q->sender,
		.message_bytes = q->body_bytes,
		.size_limit_bytes = q->size_limit_bytes,
		.full_bounces = q->flags & REQUEST_FULL_BOUNCES,
		.locks = q->locks,
	};
	struct outcome o;
	struct mbox m;
	bool began;

	if (!base_open(q, &req.base_fd, &o)) {
		report_one(b, q->tag, &o);
		return;
	}
	began = mbox_begin(&m, &b->sink, &req, &o);
	close(req.base_fd);
	if (began) {
		if (!write_message(b, q, y, piece, &o))
			mbox_rollback(&m, &o);
		else if (mbox_commit(&m, &o))
			outcome_set(&o, JOB_SENT, "2.0.0",
			    "delivered to mailbox");
		if (o.status == JOB_SENT && m.lock.broke_old)
			o.limit = OUTCOME_LIMIT_STALE;
	}
	report_one(b, q->tag, &o);
}

bool
batch_deliver(struct batch *b, const struct request *q)
{
	struct body y;
	struct slice piece;
	struct outcome o;

	ASSERT(!batch_full(b));
	body_begin(&y, b->io, q->body_bytes);
	/* The locks of an mbox may make us wait; results must not. */
	if (q->kind == MAILBOX_MBOX)
		batch_finish(b);
	loop_scan_init(&b->scan, q->address);
	piece = body_next(&y);
	if (y.broken)
		return false;
	if (loop_scan_feed(&b->scan, piece)) {
		loops(q, &o);
		report_one(b, q->tag, &o);
	} else if (q->kind == MAILBOX_MAILDIR) {
		to_maildir(b, q, &y, piece);
	} else {
		to_mbox(b, q, &y, piece);
	}
	return body_drain(&y);
}

/* ---- together ---- */

void
batch_tell(struct batch *b)
{
	struct wr w = wr_of(b->results, sizeof(b->results));
	struct group *g = b->fill;

	for (; g->told_count < g->slot_count; g->told_count++)
		if (g->slots[g->told_count].state == SLOT_WRITTEN)
			result_put_written(&w, g->slots[g->told_count].tag);
	ASSERT(!w.full);
	if (w.len > 0)
		b->io->report(b->io->arg, wr_done(&w));
}

static void
report_all(struct batch *b, const struct group *g)
{
	struct wr w = wr_of(b->results, sizeof(b->results));
	unsigned i;

	for (i = 0; i < g->slot_count; i++) {
		ASSERT(g->slots[i].state == SLOT_DONE);
		result_put(&w, g->slots[i].tag, &g->slots[i].outcome);
	}
	ASSERT(!w.full);
	b->io->report(b->io->arg, wr_done(&w));
}

void
batch_step(struct batch *b)
{
	while (b->flight != NULL && !syncer_busy()) {
		if (!group_step(b->flight))
			continue;
		report_all(b, b->flight);
		group_clear(b->flight);
		b->flight = NULL;
	}
}

void
batch_commit(struct batch *b)
{
	if (b->flight != NULL || b->fill->slot_count == 0)
		return;
	b->serial++;
	b->flight = b->fill;
	b->fill = b->fill == &b->groups[0] ? &b->groups[1] : &b->groups[0];
	group_begin(b->flight);
	batch_step(b);
}

void
batch_finish(struct batch *b)
{
	while (b->flight != NULL || b->fill->slot_count > 0) {
		batch_commit(b);
		syncer_wait();
		batch_step(b);
	}
}

void
batch_abandon(struct batch *b)
{
	syncer_wait();
	if (b->flight != NULL)
		group_abandon(b->flight);
	b->flight = NULL;
	group_abandon(b->fill);
}
