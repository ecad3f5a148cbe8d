/*
 * segments: lent descriptors, and bodies by splice.
 */
#include "local/segments.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

struct segment {
	struct list_node node;
	uint64_t number;
	int fd;
};

void
segments_init(struct segments *s, struct acct *a)
{
	pool_init(&s->pool, a, "segments", "", sizeof(struct segment),
	    SEGMENTS_MAX);
	list_init(&s->list);
}

static struct segment *
find(struct segments *s, uint64_t number)
{
	struct list_node *n;
	struct segment *g;

	for (n = list_first(&s->list); n != NULL; n = list_next(&s->list, n)) {
		g = CONTAINER(n, struct segment, node);
		if (g->number == number)
			return g;
	}
	return NULL;
}

static void
forget(struct segments *s, struct segment *g)
{
	list_remove(&g->node);
	close(g->fd);
	pool_put(&s->pool, g);
}

void
segments_clear(struct segments *s)
{
	struct list_node *n;

	while ((n = list_first(&s->list)) != NULL)
		forget(s, CONTAINER(n, struct segment, node));
}

enum err
segments_add(struct segments *s, uint64_t number, int fd)
{
	struct segment *g = find(s, number);

	if (g != NULL) {
		close(g->fd);
		g->fd = fd;
		return OK;
	}
	g = pool_get(&s->pool);
	if (g == NULL) {
		close(fd);
		return ERR_FULL;
	}
	g->number = number;
	g->fd = fd;
	list_push_front(&s->list, &g->node);
	return OK;
}

void
segments_drop(struct segments *s, uint64_t number)
{
	struct segment *g = find(s, number);

	if (g != NULL)
		forget(s, g);
}

int
segments_find(struct segments *s, uint64_t number)
{
	struct segment *g = find(s, number);

	if (g == NULL)
		return -1;
	if (list_first(&s->list) != &g->node) {
		list_remove(&g->node);
		list_push_front(&s->list, &g->node);
	}
	return g->fd;
}

void
body_source_init(struct body_source *b, struct segments *segments,
    const struct extent *extents, uint32_t extent_count, uint64_t limit_bytes)
{
	uint64_t sum = 0;
	uint32_t i;

	for (i = 0; i < extent_count; i++)
		sum += extents[i].length;
	*b = (struct body_source){
		.segments = segments,
		.extents = extents,
		.extent_count = extent_count,
		.left_bytes = sum < limit_bytes ? sum : limit_bytes,
	};
}

/* For file systems that cannot splice: through a buffer of ours. */
static ssize_t
copy_some(int fd, off_t offset, int pipe_fd, size_t want)
{
	static char buffer[16 * 1024];
	ssize_t n;

	if (want > sizeof(buffer))
		want = sizeof(buffer);
	n = pread(fd, buffer, want, offset);
	return n <= 0 ? n : write(pipe_fd, buffer, (size_t)n);
}

static ssize_t
send_some(int fd, off_t offset, int pipe_fd, size_t want)
{
	off_t at = offset;
	ssize_t n = splice(fd, &at, pipe_fd, NULL, want, SPLICE_F_NONBLOCK);

	if (n < 0 && errno == EINVAL)
		n = copy_some(fd, offset, pipe_fd, want);
	return n;
}

/* What is left of the extent that is being sent. */
static size_t
extent_left(const struct body_source *b)
{
	size_t left = b->extents[b->extent_index].length - b->offset_bytes;

	return left < b->left_bytes ? left : (size_t)b->left_bytes;
}

static void
took(struct body_source *b, size_t n)
{
	b->left_bytes -= n;
	b->offset_bytes += (uint32_t)n;
	if (b->offset_bytes < b->extents[b->extent_index].length)
		return;
	b->extent_index++;
	b->offset_bytes = 0;
}

enum err
body_source_send(struct body_source *b, int pipe_fd)
{
	const struct extent *e;
	ssize_t n;
	int fd;

	while (b->left_bytes > 0) {
		e = &b->extents[b->extent_index];
		fd = segments_find(b->segments, e->segment);
		if (fd < 0)
			return ERR_NOTFOUND;
		n = send_some(fd, (off_t)e->offset + b->offset_bytes, pipe_fd,
		    extent_left(b));
		if (n == 0)
			return ERR_CORRUPT;
		if (n < 0) {
			if (errno == EINTR)
				continue;
			return errno == EAGAIN	? ERR_AGAIN
			       : errno == EPIPE ? ERR_CLOSED
						: ERR_IO;
		}
		took(b, (size_t)n);
	}
	return OK;
}

enum err
body_source_read(struct body_source *b, char *buf, size_t size, size_t *len_out)
{
	const struct extent *e;
	ssize_t n;
	int fd;

	*len_out = 0;
	if (b->left_bytes == 0)
		return OK;
	e = &b->extents[b->extent_index];
	fd = segments_find(b->segments, e->segment);
	if (fd < 0)
		return ERR_NOTFOUND;
	if (size > extent_left(b))
		size = extent_left(b);
	do
		n = pread(fd, buf, size, (off_t)e->offset + b->offset_bytes);
	while (n < 0 && errno == EINTR);
	if (n <= 0)
		return n == 0 ? ERR_CORRUPT : ERR_IO;
	took(b, (size_t)n);
	*len_out = (size_t)n;
	return OK;
}
