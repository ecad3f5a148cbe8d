/*
 * What is due: messages that wait on disk come back into the active set.
 *
 * Happy path: when the earliest due time is reached (or something might have
 * changed) the index is asked first for mail that was never tried, then for
 * all that is due, by turns until nothing more comes; rows are loaded, a few
 * in each turn; then the index is asked for the next due time, and a timer
 * waits for it.
 *
 * Failure modes: no room (the rest of the rows wait until a message leaves);
 * the index cannot answer now (asked again in a second); a message is damaged
 * (set aside, by name); the disk fails (tried again at the next run).
 */
#include "base/assert.h"
#include "queue/internal.h"

enum {
	/* The index shows what was closed a second later. */
	INDEX_LAG_MS = 1100,
	ASK_AGAIN_MS = 1000,
	/* How soon to look again when a place came free. */
	ROOM_MS = 50,
	RCPTS_PER_READ = 5000,
	/* A shorter way ahead is not worth a thought: limits were lowered. */
	AHEAD_LEAST_MS = 2 * 60 * 60 * 1000,
	ARENA_CHUNK_BYTES = 16384,
};

/* ---- loading one message ---- */

/* Recipients of out into m; m->next_index says how far.  ERR_CORRUPT: one of
 * them does not decode, although it was whole when it was written; what was
 * taken is still in m. */
static enum err
take_rcpts(struct queue *q, struct msg *m, const struct store_message *out,
    struct errtext *et)
{
	for (uint32_t i = 0; i < out->rcpt_count; i++) {
		const struct store_rcpt *s = &out->rcpts[i];
		struct rcpt *r;
		enum err e = msg_add_rcpt(q, m, s->index, s->encoded, &r);

		m->next_index = s->index;
		if (e == ERR_CORRUPT)
			return err_set(et, e, "recipient %u does not decode",
			    s->index);
		if (e != OK)
			return OK; /* the rest is a later part */
		result_loaded(q, r, s);
	}
	m->next_index = out->next_index;
	return OK;
}

static uint32_t
rcpts_at_once(const struct queue *q, const struct msg *m)
{
	uint32_t room = msg_rcpt_room(q, m->from_disk);

	return room < RCPTS_PER_READ ? room : RCPTS_PER_READ;
}

static void
damaged(struct queue *q, const struct store_row *row, const struct errtext *why)
{
	struct errtext et = { "" };

	log_error("message %llu is damaged (%s): set aside",
	    (unsigned long long)row->id, why->text);
	if (store_set_aside(q->store, row, &et) != OK)
		log_error("message %llu could not be set aside: %s",
		    (unsigned long long)row->id, et.text);
}

/* The disk fails: it may be better at the next run.  Until then it does not
 * stand before those that can be read. */
static void
unreadable(struct queue *q, const struct store_row *row, enum err e,
    const struct errtext *why)
{
	struct wall then = queue_wall(q);

	log_error("message %llu cannot be read: %s: %s",
	    (unsigned long long)row->id, err_text(e), why->text);
	then.ms += q->conf->queue_run_delay_ms;
	/* Refused: it stays due, and is read again a little earlier. */
	if (store_due_set(q->store, row->id, then) == OK)
		due_at(q, then.ms);
}

/* Many recipients with long texts may be more than the arena or the account
 * takes: then fewer of them. */
static enum err
load_some(struct queue *q, const struct store_row *row, struct msg *m,
    struct arena *ar, uint32_t max, struct store_message *out,
    struct errtext *et)
{
	enum err e;

	for (;; max /= 2) {
		e = store_load(q->store, row, &m->store, ar, m->next_index, max,
		    out, et);
		if (e != ERR_NOMEM || max <= 1)
			return e;
		arena_reset(ar);
	}
}

/* OK: *loaded is active.  ERR_NOTFOUND: not now, go on with the next.
 * ERR_FULL: no room.  ERR_AGAIN: the row is too old, ask for a new one. */
static enum err
load(struct queue *q, const struct store_row *row, bool deferred,
    struct msg **loaded)
{
	struct msg *m = msg_new(q, deferred);
	struct store_message out;
	struct errtext et = { "" };
	struct arena ar;
	enum err e;

