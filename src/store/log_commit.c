/*
 * log_commit: writing and syncing batches.
 *
 * A batch with a commit is written at once when the disk is free, or after
 * commit_delay_ms while many others are near their end: the caller says so, or
 * the batch just before had as many (STORE_COMPANY_MIN).  What arrives while
 * the disk is busy goes with the next batch.  Body data alone is written
 * without a sync; the sync of a later batch of the same segment covers it, and
 * a segment is never left without one.
 *
 * A small batch is written and synced in one job.  A sync that has much to
 * wait for runs by itself, so that bodies that come meanwhile are written and
 * on their way to the disk before it is over: a batch that is half full does
 * not wait for it.  What was written then needs the next sync (log.due), which
 * covers all of it; but the last sync of a segment comes before anything goes
 * to the next one.  A point is durable when its own sync is over, never
 * earlier.
 */
#include "store/log_commit.h"

#include <errno.h>

#include "base/assert.h"
#include "store/store_int.h"

/* A batch of more than this share of the largest has its sync apart. */
enum { LARGE_BATCH_DIVISOR = 8 };

static void
run_batch(struct job *j)
{
	struct batch *b = CONTAINER(j, struct batch, job);
	struct disk *d = b->store->disk;

	b->err = disk_write_all(d, b->fd, b->buf, b->used, b->base, &b->et);
	if (b->err == OK && b->closing)
		b->err = disk_write_all(d, b->fd, b->end, END_BYTES,
		    b->segment->bytes - END_BYTES, &b->et);
	if (b->err != OK)
		return;
	if (!b->sync || b->apart)
		d->ops->writeout(d, b->fd, b->base, b->used);
	else if (d->ops->datasync(d, b->fd) < 0)
		b->err = err_sys(&b->et, errno, "fdatasync");
}

static struct log_point
point_of(const struct batch *b)
{
	return (struct log_point){ .serial = b->serial,
		.segment = b->segment->number,
		.offset = b->base + (uint32_t)b->used,
		.fd = b->fd,
		.id_ceiling = b->id_ceiling,
		.closing = b->closing };
}

/* Everything before p is on the disk. */
static void
made_durable(struct store *s, const struct log_point *p)
{
	struct log *l = &s->log;

	l->durable_serial = p->serial;
	l->durable_segment = p->segment;
	l->durable_offset = p->offset;
	l->synced_at = store_now(s);
	s->id_ceiling = p->id_ceiling;
	if (p->closing)
		segment_end_write(s, segment_find(s, p->segment));
}

static void
tell(struct store *s, bool durable)
{
	const struct store_events *ev = s->conf.events;

	if (durable && ev != NULL && ev->on_durable != NULL)
		ev->on_durable(s->conf.arg);
	if (s->want_room)
		store_room(s);
}

/* ---- a sync by itself ---- */

static void
run_sync(struct job *j)
{
	struct log_sync *y = CONTAINER(j, struct log_sync, job);
	struct disk *d = y->store->disk;

	y->err = d->ops->datasync(d, y->at.fd) < 0
		     ? err_sys(&y->et, errno, "fdatasync")
		     : OK;
}

static void on_sync_done(struct job *j);

static void
start_sync(struct store *s)
{
	struct log *l = &s->log;

	if (l->due.serial == 0 || l->sync.job.busy)
		return;
	l->sync.at = l->due;
	l->due = (struct log_point){ 0 };
	l->sync.job.run = run_sync;
	l->sync.job.done = on_sync_done;
	work_post(s->work, LANE_SYNC, &l->sync.job);
}

static void
on_sync_done(struct job *j)
{
	struct log_sync *y = CONTAINER(j, struct log_sync, job);
	struct store *s = y->store;

	if (y->err != OK)
		log_poison(s, y->err, y->et.text);
	/* Nothing is acknowledged after a failure of either kind. */
	if (s->log.poisoned)
		return;
	made_durable(s, &y->at);
	segment_unpin(s, y->at.segment, y->at.segment, true);
	start_sync(s);
	tell(s, true);
}

