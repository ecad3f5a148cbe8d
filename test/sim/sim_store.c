/*
 * sim_store: the real store on the simulated disk.
 *
 * From a seed: random transactions, commits, results, holds, removals,
 * queries and time; a disk that fails and tears; crashes at any call, also
 * during recovery; an index that was lost or is older than the log.  A model
 * says what may and what must be found after each recovery:
 *
 *   acknowledged and not ended         must be there, whole
 *   end acknowledged                   must not be there
 *   appended, not acknowledged         either, but whole
 *   never committed                    must not be there
 *   a report and its cause             both or neither
 *   ids                                never twice
 *
 * sim_store [--seeds N] [--seed S] [-v]: N seeds from S on.  A failure prints
 * the seed; --seed S --seeds 1 -v shows it.
 */
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "proto/envelope.h"
#include "simdisk.h"
#include "store/store.h"
#include "store/store_int.h"

enum {
	MODEL_MAX = 2048,
	RCPTS_MAX = 24,
	OPEN_MAX = 12,
	ROUNDS = 5,
	IMAGE_BYTES = 1 << 20,
	PATTERN_BYTES = 1 << 16,
};

/* What the model knows of a fact that an append stated. */
enum fact { NO, SAID, ACKED };

struct model {
	uint64_t id;
	size_t body_bytes;
	unsigned rcpt_count;
	enum fact exists;
	struct store_ticket exists_ticket;
	enum fact over;
	struct store_ticket over_ticket;
	enum fact done[RCPTS_MAX];
	struct store_ticket done_ticket[RCPTS_MAX];
	uint64_t report_of; /* id of the message whose rcpt 0 it reports */
	bool found;
};

struct active {
	struct store_msg msg; /* msg.store NULL: free */
	struct model *model;
	size_t body_done;
};

struct sim {
	struct simdisk disk;
	struct clock clock;
	int64_t now_ms;
	struct acct acct;
	struct store_conf conf;
	struct store_events events;
	struct store *store;
	bool poisoned;
	bool durable_came;
	struct model models[MODEL_MAX];
	unsigned model_count;
	struct active active[OPEN_MAX];
	uint64_t id_last;
	unsigned char *image;
	struct store_image image_given;
	size_t image_len;
	/* the last answer */
	bool answered;
	enum err err;
	struct store_row rows[STORE_ROWS_MAX];
	unsigned row_count;
	uint64_t list_after;
	unsigned damage_count;
};

static uint64_t seed_now;
static bool verbose;
static uint64_t stats_found, stats_moved, stats_crashes, stats_retired;

static void fail(const char *fmt, ...) PRINTF(1, 2);

static void
fail(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fprintf(stderr, "sim_store: seed %llu: ", (unsigned long long)seed_now);
	vfprintf(stderr, fmt, ap);
	fprintf(stderr,
	    "\nsim_store: again: sim_store --seed %llu --seeds 1 -v\n",
	    (unsigned long long)seed_now);
	va_end(ap);
	exit(1);
}

static void say(const char *fmt, ...) PRINTF(1, 2);

static void
say(const char *fmt, ...)
{
	va_list ap;

	if (!verbose)
		return;
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
}

static uint64_t
chance(struct sim *m, uint64_t n)
{
	return simdisk_random(&m->disk, n);
}

static struct mono
sim_mono(struct clock *c)
{
	return (struct mono){ CONTAINER(c, struct sim, clock)->now_ms };
}

static struct wall
sim_wall(struct clock *c)
{
	return (struct wall){ CONTAINER(c, struct sim, clock)->now_ms };
}

/* The octets of a body: a stretch of a fixed pattern, by the message's id. */
static const char *
body_of(uint64_t id, size_t at)
{
	static char pattern[2 * PATTERN_BYTES];
	uint64_t z = 1;

	if (pattern[0] == 0)
		for (size_t i = 0; i < PATTERN_BYTES; i++) {
			z = z * 6364136223846793005u + 1442695040888963407u;
			pattern[i] = pattern[i + PATTERN_BYTES] =
			    (char)('a' + (z >> 33) % 26);
		}
	return pattern + (id * 40503 + at) % PATTERN_BYTES;
}

