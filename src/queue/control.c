/* Clients of the control socket: who they are, and one request each. */
#include "queue/control.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/assert.h"

/* ---- requests ---- */

void
control_again(struct client *c)
{
	ev_defer(c->q->loop, &c->task);
}

void
control_moved(struct client *c, int64_t ms)
{
	c->deadline = mono_add(queue_mono(c->q), ms);
}

void
control_end(struct client *c, enum err e, const char *text)
{
	struct fr_ctl_end f = { .error = (uint8_t)e,
		.count = c->count,
		.text = slice_sub(slice_str(text), 0, 255) };

	control_cat_end(c);
	mem_free(&c->q->control_acct, c->ids);
	c->ids = NULL;
	c->request = REQUEST_NONE;
	c->state = CLIENT_IDLE;
	arena_reset(&c->arena);
	control_moved(c, CLIENT_IDLE_MS);
	if (c->chan != NULL &&
	    send_ctl_end(c->chan, c->tag, &f, -1) == ERR_FULL)
		chan_bad(c->chan, "does not read");
}

static void
finish(struct client *c)
{
	if (c->request == REQUEST_CHANGE &&
	    !store_durable(c->q->store, c->ticket)) {
		c->state = CLIENT_SYNC;
		return;
	}
	if (c->count == 0 && c->ids != NULL)
		control_end(c, ERR_NOTFOUND,
		    c->request == REQUEST_CHANGE
			? "no such message, or nothing to change"
			: "no such message");
	else
		control_end(c, OK, "");
}

static void
on_rows(void *arg, enum err e, const struct store_row *rows, unsigned count)
{
	struct client *c = arg;

	ASSERT(c->state == CLIENT_ASKING && count <= CLIENT_ROWS);
	c->state = CLIENT_WORKING;
	if (c->chan == NULL) {
		control_client_free(c);
		return;
	}
	if (e != OK) {
		/* Only dead rows, or the index is being rebuilt: again in the
		 * next second, until the client's deadline. */
		if (c->ids != NULL)
			c->id_next--;
		c->state = CLIENT_ROWS_WANTED; /* control_step_all */
		return;
	}
	if (count > 0)
		memcpy(c->rows, rows, count * sizeof(rows[0]));
	c->row_count = count;
	c->row_next = 0;
	if (count == 0 || rows[0].id != c->resume_id) {
		c->item_sent = c->envelope_sent = false;
		c->rcpt_from = 0;
	}
	c->resume_id = 0;
	if (c->ids != NULL) {
		c->last_rows = c->id_next == c->id_count;
	} else {
		c->last_rows = count == 0;
		if (count > 0)
			c->after_id = rows[count - 1].id;
	}
	control_again(c);
}

static void
ask_rows(struct client *c)
{
	struct store *s = c->q->store;
	enum err e;

	c->state = CLIENT_ASKING;
	if (c->ids != NULL)
		e = store_find(s, c->ids[c->id_next++], on_rows, c);
	else if (c->dest != 0)
		e = store_list_dest(s, c->after_id, c->dest, CLIENT_ROWS,
		    on_rows, c);
	else
		e = store_list(s, c->after_id, CLIENT_ROWS, on_rows, c);
	if (e == OK)
		return;
	if (c->ids != NULL)
		c->id_next--;
	c->state = CLIENT_ROWS_WANTED; /* control_step_all */
}

static enum err
row_step(struct client *c)
{
	const struct store_row *row = &c->rows[c->row_next];

	switch (c->request) {
	case REQUEST_CAT: return control_cat_begin(c, row);
	case REQUEST_CHANGE: return control_change(c, row);
	default: return control_item(c, row);
	}
}

/* The row at hand is too old, or the store has no room: ask for it anew, in
 * the next second or when something is durable. */
static void
ask_again(struct client *c)
{
	c->resume_id = c->rows[c->row_next].id;
	if (c->ids != NULL)
		c->id_next--;
	else
		c->after_id = c->resume_id - 1;
	c->state = CLIENT_ROWS_WANTED;
}

/* ms by the clock itself: ev_now is that of the turn. */
static int64_t
clock_ms(const struct client *c)
{
	struct clock *clock = ev_clock(c->q->loop);

	return clock->mono(clock).ms;
}

