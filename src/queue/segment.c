/*
 * Segments of the log as the agents know them: each is announced once to each
 * agent that needs it, with its descriptor, and taken back when the store
 * uses its file anew, or when the agent holds too many.
 */
#include "base/assert.h"
#include "queue/internal.h"

struct segment {
	struct hash_node node;
	struct list_node lru; /* peer.segment_lru while uses is 0 */
	uint64_t number;
	uint32_t uses; /* extents of running jobs */
	bool drop_owed;
};

static struct segment *
segment_find(struct peer *p, uint64_t number)
{
	struct hash_node *n = hash_first(&p->segments, hash_u64(number));

	for (; n != NULL; n = hash_next(n)) {
		struct segment *s = CONTAINER(n, struct segment, node);

		if (s->number == number && !s->drop_owed)
			return s;
	}
	return NULL;
}

/* Tell the agent, now or when there is room; then forget it. */
static void
segment_drop(struct peer *p, struct segment *s)
{
	struct fr_segment_drop f = { .number = s->number };

	ASSERT(s->uses == 0);
	list_remove(&s->lru);
	if (p->chan != NULL &&
	    send_segment_drop(p->chan, 0, &f, -1) == ERR_FULL) {
		if (!s->drop_owed)
			p->drops_owed++;
		s->drop_owed = true;
		return;
	}
	if (s->drop_owed)
		p->drops_owed--;
	hash_remove(&p->segments, &s->node);
	mem_free(&p->q->chan_acct, s);
}

void
segments_send_owed(struct peer *p)
{
	for (uint32_t b = 0; p->drops_owed > 0 && b < p->segments.bucket_count;
	     b++) {
		struct hash_node *n = p->segments.buckets[b], *next;

		for (; n != NULL; n = next) {
			struct segment *s = CONTAINER(n, struct segment, node);

			next = n->next;
			if (s->drop_owed)
				segment_drop(p, s);
		}
	}
}

static enum err
segment_announce(struct peer *p, uint64_t number, struct segment **out)
{
	struct fr_segment f = { .number = number };
	struct list_node *oldest = list_first(&p->segment_lru);
	int fd = store_segment_fd(p->q->store, number);
	struct segment *s;
	enum err e;

	if (fd < 0)
		return ERR_NOTFOUND;
	if (p->segments.count >= SEGMENTS_MAX && oldest != NULL)
		segment_drop(p, CONTAINER(oldest, struct segment, lru));
	s = mem_alloc(&p->q->chan_acct, sizeof(*s));
	if (s == NULL)
		return ERR_NOMEM;
	e = send_segment(p->chan, 0, &f, fd);
	if (e != OK) {
		mem_free(&p->q->chan_acct, s);
		return e;
	}
	s->number = number;
	hash_add(&p->segments, &s->node, hash_u64(number));
	*out = s;
	return OK;
}

enum err
segments_use(struct peer *p, const struct store_extent *extents, uint32_t count,
    uint32_t *from)
{
	for (; *from < count; ++*from) {
		uint64_t number = extents[*from].segment;
		struct segment *s = segment_find(p, number);

		if (s == NULL) {
			enum err e = segment_announce(p, number, &s);

			if (e != OK)
				return e;
		}
		list_remove(&s->lru);
		s->uses++;
	}
	return OK;
}

void
segments_unuse(struct peer *p, const struct store_extent *extents,
    uint32_t upto)
{
	for (uint32_t i = 0; i < upto; i++) {
		struct segment *s = segment_find(p, extents[i].segment);

		ASSERT(s != NULL && s->uses > 0);
		if (--s->uses == 0)
			list_push_back(&p->segment_lru, &s->lru);
	}
}

void
segments_drop(struct queue *q, uint64_t number)
{
	for (unsigned i = 0; i < PEERS_MAX; i++) {
		struct segment *s;

		if (q->peers[i] == NULL ||
		    q->peers[i]->segments.buckets == NULL)
			continue;
		s = segment_find(q->peers[i], number);
		if (s != NULL)
			segment_drop(q->peers[i], s);
	}
}

void
segments_free(struct peer *p)
{
	for (uint32_t b = 0; b < p->segments.bucket_count; b++) {
		struct hash_node *n = p->segments.buckets[b], *next;

		for (; n != NULL; n = next) {
			next = n->next;
			hash_remove(&p->segments, n);
			mem_free(&p->q->chan_acct,
			    CONTAINER(n, struct segment, node));
		}
	}
	hash_fini(&p->segments);
}

enum err
segments_send_extents(struct peer *p, uint32_t tag, const struct store_msg *m,
    uint32_t *from)
{
	enum { PER_FRAME = 49152 / EXTENT_BYTES };

	while (*from < m->extent_count) {
		struct fr_job_extents f;
		struct wr w = wr_of(p->q->scratch, SCRATCH_BYTES);
		uint32_t end = m->extent_count - *from > PER_FRAME
				   ? *from + PER_FRAME
				   : m->extent_count;
		enum err e;

		for (uint32_t i = *from; i < end; i++) {
			struct extent x = {
				.segment = m->extents[i].segment,
				.offset = m->extents[i].offset,
				.length = m->extents[i].length,
			};

			extent_put(&w, &x);
		}
		ASSERT(!w.full);
		f.extents = wr_done(&w);
		e = send_job_extents(p->chan, tag, &f, -1);
		if (e != OK)
			return e;
		*from = end;
	}
	return OK;
}