/* ---- events ---- */

static void
on_durable(void *arg)
{
	((struct sim *)arg)->durable_came = true;
}

static void
on_poisoned(void *arg, enum err e, const char *why)
{
	struct sim *m = arg;

	say("poisoned: %s %s", err_name(e), why);
	m->poisoned = true;
}

static void
on_damage(void *arg, const struct store_damage *d)
{
	struct sim *m = arg;

	say("damage: %s at %llu+%llu (%llu)", d->text,
	    (unsigned long long)d->segment, (unsigned long long)d->offset,
	    (unsigned long long)d->length);
	/* No fault of this disk may cost anything but the torn tail. */
	if (d->kind != STORE_DAMAGE_TAIL && !m->disk.dead)
		m->damage_count++;
}

static void
on_drop(void *arg, uint64_t number)
{
	(void)arg;
	(void)number;
	stats_retired++;
}

/* ---- acknowledgements ---- */

static void
ack(struct sim *m, enum fact *f, struct store_ticket t)
{
	if (*f == SAID && store_durable(m->store, t))
		*f = ACKED;
}

static void
note_acks(struct sim *m)
{
	if (!m->durable_came)
		return;
	m->durable_came = false;
	for (unsigned i = 0; i < m->model_count; i++) {
		struct model *o = &m->models[i];

		ack(m, &o->exists, o->exists_ticket);
		ack(m, &o->over, o->over_ticket);
		for (unsigned r = 0; r < o->rcpt_count; r++)
			ack(m, &o->done[r], o->done_ticket[r]);
	}
}

static void
poll_some(struct sim *m)
{
	m->now_ms += (int64_t)chance(m, 3);
	(void)store_turn(m->store, (unsigned)chance(m, 2));
	for (uint64_t n = chance(m, 4); n > 0; n--) {
		(void)store_poll(m->store);
		note_acks(m);
	}
}

/* ---- actions ---- */

static struct active *
pick(struct sim *m, int committed)
{
	unsigned start = (unsigned)chance(m, OPEN_MAX);

	for (unsigned i = 0; i < OPEN_MAX; i++) {
		struct active *a = &m->active[(start + i) % OPEN_MAX];

		if (committed < 0 && a->msg.store == NULL)
			return a;
		if (committed >= 0 && a->msg.store != NULL &&
		    a->msg.committed == committed)
			return a;
	}
	return NULL;
}

static void
act_open(struct sim *m)
{
	struct active *a = pick(m, -1);
	struct model *o;

	if (a == NULL || m->model_count == MODEL_MAX)
		return;
	if (store_msg_open(m->store, &a->msg) != OK)
		return;
	if (a->msg.id <= m->id_last)
		fail("id %llu was given out before",
		    (unsigned long long)a->msg.id);
	m->id_last = a->msg.id;
	o = a->model = &m->models[m->model_count++];
	memset(o, 0, sizeof(*o));
	o->id = a->msg.id;
	o->rcpt_count = 1 + (unsigned)chance(m, RCPTS_MAX);
	o->body_bytes = chance(m, 3) == 0 ? chance(m, 200000) : chance(m, 6000);
	a->body_done = 0;
	if (store_reserve(m->store, &a->msg, o->body_bytes) != OK) {
		store_msg_close(m->store, &a->msg);
		m->model_count--;
	}
}

/* Ids are reserved in blocks: use up several. */
static void
act_ids(struct sim *m)
{
	struct store_msg msg;

	for (unsigned i = 0; i < 3000; i++) {
		if (store_msg_open(m->store, &msg) != OK)
			return;
		if (msg.id <= m->id_last)
			fail("id %llu was given out before",
			    (unsigned long long)msg.id);
		m->id_last = msg.id;
		store_msg_close(m->store, &msg);
	}
}