/* Go on with the rows at hand, for a short time. */
static void
work(struct client *c)
{
	int64_t until_ms = clock_ms(c) + TURN_MS;

	for (unsigned i = 1; i % ROWS_PER_LOOK != 0 || clock_ms(c) <= until_ms;
	     i++) {
		enum err e;

		if (c->row_next == c->row_count ||
		    (c->limit > 0 && c->count >= c->limit)) {
			if (c->last_rows || c->row_next < c->row_count)
				finish(c);
			else
				ask_rows(c);
			return;
		}
		e = row_step(c);
		if (e == ERR_FULL)
			return; /* on_room of the channel */
		if (e == ERR_AGAIN) {
			ask_again(c);
			return;
		}
		if (c->state == CLIENT_CATTING)
			break;
		/* NOTFOUND: it ended meanwhile. */
		if (e != OK && e != ERR_NOTFOUND) {
			control_end(c, e, err_text(e));
			return;
		}
		control_moved(c, CLIENT_DEADLINE_MS);
		arena_reset(&c->arena);
		c->row_next++;
		c->item_sent = c->envelope_sent = false;
		c->rcpt_from = 0;
	}
	control_again(c);
}

static void
cat(struct client *c)
{
	enum err e = control_cat_step(c);

	if (e == OK) {
		control_moved(c, CLIENT_DEADLINE_MS);
		control_again(c);
	} else if (e == ERR_CLOSED) { /* all was sent */
		c->count = 1;
		control_end(c, OK, "");
	} else if (e != ERR_FULL) {
		control_end(c, e,
		    "the message cannot be read, or left the"
		    " queue meanwhile");
	}
}

void
control_step(void *arg, struct ev_task *t)
{
	struct client *c = arg;

	(void)t;
	if (c->chan == NULL || c->q->dead)
		return;
	switch (c->state) {
	case CLIENT_ROWS_WANTED: ask_rows(c); break;
	case CLIENT_WORKING: work(c); break;
	case CLIENT_CATTING: cat(c); break;
	case CLIENT_SYNC: finish(c); break;
	default: break;
	}
}

/* ---- frames ---- */

static void
begin(struct client *c, enum request r, uint32_t tag)
{
	c->request = (uint8_t)r;
	c->state = CLIENT_ROWS_WANTED;
	c->tag = tag;
	c->count = 0;
	c->after_id = 0;
	c->id_next = 0;
	c->row_count = c->row_next = 0;
	c->ticket = (struct store_ticket){ 0 };
	control_moved(c, CLIENT_DEADLINE_MS);
	control_again(c);
}

/* One id, or those of a frame.  False: no memory. */
static bool
take_ids(struct client *c, struct slice ids)
{
	struct rd rd = rd_of(ids);

	c->id_count = (uint32_t)(ids.len / 8);
	c->ids =
	    mem_alloc_array(&c->q->control_acct, c->id_count, sizeof(*c->ids));
	for (uint32_t i = 0; c->ids != NULL && i < c->id_count; i++)
		c->ids[i] = rd_u64(&rd);
	return c->ids != NULL;
}

/* Only messages to this domain, or to that of this address, need be looked
 * at; the store has an index of them. */
static uint64_t
dest_of(const struct client *c)
{
	struct slice to = slice_str(c->to), domain = slice_str(c->domain);
	size_t at = slice_rfind(to, '@');

	if (domain.len > 0)
		return store_dest_key(domain);
	return at < to.len ? store_dest_key(slice_sub(to, at + 1, to.len)) : 0;
}

static bool
take_filter(struct client *c, uint8_t statuses, uint32_t limit,
    uint64_t age_min_ms, struct slice from, struct slice to,
    struct slice domain)
{
	c->statuses = statuses;
	c->limit = limit;
	c->age_min_ms =
	    age_min_ms > INT64_MAX ? INT64_MAX : (int64_t)age_min_ms;
	if (!slice_copy(from, c->from, sizeof(c->from)) ||
	    !slice_copy(to, c->to, sizeof(c->to)) ||
	    !slice_copy(domain, c->domain, sizeof(c->domain)))
		return false;
	c->dest = dest_of(c);
	return true;
}

