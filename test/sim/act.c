/*
 * act: random steps of a caller of the store, noted in the model.
 */
#include <stdio.h>
#include <string.h>

#include "proto/envelope.h"
#include "sim.h"

enum {
	BODY_LONG = SIM_BODY_MAX,
	BODY_SHORT = SIM_BODY_MAX / 32,
	/* A little less than are reserved at once. */
	IDS_BURST = 3000 / STORE_SCALE,
	RCPTS_BYTES = 1024,
};

/* A free one (committed < 0), a transaction (0) or a message (1). */
static struct active *
pick(struct sim *m, int committed)
{
	unsigned start = (unsigned)chance(m, SIM_OPEN_MAX);

	for (unsigned i = 0; i < SIM_OPEN_MAX; i++) {
		struct active *a = &m->active[(start + i) % SIM_OPEN_MAX];

		if (committed < 0 && a->msg.store == NULL)
			return a;
		if (committed >= 0 && a->msg.store != NULL &&
		    a->msg.committed == committed)
			return a;
	}
	return NULL;
}

static bool
take_id(struct sim *m, struct store_msg *msg)
{
	if (store_msg_open(m->store, msg) != OK)
		return false;
	if (msg->id <= m->id_last)
		sim_fail("id %llu was given out before",
		    (unsigned long long)msg->id);
	m->id_last = msg->id;
	return true;
}

static bool
open_message(struct sim *m, struct active *a, uint32_t body_bytes,
    unsigned limit)
{
	struct model *o;

	if (m->model_count >= limit || !take_id(m, &a->msg))
		return false;
	a->msg.unproven = m->strangers && chance(m, 4) > 0;
	a->msg.earned = m->strangers && !a->msg.unproven;
	if (store_reserve(m->store, &a->msg, body_bytes) != OK) {
		store_msg_close(m->store, &a->msg);
		return false;
	}
	o = a->model = sim_model_add(m, a->msg.id);
	o->rcpt_count = (uint8_t)(1 + chance(m, SIM_RCPTS_MAX));
	o->body_bytes = body_bytes;
	a->body_done = 0;
	return true;
}

static void
act_open(struct sim *m)
{
	struct active *a = pick(m, -1);

	if (a != NULL)
		(void)open_message(m, a,
		    (uint32_t)(chance(m, 3) == 0 ? chance(m, BODY_LONG)
						 : chance(m, BODY_SHORT)),
		    SIM_MODELS_MAX - SIM_MODELS_SPARE);
}

/* Ids are reserved in blocks: use up several. */
bool
sim_act_ids(struct sim *m)
{
	struct store_msg msg;
	unsigned i;

	for (i = 0; i < IDS_BURST && take_id(m, &msg); i++)
		store_msg_close(m->store, &msg);
	return i > 0;
}

static enum err
add_body(struct sim *m, struct active *a, size_t most)
{
	size_t n = a->model->body_bytes - a->body_done;
	enum err e;

	if (n > most)
		n = most;
	e = store_body_append(m->store, &a->msg,
	    slice_of(sim_body(a->model->id, a->body_done), n));
	if (e == OK)
		a->body_done += (uint32_t)n;
	return e;
}

static void
act_body(struct sim *m)
{
	struct active *a = pick(m, 0);

	if (a == NULL || a->body_done == a->model->body_bytes)
		return;
	(void)add_body(m, a,
	    chance(m, 4) ? STORE_PIECE_BYTES_MAX
			 : 1 + (size_t)chance(m, STORE_PIECE_BYTES_MAX));
}

size_t
sim_put_rcpts(char *buf, size_t size, unsigned from, unsigned to)
{
	struct wr w = wr_of(buf, size);

	for (unsigned i = from; i < to; i++) {
		char text[32];
		struct envelope_rcpt r = { 0 };

		snprintf(text, sizeof(text), "u%u@example.test", i);
		r.address = slice_str(text);
		envelope_rcpt_put(&w, &r);
	}
	return w.len;
}

/* The results that were appended, in the model. */
static void
model_results(struct active *a, const struct store_update *u, uint64_t serial)
{
	for (unsigned i = 0; i < u->result_count; i++) {
		const struct store_result *r = &u->results[i];

		if (r->status == STORE_DONE) {
			a->model->done[r->index] = SAID;
			a->model->done_serial[r->index] = serial;
		}
	}
	if (u->over) {
		a->model->over = SAID;
		a->model->over_serial = serial;
	}
}

/* Some of the recipients go to the log before the commit.  False: no room.
 * *split_out: how many have gone. */