static void
act_body(struct sim *m)
{
	static char piece[STORE_PIECE_BYTES_MAX];
	struct active *a = pick(m, 0);
	size_t n;
	enum err e;

	if (a == NULL || a->body_done == a->model->body_bytes)
		return;
	n = a->model->body_bytes - a->body_done;
	if (n > sizeof(piece))
		n = sizeof(piece);
	if (chance(m, 4) == 0)
		n = 1 + chance(m, n);
	memcpy(piece, body_of(a->model->id, a->body_done), n);
	e = store_body_append(m->store, &a->msg, slice_of(piece, n));
	if (e == OK)
		a->body_done += n;
}

static size_t
put_rcpts(char *buf, size_t size, unsigned from, unsigned to)
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

static struct store_update
make_update(struct sim *m, struct active *a, struct store_result *r,
    unsigned max)
{
	struct store_update u = { .results = r,
		.due_ms = m->now_ms + (int64_t)chance(m, 2000),
		.flags = STORE_TRIED,
		.dest = chance(m, 5) };
	unsigned n = 1 + (unsigned)chance(m, max), open = 0;

	for (unsigned i = 0; i < n; i++) {
		unsigned index = (unsigned)chance(m, a->model->rcpt_count);

		if (a->model->done[index] != NO)
			continue;
		r[u.result_count++] = (struct store_result){ .index = index,
			.status = chance(m, 2) ? STORE_DONE : STORE_WAITING,
			.attempts = 1,
			.dsn = SLICE_LIT("4.0.0"),
			.text = SLICE_LIT("said the other side") };
	}
	(void)open;
	return u;
}

/* The results that were appended, in the model. */
static void
model_results(struct active *a, const struct store_update *u,
    struct store_ticket t)
{
	/* The last word on a recipient counts. */
	for (unsigned i = 0; i < u->result_count; i++) {
		const struct store_result *r = &u->results[i];

		if (r->status == STORE_DONE) {
			a->model->done[r->index] = SAID;
			a->model->done_ticket[r->index] = t;
		}
	}
	if (u->over) {
		a->model->over = SAID;
		a->model->over_ticket = t;
	}
}

/* Within one update the first word counts; keep one per recipient. */
static void
dedupe(struct store_update *u, struct store_result *r)
{
	unsigned n = 0;

	for (unsigned i = 0; i < u->result_count; i++) {
		bool seen = false;

		for (unsigned k = 0; k < n; k++)
			seen |= r[k].index == r[i].index;
		if (!seen)
			r[n++] = r[i];
	}
	u->result_count = n;
}

static void
act_commit(struct sim *m)
{
	struct active *a = pick(m, 0), *cause = NULL;
	char env[1024], rcpts[4096];
	struct envelope e = { .sender = SLICE_LIT("a@b") };
	struct store_result r[1];
	struct store_update u = { 0 };
	struct wr w = wr_of(env, sizeof(env));
	struct store_commit c = { 0 };
	unsigned split;
	enum err err;

	if (a == NULL || a->body_done < a->model->body_bytes)
		return;
	e.body_bytes = a->model->body_bytes;
	envelope_put(&w, &e);
	split = chance(m, 4) ? 0 : (unsigned)chance(m, a->model->rcpt_count);
	if (split > 0 && a->msg.rcpt_extent_count == 0 &&
	    store_rcpts_append(m->store, &a->msg,
		slice_of(rcpts, put_rcpts(rcpts, sizeof(rcpts), 0, split))) !=
		OK)
		return;
	if (a->msg.rcpt_extent_count > 0) {
		/* An earlier try stored some; how many, the length says. */
		struct rd rd = { 0 };

		(void)rd;
		split = 0;
		while (put_rcpts(rcpts, sizeof(rcpts), 0, split) <
		       a->msg.rcpt_extents[0].length)
			split++;
	}
	c.envelope = wr_done(&w);
	c.rcpts = slice_of(rcpts,
	    put_rcpts(rcpts, sizeof(rcpts), split, a->model->rcpt_count));
	c.rcpt_count = a->model->rcpt_count;
	c.due_ms = m->now_ms + (int64_t)chance(m, 1000);
	if (chance(m, 2))
		cause = pick(m, 1);
	if (cause != NULL && !cause->msg.over && cause->model->done[0] == NO) {
		r[0] = (struct store_result){ .index = 0,
			.status = STORE_DONE,
			.attempts = 1 };
		u = (struct store_update){ .results = r, .result_count = 1 };
		c.also = &cause->msg;
		c.also_update = &u;
	}
	err = store_commit(m->store, &a->msg, &c, &a->model->exists_ticket);
	if (err != OK)
		return;
	a->model->exists = SAID;
	if (c.also != NULL) {
		model_results(cause, &u, a->model->exists_ticket);
		a->model->report_of = cause->model->id;
	}
}