	if (m == NULL)
		return ERR_FULL;
	arena_init(&ar, &q->msg_acct, ARENA_CHUNK_BYTES, LOAD_ARENA_BYTES_MAX);
	e = load_some(q, row, m, &ar, rcpts_at_once(q, m), &out, &et);
	if (e == OK) {
		e = msg_set_envelope(q, m, out.envelope);
		if (e == ERR_CORRUPT)
			e = err_set(&et, e, "its envelope does not decode");
	}
	if (e == OK && out.flags & STORE_HOLD)
		e = ERR_NOTFOUND;
	if (e == OK) {
		m->rcpt_total = out.rcpt_total;
		e = take_rcpts(q, m, &out, &et);
	}
	if (e == OK) {
		arena_fini(&ar);
		if (m->rcpt_count == 0 && m->next_index < m->rcpt_total) {
			msg_free(q, m);
			return ERR_FULL;
		}
		msg_activate(q, m);
		msg_begin(q, m);
		*loaded = m;
		return OK;
	}
	arena_fini(&ar);
	msg_free(q, m);
	if (err_class(e) == ERR_CLASS_FULL)
		return ERR_FULL;
	if (e == ERR_CORRUPT)
		damaged(q, row, &et);
	else if (e != OK && e != ERR_NOTFOUND && e != ERR_AGAIN)
		unreadable(q, row, e, &et);
	return e == ERR_AGAIN ? ERR_AGAIN : ERR_NOTFOUND;
}

enum err
due_load_row(struct queue *q, const struct store_row *row, struct msg **out)
{
	return load(q, row, false, out);
}

enum err
due_load_part(struct queue *q, struct msg *m)
{
	struct store_message out;
	struct errtext et = { "" };
	uint32_t room = rcpts_at_once(q, m);
	struct arena ar;
	enum err e;

	if (room == 0)
		return ERR_AGAIN; /* others took it; due_room */
	arena_init(&ar, &q->msg_acct, ARENA_CHUNK_BYTES, LOAD_ARENA_BYTES_MAX);
	e = load_some(q, &m->store.row, m, &ar, room, &out, &et);
	if (e == OK)
		e = take_rcpts(q, m, &out, &et);
	if (e == ERR_CORRUPT) /* it leaves; the next load sets it aside */
		msg_free_rcpts(q, m);
	if (e != OK && e != ERR_AGAIN)
		log_error("recipients of message %llu cannot be read: %s: %s",
		    (unsigned long long)m->store.id, err_text(e), et.text);
	arena_fini(&ar);
	if (e == OK && m->rcpt_count == 0 && m->next_index < m->rcpt_total)
		return ERR_FULL;
	return e;
}

/* ---- asking ---- */

/* No attempt is set so far ahead: the clock was ahead when it was set. */
static bool
too_far(struct queue *q, int64_t due_ms)
{
	int64_t lifetime_ms = q->retry.lifetime_ms;
	int64_t most_ms;

	if (lifetime_ms < q->retry.bounce_lifetime_ms)
		lifetime_ms = q->retry.bounce_lifetime_ms;
	most_ms = 2 * retry_delay_ms(&q->retry, lifetime_ms, false, 0);
	if (most_ms < AHEAD_LEAST_MS)
		most_ms = AHEAD_LEAST_MS;
	return due_ms - queue_wall(q).ms > most_ms;
}

static void
on_counts(void *arg, enum err e, const struct store_counts *c)
{
	struct queue *q = arg;

	q->counting = false;
	if (e != OK) {
		ev_timer_set(&q->due_timer, ASK_AGAIN_MS);
		return;
	}
	status_counts(q, c);
	/* The last: what is due soon must not hide what waits for a year. */
	if (too_far(q, c->last_due_ms))
		q->flush_owed = true;
	q->next_due_ms = INT64_MAX;
	due_at(q, c->next_due_ms);
}

void
due_count(struct queue *q)
{
	if (q->counting)
		return;
	if (store_count(q->store, on_counts, q) == OK)
		q->counting = true;
	else
		ev_timer_set(&q->due_timer, ASK_AGAIN_MS);
}