static bool
rcpts_ahead(struct sim *m, struct active *a, char *buf, unsigned *split_out)
{
	unsigned split =
	    chance(m, 4) ? 0 : (unsigned)chance(m, a->model->rcpt_count);

	*split_out = 0;
	if (a->msg.rcpt_extent_count == 0 && split > 0 &&
	    store_rcpts_append(m->store, &a->msg,
		slice_of(buf, sim_put_rcpts(buf, RCPTS_BYTES, 0, split))) != OK)
		return false;
	if (a->msg.rcpt_extent_count == 0)
		return true;
	/* Of this try or of an earlier one: the length says how many. */
	while (sim_put_rcpts(buf, RCPTS_BYTES, 0, *split_out) <
	       a->msg.rcpt_extents[0].length)
		++*split_out;
	return true;
}

static enum err
commit(struct sim *m, struct active *a, struct active *cause)
{
	char env[1024], rcpts[RCPTS_BYTES];
	struct envelope e = { .sender = SLICE_LIT("a@b"),
		.body_bytes = a->model->body_bytes };
	struct store_result r = { .index = 0,
		.status = STORE_DONE,
		.attempts = 1 };
	struct store_update u = { .results = &r, .result_count = 1 };
	struct store_commit c = { .rcpt_count = a->model->rcpt_count,
		.due_ms = m->now_ms + (int64_t)chance(m, 1000) };
	struct wr w = wr_of(env, sizeof(env));
	struct store_ticket t;
	unsigned split;
	enum err err;

	envelope_put(&w, &e);
	c.envelope = wr_done(&w);
	if (!rcpts_ahead(m, a, rcpts, &split))
		return ERR_AGAIN;
	c.rcpts = slice_of(rcpts,
	    sim_put_rcpts(rcpts, sizeof(rcpts), split, a->model->rcpt_count));
	if (cause != NULL) {
		c.also = &cause->msg;
		c.also_update = &u;
	}
	err = store_commit(m->store, &a->msg, &c, &t);
	if (err != OK)
		return err;
	a->model->exists = SAID;
	a->model->exists_serial = t.serial;
	sim_say("message %llu committed in batch %llu at %llu+%u",
	    (unsigned long long)a->msg.id, (unsigned long long)t.serial,
	    (unsigned long long)a->msg.row.envelope.segment,
	    a->msg.row.envelope.offset);
	if (cause != NULL) {
		model_results(cause, &u, t.serial);
		a->model->report_of = cause->model->id;
	}
	return OK;
}

static void
act_commit(struct sim *m)
{
	struct active *a = pick(m, 0), *cause = NULL;

	if (a == NULL || a->body_done < a->model->body_bytes)
		return;
	if (chance(m, 2))
		cause = pick(m, 1);
	if (cause != NULL && (cause->msg.over || cause->model->done[0] != NO))
		cause = NULL;
	(void)commit(m, a, cause);
}

bool
sim_act_whole(struct sim *m, uint32_t body_bytes)
{
	struct active *a = pick(m, -1);

	if (a == NULL || !open_message(m, a, body_bytes, SIM_MODELS_MAX))
		return false;
	while (a->body_done < a->model->body_bytes)
		if (add_body(m, a, STORE_PIECE_BYTES_MAX) != OK)
			break;
	if (a->body_done == a->model->body_bytes && commit(m, a, NULL) == OK)
		return true;
	store_msg_close(m->store, &a->msg);
	return false;
}

void
sim_act_leave(struct sim *m)
{
	uint32_t bytes = (uint32_t)chance(m, SIM_BODY_MAX);
	uint32_t wrote = (uint32_t)chance(m, bytes + 1);
	struct store_msg msg;

	if (!take_id(m, &msg))
		return;
	msg.unproven = m->strangers && chance(m, 4) > 0;
	msg.earned = m->strangers && !msg.unproven;
	if (store_reserve(m->store, &msg, bytes) == OK)
		for (uint32_t at = 0, n; at < wrote; at += n) {
			n = wrote - at < STORE_PIECE_BYTES_MAX
				? wrote - at
				: STORE_PIECE_BYTES_MAX;
			if (store_body_append(m->store, &msg,
				slice_of(sim_body(msg.id, at), n)) != OK)
				break;
			if (chance(m, 4) == 0)
				sim_turn(m, (int64_t)chance(m, 20));
		}
	store_msg_close(m->store, &msg);
}

static void
append_result(struct sim *m, bool over)
{
	struct active *a = pick(m, 1);
	struct store_result r[SIM_RCPTS_MAX];
	struct store_update u = { .results = r,
		.due_ms = m->now_ms + (int64_t)chance(m, 2000),
		.flags = STORE_TRIED };
	struct store_ticket t;

	if (a == NULL || a->msg.over)
		return;
	u.dest = a->msg.row.dest;
	for (unsigned i = 0; i < a->model->rcpt_count; i++) {
		if (a->model->done[i] != NO || chance(m, 2))
			continue;
		r[u.result_count++] = (struct store_result){ .index = i,
			.status = chance(m, 2) ? STORE_DONE : STORE_WAITING,
			.attempts = 1,
			.dsn = SLICE_LIT("4.0.0"),
			.text = SLICE_LIT("said the other side") };
	}
	u.over = over;
	if (store_result_append(m->store, &a->msg, &u, &t) == OK)
		model_results(a, &u, t.serial);
}