static void
act_result(struct sim *m)
{
	struct active *a = pick(m, 1);
	struct store_result r[8];
	struct store_update u;
	struct store_ticket t;

	if (a == NULL || a->msg.over)
		return;
	u = make_update(m, a, r, 8);
	dedupe(&u, r);
	u.over = chance(m, 3) == 0;
	if (store_result_append(m->store, &a->msg, &u, &t) == OK)
		model_results(a, &u, t);
}

static void
act_close(struct sim *m)
{
	struct active *a = pick(m, chance(m, 5) == 0 ? 0 : 1);

	if (a != NULL)
		store_msg_close(m->store, &a->msg);
}

static struct model *
model_of(struct sim *m, uint64_t id)
{
	for (unsigned i = m->model_count; i-- > 0;)
		if (m->models[i].id == id)
			return &m->models[i];
	return NULL;
}

static void
on_rows(void *arg, enum err e, const struct store_row *rows, unsigned count)
{
	struct sim *m = arg;

	m->answered = true;
	m->err = e;
	m->row_count = e == OK ? count : 0;
	memcpy(m->rows, rows, m->row_count * sizeof(*rows));
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
	if (e == ERR_CORRUPT)
		fail("message %llu: %s", (unsigned long long)row->id, et.text);
	if (e != OK)
		return;
	a->model = model_of(m, row->id);
	if (a->model == NULL)
		fail("message %llu was never committed",
		    (unsigned long long)row->id);
}

static void
act_due(struct sim *m)
{
	m->answered = false;
	if (store_due(m->store, (struct wall){ m->now_ms }, chance(m, 2), 8,
		on_rows, m) != OK)
		return;
	for (unsigned i = 0; i < 50 && !m->answered && !m->poisoned; i++) {
		(void)store_turn(m->store, 0);
		(void)store_poll(m->store);
		note_acks(m);
	}
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
		o->over_ticket = t;
	}
}

static void
act_snapshot(struct sim *m)
{
	size_t len;

	if (index_snapshot(m->store, m->image, IMAGE_BYTES, &len))
		m->image_len = len;
}

static void
act(struct sim *m)
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
	case 9: act_result(m); break;
	case 10:
	case 11: act_close(m); break;
	case 12: act_due(m); break;
	case 13: act_mark(m); break;
	case 14:
		if (chance(m, 8) == 0)
			act_ids(m);
		else if (chance(m, 4) == 0)
			act_snapshot(m);
		else if (chance(m, 8) == 0 &&
			 store_due_all(m->store, (struct wall){ m->now_ms }) !=
			     OK)
			say("due_all refused");
		break;
	default:
		m->now_ms += (int64_t)chance(m, 1500);
		poll_some(m);
		break;
	}
	poll_some(m);
}

/* ---- after a crash ---- */

static void
check_body(struct sim *m, const struct store_msg *msg, const struct model *o)
{
	static char buf[RECORD_BYTES_MAX];
	size_t at = 0;

	for (uint32_t i = 0; i < msg->extent_count; i++) {
		const struct store_extent *x = &msg->extents[i];
		int fd = store_segment_fd(m->store, x->segment);

		if (fd < 0 || disk_read_all(&m->disk.disk, fd, buf, x->length,
				  x->offset, NULL) != OK)
			fail("message %llu: body cannot be read",
			    (unsigned long long)o->id);
		/* Pieces of more than the pattern are compared in parts. */
		for (uint32_t k = 0, n; k < x->length; k += n, at += n) {
			n = x->length - k < PATTERN_BYTES ? x->length - k
							  : PATTERN_BYTES;
			if (memcmp(buf + k, body_of(o->id, at), n) != 0)
				fail("message %llu: body differs after %zu",
				    (unsigned long long)o->id, at);
		}
	}
	if (at != o->body_bytes)
		fail("message %llu: body has %zu bytes, not %zu",
		    (unsigned long long)o->id, at, o->body_bytes);
}

