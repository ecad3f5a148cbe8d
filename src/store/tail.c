/*
 * tail: the end of the log after a stop of any kind.
 *
 * A batch begins with a checkpoint that says how far the log was synced when
 * it was written.  The greatest of these marks what is proven.  A bad record
 * before it is damage, the first bad one after it is where the log ends:
 * what may lie behind was never acknowledged.
 */
#include <errno.h>

#include "base/assert.h"
#include "store/recover.h"
#include "store/scan.h"
#include "store/store_int.h"

struct walk {
	struct tail *t;
	uint32_t clean_end; /* after a checkpoint that said so */
	uint32_t joined;    /* offset of the last record, if it is joined */
};

static void
see(struct scan *s, struct walk *w, const struct record *r,
    struct slice payload, uint32_t at, uint32_t next)
{
	struct rec_checkpoint c;
	struct tail *t = w->t;

	w->joined = r->flags & RECORD_JOINED ? at : 0;
	if (r->type != RECORD_CHECKPOINT || !rec_checkpoint_get(payload, &c))
		return;
	if (c.durable_segment == s->segment && c.durable_offset > t->proven)
		t->proven = c.durable_offset;
	if (c.id_ceiling > t->id_ceiling)
		t->id_ceiling = c.id_ceiling;
	if (c.clean) {
		w->clean_end = next;
		t->next_id = c.next_id;
	}
}

static void
add_bad(struct tail *t, uint32_t from, uint32_t to)
{
	if (t->bad_count == TAIL_REGIONS_MAX) {
		t->bad[t->bad_count - 1].to = to;
		return;
	}
	t->bad[t->bad_count].from = from;
	t->bad[t->bad_count++].to = to;
}

/* The end that the segment's END record gives; 0: it has none. */
static uint32_t
end_given(struct scan *s)
{
	struct slice payload;
	struct rec_end end;
	struct record r;

	if (scan_record(s, (uint32_t)(s->bytes - END_BYTES), &r, &payload) !=
		OK ||
	    r.type != RECORD_END || !rec_end_get(payload, &end))
		return 0;
	return end.end;
}

/* Behind what could not be read there may be anything: the end is as far as
 * it can be.  Damage is what was read and is proven. */
static void
end_unknown(const struct scan *s, struct tail *t, uint32_t limit)
{
	unsigned count = t->bad_count;

	t->bad_count = 0;
	for (unsigned i = 0; i < count; i++)
		if (t->bad[i].from < t->proven &&
		    !scan_is_unreadable(s, t->bad[i].from, t->bad[i].to))
			t->bad[t->bad_count++] = t->bad[i];
	t->end = t->torn_to = limit;
	t->clean = false;
	t->unreadable_bytes = s->unreadable_to - s->unreadable_from;
}

void
tail_examine(struct scan *s, uint32_t proven_min, struct tail *t)
{
	uint32_t limit = (uint32_t)(s->bytes - END_BYTES);
	uint32_t at = SEGMENT_HEADER_BYTES, closed = end_given(s), next;
	struct walk w = { .t = t };
	struct slice payload;
	struct record r;

	*t = (struct tail){ .proven = proven_min };
	while (at < limit && at != closed) {
		if (scan_record(s, at, &r, &payload) == OK) {
			next = at + (uint32_t)record_bytes(r.payload_bytes);
			see(s, &w, &r, payload, at, next);
			at = next;
			continue;
		}
		if (at == w.clean_end || !scan_find(s, at + 8, &next))
			break;
		if (next >= limit)
			next = closed > at ? closed : at;
		if (next == at)
			break;
		add_bad(t, at, next);
		w.joined = 0;
		at = next;
	}
	t->end = t->torn_to = at;
	t->clean = at == w.clean_end;
	if (s->unreadable) {
		end_unknown(s, t, limit);
		return;
	}
	if (w.joined != 0 && !t->clean)
		t->end = w.joined;
	for (unsigned i = 0; i < t->bad_count; i++) {
		if (t->bad[i].from < t->proven)
			continue;
		t->end = t->bad[i].from;
		t->bad_count = i;
		t->clean = false;
		break;
	}
}

