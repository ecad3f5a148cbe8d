/*
 * inspect: see inspect.h.
 */
#include "store/inspect.h"

#include <errno.h>
#include <string.h>

#include "base/assert.h"
#include "store/recover.h"
#include "store/scan.h"
#include "store/store_int.h"

enum {
	INSPECT_PAGE = 64,
	INSPECT_HEAP_BYTES = 256 << 20, /* a tool's, not a server's */
	INSPECT_ARENA_BYTES = 256 << 20,
};

/* ---- every record ---- */

struct check {
	struct store *s;
	struct scan *scan;
	struct inspect_counts *counts;
};

static enum err
on_record(void *arg, const struct record *r, struct slice payload,
    struct store_pos pos)
{
	struct check *c = arg;

	(void)r;
	(void)payload;
	(void)pos;
	c->counts->record_count++;
	return OK;
}

static void
on_bad(void *arg, uint32_t from, uint32_t to)
{
	struct check *c = arg;

	/* Without an END the rest is unknown, and its table was told of. */
	if (to == c->scan->bytes - END_BYTES)
		return;
	recover_damage(c->s, c->scan, from, to, STORE_DAMAGE_RECORD);
}

/* Where the records of a closed segment end. */
static uint32_t
closed_end(struct scan *scan)
{
	struct slice payload;
	struct rec_end end;
	struct record r;
	uint32_t at = (uint32_t)(scan->bytes - END_BYTES);

	if (scan_record(scan, at, &r, &payload) == OK && r.type == RECORD_END &&
	    rec_end_get(payload, &end) && end.end <= at)
		return end.end;
	return at;
}

static enum err
check_segment(struct check *c, struct segment *g, uint32_t end,
    struct errtext *et)
{
	int fd = segment_fd(c->s, g);

	if (fd < 0)
		return err_sys(et, errno, "segment %llu",
		    (unsigned long long)g->number);
	scan_init(c->scan, c->s->disk, c->scan->buf, fd, g->number, g->bytes);
	if (end == 0)
		end = closed_end(c->scan);
	c->counts->segment_count++;
	return scan_walk(c->scan, SEGMENT_HEADER_BYTES, end, on_record, on_bad,
	    c);
}

/* ---- every message ---- */

static enum err
check_pieces(struct store *s, const struct store_row *row,
    const struct store_extent *x, uint32_t count, struct errtext *et)
{
	struct slice payload;
	enum err e = OK;

	for (uint32_t i = 0; e == OK && i < count; i++) {
		struct store_pos pos = { x[i].segment,
			x[i].offset - RECORD_HEADER_BYTES,
			(uint32_t)record_bytes(x[i].length) };

		e = store_read_record(s, pos, RECORD_BODY, row->id,
		    s->load_buf2, &payload, et);
	}
	return e;
}

static enum err
check_message(void *arg, const struct store_row *row)
{
	struct check *c = arg;
	struct store_message out;
	struct store_extent *x;
	struct errtext et = { "" };
	struct arena ar;
	uint32_t count;
	enum err e;

	arena_init(&ar, c->s->acct, 65536, INSPECT_ARENA_BYTES);
	c->counts->message_count++;
	e = store_peek(c->s, row, &ar, 0, UINT32_MAX, &out, &x, &count, &et);
	if (e == OK)
		e = check_pieces(c->s, row, x, count, &et);
	arena_fini(&ar);
	if (e == OK)
		return OK;
	store_damage(c->s,
	    &(struct store_damage){ STORE_DAMAGE_MESSAGE, row->envelope.segment,
		row->envelope.offset, row->envelope.length, row->id, et.text });
	return err_class(e) == ERR_CLASS_FULL ? e : OK;
}

struct page {
	enum err err;
	unsigned count;
	bool came;
	struct store_row rows[INSPECT_PAGE];
};

static void
on_rows(void *arg, enum err e, const struct store_row *rows, unsigned count)
{
	struct page *p = arg;

	p->came = true;
	p->err = e;
	p->count = count;
	memcpy(p->rows, rows, count * sizeof(*rows));
}

enum err
inspect_each(struct store *s, inspect_fn *fn, void *arg)
{
	uint64_t after = 0;
	struct page p;
	enum err e;

	for (;;) {
		p.came = false;
		e = store_list(s, after, INSPECT_PAGE, on_rows, &p);
		while (e == OK && !p.came && store_poll(s))
			continue;
		if (e == OK)
			e = p.came ? p.err : ERR_AGAIN;
		if (e != OK || p.count == 0)
			return e;
		for (unsigned i = 0; i < p.count; i++) {
			e = fn(arg, &p.rows[i]);
			if (e != OK)
				return e;
		}
		after = p.rows[p.count - 1].id;
	}
}

enum err
inspect_all(struct store *s, struct inspect_counts *counts, struct errtext *et)
{
	struct segments *g = &s->segments;
	struct scan scan = { .buf = mem_alloc(s->acct, SCAN_BUFFER_BYTES) };
	struct check c = { s, &scan, counts };
	enum err e = OK;

	*counts = (struct inspect_counts){ 0 };
	if (scan.buf == NULL)
		return ERR_NOMEM;
	for (uint32_t i = 0; e == OK && i < g->count; i++)
		e = check_segment(&c, g->list[i],
		    i + 1 == g->count ? s->inspect_end : 0, et);
	mem_free(s->acct, scan.buf);
	if (e == OK)
		e = inspect_each(s, check_message, &c);
	/* What opening found is in it. */
	counts->damage_count = s->inspect_damage_count;
	return e;
}

/* ---- open ---- */

static void
test_use(struct store *s, bool *in_use_out)
{
	int fd = s->disk->ops->open(s->disk, "lock", DISK_READ);

	*in_use_out = false;
	if (fd < 0)
		return;
	*in_use_out = s->disk->ops->lock(s->disk, fd) < 0 && errno == EAGAIN;
	s->disk->ops->close(s->disk, fd);
}

enum err
inspect_open(const struct store_conf *c, struct store **out, bool *in_use_out,
    struct errtext *et)
{
	struct store_conf conf;
	struct store *s;
	enum err e;

	store_conf_default(&conf);
	conf.disk = c->disk;
	conf.acct = c->acct;
	conf.events = c->events;
	conf.arg = c->arg;
	conf.threads = false;
	conf.index_heap_bytes = INSPECT_HEAP_BYTES;
	e = store_open_parts(&conf, &s, et);
	if (e != OK)
		return e;
	s->read_only = true;
	test_use(s, in_use_out);
	e = recover_read(s, et);
	if (e != OK) {
		inspect_close(s);
		return e;
	}
	*out = s;
	return OK;
}

void
inspect_close(struct store *s)
{
	store_abandon(s);
}
