/*
 * segment: the list of segments, their descriptors and pins.
 */
#include "store/segment.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "store/store_int.h"

static const char *const suffixes[] = { "seg", "spare", "new" };

void
segment_path(char path[static SEGMENT_PATH_BYTES], enum segment_kind kind,
    uint64_t number)
{
	snprintf(path, SEGMENT_PATH_BYTES, "log/%010llu.%s",
	    (unsigned long long)number, suffixes[kind]);
}

bool
segment_parse(const char *name, enum segment_kind *kind_out,
    uint64_t *number_out)
{
	struct slice s = slice_str(name);
	size_t dot = slice_find(s, '.');

	if (dot < 10 || dot > 19 ||
	    !slice_to_u64(slice_sub(s, 0, dot), INT64_MAX, number_out) ||
	    *number_out == 0)
		return false;
	for (unsigned i = 0; i < ARRAY_LEN(suffixes); i++)
		if (slice_eq(slice_sub(s, dot + 1, s.len),
			slice_str(suffixes[i]))) {
			*kind_out = (enum segment_kind)i;
			return true;
		}
	return false;
}

/* Index of the first segment with a number of at least number. */
static uint32_t
lower_bound(const struct segments *g, uint64_t number)
{
	uint32_t low = 0, high = g->count;

	while (low < high) {
		uint32_t mid = low + (high - low) / 2;

		if (g->list[mid]->number < number)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

struct segment *
segment_find(struct store *s, uint64_t number)
{
	struct segments *g = &s->segments;
	uint32_t i = lower_bound(g, number);

	return i < g->count && g->list[i]->number == number ? g->list[i] : NULL;
}

struct segment *
segment_oldest(struct store *s)
{
	for (uint32_t i = 0; i < s->segments.count; i++)
		if (!s->segments.list[i]->retired)
			return s->segments.list[i];
	return NULL;
}

uint32_t
segments_live_count(const struct store *s)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < s->segments.count; i++)
		n += !s->segments.list[i]->retired;
	return n;
}

static enum err
list_grow(struct store *s)
{
	struct segments *g = &s->segments;
	uint32_t size = g->size == 0 ? 64 : g->size * 2;
	struct segment **list;

	list = mem_alloc_array(s->acct, size, sizeof(struct segment *));
	if (list == NULL)
		return ERR_NOMEM;
	if (g->count > 0)
		memcpy(list, g->list, g->count * sizeof(struct segment *));
	mem_free(s->acct, g->list);
	g->list = list;
	g->size = size;
	return OK;
}

static enum err
list_insert(struct store *s, struct segment *n)
{
	struct segments *g = &s->segments;
	uint32_t at;
	enum err e;

	if (g->count == g->size) {
		e = list_grow(s);
		if (e != OK)
			return e;
	}
	at = lower_bound(g, n->number);
	memmove(g->list + at + 1, g->list + at,
	    (g->count - at) * sizeof(struct segment *));
	g->list[at] = n;
	g->count++;
	return OK;
}

enum err
segment_add(struct store *s, uint64_t number, uint64_t prev, uint64_t bytes)
{
	struct segment *n = mem_alloc(s->acct, sizeof(*n));
	enum err e;

	if (n == NULL)
		return ERR_NOMEM;
	*n = (struct segment){ .number = number,
		.prev = prev,
		.bytes = bytes,
		.fd = -1,
		.write_fd = -1 };
	e = list_insert(s, n);
	if (e != OK) {
		mem_free(s->acct, n);
		return e;
	}
	if (number > s->segments.number_last)
		s->segments.number_last = number;
	return OK;
}

void
segment_keep(struct store *s, uint64_t number, uint64_t offset)
{
	struct segment *g = segment_find(s, number);

	s->segments.unreadable = true;
	if (g != NULL && g->unreadable)
		return;
	if (g != NULL)
		g->unreadable = true;
	store_damage(s,
	    &(struct store_damage){ STORE_DAMAGE_UNREADABLE, number, offset, 0,
		0, "read error; nothing of the log is freed until it reads" });
}

static void
close_fd(struct store *s, struct segment *g)
{
	if (g->fd < 0)
		return;
	s->disk->ops->close(s->disk, g->fd);
	g->fd = -1;
	s->segments.fd_count--;
}

/* Close one that nobody needs, oldest first. */
static void
shed_fd(struct store *s)
{
	struct segments *g = &s->segments;

	for (uint32_t i = 0; i < g->count; i++) {
		struct segment *n = g->list[i];

		if (n->fd >= 0 && n->pins == 0 && n != s->log.head) {
			close_fd(s, n);
			return;
		}
	}
}