static bool
no_filter(struct client *c)
{
	return take_filter(c, 0, 0, 0, SLICE_NONE, SLICE_NONE, SLICE_NONE);
}

static void
refuse(struct client *c, uint32_t tag, enum err e, const char *text)
{
	c->tag = tag;
	c->count = 0;
	control_end(c, e, text);
}

static void
on_one(struct client *c, enum request r, uint32_t tag, uint64_t id)
{
	unsigned char raw[8];
	struct wr w = wr_of(raw, sizeof(raw));

	wr_u64(&w, id);
	if (!no_filter(c) || !take_ids(c, wr_done(&w)))
		refuse(c, tag, ERR_NOMEM, "no memory for it now");
	else
		begin(c, r, tag);
}

static void
on_change(struct client *c, uint32_t tag, const struct fr_ctl_change *f)
{
	if (!c->may_change) {
		refuse(c, tag, ERR_DENIED,
		    "only root, the owner of the spool"
		    " and authorized_queue_users may do that");
		return;
	}
	c->verb = f->verb;
	if (!take_filter(c, f->status, f->limit, f->age_min_ms, f->from, f->to,
		f->domain)) {
		chan_bad(c->chan, "CTL_CHANGE");
		return;
	}
	if (f->ids.len > 0 && !take_ids(c, f->ids)) {
		refuse(c, tag, ERR_NOMEM, "no memory for it now");
		return;
	}
	begin(c, REQUEST_CHANGE, tag);
}

static bool
on_request(struct client *c, struct frame *f)
{
	struct fr_ctl_list list;
	struct fr_ctl_show show;
	struct fr_ctl_cat one;
	struct fr_ctl_change change;

	switch (f->type) {
	case FRAME_CTL_LIST:
		if (!get_ctl_list(f, &list) ||
		    !take_filter(c, list.status, list.limit, list.age_min_ms,
			list.from, list.to, list.domain))
			return false;
		begin(c, REQUEST_LIST, f->tag);
		return true;
	case FRAME_CTL_SHOW:
		if (!get_ctl_show(f, &show))
			return false;
		on_one(c, REQUEST_SHOW, f->tag, show.id);
		return true;
	case FRAME_CTL_CAT:
		if (!get_ctl_cat(f, &one))
			return false;
		if (c->may_change)
			on_one(c, REQUEST_CAT, f->tag, one.id);
		else
			refuse(c, f->tag, ERR_DENIED,
			    "only root, the owner of"
			    " the spool and authorized_queue_users may do"
			    " that");
		return true;
	case FRAME_CTL_CHANGE:
		if (!get_ctl_change(f, &change) ||
		    change.verb >= CTL_VERB_COUNT || change.ids.len % 8 != 0)
			return false;
		on_change(c, f->tag, &change);
		return true;
	default: return false;
	}
}

static void
on_frame(void *arg, struct chan *chan, struct frame *f)
{
	struct client *c = arg;

	if (c->q->dead)
		return;
	if (c->request != REQUEST_NONE || c->state != CLIENT_IDLE ||
	    !on_request(c, f))
		chan_bad(chan, "not a request, or not its time");
}

/* Anybody on this host may send nonsense, as often as he likes. */
static void
say_bad(struct queue *q, uid_t uid, const char *why)
{
	struct mono now = queue_mono(q);

	if (mono_sub(now, q->control_quiet_until) < 0) {
		q->control_unsaid++;
		return;
	}
	log_info("control: client of user %u: %s (%u more unsaid)",
	    (unsigned)uid, why, q->control_unsaid);
	q->control_unsaid = 0;
	q->control_quiet_until = mono_add(now, SAY_BAD_MS);
}

static void
on_closed(void *arg, struct chan *chan, bool bad, const char *why)
{
	struct client *c = arg;

	(void)chan;
	if (bad)
		say_bad(c->q, c->uid, why);
	control_client_close(c);
}

static void
on_room(void *arg, struct chan *chan)
{
	(void)chan;
	control_again(arg);
}

const struct chan_events control_events = { on_frame, on_closed, on_room };