static enum err
copy_bytes(struct store *s, struct scan *scan, int to, uint64_t from,
    uint64_t end, struct errtext *et)
{
	enum err e = OK;
	size_t len;

	scan->len = 0; /* the buffer is used here */
	for (uint64_t at = from; e == OK && at < end; at += len) {
		len = end - at < SCAN_BUFFER_BYTES ? (size_t)(end - at)
						   : SCAN_BUFFER_BYTES;
		e = disk_read_all(s->disk, scan->fd, scan->buf, len, at, et);
		if (e == OK)
			e = disk_write_all(s->disk, to, scan->buf, len, at, et);
	}
	return e;
}

/* A spare of this size; it is taken out of the list.  0: none. */
static uint64_t
take_spare(struct store *s)
{
	struct segments *g = &s->segments;

	for (unsigned i = 0; i < g->spare_count; i++) {
		uint64_t n = g->spares[i].number;

		if (g->spares[i].unfit || g->spares[i].busy)
			continue;
		g->spares[i] = g->spares[--g->spare_count];
		return n;
	}
	return 0;
}

static enum err
secure_in_spare(struct store *s, struct segment *g, struct scan *scan,
    const struct tail *t, uint64_t spare, struct errtext *et)
{
	struct disk *d = s->disk;
	char from[SEGMENT_PATH_BYTES], to[SEGMENT_PATH_BYTES];
	enum err e;
	int fd;

	segment_path(from, SEGMENT_SPARE, spare);
	segment_path(to, SEGMENT_LOG, g->number);
	fd = d->ops->open(d, from, 0);
	if (fd < 0)
		return err_sys(et, errno, "%s", from);
	e = copy_bytes(s, scan, fd, 0, t->end, et);
	if (e == OK && d->ops->datasync(d, fd) < 0)
		e = err_sys(et, errno, "%s: fdatasync", from);
	if (e == OK && d->ops->rename(d, from, to) < 0)
		e = err_sys(et, errno, "%s: rename", from);
	if (e == OK && d->ops->dirsync(d, "log") < 0)
		e = err_sys(et, errno, "log: fsync");
	if (e != OK) {
		d->ops->close(d, fd);
		return e;
	}
	/* Descriptors of the old file must not be used any more. */
	segment_end_write(s, g);
	segment_forget_fd(s, g);
	g->write_fd = fd;
	scan->fd = segment_fd(s, g);
	scan->len = 0;
	return scan->fd < 0 ? err_sys(et, errno, "%s", to) : OK;
}

/* Write all of it again: that makes the pages dirty, so that the sync means
 * something.  What lies behind the end is wiped, so that it never parses. */
static enum err
secure_in_place(struct store *s, struct segment *g, struct scan *scan,
    const struct tail *t, struct errtext *et)
{
	uint64_t len;
	int fd = segment_write_fd(s, g);
	enum err e;

	if (fd < 0)
		return err_sys(et, errno, "segment %llu",
		    (unsigned long long)g->number);
	e = copy_bytes(s, scan, fd, 0, t->end, et);
	memset(scan->buf, 0, SCAN_BUFFER_BYTES);
	for (uint64_t at = t->end; e == OK && at < g->bytes; at += len) {
		len = g->bytes - at < SCAN_BUFFER_BYTES ? g->bytes - at
							: SCAN_BUFFER_BYTES;
		e = disk_write_all(s->disk, fd, scan->buf, (size_t)len, at, et);
	}
	if (e == OK && s->disk->ops->datasync(s->disk, fd) < 0)
		e = err_sys(et, errno, "fdatasync");
	return e;
}

enum err
tail_secure(struct store *s, struct segment *g, struct scan *scan,
    const struct tail *t, struct errtext *et)
{
	uint64_t spare = g->bytes == s->conf.segment_bytes ? take_spare(s) : 0;

	if (segment_fd(s, g) < 0)
		return err_sys(et, errno, "segment %llu",
		    (unsigned long long)g->number);
	scan->fd = g->fd;
	if (spare != 0)
		return secure_in_spare(s, g, scan, t, spare, et);
	return secure_in_place(s, g, scan, t, et);
}
