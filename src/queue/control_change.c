/* What an administrator does to messages. */
#include "base/assert.h"
#include "queue/control.h"

/* The message in the active set; NULL: it is not there.  *busy: it is in
 * other hands just now (a transaction, a client that reads it). */
static struct msg *
active_msg(struct queue *q, uint64_t id, bool *busy)
{
	struct store_msg *s = store_held(q->store, id);
	struct msg *m;

	*busy = false;
	if (s == NULL)
		return NULL;
	*busy = true;
	if (control_holds(q, s))
		return NULL;
	m = msg_of_store(s);
	if (m->state != MSG_ACTIVE && m->state != MSG_REPORTING)
		return NULL;
	*busy = false;
	return m;
}

static enum err
hold(struct client *c, const struct store_row *row, struct msg *m)
{
	enum err e;

	if (row->flags & STORE_HOLD)
		return ERR_NOTFOUND;
	e = store_hold_append(c->q->store, row->id, true, &c->ticket);
	if (e != OK)
		return e;
	log_message(row->id, "held");
	if (m != NULL)
		msg_withdraw(c->q, m);
	return OK;
}

static enum err
release(struct client *c, const struct store_row *row)
{
	enum err e;

	if ((row->flags & STORE_HOLD) == 0)
		return ERR_NOTFOUND;
	e = store_hold_append(c->q->store, row->id, false, &c->ticket);
	if (e != OK)
		return e;
	log_message(row->id, "released");
	/* Refused: it is due when it was before.  due_at() waits until the
	 * index shows the change. */
	if (store_due_set(c->q->store, row->id, queue_wall(c->q)) == OK)
		due_at(c->q, queue_wall(c->q).ms);
	else
		due_at(c->q, row->due_ms);
	return OK;
}

static enum err
retry(struct client *c, const struct store_row *row, struct msg *m)
{
	enum err e;

	if (m != NULL || (row->flags & STORE_HOLD))
		return ERR_NOTFOUND;
	e = store_due_set(c->q->store, row->id, queue_wall(c->q));
	if (e == OK)
		due_at(c->q, queue_wall(c->q).ms);
	return e;
}

static enum err
drop(struct client *c, const struct store_row *row, struct msg *m)
{
	struct queue *q = c->q;
	enum err e = store_remove_append(q->store, row->id, &c->ticket);

	if (e != OK)
		return e;
	if (m == NULL) {
		qlog_over(q, row->id);
		return OK;
	}
	m->gone = true;
	m->ticket = c->ticket;
	report_forget(q, m);
	if (m->state == MSG_REPORTING) {
		list_remove(&m->dirty);
		m->state = MSG_ACTIVE;
	}
	msg_withdraw(q, m);
	return OK;
}

static enum err
fail(struct client *c, const struct store_row *row, struct msg *m)
{
	struct queue *q = c->q;
	enum err e;

	if (row->flags & STORE_HOLD) {
		e = store_hold_append(q->store, row->id, false, &c->ticket);
		if (e != OK)
			return e;
		if (m != NULL) /* its deliveries ran when it was held */
			m->suspended = false;
	}
	if (m == NULL) {
		if (!msg_room(q, false))
			return ERR_FULL;
		e = due_load_row(q, row, &m);
		if (e != OK)
			return e;
	}
	result_give_up(q, m);
	return OK;
}

enum err
control_change(struct client *c, const struct store_row *row)
{
	struct queue *q = c->q;
	struct msg *m;
	bool yes = true, busy;
	enum err e;

	/* It came some turns ago. */
	e = store_row_check(q->store, row);
	if (e == OK && c->ids == NULL)
		e = control_matches(c, row, &yes);
	if (e != OK || !yes)
		return e;
	m = active_msg(q, row->id, &busy);
	if (busy)
		return ERR_AGAIN; /* until its result is durable, or it is read
				   */
	switch (c->verb) {
	case CTL_VERB_HOLD: e = hold(c, row, m); break;
	case CTL_VERB_RELEASE: e = release(c, row); break;
	case CTL_VERB_RETRY: e = retry(c, row, m); break;
	case CTL_VERB_DELETE: e = drop(c, row, m); break;
	default: e = fail(c, row, m); break;
	}
	if (e == OK)
		c->count++;
	return e == ERR_FULL ? ERR_NOMEM : e;
}
