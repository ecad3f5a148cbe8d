/*
 * recover: see recover.h.
 */
#include "store/recover.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "store/scan.h"
#include "store/store_int.h"

/* ---- 1. what is there ---- */

struct listing {
	struct store *s;
	enum err err;
	struct errtext *et;
	uint64_t garbage; /* a file to be removed; 0: none */
};

/* Reads a segment's header into its entry. */
static enum err
add_log_segment(struct store *s, uint64_t number, struct errtext *et)
{
	unsigned char buf[SEGMENT_HEADER_BYTES];
	char path[SEGMENT_PATH_BYTES];
	struct segment_header h = { 0 };
	uint64_t size = 0;
	enum err e;
	int fd;

	segment_path(path, SEGMENT_LOG, number);
	fd = s->disk->ops->open(s->disk, path, DISK_READ);
	if (fd < 0)
		return err_sys(et, errno, "%s", path);
	if (s->disk->ops->size(s->disk, fd, &size) < 0)
		size = 0;
	e = disk_read_all(s->disk, fd, buf, sizeof(buf), 0, et);
	s->disk->ops->close(s->disk, fd);
	if (e == OK)
		e = segment_header_get(buf, &h);
	if (e == ERR_VERSION)
		return err_set(et, e,
		    "%s: format version %u is newer than %u, which this "
		    "program reads",
		    path, h.version, SEGMENT_VERSION);
	if (e != OK && err_class(e) != ERR_CLASS_CORRUPT && e != ERR_IO)
		return e;
	if (e == OK && (h.number != number ||
			   (s->spool_id != 0 && h.spool_id != s->spool_id)))
		e = ERR_CORRUPT;
	if (e != OK) {
		store_damage(s,
		    &(struct store_damage){ STORE_DAMAGE_SEGMENT, number, 0,
			SEGMENT_HEADER_BYTES, 0, "header damaged" });
		h = (struct segment_header){ .prev = UINT64_MAX,
			.segment_bytes = size & ~(uint64_t)7 };
		if (h.segment_bytes < SEGMENT_BYTES_MIN ||
		    h.segment_bytes > SEGMENT_BYTES_MAX)
			return OK; /* nothing to be read in it */
	} else {
		s->spool_id = h.spool_id;
	}
	if (h.id_floor > s->next_id)
		s->next_id = h.id_floor;
	return segment_add(s, number, h.prev, h.segment_bytes);
}

static void
add_spare_file(struct store *s, uint64_t number)
{
	struct segments *g = &s->segments;
	char path[SEGMENT_PATH_BYTES];
	uint64_t size = 0;
	int fd;

	if (g->spare_count >= SEGMENT_SPARES_MAX - 1)
		return;
	segment_path(path, SEGMENT_SPARE, number);
	fd = s->disk->ops->open(s->disk, path, DISK_READ);
	if (fd < 0)
		return;
	(void)s->disk->ops->size(s->disk, fd, &size);
	s->disk->ops->close(s->disk, fd);
	g->spares[g->spare_count++] = (struct spare){ .number = number,
		.unfit = size != s->conf.segment_bytes };
}

static bool
on_name(void *arg, const char *name)
{
	struct listing *l = arg;
	struct segments *g = &l->s->segments;
	enum segment_kind kind;
	uint64_t number;

	if (!segment_parse(name, &kind, &number))
		return true;
	if (number > g->number_last)
		g->number_last = number;
	if (kind == SEGMENT_NEW)
		l->garbage = number;
	else if (kind == SEGMENT_SPARE)
		add_spare_file(l->s, number);
	else
		l->err = add_log_segment(l->s, number, l->et);
	return l->err == OK;
}

