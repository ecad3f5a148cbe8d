/*
 * segment_files: making, activating, retiring and removing segment files,
 * one operation at a time in LANE_FILES.
 *
 * A spare is made of zeros, so that later batches overwrite allocated blocks
 * and a sync of one need not write metadata.  That costs the disk as much as
 * the mail that will fill it, so while mail is written it is done in small
 * steps; when the log needs a segment before it is whole, the rest is only
 * allocated: its first use then costs more, but nobody waits.  Each rename is
 * followed by a sync of the directory before what depends on it happens.
 */
#include <errno.h>

#include "base/assert.h"
#include "store/store_int.h"

enum {
	FILES_RETRY_MS = 1000,
	SLICE_MS = 200, /* between two slices while the log is written */
};

/* Never written, so that it costs no memory however long a spare is in the
 * making: all of it is the kernel's one page of zeros. */
static unsigned char zeros[SEGMENT_SLICE_BYTES];

static void on_files_done(struct job *j);

static enum err
fail(struct segments *g)
{
	g->op_errno = errno;
	return err_from_errno(errno);
}

static void
op_close(struct segments *g)
{
	if (g->op_fd >= 0)
		g->disk->ops->close(g->disk, g->op_fd);
	g->op_fd = -1;
}

/* The spare in the making becomes one, or is given up. */
static void
make_end(struct segments *g)
{
	struct disk *d = g->disk;
	char from[SEGMENT_PATH_BYTES], to[SEGMENT_PATH_BYTES];

	segment_path(from, SEGMENT_NEW, g->made_number);
	segment_path(to, SEGMENT_SPARE, g->made_number);
	if (g->made_fd >= 0)
		d->ops->close(d, g->made_fd);
	g->made_fd = -1;
	if (g->op_err == OK &&
	    (d->ops->rename(d, from, to) < 0 || d->ops->dirsync(d, "log") < 0))
		g->op_err = fail(g);
	/* Under one of these names it is. */
	if (g->op_err != OK && d->ops->unlink(d, from) < 0)
		(void)d->ops->unlink(d, to);
}

/* The next slice of zeros, or all that is missing without a write. */
static void
make_slice(struct segments *g)
{
	struct disk *d = g->disk;
	uint64_t left = g->making_bytes - g->made_bytes;
	size_t len =
	    left < SEGMENT_SLICE_BYTES ? (size_t)left : SEGMENT_SLICE_BYTES;

	if (g->op_hurry &&
	    d->ops->allocate(d, g->made_fd, g->made_bytes, left) == 0) {
		g->made_bytes += left;
		return;
	}
	g->op_err =
	    disk_write_all(d, g->made_fd, zeros, len, g->made_bytes, NULL);
	g->made_bytes += len;
}

/* One slice, synced, so that no sync of a batch waits for all of them; the
 * last one ends it. */
static void
run_create(struct job *j)
{
	struct segments *g = CONTAINER(j, struct segments, job);
	struct disk *d = g->disk;
	char path[SEGMENT_PATH_BYTES];

	segment_path(path, SEGMENT_NEW, g->made_number);
	if (g->made_fd < 0)
		g->made_fd = d->ops->open(d, path, DISK_CREATE);
	if (g->made_fd < 0) {
		g->op_err = fail(g);
		return;
	}
	make_slice(g);
	if (g->op_err == OK && d->ops->datasync(d, g->made_fd) < 0)
		g->op_err = fail(g);
	if (g->op_err != OK || g->made_bytes == g->making_bytes)
		make_end(g);
}

static void
run_activate(struct job *j)
{
	struct segments *g = CONTAINER(j, struct segments, job);
	struct disk *d = g->disk;
	char from[SEGMENT_PATH_BYTES], to[SEGMENT_PATH_BYTES];
	unsigned char header[SEGMENT_HEADER_BYTES];

	segment_path(from, SEGMENT_SPARE, g->op_from);
	segment_path(to, SEGMENT_LOG, g->op_to);
	segment_header_put(&g->op_header, header);
	g->op_lost = false;
	g->op_fd = d->ops->open(d, from, 0);
	if (g->op_fd < 0) {
		g->op_err = fail(g);
		return;
	}
	g->op_err =
	    disk_write_all(d, g->op_fd, header, sizeof(header), 0, NULL);
	if (g->op_err == OK && (d->ops->datasync(d, g->op_fd) < 0 ||
				   d->ops->rename(d, from, to) < 0))
		g->op_err = fail(g);
	if (g->op_err == OK && d->ops->dirsync(d, "log") < 0) {
		g->op_err = fail(g);
		g->op_lost = d->ops->rename(d, to, from) < 0;
	}
	if (g->op_err != OK)
		op_close(g);
}

static void
run_retire(struct job *j)
{
	struct segments *g = CONTAINER(j, struct segments, job);
	struct disk *d = g->disk;
	char from[SEGMENT_PATH_BYTES], to[SEGMENT_PATH_BYTES];

	segment_path(from, SEGMENT_LOG, g->op_from);
	segment_path(to, SEGMENT_SPARE, g->op_to);
	/* ENOENT: it was renamed before, and the sync failed. */
	if ((d->ops->rename(d, from, to) < 0 && errno != ENOENT) ||
	    d->ops->dirsync(d, "log") < 0)
		g->op_err = fail(g);
}