static void
on_rows(void *arg, enum err e, const struct store_row *rows, unsigned count)
{
	struct queue *q = arg;

	q->asking = false;
	if (e != OK) {
		ev_timer_set(&q->due_timer, ASK_AGAIN_MS);
		return;
	}
	if (q->ask_fresh)
		q->row_loaded = false;
	ASSERT(count <= STORE_ROWS_MAX);
	for (unsigned i = 0; i < count; i++)
		q->rows[i] = rows[i];
	q->row_count = count;
	q->row_next = 0;
	ev_defer(q->loop, &q->load_task);
}

static void
ask(struct queue *q, bool fresh)
{
	if (q->asking || !q->running || q->draining || q->dead)
		return;
	q->ask_fresh = fresh;
	q->starved = false;
	q->row_count = q->row_next = 0;
	if (store_due(q->store, queue_wall(q), fresh, STORE_ROWS_MAX, on_rows,
		q) == OK)
		q->asking = true;
	else
		ev_timer_set(&q->due_timer, ASK_AGAIN_MS);
}

void
due_load_task(void *arg, struct ev_task *t)
{
	struct queue *q = arg;
	unsigned loaded = 0;
	enum err e = OK;
	struct msg *m;

	(void)t;
	if (!q->running || q->draining || q->dead || q->asking)
		return;
	for (; q->row_next < q->row_count; q->row_next++) {
		const struct store_row *row = &q->rows[q->row_next];
		bool deferred;

		if (loaded++ == LOADS_PER_TURN) {
			ev_defer(q->loop, &q->load_task);
			return;
		}
		deferred = (row->flags & STORE_TRIED) != 0;
		e = msg_room(q, deferred) ? load(q, row, deferred, &m)
					  : ERR_FULL;
		if (e == ERR_FULL) {
			if (!q->starved)
				msg_say_no_room(q, deferred, row->id);
			q->starved = true;
			return;
		}
		if (e == ERR_AGAIN) {
			/* The index was written meanwhile. */
			q->row_count = q->row_next = 0;
			ev_timer_set(&q->room_timer, ROOM_MS);
			return;
		}
		q->row_loaded |= e == OK;
	}
	/* By turns, so that there is never so much new mail that what is
	 * deferred is not asked for; until both bring nothing, for an answer
	 * may be short although more is due. */
	if (q->ask_fresh)
		ask(q, false);
	else if (q->row_loaded)
		ask(q, true);
	else
		due_count(q);
}

static void
due_timer_fired(void *arg, struct ev_timer *t)
{
	(void)t;
	ask(arg, true);
}

static void
room_timer_fired(void *arg, struct ev_timer *t)
{
	(void)t;
	ask(arg, true);
}

void
due_init(struct queue *q)
{
	ev_timer_init(&q->due_timer, q->loop, due_timer_fired, q);
	ev_timer_init(&q->room_timer, q->loop, room_timer_fired, q);
	ev_task_init(&q->load_task, due_load_task, q);
	q->next_due_ms = INT64_MAX;
}

void
due_fini(struct queue *q)
{
	ev_timer_clear(&q->due_timer);
	ev_timer_clear(&q->room_timer);
	ev_task_cancel(&q->load_task);
}

void
due_at(struct queue *q, int64_t due_ms)
{
	int64_t delay_ms, now_ms = queue_wall(q).ms;

	if (ev_timer_pending(&q->due_timer) && due_ms >= q->next_due_ms)
		return;
	q->next_due_ms = due_ms;
	delay_ms = due_ms > now_ms ? due_ms - now_ms : 0;
	if (delay_ms > q->conf->queue_run_delay_ms)
		delay_ms = q->conf->queue_run_delay_ms;
	ev_timer_set(&q->due_timer, delay_ms + INDEX_LAG_MS);
}

void
due_now(struct queue *q)
{
	q->next_due_ms = queue_wall(q).ms;
	ev_timer_set(&q->due_timer, 1);
}

void
due_room(struct queue *q)
{
	result_parts(q); /* before others take the place */
	if (!q->starved || !q->running || q->draining)
		return;
	if (msg_room(q, true)) {
		q->starved = false;
		ev_defer(q->loop, &q->load_task);
	} else if (msg_room(q, false) && !ev_timer_pending(&q->room_timer)) {
		/* Only new mail may come in: ask for that. */
		ev_timer_set(&q->room_timer, ROOM_MS);
	}
}