static bool
is_loaded(const struct store_message *out, unsigned index)
{
	for (uint32_t i = 0; i < out->rcpt_count; i++)
		if (out->rcpts[i].index == index)
			return true;
	return false;
}

static void
check_rcpts(struct model *o, const struct store_message *out)
{
	if (out->rcpt_total != o->rcpt_count)
		fail("message %llu: %u recipients, not %u",
		    (unsigned long long)o->id, out->rcpt_total, o->rcpt_count);
	for (unsigned r = 0; r < o->rcpt_count; r++) {
		bool open = is_loaded(out, r);

		if (open && o->done[r] == ACKED)
			fail("message %llu: recipient %u is delivered again",
			    (unsigned long long)o->id, r);
		if (!open && o->done[r] == NO)
			fail("message %llu: recipient %u is lost",
			    (unsigned long long)o->id, r);
		/* What was found is the truth from now on. */
		o->done[r] = open ? NO : ACKED;
	}
}

static bool
check_message(struct sim *m, const struct store_row *row)
{
	struct model *o = model_of(m, row->id);
	struct store_message out;
	struct store_msg msg = { 0 };
	struct errtext et = { "" };
	struct arena ar;
	enum err e;

	if (o == NULL || o->exists == NO)
		fail("message %llu was never committed",
		    (unsigned long long)row->id);
	if (o->over == ACKED)
		fail("message %llu came back", (unsigned long long)row->id);
	if (o->found)
		fail("message %llu is listed twice",
		    (unsigned long long)row->id);
	arena_init(&ar, &m->acct, 16384, 1 << 20);
	e = store_load(m->store, row, &msg, &ar, 0, 1000, &out, &et);
	if (e == ERR_AGAIN) {
		arena_fini(&ar);
		return false;
	}
	if (e != OK)
		fail("message %llu: %s: %s", (unsigned long long)row->id,
		    err_name(e), et.text);
	check_body(m, &msg, o);
	check_rcpts(o, &out);
	store_msg_close(m->store, &msg);
	arena_fini(&ar);
	o->found = true;
	o->exists = ACKED;
	o->over = NO;
	stats_found++;
	return true;
}

/* A report exists if and only if the recipient it is about is done, unless
 * either was settled in another way meanwhile. */
static void
check_reports(struct sim *m, const enum fact *was_exists,
    const enum fact *was_done, const enum fact *was_over)
{
	for (unsigned i = 0; i < m->model_count; i++) {
		struct model *o = &m->models[i], *cause;
		size_t c;

		if (o->report_of == 0 || was_exists[i] != SAID)
			continue;
		cause = model_of(m, o->report_of);
		c = (size_t)(cause - m->models);
		o->report_of = 0;
		if (was_over[i] != NO || was_over[c] != NO ||
		    was_done[c] == ACKED || !cause->found)
			continue;
		if (o->found != (cause->done[0] == ACKED))
			fail("report %llu and result of %llu came apart",
			    (unsigned long long)o->id,
			    (unsigned long long)cause->id);
	}
}

static bool
answer(struct sim *m)
{
	for (unsigned i = 0; i < 10000 && !m->answered; i++) {
		(void)store_turn(m->store, 0);
		if (!store_poll(m->store))
			m->now_ms += 10;
		if (m->disk.dead || m->poisoned)
			return false;
	}
	if (!m->answered)
		fail("no answer from the index");
	m->answered = false;
	return true;
}