static void
run_unlink(struct job *j)
{
	struct segments *g = CONTAINER(j, struct segments, job);
	char path[SEGMENT_PATH_BYTES];

	segment_path(path, SEGMENT_SPARE, g->op_from);
	if (g->disk->ops->unlink(g->disk, path) < 0)
		g->op_err = fail(g);
}

static void
start(struct store *s, enum files_op op)
{
	static void (*const run[])(struct job *) = {
		[FILES_CREATE] = run_create,
		[FILES_ACTIVATE] = run_activate,
		[FILES_RETIRE] = run_retire,
		[FILES_UNLINK] = run_unlink,
	};
	struct segments *g = &s->segments;

	g->op = op;
	g->op_err = OK;
	g->job.run = run[op];
	g->job.done = on_files_done;
	work_post(s->work, LANE_FILES, &g->job);
}

static void
drop_spare_at(struct segments *g, unsigned i)
{
	g->spares[i] = g->spares[--g->spare_count];
}

static void
add_spare(struct segments *g, uint64_t number, bool busy, bool unfit)
{
	ASSERT(g->spare_count < SEGMENT_SPARES_MAX);
	g->spares[g->spare_count++] = (struct spare){ number, busy, unfit };
}

/* The last that came: its pages are the most likely to be in memory. */
static int
free_spare(const struct segments *g)
{
	for (unsigned i = g->spare_count; i-- > 0;)
		if (!g->spares[i].busy && !g->spares[i].unfit)
			return (int)i;
	return -1;
}

static unsigned
free_spare_count(const struct segments *g)
{
	unsigned n = 0;

	for (unsigned i = 0; i < g->spare_count; i++)
		n += !g->spares[i].busy && !g->spares[i].unfit;
	return n;
}

/* How many files may wait: the reserve, one to come, and some that were
 * retired in a burst. */
static unsigned
spare_goal(const struct store *s)
{
	return s->conf.spare_count + 1;
}

/* One to be removed: of another size, or more than are wanted. */
static int
surplus_spare(const struct store *s)
{
	const struct segments *g = &s->segments;

	for (unsigned i = 0; i < g->spare_count; i++)
		if (!g->spares[i].busy && g->spares[i].unfit)
			return (int)i;
	/* Those that are still read are none yet. */
	if (free_spare_count(g) > spare_goal(s) + 2)
		return free_spare(g);
	return -1;
}

unsigned
segments_spare_free(const struct store *s)
{
	return free_spare_count(&s->segments);
}

bool
segments_may_copy(struct store *s, const struct segment *from, uint64_t bytes)
{
	const struct segments *g = &s->segments;
	unsigned ahead = free_spare_count(g) + (g->next != NULL);
	bool held = from->pins > from->open_pins;
	uint64_t used = s->log.offset + s->log.fill->used + TABLE_BYTES_MAX;
	uint64_t left =
	    s->log.head->bytes > used ? s->log.head->bytes - used : 0;

	if (ahead >= 2)
		return !held || quota_may_hold(s);
	for (unsigned i = 0; i < g->spare_count; i++)
		if (g->spares[i].busy)
			return false;
	/* At most all of it; then a part of a segment is left for results. */
	if (ahead == 1)
		return from->pins == 0 || left > from->bytes / 4;
	/* Results took the last: what is begun must end in what is left. */
	return from->pins == 0 && bytes < left;
}

static void
begin_activate(struct store *s, unsigned spare)
{
	struct segments *g = &s->segments;
	struct clock *clock = s->conf.clock;
	struct segment *n = mem_alloc(s->acct, sizeof(*n));

	if (n == NULL) {
		g->last_error = ERR_NOMEM;
		g->retry_at = mono_add(store_now(s), FILES_RETRY_MS);
		return;
	}
	g->op_segment = n;
	g->op_from = g->spares[spare].number;
	g->op_to = ++g->number_last;
	g->op_header = (struct segment_header){
		.version = SEGMENT_VERSION,
		.number = g->op_to,
		.prev = s->log.head == NULL ? 0 : s->log.head->number,
		.segment_bytes = g->make_bytes,
		.created_ms = clock->wall(clock).ms,
		.spool_id = s->spool_id,
		.id_floor = s->id_ceiling,
	};
	/* For now this file is no spare any more. */
	drop_spare_at(g, spare);
	g->make_bytes = s->conf.segment_bytes;
	start(s, FILES_ACTIVATE);
}

static void
begin_create(struct store *s)
{
	struct segments *g = &s->segments;

	g->op_hurry = g->want_next && g->next == NULL && s->log.head != NULL;
	g->slice_at = mono_add(store_now(s), SLICE_MS);
	if (g->made_number != 0) {
		start(s, FILES_CREATE);
		return;
	}
	g->made_number = ++g->number_last;
	g->made_bytes = 0;
	g->making_bytes = g->make_bytes;
	start(s, FILES_CREATE);
}