enum err
recover_list(struct store *s, struct errtext *et)
{
	struct listing l = { .s = s, .et = et };

	if (s->disk->ops->list(s->disk, "log", on_name, &l) < 0) {
		if (errno == ENOENT)
			return err_set(et, ERR_NOTFOUND, "there is no spool");
		return err_sys(et, errno, "log");
	}
	if (l.err == OK && l.garbage != 0 && !s->read_only) {
		char path[SEGMENT_PATH_BYTES];

		/* One at a time is being made. */
		segment_path(path, SEGMENT_NEW, l.garbage);
		(void)s->disk->ops->unlink(s->disk, path);
	}
	return l.err;
}

/* ---- 2. the last segment with records ---- */

static enum err
scan_open(struct store *s, struct scan *scan, struct segment *g,
    struct errtext *et)
{
	int fd = segment_fd(s, g);

	if (fd < 0)
		return err_sys(et, errno, "segment %llu",
		    (unsigned long long)g->number);
	scan_init(scan, s->disk, scan->buf, fd, g->number, g->bytes);
	return OK;
}

/* An unused segment becomes a spare; its number is not used again. */
static enum err
drop_unused(struct store *s, uint32_t i, struct errtext *et)
{
	struct segments *g = &s->segments;
	char from[SEGMENT_PATH_BYTES], to[SEGMENT_PATH_BYTES];
	struct segment *n = g->list[i];
	bool fit = n->bytes == s->conf.segment_bytes &&
		   g->spare_count < SEGMENT_SPARES_MAX - 1;
	uint64_t number = n->number;

	segment_remove(s, n);
	if (s->read_only)
		return OK;
	segment_path(from, SEGMENT_LOG, number);
	segment_path(to, SEGMENT_SPARE, ++g->number_last);
	if ((fit ? s->disk->ops->rename(s->disk, from, to)
		 : s->disk->ops->unlink(s->disk, from)) < 0 ||
	    s->disk->ops->dirsync(s->disk, "log") < 0)
		return err_sys(et, errno, "%s", from);
	if (fit)
		g->spares[g->spare_count++] =
		    (struct spare){ .number = g->number_last };
	return OK;
}

/* Was it ever written to?  Unreadable is no answer. */
static enum err
has_records(struct store *s, struct scan *scan, struct segment *g,
    bool *has_out, struct errtext *et)
{
	uint32_t at;
	enum err e;

	e = scan_open(s, scan, g, et);
	if (e != OK)
		return e;
	*has_out = scan_find(scan, SEGMENT_HEADER_BYTES, &at);
	if (!*has_out && scan->unreadable)
		return err_set(et, ERR_IO, "segment %llu: read error",
		    (unsigned long long)g->number);
	return OK;
}

/* Drop segments without records behind the last one that has some. */
static enum err
find_last(struct store *s, struct scan *scan, struct segment **last_out,
    struct errtext *et)
{
	struct segments *g = &s->segments;
	bool has;
	enum err e;

	*last_out = NULL;
	while (g->count > 0) {
		struct segment *n = g->list[g->count - 1];

		e = has_records(s, scan, n, &has, et);
		if (e != OK)
			return e;
		if (has) {
			*last_out = n;
			return OK;
		}
		e = drop_unused(s, g->count - 1, et);
		if (e != OK)
			return e;
	}
	return OK;
}

/* Drop segments between number and the one at *i: made ready once and never
 * used (the activation failed half way), so that their successor skips them.
 */
static enum err
drop_strays(struct store *s, struct scan *scan, uint64_t number, uint32_t *i,
    struct errtext *et)
{
	struct segments *g = &s->segments;
	bool has = false;
	enum err e;

	while (*i >= 1 && g->list[*i - 1]->number != number) {
		e = has_records(s, scan, g->list[*i - 1], &has, et);
		if (e == OK && has)
			return OK;
		if (e == OK)
			e = drop_unused(s, --*i, et);
		if (e != OK)
			return e;
	}
	return OK;
}

