/*
 * recover_list: steps 1 and 2 of recover.h: the segments, their headers, their
 * order, and the last one that holds records.
 */
#include "store/recover.h"

#include <errno.h>

#include "store/scan.h"
#include "store/store_int.h"

/* ---- what is there ---- */

struct listing {
	struct store *s;
	enum err err;
	struct errtext *et;
	uint64_t garbage; /* a file to be removed; 0: none */
};

enum { HEADER_TRIES = 3 };

/* Reads a segment's header into its entry. */
static enum err
add_log_segment(struct store *s, uint64_t number, struct errtext *et)
{
	unsigned char buf[SEGMENT_HEADER_BYTES];
	char path[SEGMENT_PATH_BYTES];
	struct segment_header h = { 0 };
	uint64_t size = 0;
	bool unreadable;
	enum err e = ERR_IO;
	int fd;

	segment_path(path, SEGMENT_LOG, number);
	fd = s->disk->ops->open(s->disk, path, DISK_READ);
	if (fd < 0)
		return err_sys(et, errno, "%s", path);
	if (s->disk->ops->size(s->disk, fd, &size) < 0)
		size = 0;
	/* A transient error must not count. */
	for (unsigned i = 0; i < HEADER_TRIES && e == ERR_IO; i++)
		e = disk_read_all(s->disk, fd, buf, sizeof(buf), 0, et);
	s->disk->ops->close(s->disk, fd);
	unreadable = e == ERR_IO;
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
		if (!unreadable)
			store_damage(s,
			    &(struct store_damage){ STORE_DAMAGE_SEGMENT,
				number, 0, SEGMENT_HEADER_BYTES, 0,
				"header damaged" });
		h = (struct segment_header){ .prev = UINT64_MAX,
			.segment_bytes = size & ~(uint64_t)7 };
		if (h.segment_bytes < SEGMENT_BYTES_MIN ||
		    h.segment_bytes > SEGMENT_BYTES_MAX) {
			/* Nothing to be read in it. */
			if (unreadable)
				segment_keep(s, number, 0);
			return OK;
		}
	} else {
		s->spool_id = h.spool_id;
	}
	if (h.id_floor > s->next_id)
		s->next_id = h.id_floor;
	e = segment_add(s, number, h.prev, h.segment_bytes);
	if (e == OK && unreadable)
		segment_keep(s, number, 0);
	return e;
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

static enum err
list_all(struct store *s, struct errtext *et)
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

/* ---- the last segment with records ---- */

enum err
recover_scan_open(struct store *s, struct scan *scan, struct segment *g,
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

/* Was it ever written to?  What cannot be read may have been. */
static enum err
has_records(struct store *s, struct scan *scan, struct segment *g,
    bool *has_out, struct errtext *et)
{
	uint32_t at;
	enum err e;

	e = recover_scan_open(s, scan, g, et);
	if (e != OK)
		return e;
	*has_out = scan_find(scan, SEGMENT_HEADER_BYTES, &at);
	if (!*has_out && scan->unreadable) {
		segment_keep(s, g->number, scan->unreadable_from);
		*has_out = true;
	}
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
		if (i >= 1 && segment_find(s, prev) == NULL)
			store_damage(s,
			    &(struct store_damage){ STORE_DAMAGE_SEGMENT, prev,
				0, 0, 0, "file is missing" });
	}
	return OK;
}

enum err
recover_list(struct store *s, struct scan *scan, struct segment **last_out,
    struct errtext *et)
{
	enum err e = list_all(s, et);

	if (e == OK)
		e = find_last(s, scan, last_out, et);
	if (e == OK)
		e = check_order(s, scan, et);
	return e;
}