/* ms until the next slice of a spare may be made: mail comes first, unless
 * it has to wait for the spare. */
static int64_t
slice_wait(struct store *s)
{
	const struct segments *g = &s->segments;
	struct mono now = store_now(s);
	int64_t wait = mono_sub(g->slice_at, now);

	if ((g->want_next && g->next == NULL) || wait < 0 ||
	    mono_sub(now, s->log.synced_at) >= SLICE_MS)
		return 0;
	return wait;
}

int64_t
segments_turn(struct store *s)
{
	struct segments *g = &s->segments;
	int spare = free_spare(g), surplus;
	int64_t wait;

	if (g->op != FILES_NONE || s->log.poisoned)
		return INT64_MAX;
	if (mono_sub(g->retry_at, store_now(s)) > 0)
		return INT64_MAX;
	if (g->want_next && g->next == NULL && spare >= 0) {
		begin_activate(s, (unsigned)spare);
		return INT64_MAX;
	}
	surplus = surplus_spare(s);
	if (surplus >= 0) {
		g->op_from = g->spares[surplus].number;
		drop_spare_at(g, (unsigned)surplus);
		start(s, FILES_UNLINK);
		return INT64_MAX;
	}
	if (free_spare_count(g) >= spare_goal(s) ||
	    g->spare_count >= SEGMENT_SPARES_MAX - 1 || !quota_may_grow(s))
		return INT64_MAX;
	wait = slice_wait(s);
	if (wait > 0)
		return wait;
	begin_create(s);
	return INT64_MAX;
}

bool
segment_retire(struct store *s, struct segment *n)
{
	struct segments *g = &s->segments;

	if (g->op != FILES_NONE || g->spare_count >= SEGMENT_SPARES_MAX - 1 ||
	    s->log.poisoned)
		return false;
	ASSERT(n != s->log.head && !n->retired);
	g->op_segment = n;
	g->op_from = n->number;
	if (n->spare_number == 0) /* else tried before */
		n->spare_number = ++g->number_last;
	g->op_to = n->spare_number;
	start(s, FILES_RETIRE);
	return true;
}

static void
activated(struct store *s)
{
	struct segments *g = &s->segments;
	struct segment *n = g->op_segment;

	if (g->op_err != OK) {
		mem_free(s->acct, n);
		/* To the end: others are tried first. */
		if (!g->op_lost)
			add_spare(g, g->op_from, false, false);
		return;
	}
	*n = (struct segment){ .number = g->op_to,
		.prev = g->op_header.prev,
		.bytes = g->op_header.segment_bytes,
		.fd = -1,
		.write_fd = g->op_fd };
	g->op_fd = -1;
	g->next = n;
	store_room(s);
}

static void
retired(struct store *s)
{
	struct segments *g = &s->segments;
	struct segment *n = g->op_segment;

	if (g->op_err != OK)
		return;
	n->retired = true;
	add_spare(g, g->op_to, true, n->bytes != s->conf.segment_bytes);
	/* Nobody may hold it; then it goes at once. */
	segment_pin(s, n->number, n->number, false);
	segment_unpin(s, n->number, n->number, false);
	store_room(s);
}

/* A slice is written, and perhaps the whole. */
static void
created(struct store *s)
{
	struct segments *g = &s->segments;

	if (g->op_err == OK)
		add_spare(g, g->made_number, false, false);
	g->made_number = 0;
}

static void
on_files_done(struct job *j)
{
	struct segments *g = CONTAINER(j, struct segments, job);
	struct store *s = CONTAINER(g, struct store, segments);
	enum files_op op = g->op;
	bool over = true;

	g->op = FILES_NONE;
	if (op == FILES_CREATE) {
		over = g->op_err != OK || g->made_bytes == g->making_bytes;
		if (over)
			created(s);
	} else if (op == FILES_ACTIVATE) {
		activated(s);
	} else if (op == FILES_RETIRE) {
		retired(s);
	} else if (op == FILES_UNLINK && g->op_err != OK) {
		add_spare(g, g->op_from, false, true); /* again, later */
	}
	g->op_segment = NULL;
	if (op == FILES_CREATE || op == FILES_UNLINK)
		quota_changed(s);
	if (over)
		g->last_error = g->op_err;
	if (g->op_err != OK)
		g->retry_at = mono_add(store_now(s), FILES_RETRY_MS);
	if (g->op_err != OK && s->want_room)
		store_room(s);
	/* A spare for the price of a rename comes before one of zeros. */
	if (op == FILES_CREATE && !g->want_next)
		mover_retire(s);
	(void)segments_turn(s);
}

void
segments_want_next(struct store *s)
{
	s->segments.want_next = true;
	(void)segments_turn(s);
}

bool
segments_drop_spare(struct store *s)
{
	struct segments *g = &s->segments;
	char path[SEGMENT_PATH_BYTES];
	int i = free_spare(g);

	if (i < 0)
		return false;
	segment_path(path, SEGMENT_SPARE, g->spares[i].number);
	if (s->disk->ops->unlink(s->disk, path) < 0)
		return false;
	drop_spare_at(g, (unsigned)i);
	return true;
}