void
sim_act_defer(struct sim *m)
{
	append_result(m, false);
}

static void
act_close(struct sim *m)
{
	struct active *a = pick(m, chance(m, 5) == 0 ? 0 : 1);

	if (a != NULL)
		store_msg_close(m->store, &a->msg);
}

/* Load a message that a query found, and keep it active. */
static void
load_row(struct sim *m, const struct store_row *row)
{
	struct active *a = pick(m, -1);
	struct store_message out;
	struct errtext et = { "" };
	struct arena ar;
	enum err e;

	if (a == NULL || row->held)
		return;
	memset(&a->msg, 0, sizeof(a->msg));
	arena_init(&ar, &m->acct, 4096, 1 << 20);
	e = store_load(m->store, row, &a->msg, &ar, 0, 1000, &out, &et);
	arena_fini(&ar);
	if (e == ERR_CORRUPT && !m->rot)
		sim_fail("message %llu: %s", (unsigned long long)row->id,
		    et.text);
	if (e != OK)
		return;
	a->model = sim_model_of(m, row->id);
	if (a->model == NULL)
		sim_fail("message %llu was never committed",
		    (unsigned long long)row->id);
}

static void
act_due(struct sim *m)
{
	m->answered = false;
	if (store_due(m->store, (struct wall){ m->now_ms }, chance(m, 2), 8,
		sim_on_rows, m) != OK)
		return;
	for (unsigned i = 0; i < 50 && !m->answered && !m->poisoned; i++) {
		(void)store_turn(m->store, 0);
		(void)store_poll(m->store);
		sim_note_acks(m);
	}
	if (!m->answered) /* it must not come into another question */
		while (!m->poisoned && !m->disk.dead && !m->answered)
			sim_turn(m, 1);
	/* Answers may come after more of the world has changed. */
	if (m->answered && m->row_count > 0)
		load_row(m, &m->rows[chance(m, m->row_count)]);
}

static void
act_mark(struct sim *m)
{
	struct model *o;
	struct store_msg *held;
	struct store_ticket t;

	if (m->model_count == 0)
		return;
	o = &m->models[chance(m, m->model_count)];
	held = store_held(m->store, o->id);
	if (o->exists == NO || o->over != NO || (held && !held->committed))
		return;
	if (chance(m, 2)) {
		/* Whether it took is not part of the model. */
		if (store_hold_append(m->store, o->id, chance(m, 2), NULL) !=
		    OK)
			return;
	} else if (chance(m, 4) == 0 &&
		   store_remove_append(m->store, o->id, &t) == OK) {
		o->over = SAID;
		o->over_serial = t.serial;
	}
}

static void
act_index(struct sim *m)
{
	size_t len;

	switch (chance(m, 8)) {
	case 0: (void)sim_act_ids(m); break;
	case 1:
	case 2:
		if (index_snapshot(m->store, m->image, SIM_IMAGE_BYTES, &len))
			m->image_len = len;
		break;
	case 3:
		if (store_due_all(m->store, (struct wall){ m->now_ms },
			m->now_ms % 2 * 5000) != OK)
			sim_say("due_all refused");
		break;
	case 4:
		if (chance(m, 4) == 0)
			m->store->index.broken = true; /* as SQLite may */
		break;
	default: break;
	}
}

static void
poll_some(struct sim *m)
{
	m->now_ms += (int64_t)chance(m, 3);
	(void)store_turn(m->store, (unsigned)chance(m, 2));
	for (uint64_t n = chance(m, 4); n > 0; n--) {
		(void)store_poll(m->store);
		sim_note_acks(m);
	}
}

void
sim_act(struct sim *m)
{
	switch (chance(m, 16)) {
	case 0:
	case 1:
	case 2: act_open(m); break;
	case 3:
	case 4:
	case 5: act_body(m); break;
	case 6:
	case 7: act_commit(m); break;
	case 8:
	case 9: append_result(m, chance(m, 3) == 0); break;
	case 10:
	case 11: act_close(m); break;
	case 12: act_due(m); break;
	case 13: act_mark(m); break;
	case 14: act_index(m); break;
	default:
		m->now_ms += (int64_t)chance(m, 1500);
		poll_some(m);
		break;
	}
	poll_some(m);
}

void
sim_let_go(struct sim *m)
{
	for (unsigned i = 0; i < SIM_OPEN_MAX; i++)
		store_msg_close(m->store, &m->active[i].msg);
}