/* Each segment names the one before it. */
static enum err
check_order(struct store *s, struct scan *scan, struct errtext *et)
{
	struct segments *g = &s->segments;
	enum err e;

	for (uint32_t i = g->count; i-- > 1;) {
		uint64_t prev = g->list[i]->prev;

		if (prev == UINT64_MAX)
			continue; /* its header is damaged */
		e = drop_strays(s, scan, prev, &i, et);
		if (e != OK)
			return e;
		if (i >= 1 && g->list[i - 1]->number != prev)
			store_damage(s,
			    &(struct store_damage){ STORE_DAMAGE_SEGMENT, prev,
				0, 0, 0, "file is missing" });
	}
	return OK;
}

/* ---- damage ---- */

void
recover_damage(struct store *s, struct scan *scan, uint32_t from, uint32_t to,
    enum store_damage_kind kind)
{
	static const char *const texts[] = {
		[STORE_DAMAGE_RECORD] = "damaged records",
		[STORE_DAMAGE_TABLE] = "damaged table",
		[STORE_DAMAGE_TAIL] = "unfinished records at the end",
	};
	struct store_damage d = { kind, scan->segment, from, to - from, 0,
		texts[kind] };
	struct slice data;
	struct record r;
	unsigned char head[RECORD_HEADER_BYTES];
	char path[64];
	int fd;

	if (to - from >= sizeof(head) && disk_read_all(s->disk, scan->fd, head,
					     sizeof(head), from, NULL) == OK) {
		data = slice_of(head, sizeof(head));
		if (record_peek(data, &r))
			d.id = r.id; /* likely, not certain */
	}
	store_damage(s, &d);
	if (s->read_only || kind != STORE_DAMAGE_RECORD)
		return;
	snprintf(path, sizeof(path), "damaged/%010llu-%u.log",
	    (unsigned long long)scan->segment, from);
	fd = s->disk->ops->open(s->disk, path, DISK_CREATE | DISK_EXCLUSIVE);
	if (fd < 0)
		return; /* there already, or no space: the log keeps it */
	scan->len = 0;
	for (uint32_t at = from; at < to;) {
		uint32_t n =
		    to - at < SCAN_BUFFER_BYTES ? to - at : SCAN_BUFFER_BYTES;

		if (disk_read_all(s->disk, scan->fd, scan->buf, n, at, NULL) !=
			OK ||
		    disk_write_all(s->disk, fd, scan->buf, n, at - from,
			NULL) != OK)
			break;
		at += n;
	}
	(void)s->disk->ops->datasync(s->disk, fd);
	s->disk->ops->close(s->disk, fd);
	(void)s->disk->ops->dirsync(s->disk, "damaged");
}

/* ---- 4. replay ---- */

struct replay {
	struct store *s;
	struct scan *scan;
	struct store_pos from;
	bool adopt;  /* entries go on in the table of the head */
	bool silent; /* damage here was told already */
};

static void
note_id(struct store *s, uint64_t id)
{
	if (id >= s->next_id)
		s->next_id = id + 1;
}

static enum err
on_entry(void *arg, const struct log_entry *entry)
{
	struct replay *r = arg;
	struct store *s = r->s;
	enum err e;

	note_id(s, entry->id);
	if (r->adopt)
		log_table_found(s, entry);
	if (pos_before(entry->pos, r->from))
		return OK;
	e = track_replay(s, entry, s->index.was_empty);
	if (e != ERR_FULL)
		return e;
	e = index_flush_now(s, true);
	if (e != OK)
		return e;
	return track_replay(s, entry, s->index.was_empty);
}

static enum err
on_record(void *arg, const struct record *rec, struct slice payload,
    struct store_pos pos)
{
	struct replay *r = arg;
	struct rec_checkpoint c;
	struct log_entry entry;

	note_id(r->s, rec->id);
	if (rec->type == RECORD_TABLE && r->adopt)
		log_table_found_table(r->s, pos.offset);
	if (rec->type == RECORD_CHECKPOINT && rec_checkpoint_get(payload, &c)) {
		if (c.id_ceiling > r->s->id_ceiling)
			r->s->id_ceiling = c.id_ceiling;
	}
	if (!log_entry_of(rec, payload, pos, &entry))
		return OK;
	return on_entry(r, &entry);
}

