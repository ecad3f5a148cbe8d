#include "weir/queue_cat.h"

#include <sysexits.h>

void
queue_cat_init(struct queue_cat *q, FILE *to, unsigned parts, bool raw)
{
	*q = (struct queue_cat){
		.to = to,
		.parts = parts,
		.raw = raw,
		.line_empty = true,
	};
}

static void
put(struct queue_cat *q, char c)
{
	if (q->parts & (q->in_body ? CAT_BODY : CAT_HEADER))
		putc(c, q->to);
}

/* The empty line belongs to the header. */
static void
end_line(struct queue_cat *q)
{
	put(q, '\n');
	if (q->line_empty)
		q->in_body = true;
	q->line_empty = true;
}

static void
one(struct queue_cat *q, char c)
{
	if (q->cr && c == '\n') {
		q->cr = false;
		end_line(q);
		return;
	}
	if (q->cr) {
		put(q, '\r');
		q->line_empty = false;
	}
	q->cr = c == '\r';
	if (!q->cr) {
		put(q, c);
		q->line_empty = false;
	}
}

void
queue_cat_put(struct queue_cat *q, struct slice s)
{
	if (q->raw) {
		if (s.len > 0)
			fwrite(s.data, 1, s.len, q->to);
		return;
	}
	for (size_t i = 0; i < s.len; i++)
		one(q, s.data[i]);
}

void
queue_cat_end(struct queue_cat *q)
{
	if (q->cr)
		put(q, '\r');
	q->cr = false;
}

static void
on_data(void *arg, const struct fr_ctl_data *f)
{
	queue_cat_put(arg, f->data);
}

int
queue_cat(struct ctl *c, uint64_t id, FILE *to, unsigned parts, bool raw)
{
	struct fr_ctl_cat cat = { .id = id };
	struct queue_cat q;
	struct ctl_visitor v = { .on_data = on_data, .arg = &q };
	int status;

	queue_cat_init(&q, to, parts, raw);
	ctl_about(c, id);
	status =
	    ctl_answer(c, send_ctl_cat(ctl_chan(c), 1, &cat, -1), &v, NULL);
	queue_cat_end(&q);
	return status;
}
