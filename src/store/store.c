/*
 * store: opening, closing and the turns of the loop.
 */
#include "store/store.h"

#include <errno.h>
#include <string.h>

#include "base/assert.h"
#include "store/load.h"
#include "store/recover.h"
#include "store/scan.h"
#include "store/store_int.h"

enum {
	CLOSE_TRIES_MAX = 3,
	HELD_BUCKETS_MAX = 65536,
};

void
store_conf_default(struct store_conf *c)
{
	*c = (struct store_conf){
		.clock = &clock_system,
		.threads = true,
		.segment_bytes = 64 << 20,
		.spare_count = 2,
		.batch_bytes = 1 << 20,
		.unindexed_max = 8192,
		.held_max = 21000,
		.index_heap_bytes = 4 << 20,
		.commit_delay_ms = 1,
	};
}

size_t
store_cost(const struct store_conf *c)
{
	size_t held =
	    c->held_max < HELD_BUCKETS_MAX ? c->held_max : HELD_BUCKETS_MAX;

	return mem_cost(sizeof(struct store)) + 2 * mem_cost(c->batch_bytes) +
	       4 * mem_cost(RECORD_BYTES_MAX) + mem_cost(SCAN_BUFFER_BYTES) +
	       mem_cost(TABLE_BYTES_MAX) + mem_cost(STORE_RCPTS_MAX) +
	       pool_cost(sizeof(struct change), c->unindexed_max) +
	       c->unindexed_max * 2 * sizeof(void *) +
	       held * 2 * sizeof(void *) + c->index_heap_bytes;
}

void
store_damage(struct store *s, const struct store_damage *d)
{
	if (d->kind != STORE_DAMAGE_TAIL)
		s->inspect_damage_count++;
	if (s->conf.events != NULL && s->conf.events->on_damage != NULL)
		s->conf.events->on_damage(s->conf.arg, d);
}

void
store_room(struct store *s)
{
	s->room_came = true;
}

static bool
conf_ok(const struct store_conf *c)
{
	return c->segment_bytes >= SEGMENT_BYTES_MIN &&
	       c->segment_bytes <= SEGMENT_BYTES_MAX &&
	       c->segment_bytes % 4096 == 0 &&
	       c->batch_bytes >= LOG_BATCH_BYTES_MIN &&
	       c->batch_bytes < c->segment_bytes &&
	       c->spare_count < SEGMENT_SPARES_MAX / 2 && c->held_max > 0 &&
	       c->unindexed_max > 0;
}

static enum err
lock_spool(struct store *s, struct errtext *et)
{
	struct disk *d = s->disk;

	s->lock_fd = d->ops->open(d, "lock", DISK_CREATE);
	if (s->lock_fd < 0)
		return err_sys(et, errno, "spool: lock");
	if (d->ops->lock(d, s->lock_fd) == 0)
		return OK;
	if (errno == EAGAIN)
		return err_set(et, ERR_BUSY,
		    "spool is in use by another process");
	return err_sys(et, errno, "spool: lock");
}

static enum err
make_dirs(struct store *s, struct errtext *et)
{
	struct disk *d = s->disk;

	if (d->ops->mkdir(d, "log") < 0 || d->ops->mkdir(d, "damaged") < 0 ||
	    d->ops->dirsync(d, ".") < 0)
		return err_sys(et, errno, "spool");
	return OK;
}

static enum err
alloc_parts(struct store *s, struct errtext *et)
{
	const struct store_conf *c = &s->conf;
	enum err e;

	e = work_open(s->acct, c->threads, &s->work, et);
	if (e == OK)
		e = hash_init(&s->held, s->acct,
		    c->held_max < HELD_BUCKETS_MAX ? c->held_max
						   : HELD_BUCKETS_MAX);
	if (e == OK)
		e = track_init(s);
	if (e == OK)
		e = segments_init(s);
	if (e == OK)
		e = log_init(s);
	if (e == OK)
		e = mover_init(s);
	if (e == OK)
		e = acct_charge(s->acct, (int64_t)c->index_heap_bytes);
	if (e == OK)
		s->heap_charged = true;
	s->load_buf = mem_alloc(s->acct, RECORD_BYTES_MAX);
	s->load_buf2 = mem_alloc(s->acct, RECORD_BYTES_MAX);
	s->status_buf = mem_alloc(s->acct, STORE_RCPTS_MAX);
	if (s->load_buf == NULL || s->load_buf2 == NULL ||
	    s->status_buf == NULL)
		e = ERR_NOMEM;
	if (e != OK)
		return err_set(et, e, "store: %s", err_text(e));
	return OK;
}

/* Everything back; also of a store that was opened half. */
static void
free_store(struct store *s)
{
	struct acct *a = s->acct;

	work_close(s->work); /* first: its threads use the rest */
	index_close(s);
	for (unsigned i = 0; i < STORE_QUERIES_MAX; i++)
		mem_free(a, s->queries.slots[i].rows);
	mover_fini(s);
	track_fini(s);
	log_fini(s);
	segments_fini(s);
	hash_fini(&s->held);
	if (s->heap_charged)
		acct_release(a, (int64_t)s->conf.index_heap_bytes);
	mem_free(a, s->load_buf);
	mem_free(a, s->load_buf2);
	mem_free(a, s->status_buf);
	if (s->lock_fd >= 0)
		s->disk->ops->close(s->disk, s->lock_fd);
	mem_free(a, s);
}