static void
on_bad(void *arg, uint32_t from, uint32_t to)
{
	struct replay *r = arg;

	/* Without an END nobody knows where the records of a closed segment
	 * end; the rest of it is no damage. */
	if (!r->silent && to < r->scan->bytes - END_BYTES)
		recover_damage(r->s, r->scan, from, to, STORE_DAMAGE_RECORD);
}

/* A closed segment: its tables, or, damaged, all of it. */
static enum err
replay_closed(struct replay *r, struct segment *g, struct errtext *et)
{
	struct rec_end end;
	enum err e;

	e = scan_open(r->s, r->scan, g, et);
	if (e != OK)
		return e;
	e = scan_tables(r->scan, r->s->acct, &end, on_entry, r);
	if (e == OK) {
		if (end.id_ceiling > r->s->id_ceiling)
			r->s->id_ceiling = end.id_ceiling;
		return OK;
	}
	if (e != ERR_CORRUPT)
		return e;
	store_damage(r->s,
	    &(struct store_damage){ STORE_DAMAGE_TABLE, g->number, 0, 0, 0,
		"table damaged or missing, segment read whole" });
	r->silent = r->s->read_only; /* inspect_all tells it */
	return scan_walk(r->scan, SEGMENT_HEADER_BYTES,
	    (uint32_t)(g->bytes - END_BYTES), on_record, on_bad, r);
}

enum err
recover_replay(struct store *s, struct scan *scan, struct store_pos from,
    uint32_t end, bool adopt, struct errtext *et)
{
	struct segments *g = &s->segments;
	struct replay r = { .s = s, .scan = scan, .from = from };
	enum err e = OK;

	s->index.was_empty = from.segment == 0;
	for (uint32_t i = 0; e == OK && i < g->count; i++) {
		struct segment *n = g->list[i];

		if (n->retired || n->number < from.segment)
			continue;
		if (i + 1 < g->count) {
			e = replay_closed(&r, n, et);
			continue;
		}
		e = scan_open(s, scan, n, et);
		r.adopt = adopt;
		r.silent = true; /* tail_examine told it */
		if (e == OK)
			e = scan_walk(scan, SEGMENT_HEADER_BYTES, end,
			    on_record, on_bad, &r);
	}
	return e;
}

/* ---- the whole ---- */

/* Wait until the log can take so much. */
static enum err
wait_room(struct store *s)
{
	enum err e;

	while ((e = log_room(s, 0, 0)) == ERR_AGAIN) {
		if (s->log.flight != NULL)
			work_wait(s->work, &s->log.flight->job);
		else if (s->segments.job.busy)
			work_wait_next(s->work);
		else
			return s->segments.last_error != OK
				   ? s->segments.last_error
				   : ERR_NOSPACE;
	}
	return e;
}

/* The first segment of a new spool (or of one that lost all). */
static enum err
first_head(struct store *s, struct errtext *et)
{
	if (s->spool_id == 0)
		s->spool_id = random_u64() >> 1 | 1;
	if (s->conf.segment_bytes > SEGMENT_FIRST_BYTES)
		s->segments.make_bytes = SEGMENT_FIRST_BYTES;
	segments_want_next(s);
	while (s->segments.next == NULL) {
		if (!s->segments.job.busy)
			return err_set(et,
			    s->segments.last_error != OK
				? s->segments.last_error
				: ERR_NOSPACE,
			    "no space for a first segment of %llu bytes",
			    (unsigned long long)s->conf.segment_bytes);
		/* Not for the job: it may be at the next file already. */
		work_wait_next(s->work);
	}
	if (!segments_can_take_next(s))
		return ERR_NOMEM;
	log_start(s, segments_take_next(s), SEGMENT_HEADER_BYTES);
	return OK;
}