/* The sync of b comes by itself; it covers what was due before. */
static void
sync_later(struct store *s, const struct batch *b)
{
	struct log *l = &s->log;

	ASSERT(l->due.serial == 0 ||
	       (l->due.segment == b->segment->number && !l->due.closing));
	if (l->due.serial == 0)
		segment_pin(s, b->segment->number, b->segment->number, true);
	l->due = point_of(b);
	start_sync(s);
}

/* ---- batches ---- */

static void
on_batch_done(struct job *j)
{
	struct batch *b = CONTAINER(j, struct batch, job);
	struct store *s = b->store;
	struct log *l = &s->log;
	struct log_point p;
	bool durable = b->sync && !b->apart;

	ASSERT(l->flight == b);
	l->flight = NULL;
	if (b->err != OK)
		log_poison(s, b->err, b->et.text);
	if (l->poisoned)
		return;
	p = point_of(b);
	if (b->sync)
		l->crowd = b->commit_count;
	l->written = (struct store_pos){ p.segment, p.offset, 0 };
	if (durable)
		made_durable(s, &p);
	else if (b->sync)
		sync_later(s, b);
	else
		l->synced_at = store_now(s);
	b->used = 0;
	tell(s, durable);
}

void
log_poison(struct store *s, enum err e, const char *why)
{
	struct log *l = &s->log;

	if (l->poisoned)
		return;
	l->poisoned = true;
	l->poison = e;
	if (s->conf.events != NULL && s->conf.events->on_poisoned != NULL)
		s->conf.events->on_poisoned(s->conf.arg, e, why);
}

/* END of the head, to be written with the batch. */
static void
seal_end(struct store *s)
{
	struct log *l = &s->log;
	struct batch *b = l->fill;
	unsigned char *payload = b->end + RECORD_HEADER_BYTES;
	struct wr w = wr_of(payload, END_BYTES - RECORD_HEADER_BYTES);
	struct rec_end end = {
		.last_table = l->last_table,
		.end = b->base + (uint32_t)b->used,
		.table_count = l->table_void ? UINT32_MAX : l->table_count,
		.id_ceiling = s->id_ceiling_next,
	};

	rec_end_put(&w, &end);
	ASSERT(!w.full && w.len == END_BYTES - RECORD_HEADER_BYTES);
	record_seal(b->end, b->segment->number, RECORD_END, 0, 0,
	    END_BYTES - RECORD_HEADER_BYTES,
	    crc32c(0, payload, END_BYTES - RECORD_HEADER_BYTES));
}

static void
next_head(struct store *s)
{
	struct log *l = &s->log;

	l->head = segments_take_next(s);
	l->offset = SEGMENT_HEADER_BYTES;
	log_table_reset(s);
	l->want_close = false;
}

enum err
log_submit(struct store *s)
{
	struct log *l = &s->log;
	struct batch *b = l->fill;
	struct segment *old = l->head;

	ASSERT(l->flight == NULL && b->used > 0 && !l->poisoned);
	/* A segment is synced to its end before anything goes to the next:
	 * recovery takes a gap in one that is closed for damage. */
	if (l->due.closing || (l->sync.job.busy && l->sync.at.closing))
		return ERR_AGAIN; /* on_sync_done makes room */
	b->fd = segment_write_fd(s, b->segment);
	if (b->fd < 0)
		return err_from_errno(errno);
	/* Without a next segment the head is closed by a later batch, for
	 * which it has room.  Room in the list of segments first: next_head
	 * must not fail. */
	b->closing = l->want_close && segments_can_take_next(s);
	log_seal(s);
	ASSERT(b->base + b->used + END_BYTES <= old->bytes);
	if (b->closing)
		seal_end(s);
	b->sync =
	    b->closing || b->has[LOG_COMMIT] || b->has[LOG_RESULT] || l->hurry;
	b->apart = l->sync.job.busy ||
		   b->used > s->conf.batch_bytes / LARGE_BATCH_DIVISOR;
	b->job.run = run_batch;
	b->job.done = on_batch_done;
	l->flight = b;
	l->hurry = false;
	l->unproven = b->used > CHECKPOINT_BYTES;
	l->batch_count++;
	l->sync_count += b->sync;
	l->offset = b->base + (uint32_t)b->used;
	l->fill = b == &l->batches[0] ? &l->batches[1] : &l->batches[0];
	ASSERT(l->fill->used == 0);
	if (b->closing)
		next_head(s);
	else if (l->offset > old->bytes / 2 && s->segments.next == NULL)
		segments_want_next(s);
	work_post(s->work, LANE_LOG, &b->job);
	return OK;
}