enum err
store_open_parts(const struct store_conf *c, struct store **out,
    struct errtext *et)
{
	struct store *s;
	enum err e;

	ASSERT(conf_ok(c));
	s = mem_alloc(c->acct, sizeof(*s));
	if (s == NULL)
		return err_set(et, ERR_NOMEM, "store");
	s->conf = *c;
	s->disk = c->disk;
	s->acct = c->acct;
	s->lock_fd = -1;
	s->segments.op_fd = s->segments.made_fd = -1;
	e = alloc_parts(s, et);
	if (e != OK)
		free_store(s);
	else
		*out = s;
	return e;
}

enum err
store_open(const struct store_conf *c, struct store **out, struct errtext *et)
{
	struct store *s;
	enum err e;

	e = store_open_parts(c, &s, et);
	if (e != OK)
		return e;
	e = lock_spool(s, et);
	if (e == OK)
		e = make_dirs(s, et);
	if (e == OK) {
		quota_init(s);
		e = recover(s, et);
	}
	if (e != OK) {
		free_store(s);
		return e;
	}
	(void)segments_turn(s);
	*out = s;
	return OK;
}

/* Wait for what runs; queries are dropped unanswered. */
static void
quiesce(struct store *s)
{
	for (unsigned i = 0; i < STORE_QUERIES_MAX; i++) {
		struct query *q = &s->queries.slots[i];

		if (q->kind != QUERY_NONE)
			query_silence(q);
	}
	log_wait(s);
	work_wait(s->work, &s->index.job);
	work_wait(s->work, &s->mover.job);
	for (unsigned i = 0; i < STORE_QUERIES_MAX; i++)
		work_wait(s->work, &s->queries.slots[i].job);
}

enum err
store_close(struct store *s)
{
	enum err e;

	if (s == NULL)
		return OK;
	ASSERT(s->held_count == 0 || s->log.poisoned);
	quiesce(s);
	e = log_sync(s);
	/* What the index misses, the next open replays. */
	if (e == OK && index_flush_now(s, false) != OK)
		s->index.broken = true;
	if (e == OK)
		e = log_finish(s);
	s->held_count = 0;
	free_store(s);
	return e;
}

void
store_abandon(struct store *s)
{
	if (s == NULL)
		return;
	s->log.poisoned = true;
	for (uint32_t i = 0; i < s->held.bucket_count; i++)
		while (s->held.buckets[i] != NULL)
			store_msg_drop(s, CONTAINER(s->held.buckets[i],
					      struct store_msg, node));
	free_store(s);
}

void
store_reconf(struct store *s, const struct store_conf *c)
{
	s->conf.commit_delay_ms = c->commit_delay_ms;
	s->conf.minfree_bytes = c->minfree_bytes;
	s->conf.size_limit_bytes = c->size_limit_bytes;
	s->conf.message_limit = c->message_limit;
	if (c->spare_count < SEGMENT_SPARES_MAX / 2)
		s->conf.spare_count = c->spare_count;
	quota_show(s);
}

int
store_fd(const struct store *s)
{
	return work_fd(s->work);
}

bool
store_poll(struct store *s)
{
	const struct store_events *ev = s->conf.events;
	bool any = work_poll(s->work);

	if (s->room_came) {
		s->room_came = false;
		if (s->want_room) {
			s->want_room = false;
			if (ev != NULL && ev->on_room != NULL)
				ev->on_room(s->conf.arg);
		}
	}
	return any;
}

static int64_t
least(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

int64_t
store_turn(struct store *s, unsigned ending_count)
{
	int64_t wait;

	if (s->log.poisoned)
		return INT64_MAX;
	ids_turn(s);
	wait = log_turn(s, ending_count);
	wait = least(wait, mover_turn(s));
	wait = least(wait, index_turn(s));
	wait = least(wait, segments_turn(s));
	if (mono_sub(store_now(s), s->show_at) >= 0) {
		quota_show(s);
		s->show_at = mono_add(store_now(s), INDEX_FLUSH_MS);
	}
	return wait;
}

void
store_hurry(struct store *s)
{
	s->log.hurry = true;
}

bool
store_trim(struct store *s)
{
	return pool_trim(&s->track.pool);
}

bool
store_durable(const struct store *s, struct store_ticket t)
{
	return t.serial <= s->log.durable_serial;
}

bool
store_poisoned(const struct store *s)
{
	return s->log.poisoned;
}

int
store_segment_fd(struct store *s, uint64_t number)
{
	struct segment *g = segment_find(s, number);

	return g == NULL ? -1 : segment_fd(s, g);
}

/* FNV-1a: stable over restarts, unlike hash_bytes. */
uint64_t
store_dest_key(struct slice name)
{
	uint64_t h = 0xcbf29ce484222325u;

	for (size_t i = 0; i < name.len; i++) {
		unsigned char c = (unsigned char)name.data[i];

		if (c >= 'A' && c <= 'Z')
			c = (unsigned char)(c - 'A' + 'a');
		h = (h ^ c) * 0x100000001b3u;
	}
	return h;
}

uint64_t
store_message_count(const struct store *s)
{
	return s->track.count;
}

uint64_t
store_bytes(const struct store *s)
{
	return s->track.bytes;
}
