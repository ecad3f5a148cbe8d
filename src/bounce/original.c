/* The original of a report: its segments and what is read of them. */
#include <errno.h>
#include <unistd.h>

#include "base/mem.h"
#include "bounce/reporter_int.h"

struct segment *
segment_find(struct reporter *p, uint64_t number)
{
	struct list_node *n = list_first(&p->segments);

	for (; n != NULL; n = list_next(&p->segments, n)) {
		struct segment *s = CONTAINER(n, struct segment, node);

		if (s->number == number)
			return s;
	}
	return NULL;
}

void
segment_free(struct reporter *p, struct segment *s)
{
	(void)close(s->fd);
	list_remove(&s->node);
	p->segment_count--;
	mem_free(p->env.acct, s);
}

void
segment_on_frame(struct reporter *p, struct frame *f)
{
	struct fr_segment in;
	struct segment *s;

	if (!get_segment(f, &in) || f->fd < 0) {
		chan_bad(p->chan, "SEGMENT");
		return;
	}
	s = segment_find(p, in.number);
	if (s != NULL)
		segment_free(p, s);
	s = p->segment_count < SEGMENTS_MAX ? mem_alloc(p->env.acct, sizeof(*s))
					    : NULL;
	if (s == NULL)
		return; /* the report that needs it fails */
	s->number = in.number;
	s->fd = f->fd;
	f->fd = -1;
	list_push_front(&p->segments, &s->node);
	p->segment_count++;
}

ssize_t
original_read(struct reporter *p, struct report *r, char *buf, size_t size)
{
	for (;;) {
		struct slice all = buf_data(&r->extents);
		struct rd rd = rd_of(slice_sub(all, r->extent_at, all.len));
		struct segment *s;
		struct extent e;
		ssize_t got;

		if (rd.left == 0)
			return 0;
		if (!extent_get(&rd, &e)) {
			errno = EPROTO;
			return -1;
		}
		if (r->piece_done == e.length) {
			r->extent_at += EXTENT_BYTES;
			r->piece_done = 0;
			continue;
		}
		s = segment_find(p, e.segment);
		if (s == NULL) {
			errno = ENOENT;
			return -1;
		}
		if (size > e.length - r->piece_done)
			size = e.length - r->piece_done;
		got = pread(s->fd, buf, size, (off_t)e.offset + r->piece_done);
		if (got == 0)
			errno = EIO; /* the segment is shorter than that */
		if (got <= 0)
			return -1;
		r->piece_done += (uint32_t)got;
		return got;
	}
}