static void
verify(struct sim *m)
{
	static enum fact exists[MODEL_MAX], done[MODEL_MAX], over[MODEL_MAX];
	uint64_t after = 0;

	for (unsigned i = 0; i < m->model_count; i++) {
		struct model *o = &m->models[i];

		exists[i] = o->exists;
		done[i] = o->done[0];
		over[i] = o->over;
		o->found = false;
	}
	for (;;) {
		m->answered = false;
		if (store_list(m->store, after, 64, on_rows, m) != OK)
			fail("list refused");
		if (!answer(m))
			return;
		if (m->err != OK)
			fail("list: %s", err_name(m->err));
		if (m->row_count == 0)
			break;
		/* One that has no room now comes again in the next page. */
		for (unsigned i = 0; i < m->row_count; i++) {
			struct store_row row = m->rows[i];

			if (!check_message(m, &row))
				break;
			after = row.id;
		}
		(void)store_turn(m->store, 0);
	}
	for (unsigned i = 0; i < m->model_count; i++) {
		struct model *o = &m->models[i];

		if (!o->found && o->exists == ACKED && o->over == NO)
			fail("message %llu is lost", (unsigned long long)o->id);
		if (!o->found && o->exists == SAID)
			o->exists = NO;
		if (!o->found && o->over == SAID)
			o->over = ACKED;
		if (!o->found && o->exists == ACKED)
			o->over = ACKED;
	}
	check_reports(m, exists, done, over);
}

static void
crash(struct sim *m)
{
	stats_moved += m->store == NULL ? 0 : m->store->mover.moved_messages;
	if (m->store != NULL)
		store_abandon(m->store);
	m->store = NULL;
	memset(m->active, 0, sizeof(m->active));
	m->poisoned = false;
	simdisk_crash(&m->disk);
	stats_crashes++;
	say("crash");
	/* The index survives as some older state of itself, or not at all. */
	m->image_given = (struct store_image){ m->image,
		chance(m, 3) == 0 ? 0 : m->image_len };
	m->conf.index_image = &m->image_given;
}

/* Open, crashing on the way now and then. */
static void
reopen(struct sim *m)
{
	struct errtext et = { "" };

	for (unsigned i = 0;; i++) {
		enum err e;

		if (i > 50)
			fail("does not open: %s", et.text);
		if (i < 3 && chance(m, 3) == 0)
			m->disk.calls_left = 1 + chance(m, 200);
		m->disk.fail_one_in = i < 3 && chance(m, 4) == 0 ? 50 : 0;
		m->disk.sync_fail_one_in = m->disk.fail_one_in / 2;
		m->poisoned = false;
		e = store_open(&m->conf, &m->store, &et);
		if (e == OK && !m->poisoned && !m->disk.dead)
			break;
		if (e == OK)
			store_abandon(m->store);
		else
			say("open: %s %s", err_name(e), et.text);
		m->store = NULL;
		if (m->disk.dead || chance(m, 2))
			crash(m);
		m->disk.calls_left = 0;
	}
	m->disk.fail_one_in = m->disk.sync_fail_one_in = 0;
	m->disk.calls_left = 0;
	verify(m);
}

static void
play(struct sim *m)
{
	uint64_t steps = 20 + chance(m, 1500);

	if (chance(m, 2))
		m->disk.calls_left = 1 + chance(m, 1500);
	if (chance(m, 4) == 0)
		m->disk.fail_one_in = 600;
	if (chance(m, 4) == 0)
		m->disk.sync_fail_one_in = 300;
	for (uint64_t i = 0; i < steps && !m->poisoned && !m->disk.dead; i++)
		act(m);
	m->disk.fail_one_in = m->disk.sync_fail_one_in = 0;
}

