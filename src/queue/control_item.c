/* Listing and showing messages, and which ones a filter chooses. */
#include "base/assert.h"
#include "queue/control.h"

uint8_t
control_status(const struct store_row *row)
{
	if (row->flags & STORE_HOLD)
		return CTL_HOLD;
	if (row->held)
		return CTL_ACTIVE;
	return row->flags & STORE_TRIED ? CTL_DEFERRED : CTL_INCOMING;
}

static enum err
peek(struct client *c, const struct store_row *row, uint32_t from, uint32_t max,
    struct store_message *out, struct envelope *e)
{
	struct store_extent *extents;
	uint32_t extent_count;
	struct errtext et;
	enum err err;
	struct rd rd;

	arena_reset(&c->arena);
	err = store_peek(c->q->store, row, &c->arena, from, max, out, &extents,
	    &extent_count, &et);
	if (err != OK)
		return err;
	rd = rd_of(out->envelope);
	return envelope_get(&rd, e) ? OK : ERR_CORRUPT;
}

static bool
rcpt_get(const struct store_rcpt *s, struct envelope_rcpt *out)
{
	struct rd rd = rd_of(s->encoded);

	return envelope_rcpt_get(&rd, out);
}

static bool
rcpt_matches(const struct client *c, const struct store_rcpt *s)
{
	struct slice to = slice_str(c->to), domain = slice_str(c->domain);
	struct envelope_rcpt r;
	size_t at;

	if (!rcpt_get(s, &r))
		return false;
	at = slice_rfind(r.address, '@');
	return (to.len == 0 || slice_eq_nocase(r.address, to)) &&
	       (domain.len == 0 ||
		   (at < r.address.len &&
		       slice_eq_nocase(
			   slice_sub(r.address, at + 1, r.address.len),
			   domain)));
}

/* By what the envelope says beside its recipients. */
static bool
envelope_matches(const struct client *c, const struct envelope *e)
{
	struct slice from = slice_str(c->from);

	if (slice_eq(from, SLICE_LIT("<>")))
		from = SLICE_NONE;
	return (c->from[0] == '\0' || slice_eq_nocase(e->sender, from)) &&
	       queue_wall(c->q).ms - (int64_t)e->arrival_ms >= c->age_min_ms;
}

/* Does one of the recipients that wait? */
static enum err
any_rcpt_matches(struct client *c, const struct store_row *row, bool *yes)
{
	struct store_message m;
	struct envelope e;
	uint32_t next = 0;
	enum err err;

	for (;; next = m.next_index) {
		err = peek(c, row, next, PEEK_RCPTS, &m, &e);
		if (err != OK)
			return err;
		for (uint32_t i = 0; i < m.rcpt_count; i++)
			if (rcpt_matches(c, &m.rcpts[i])) {
				*yes = true;
				return OK;
			}
		if (m.next_index >= m.rcpt_total || m.next_index <= next)
			return OK;
	}
}

enum err
control_matches(struct client *c, const struct store_row *row, bool *yes)
{
	struct store_message m;
	struct envelope e;
	enum err err;

	*yes =
	    c->statuses == 0 || (c->statuses & 1u << control_status(row)) != 0;
	if (*yes && (c->from[0] != '\0' || c->age_min_ms != 0)) {
		err = peek(c, row, 0, 0, &m, &e);
		if (err != OK)
			return err;
		*yes = envelope_matches(c, &e);
	}
	if (!*yes || (c->to[0] == '\0' && c->domain[0] == '\0'))
		return OK;
	*yes = false;
	return any_rcpt_matches(c, row, yes);
}

static enum err
send_item(struct client *c, const struct store_row *row,
    const struct store_message *m, const struct envelope *e)
{
	struct fr_ctl_item f = {
		.id = row->id,
		.status = control_status(row),
		.arrival_ms = e->arrival_ms,
		.size_bytes = e->body_bytes,
		.rcpt_count = m->rcpt_total,
		.sender = e->sender,
	};

	if (f.status == CTL_DEFERRED)
		f.next_ms = row->due_ms > 0 ? (uint64_t)row->due_ms : 0;
	for (uint32_t i = 0; i < m->rcpt_count; i++)
		if (m->rcpts[i].attempts > f.attempts)
			f.attempts = m->rcpts[i].attempts;
	return send_ctl_item(c->chan, c->tag, &f, -1);
}

static enum err
send_rcpt(struct client *c, const struct store_rcpt *s)
{
	struct envelope_rcpt r;
	struct fr_ctl_rcpt f = { .index = s->index,
		.state = s->status == STORE_WAITING ? CTL_RCPT_WAITING
						    : CTL_RCPT_DONE,
		.reason = s->text };

	if (!rcpt_get(s, &r))
		return OK;
	f.notify = r.notify;
	f.address = r.address;
	f.original = r.original;
	f.orcpt = r.orcpt;
	return send_ctl_rcpt(c->chan, c->tag, &f, -1);
}

/* Some of the message; c remembers how far. */
static enum err
send_some(struct client *c, const struct store_row *row,
    const struct store_message *m, const struct envelope *e)
{
	struct fr_ctl_envelope env = { .envelope = m->envelope };
	enum err err = OK;

	if (!c->item_sent)
		err = send_item(c, row, m, e);
	if (err != OK)
		return err;
	c->item_sent = true;
	if (c->request == REQUEST_SHOW && !c->envelope_sent)
		err = send_ctl_envelope(c->chan, c->tag, &env, -1);
	if (err != OK)
		return err;
	c->envelope_sent = true;
	for (uint32_t i = 0; i < m->rcpt_count; i++) {
		err = send_rcpt(c, &m->rcpts[i]);
		if (err != OK)
			return err;
		c->rcpt_from = m->rcpts[i].index + 1;
	}
	return OK;
}

enum err
control_item(struct client *c, const struct store_row *row)
{
	struct store_message m;
	struct envelope e;
	bool yes = true;
	enum err err;

	if (!c->item_sent && c->ids == NULL) {
		err = control_matches(c, row, &yes);
		if (err != OK || !yes)
			return err;
	}
	do {
		err = peek(c, row, c->rcpt_from, PEEK_RCPTS, &m, &e);
		if (err == OK)
			err = send_some(c, row, &m, &e);
		if (err != OK)
			return err;
		c->rcpt_from = m.next_index;
	} while (m.next_index < m.rcpt_total);
	c->count++;
	return OK;
}