/* Steps 2 and 3 for a log that has records. */
static enum err
settle_tail(struct store *s, struct scan *scan, struct segment *last,
    struct tail *t, struct errtext *et)
{
	struct store_pos p = s->index.reached;
	enum err e;

	e = scan_open(s, scan, last, et);
	if (e != OK)
		return e;
	tail_examine(scan, p.segment == last->number ? p.offset : 0, t);
	if (t->unreadable)
		return err_set(et, ERR_IO,
		    "segment %llu: read error in the last records",
		    (unsigned long long)last->number);
	for (unsigned i = 0; i < t->bad_count; i++)
		recover_damage(s, scan, t->bad[i].from, t->bad[i].to,
		    STORE_DAMAGE_RECORD);
	if (t->torn_to > t->end)
		recover_damage(s, scan, t->end, t->torn_to, STORE_DAMAGE_TAIL);
	if (t->id_ceiling > s->id_ceiling)
		s->id_ceiling = t->id_ceiling;
	if (t->clean)
		return OK;
	return tail_secure(s, last, scan, t, et);
}

/* The index must lie within the log, or it is of no use. */
static enum err
check_index(struct store *s, struct segment *last, uint32_t end,
    struct errtext *et)
{
	struct store_pos p = s->index.reached;

	if (p.segment != 0 && segment_find(s, p.segment) != NULL &&
	    !(p.segment == last->number && p.offset > end))
		return OK;
	if (s->index.empty)
		return OK;
	return index_reset(s, et);
}

/* Ids: never one that may have been given out before. */
static void
settle_ids(struct store *s, const struct tail *t)
{
	if (t->clean && t->next_id >= s->next_id)
		s->next_id = t->next_id;
	else if (s->id_ceiling > s->next_id)
		s->next_id = s->id_ceiling;
	if (s->next_id == 0)
		s->next_id = 1;
	s->id_ceiling = s->next_id; /* none until the checkpoint is durable */
	s->id_ceiling_next = s->next_id;
}

static enum err
first_checkpoint(struct store *s)
{
	enum err e = wait_room(s);

	if (e != OK)
		return e;
	ids_turn(s);
	return log_sync(s);
}

/* Step 4; an index that fails on the way is replaced by a new one, once. */
static enum err
fill_index(struct store *s, struct scan *scan, uint32_t end, struct errtext *et)
{
	struct store_pos from = s->index.reached;
	enum err e = OK;

	for (unsigned i = 0; i < 2; i++) {
		log_table_reset(s);
		e = recover_replay(s, scan, from, end, true, et);
		if (e == OK)
			e = index_flush_now(s, true);
		if (e == OK)
			e = index_settle(s);
		if (e == OK || !s->index.broken)
			return e;
		if (s->index.full)
			(void)segments_drop_spare(s);
		track_clear(s);
		if (index_reset(s, et) != OK)
			break;
		from = (struct store_pos){ 0 };
	}
	return err_set(et, e, "index cannot be built: %s", err_text(e));
}

static enum err
recover_with(struct store *s, struct scan *scan, struct errtext *et)
{
	struct tail t = { 0 };
	struct segment *last;
	enum err e;

	e = recover_list(s, et);
	if (e == OK)
		e = find_last(s, scan, &last, et);
	if (e == OK)
		e = check_order(s, scan, et);
	if (e == OK && last == NULL)
		e = first_head(s, et);
	if (e == OK)
		e = index_open(s, et);
	if (e == OK && last != NULL)
		e = settle_tail(s, scan, last, &t, et);
	if (e == OK && last != NULL)
		e = check_index(s, last, t.end, et);
	if (e != OK)
		return e;
	if (last != NULL)
		log_start(s, last, t.end);
	e = fill_index(s, scan, last == NULL ? SEGMENT_HEADER_BYTES : t.end,
	    et);
	if (e != OK)
		return e;
	settle_ids(s, &t);
	return first_checkpoint(s);
}