int
segment_fd(struct store *s, struct segment *g)
{
	char path[SEGMENT_PATH_BYTES];

	if (g->fd >= 0)
		return g->fd;
	if (s->segments.fd_count >= SEGMENT_FDS_MAX)
		shed_fd(s);
	if (g->retired)
		segment_path(path, SEGMENT_SPARE, g->spare_number);
	else
		segment_path(path, SEGMENT_LOG, g->number);
	g->fd = s->disk->ops->open(s->disk, path, DISK_READ);
	if (g->fd >= 0)
		s->segments.fd_count++;
	return g->fd;
}

void
segment_forget_fd(struct store *s, struct segment *g)
{
	close_fd(s, g);
}

int
segment_write_fd(struct store *s, struct segment *g)
{
	char path[SEGMENT_PATH_BYTES];

	if (g->write_fd >= 0)
		return g->write_fd;
	ASSERT(!g->retired);
	segment_path(path, SEGMENT_LOG, g->number);
	g->write_fd = s->disk->ops->open(s->disk, path, 0);
	return g->write_fd;
}

void
segment_end_write(struct store *s, struct segment *g)
{
	if (g->write_fd >= 0)
		s->disk->ops->close(s->disk, g->write_fd);
	g->write_fd = -1;
}

static void
list_remove_at(struct store *s, uint32_t at)
{
	struct segments *g = &s->segments;
	struct segment *n = g->list[at];

	close_fd(s, n);
	segment_end_write(s, n);
	g->count--;
	memmove(g->list + at, g->list + at + 1,
	    (g->count - at) * sizeof(struct segment *));
	mem_free(s->acct, n);
}

void
segment_remove(struct store *s, struct segment *g)
{
	ASSERT(g->pins == 0);
	list_remove_at(s, lower_bound(&s->segments, g->number));
}

/* A retired segment that nobody reads any more: its file is a free spare. */
static void
release_if_idle(struct store *s, uint64_t number)
{
	struct segments *g = &s->segments;
	uint32_t at = lower_bound(g, number);
	struct segment *n = g->list[at];

	if (!n->retired || n->pins > 0)
		return;
	if (s->conf.events != NULL && s->conf.events->on_segment_drop != NULL)
		s->conf.events->on_segment_drop(s->conf.arg, n->number);
	for (unsigned i = 0; i < g->spare_count; i++)
		if (g->spares[i].number == n->spare_number)
			g->spares[i].busy = false;
	list_remove_at(s, at);
}

void
segment_pin(struct store *s, uint64_t first, uint64_t last, bool open)
{
	struct segments *g = &s->segments;

	for (uint32_t i = lower_bound(g, first);
	     i < g->count && g->list[i]->number <= last; i++) {
		g->list[i]->pins++;
		g->list[i]->open_pins += open;
	}
}

void
segment_unpin(struct store *s, uint64_t first, uint64_t last, bool open)
{
	struct segments *g = &s->segments;

	for (uint32_t i = lower_bound(g, first);
	     i < g->count && g->list[i]->number <= last;) {
		struct segment *n = g->list[i];
		uint32_t count = g->count;

		ASSERT(n->pins > 0);
		n->pins--;
		if (open)
			n->open_pins--;
		release_if_idle(s, n->number);
		if (g->count == count)
			i++;
	}
}

enum err
segments_init(struct store *s)
{
	s->segments.make_bytes = s->conf.segment_bytes;
	s->segments.disk = s->disk;
	return list_grow(s);
}

void
segments_fini(struct store *s)
{
	struct segments *g = &s->segments;

	while (g->count > 0)
		list_remove_at(s, g->count - 1);
	if (g->next != NULL) {
		segment_end_write(s, g->next);
		mem_free(s->acct, g->next);
	}
	/* An activation that was under way owns its segment. */
	if (g->op == FILES_ACTIVATE)
		mem_free(s->acct, g->op_segment);
	if (g->op_fd >= 0)
		s->disk->ops->close(s->disk, g->op_fd);
	if (g->made_fd >= 0)
		s->disk->ops->close(s->disk, g->made_fd);
	mem_free(s->acct, g->list);
}

bool
segments_can_take_next(struct store *s)
{
	struct segments *g = &s->segments;

	return g->next != NULL && (g->count < g->size || list_grow(s) == OK);
}

struct segment *
segments_take_next(struct store *s)
{
	struct segments *g = &s->segments;
	struct segment *n = g->next;
	enum err e;

	ASSERT(n != NULL && g->count < g->size);
	e = list_insert(s, n);
	ASSERT(e == OK);
	g->next = NULL;
	g->want_next = false;
	return n;
}
