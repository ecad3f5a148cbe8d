#include "smtp/segment.h"

#include <unistd.h>

#include "base/list.h"

struct segment {
	struct hash_node node;
	uint64_t number;
	int fd;
};

enum err
segments_init(struct segments *s, struct acct *a)
{
	enum err e;

	e = hash_init(&s->by_number, a, SEGMENT_BUCKETS);
	if (e != OK)
		return e;
	pool_init(&s->pool, a, "segments", "", sizeof(struct segment),
	    SEGMENT_COUNT_MAX);
	return OK;
}

static struct segment *
find(const struct segments *s, uint64_t number)
{
	struct hash_node *n = hash_first(&s->by_number, hash_u64(number));

	for (; n != NULL; n = hash_next(n)) {
		struct segment *g = CONTAINER(n, struct segment, node);

		if (g->number == number)
			return g;
	}
	return NULL;
}

enum err
segments_add(struct segments *s, uint64_t number, int fd)
{
	struct segment *g = find(s, number);

	if (g != NULL) {
		(void)close(g->fd);
		g->fd = fd;
		return OK;
	}
	g = pool_get(&s->pool);
	if (g == NULL) {
		(void)close(fd);
		return ERR_FULL;
	}
	g->number = number;
	g->fd = fd;
	hash_add(&s->by_number, &g->node, hash_u64(number));
	return OK;
}

static void
remove_segment(struct segments *s, struct segment *g)
{
	hash_remove(&s->by_number, &g->node);
	(void)close(g->fd);
	pool_put(&s->pool, g);
}

void
segments_drop(struct segments *s, uint64_t number)
{
	struct segment *g = find(s, number);

	if (g != NULL)
		remove_segment(s, g);
}

int
segments_fd(const struct segments *s, uint64_t number)
{
	const struct segment *g = find(s, number);

	return g != NULL ? g->fd : -1;
}

void
segments_fini(struct segments *s)
{
	for (uint32_t i = 0; i < s->by_number.bucket_count; i++)
		while (s->by_number.buckets[i] != NULL)
			remove_segment(s, CONTAINER(s->by_number.buckets[i],
					      struct segment, node));
	hash_fini(&s->by_number);
	pool_fini(&s->pool);
}