enum err
recover(struct store *s, struct errtext *et)
{
	struct scan scan = { 0 };
	enum err e;

	scan.buf = mem_alloc(s->acct, SCAN_BUFFER_BYTES);
	if (scan.buf == NULL)
		return err_set(et, ERR_NOMEM, "memory for recovery");
	e = recover_with(s, &scan, et);
	mem_free(s->acct, scan.buf);
	return e;
}

/* Steps 1, 2 and 4 without a trace. */
static enum err
read_with(struct store *s, struct scan *scan, struct errtext *et)
{
	struct tail t = { 0 };
	struct segment *last;
	enum err e;

	e = recover_list(s, et);
	if (e == OK)
		e = find_last(s, scan, &last, et);
	if (e == OK)
		e = check_order(s, scan, et);
	if (e == OK)
		e = index_open(s, et);
	if (e != OK || last == NULL)
		return e;
	e = scan_open(s, scan, last, et);
	if (e != OK)
		return e;
	tail_examine(scan, 0, &t);
	if (t.torn_to > t.end)
		recover_damage(s, scan, t.end, t.torn_to, STORE_DAMAGE_TAIL);
	s->inspect_end = t.end;
	s->log.written = (struct store_pos){ UINT64_MAX, 0, 0 };
	e = recover_replay(s, scan, (struct store_pos){ 0 }, t.end, false, et);
	if (e == OK)
		e = index_flush_now(s, true);
	if (e == OK)
		e = index_settle(s);
	return e;
}

enum err
recover_read(struct store *s, struct errtext *et)
{
	struct scan scan = { .buf = mem_alloc(s->acct, SCAN_BUFFER_BYTES) };
	enum err e;

	if (scan.buf == NULL)
		return err_set(et, ERR_NOMEM, "memory");
	e = read_with(s, &scan, et);
	mem_free(s->acct, scan.buf);
	return e;
}

/* Drop what the index would have been told, tell it everything. */
static enum err
rebuild(struct store *s, struct scan *scan, struct errtext *et)
{
	enum err e;

	e = log_sync(s);
	if (e != OK)
		return e;
	e = index_reset(s, et);
	if (e != OK)
		return e;
	track_clear(s);
	e = recover_replay(s, scan, (struct store_pos){ 0 }, s->log.offset,
	    false, et);
	if (e == OK)
		e = index_flush_now(s, true);
	if (e == OK)
		e = index_settle(s);
	if (e != OK)
		return e;
	for (uint32_t i = 0; i < s->held.bucket_count; i++)
		for (struct hash_node *n = s->held.buckets[i]; n != NULL;
		     n = n->next) {
			struct store_msg *m =
			    CONTAINER(n, struct store_msg, node);

			if (m->committed && !m->over)
				track_row(s, &m->row, false,
				    (struct store_pos){ 0 }, 0);
		}
	return OK;
}

int64_t
index_rebuild_turn(struct store *s)
{
	struct index *ix = &s->index;
	struct scan scan = { 0 };
	struct errtext et = { 0 };
	int64_t left = mono_sub(ix->retry_at, store_now(s));
	enum err e;

	if (index_busy(s))
		return INT64_MAX; /* their completion comes here again */
	if (left > 0)
		return left;
	ix->retry_at = mono_add(store_now(s), INDEX_RETRY_MS);
	scan.buf = mem_alloc(s->acct, SCAN_BUFFER_BYTES);
	if (scan.buf == NULL)
		return INDEX_RETRY_MS;
	if (ix->full)
		(void)segments_drop_spare(s);
	e = rebuild(s, &scan, &et);
	mem_free(s->acct, scan.buf);
	if (e != OK) {
		ix->broken = true;
		return INDEX_RETRY_MS;
	}
	if (s->want_room)
		store_room(s);
	return 0;
}
