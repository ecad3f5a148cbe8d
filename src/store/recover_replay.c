/*
 * recover_replay: step 4 of recover.h: telling the index what it does not
 * know, and telling of damage.
 */
#include "store/recover.h"

#include <stdio.h>

#include "store/scan.h"
#include "store/store_int.h"

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

/* ---- replay ---- */

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
	if (!r->silent && to < r->scan->bytes - END_BYTES &&
	    !scan_is_unreadable(r->scan, from, to))
		recover_damage(r->s, r->scan, from, to, STORE_DAMAGE_RECORD);
}

/* What could not be read of a segment, beyond what the index knows. */
static void
keep_unreadable(struct replay *r, struct segment *g)
{
	if (r->scan->unreadable && (g->number > r->from.segment ||
				       r->scan->unreadable_to > r->from.offset))
		segment_keep(r->s, g->number, r->scan->unreadable_from);
}

/* A closed segment: its tables, or, damaged, all of it. */
static enum err
replay_closed(struct replay *r, struct segment *g, struct errtext *et)
{
	struct rec_end end;
	enum err e;

	e = recover_scan_open(r->s, r->scan, g, et);
	if (e != OK)
		return e;
	e = scan_tables(r->scan, r->s->acct, &end, on_entry, r);
	if (e == OK) {
		if (end.id_ceiling > r->s->id_ceiling)
			r->s->id_ceiling = end.id_ceiling;
		/* The tables name all; what was read around them is of no
		 * matter. */
		r->scan->unreadable = false;
		return OK;
	}
	if (e != ERR_CORRUPT)
		return e;
	r->silent = r->s->read_only; /* inspect_all tells it */
	e = scan_walk(r->scan, SEGMENT_HEADER_BYTES,
	    (uint32_t)(g->bytes - END_BYTES), on_record, on_bad, r);
	/* It may be sound where it could not be read. */
	if (!r->scan->unreadable && !g->unreadable)
		store_damage(r->s,
		    &(struct store_damage){ STORE_DAMAGE_TABLE, g->number, 0, 0,
			0, "table damaged or missing, segment read whole" });
	return e;
}

enum err
recover_replay(struct store *s, struct scan *scan, struct store_pos from,
    uint32_t end, bool adopt, struct errtext *et)
{
	struct segments *g = &s->segments;
	struct replay r = { .s = s, .scan = scan, .from = from };
	enum err e = OK;

	s->index.was_empty = from.segment == 0;
	s->index.incomplete = true;
	for (uint32_t i = 0; e == OK && i < g->count; i++) {
		struct segment *n = g->list[i];

		if (n->retired || n->number < from.segment)
			continue;
		if (i + 1 < g->count) {
			e = replay_closed(&r, n, et);
			keep_unreadable(&r, n);
			continue;
		}
		e = recover_scan_open(s, scan, n, et);
		r.adopt = adopt;
		r.silent = true; /* tail_examine told it */
		if (e == OK)
			e = scan_walk(scan, SEGMENT_HEADER_BYTES, end,
			    on_record, on_bad, &r);
		keep_unreadable(&r, n);
	}
	if (e == OK)
		s->index.incomplete = s->segments.unreadable;
	return e;
}
