/* The body of a message, to a client.  A message that waits on disk is held
 * meanwhile, so that its segments stay what they are. */
#include <errno.h>
#include <unistd.h>

#include "queue/control.h"

enum err
control_cat_begin(struct client *c, const struct store_row *row)
{
	struct store_msg *held = store_held(c->q->store, row->id);
	struct store_message out;
	struct errtext et;
	enum err e;

	if (held == NULL) {
		e = store_load(c->q->store, row, &c->msg, &c->arena, 0, 1, &out,
		    &et);
		if (e != OK)
			return e;
		held = &c->msg;
	}
	c->cat_id = row->id;
	c->extent_at = c->extent_done = 0;
	c->state = CLIENT_CATTING;
	return OK;
}

enum err
control_cat_step(struct client *c)
{
	/* Held by the active set it may end any time. */
	struct store_msg *m = store_held(c->q->store, c->cat_id);
	struct fr_ctl_data f;
	struct store_extent *x;
	size_t want;
	ssize_t got;
	enum err e;

	if (m == NULL || m->id != c->cat_id)
		return ERR_NOTFOUND;
	if (c->extent_at == m->extent_count)
		return ERR_CLOSED;
	x = &m->extents[c->extent_at];
	want = x->length - c->extent_done;
	if (want > CAT_BYTES)
		want = CAT_BYTES;
	got = pread(store_segment_fd(c->q->store, x->segment), c->q->scratch,
	    want, (off_t)x->offset + c->extent_done);
	if (got <= 0)
		return got == 0 ? ERR_CORRUPT : err_from_errno(errno);
	f.data = slice_of(c->q->scratch, (size_t)got);
	e = send_ctl_data(c->chan, c->tag, &f, -1);
	if (e != OK)
		return e == ERR_CLOSED ? ERR_FULL : e; /* on_closed follows */
	c->extent_done += (uint32_t)got;
	if (c->extent_done == x->length) {
		c->extent_at++;
		c->extent_done = 0;
	}
	return OK;
}

void
control_cat_end(struct client *c)
{
	struct queue *q = c->q;

	if (c->msg.store == NULL)
		return;
	store_msg_close(q->store, &c->msg);
	/* It may have become due meanwhile. */
	due_at(q, queue_wall(q).ms);
}