/* Close in good order: everything said is acknowledged. */
static bool
close_well(struct sim *m)
{
	enum err e;

	for (unsigned i = 0; i < OPEN_MAX; i++)
		store_msg_close(m->store, &m->active[i].msg);
	m->disk.calls_left = 0;
	stats_moved += m->store->mover.moved_messages;
	e = store_close(m->store);
	m->store = NULL;
	/* Without a reserve a full disk may not take the last batch; then it
	 * is as if the power had failed. */
	if (e == ERR_NOSPACE && m->conf.spare_count == 0)
		return false;
	if (e != OK)
		fail("close: %s (spares %u, capacity %llu)", err_name(e),
		    m->conf.spare_count,
		    (unsigned long long)m->disk.capacity_bytes);
	for (unsigned i = 0; i < m->model_count; i++) {
		struct model *o = &m->models[i];

		o->exists = o->exists == SAID ? ACKED : o->exists;
		o->over = o->over == SAID ? ACKED : o->over;
		for (unsigned r = 0; r < o->rcpt_count; r++)
			if (o->done[r] == SAID)
				o->done[r] = ACKED;
	}
	if (chance(m, 2))
		m->image_len = 0;
	m->image_given = (struct store_image){ m->image, m->image_len };
	m->conf.index_image = &m->image_given;
	memset(m->active, 0, sizeof(m->active));
	return true;
}

static void
run_seed(uint64_t seed)
{
	static struct sim sim;
	static unsigned char image[IMAGE_BYTES];
	struct sim *m = &sim;

	seed_now = seed;
	memset(m, 0, sizeof(*m));
	random_seed(seed);
	simdisk_init(&m->disk, seed * 2654435761u + 1);
	m->image = image;
	m->clock = (struct clock){ sim_mono, sim_wall };
	m->now_ms = 1000000;
	acct_init(&m->acct, NULL, "sim", 0, false, "");
	store_conf_default(&m->conf);
	m->events = (struct store_events){ .on_durable = on_durable,
		.on_poisoned = on_poisoned,
		.on_damage = on_damage,
		.on_segment_drop = on_drop };
	m->conf.disk = &m->disk.disk;
	m->conf.clock = &m->clock;
	m->conf.acct = &m->acct;
	m->conf.events = &m->events;
	m->conf.arg = m;
	m->conf.threads = false;
	m->conf.segment_bytes = 1 << 20;
	m->conf.batch_bytes = LOG_BATCH_BYTES_MIN;
	m->conf.spare_count = (unsigned)chance(m, 3);
	m->conf.unindexed_max = 8 + (unsigned)chance(m, 64);
	m->conf.held_max = OPEN_MAX;
	m->conf.index_heap_bytes = 8 << 20;
	if (chance(m, 3) == 0)
		m->disk.capacity_bytes = (6 + chance(m, 20)) << 20;
	reopen(m);
	for (unsigned round = 0; round < ROUNDS; round++) {
		play(m);
		if (m->poisoned || m->disk.dead || chance(m, 3) != 0 ||
		    !close_well(m))
			crash(m);
		reopen(m);
		if (m->damage_count > 0)
			fail("damage was reported on a sound disk");
	}
	store_abandon(m->store);
	simdisk_fini(&m->disk);
	acct_fini(&m->acct);
}

int
main(int argc, char **argv)
{
	uint64_t seeds = 100, first = 1;

	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--seeds") && i + 1 < argc)
			seeds = strtoull(argv[++i], NULL, 10);
		else if (!strcmp(argv[i], "--seed") && i + 1 < argc)
			first = strtoull(argv[++i], NULL, 10);
		else if (!strcmp(argv[i], "-v"))
			verbose = true;
		else {
			fprintf(stderr, "usage: sim_store [--seeds N] "
					"[--seed S] [-v]\n");
			return 64;
		}
	}
	printf("sim_store: seeds %llu to %llu\n", (unsigned long long)first,
	    (unsigned long long)(first + seeds - 1));
	for (uint64_t i = 0; i < seeds; i++)
		run_seed(first + i);
	printf("sim_store: %llu seeds passed: %llu crashes, %llu messages "
	       "checked, %llu moved, %llu segments reused\n",
	    (unsigned long long)seeds, (unsigned long long)stats_crashes,
	    (unsigned long long)stats_found, (unsigned long long)stats_moved,
	    (unsigned long long)stats_retired);
	return 0;
}