/* ms until this part of the batch must be written; 0: now. */
static int64_t
wait_of(struct store *s, enum log_urgency u, int64_t delay_ms)
{
	struct batch *b = s->log.fill;
	int64_t left;

	if (!b->has[u])
		return INT64_MAX;
	left = delay_ms - mono_sub(store_now(s), b->since[u]);
	return left > 0 ? left : 0;
}

/* An idle log: ms until its last batch should be proven by a checkpoint, so
 * that what goes bad in it is known for damage and not taken for a torn end.
 * 0: a batch with just that was begun. */
static int64_t
prove_wait(struct store *s)
{
	struct log *l = &s->log;
	int64_t left;

	if (!l->unproven)
		return INT64_MAX;
	left = LOG_PROVE_MS - mono_sub(store_now(s), l->synced_at);
	if (left > 0)
		return left;
	if (log_room(s, LOG_FOR_OLD, 0, 0) != OK)
		return LOG_PROVE_MS;
	l->hurry = true;
	return 0;
}

/* Commits came in company just now, so that one will not stay alone. */
static bool
is_crowded(struct store *s)
{
	const struct log *l = &s->log;

	return l->crowd >= STORE_COMPANY_MIN &&
	       mono_sub(store_now(s), l->synced_at) <= LOG_CROWD_MS;
}

int64_t
log_turn(struct store *s, unsigned ending_count)
{
	struct log *l = &s->log;
	int64_t wait, w;

	if (l->poisoned || l->flight != NULL)
		return INT64_MAX;
	/* Little enough to go with what comes until the sync is over. */
	if (l->sync.job.busy && !l->want_close &&
	    l->fill->used <= s->conf.batch_bytes / 2)
		return INT64_MAX;
	if (l->fill->used == 0) {
		wait = prove_wait(s);
		if (wait > 0)
			return wait;
		/* Room was made by closing the segment: that proves it too. */
		if (l->flight != NULL)
			return INT64_MAX;
	}
	wait = wait_of(s, LOG_COMMIT,
	    ending_count >= STORE_COMPANY_MIN || is_crowded(s)
		? s->conf.commit_delay_ms
		: 0);
	w = wait_of(s, LOG_RESULT, LOG_RESULT_DELAY_MS);
	wait = w < wait ? w : wait;
	w = wait_of(s, LOG_BODY, LOG_BODY_DELAY_MS);
	wait = w < wait ? w : wait;
	if (l->hurry || (l->want_close && s->segments.next != NULL) ||
	    l->fill->used > s->conf.batch_bytes / 2)
		wait = 0;
	if (wait > 0)
		return wait;
	/* An error here is no loss: the batch stays, and is tried again. */
	if (log_submit(s) != OK)
		return LOG_RESULT_DELAY_MS;
	return INT64_MAX;
}

void
log_wait(struct store *s)
{
	struct log *l = &s->log;

	while (l->flight != NULL || l->sync.job.busy)
		work_wait(s->work,
		    l->flight != NULL ? &l->flight->job : &l->sync.job);
}

enum err
log_sync(struct store *s)
{
	struct log *l = &s->log;
	uint64_t serial = l->serial_last;
	enum err e;

	while (!l->poisoned && l->durable_serial < serial) {
		if (l->flight != NULL || l->sync.job.busy) {
			log_wait(s);
			continue;
		}
		if (l->fill->used == 0)
			break; /* body data only, written already */
		l->hurry = true;
		e = log_submit(s);
		if (e != OK)
			return e;
	}
	return l->poisoned ? l->poison : OK;
}

enum err
log_finish(struct store *s)
{
	enum err e;

	e = log_sync(s);
	if (e != OK)
		return e;
	/* An empty batch: its checkpoint covers all before it.  No room: the
	 * log is recovered like after any other end. */
	s->log.want_close = false;
	if (log_room(s, LOG_FOR_OLD, 0, 0) == OK) {
		s->log.finishing = true;
		s->log.hurry = true;
	}
	return log_sync(s);
}
