/*
 * life: opening, crashing and closing a simulated world, and what must come
 * to pass in it when no fault is left.
 */
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "sim.h"
#include "store/inspect.h"

enum { OPEN_TRIES_MAX = 50 };

/* ---- events ---- */

static struct mono
clock_mono(struct clock *c)
{
	return (struct mono){ CONTAINER(c, struct sim, clock)->now_ms };
}

static struct wall
clock_wall(struct clock *c)
{
	return (struct wall){ CONTAINER(c, struct sim, clock)->now_ms };
}

static void
on_durable(void *arg)
{
	struct sim *m = arg;

	if (m->poisoned)
		sim_fail("acknowledged after a failed write or sync");
	m->durable_came = true;
}

static void
on_poisoned(void *arg, enum err e, const char *why)
{
	struct sim *m = arg;

	sim_say("poisoned: %s %s", err_name(e), why);
	m->poisoned = true;
}

static void
on_damage(void *arg, const struct store_damage *d)
{
	struct sim *m = arg;

	sim_say("damage: %s at %llu+%llu (%llu bytes) message %llu", d->text,
	    (unsigned long long)d->segment, (unsigned long long)d->offset,
	    (unsigned long long)d->length, (unsigned long long)d->id);
	if (d->kind == STORE_DAMAGE_TAIL || m->disk.dead)
		return;
	m->damage_count++;
	/* The last segment is then left without an end, so that later a torn
	 * record in it looks like damage. */
	m->unreadable |= d->kind == STORE_DAMAGE_UNREADABLE;
	if (m->unreadable && m->disk.fault.kinds & SIM_READ)
		return;
	/* No power failure and no failing call may cost anything but the
	 * torn tail. */
	if (!m->rot)
		sim_fail("damage on a sound disk: %s at %llu+%llu", d->text,
		    (unsigned long long)d->segment,
		    (unsigned long long)d->offset);
}

static void
on_drop(void *arg, uint64_t number)
{
	(void)arg;
	(void)number;
	sim_stats.retired++;
}

static const struct store_events events = {
	.on_durable = on_durable,
	.on_poisoned = on_poisoned,
	.on_damage = on_damage,
	.on_segment_drop = on_drop,
};

/* ---- worlds ---- */

static void
bind(struct sim *m)
{
	m->clock = (struct clock){ clock_mono, clock_wall };
	acct_init(&m->acct, NULL, "sim", 0, false, "");
	m->conf.disk = &m->disk.disk;
	m->conf.clock = &m->clock;
	m->conf.acct = &m->acct;
	m->conf.events = &events;
	m->conf.arg = m;
	m->conf.index_image = &m->image_given;
}

void
sim_init(struct sim *m, uint64_t seed)
{
	memset(m, 0, sizeof(*m));
	random_seed(seed);
	simdisk_init(&m->disk, seed * 2654435761u + 1);
	m->image = malloc(SIM_IMAGE_BYTES);
	if (m->image == NULL)
		abort();
	m->now_ms = 1000000;
	store_conf_default(&m->conf);
	bind(m);
	m->conf.threads = false;
	m->conf.segment_bytes = SEGMENT_BYTES_MIN;
	m->conf.batch_bytes = LOG_BATCH_BYTES_MIN;
	m->conf.spare_count = 2 + (unsigned)chance(m, 2);
	m->conf.unindexed_max = 8 + (unsigned)chance(m, 64);
	m->conf.held_max = SIM_OPEN_MAX;
	m->conf.index_heap_bytes = 8 << 20;
}

void
sim_fini(struct sim *m)
{
	store_abandon(m->store);
	m->store = NULL;
	simdisk_fini(&m->disk);
	if (m->acct.used_bytes != 0)
		sim_fail("%lld bytes of memory leaked",
		    (long long)m->acct.used_bytes);
	acct_fini(&m->acct);
	free(m->image);
	m->image = NULL;
}

void
sim_twin(struct sim *to, const struct sim *from, uint64_t seed)
{
	memset(to, 0, offsetof(struct sim, models));
	memcpy(to->models, from->models,
	    from->model_count * sizeof(from->models[0]));
	memset(&to->model_count, 0,
	    sizeof(*to) - offsetof(struct sim, model_count));
	to->model_count = from->model_count;
	simdisk_clone(&to->disk, &from->disk, seed);
	to->now_ms = from->now_ms;
	to->id_last = from->id_last;
	to->rot = from->rot;
	to->conf = from->conf;
	to->image = malloc(from->image_len + 1);
	if (to->image == NULL)
		abort();
	memcpy(to->image, from->image, from->image_len);
	to->image_len = from->image_len;
	bind(to);
}

/* ---- open, crash, close ---- */

enum err
sim_open(struct sim *m, struct errtext *et)
{
	enum err e;

	sim_stats.opens++;
	sim_say("open: calls_left %llu, one in %u fails",
	    (unsigned long long)m->disk.calls_left, m->disk.fail_one_in);
	m->poisoned = false;
	m->durable_came = false;
	e = store_open(&m->conf, &m->store, et);
	if (e != OK) {
		m->store = NULL;
		sim_say("open: %s %s", err_name(e), et->text);
		return e;
	}
	if (!m->poisoned && !m->disk.dead)
		return OK;
	store_abandon(m->store);
	m->store = NULL;
	return ERR_IO;
}

void
sim_crash(struct sim *m, enum sim_death how)
{
	if (m->store != NULL) {
		sim_stats.moved += m->store->mover.moved_messages;
		store_abandon(m->store);
	}
	m->store = NULL;
	memset(m->active, 0, sizeof(m->active));
	sim_stats.crashes++;
	sim_say("%s", how == SIM_POWER ? "power failure" : "killed");
	if (how == SIM_POWER)
		simdisk_crash(&m->disk);
	/* The index survives as some older state of itself, or not at all. */
	m->image_given = (struct store_image){ m->image,
		chance(m, 3) == 0 ? 0 : m->image_len };
}

void
sim_reopen(struct sim *m)
{
	struct errtext et = { "" };

	for (unsigned i = 0;; i++) {
		if (i > OPEN_TRIES_MAX)
			sim_fail("does not open: %s", et.text);
		if (i < 3 && chance(m, 4) == 0)
			m->disk.calls_left = 1 + chance(m, 80);
		m->disk.fail_one_in = i < 3 && chance(m, 6) == 0 ? 40 : 0;
		m->disk.sync_fail_one_in = m->disk.fail_one_in / 2;
		if (sim_open(m, &et) == OK && sim_verify(m) && !m->disk.dead &&
		    !m->poisoned)
			break;
		if (m->disk.dead || chance(m, 2))
			sim_crash(m, SIM_POWER);
		else if (m->store != NULL)
			sim_crash(m, SIM_KILL);
		m->disk.calls_left = 0;
	}
	m->disk.fail_one_in = m->disk.sync_fail_one_in = 0;
	m->disk.calls_left = 0;
}

void
sim_open_well(struct sim *m)
{
	struct errtext et = { "" };

	if (sim_open(m, &et) != OK)
		sim_fail("does not open: %s", et.text);
	if (!sim_verify(m))
		sim_fail("the log is poisoned although nothing fails");
}

void
sim_close(struct sim *m)
{
	enum err e;

	sim_let_go(m);
	sim_stats.moved += m->store->mover.moved_messages;
	e = store_close(m->store);
	m->store = NULL;
	if (e != OK)
		sim_fail("close: %s (spares %u, capacity %llu)", err_name(e),
		    m->conf.spare_count,
		    (unsigned long long)m->disk.capacity_bytes);
	sim_ack_all(m);
	if (chance(m, 2))
		m->image_len = 0;
	m->image_given = (struct store_image){ m->image, m->image_len };
	memset(m->active, 0, sizeof(m->active));
}

void
sim_turn(struct sim *m, int64_t ms)
{
	m->now_ms += ms;
	(void)store_turn(m->store, 0);
	while (store_poll(m->store))
		sim_note_acks(m);
}

void
sim_fsck(struct sim *m)
{
	struct store_conf conf = m->conf;
	struct inspect_counts c;
	struct errtext et = { "" };
	struct store *s;
	bool in_use;
	enum err e;

	conf.index_image = NULL;
	e = inspect_open(&conf, &s, &in_use, &et);
	if (e == OK) {
		e = inspect_all(s, &c, &et);
		inspect_close(s);
	}
	if (e != OK)
		sim_fail("fsck: %s %s", err_name(e), et.text);
	if (c.damage_count > 0)
		sim_fail("fsck finds %llu damages",
		    (unsigned long long)c.damage_count);
}

/* ---- liveness ---- */

/* An update is recorded, however short the disk is. */
static void
record(struct sim *m, struct active *a, const struct store_update *u)
{
	struct store_ticket t;

	for (unsigned i = 0; i < SIM_TURNS_MAX && !a->msg.over; i++) {
		enum err e = store_result_append(m->store, &a->msg, u, &t);

		if (e == OK && u->over) {
			a->model->over = SAID;
			a->model->over_serial = t.serial;
		}
		if (e == OK)
			return;
		if (e != ERR_AGAIN && e != ERR_NOSPACE)
			sim_fail("result of message %llu: %s",
			    (unsigned long long)a->msg.id, err_name(e));
		sim_turn(m, 100);
	}
	if (!a->msg.over)
		sim_fail("the %s of message %llu cannot be recorded",
		    u->over ? "end" : "delay", (unsigned long long)a->msg.id);
}

static void
end_message(struct sim *m, struct active *a)
{
	struct store_update u = { .over = true };

	record(m, a, &u);
	store_msg_close(m->store, &a->msg);
}

static void
defer_message(struct sim *m, struct active *a)
{
	struct store_result r[SIM_RCPTS_MAX];
	struct store_update u = { .results = r,
		.due_ms = m->now_ms + 1000,
		.flags = STORE_TRIED };

	for (unsigned i = 0; i < a->model->rcpt_count; i++)
		if (a->model->done[i] == NO)
			r[u.result_count++] = (struct store_result){ .index = i,
				.status = STORE_WAITING,
				.dsn = SLICE_LIT("4.4.1"),
				.text = SLICE_LIT("connect to the other side: "
						  "it does not listen, and has "
						  "not for a long time") };
	record(m, a, &u);
	store_msg_close(m->store, &a->msg);
}

/* Load it and let it end, or be deferred once more. */
static void
deliver_row(struct sim *m, const struct store_row *row, bool end)
{
	struct active a = { 0 };
	struct store_message out;
	struct errtext et = { "" };
	struct arena ar;
	enum err e;

	arena_init(&ar, &m->acct, 4096, 1 << 20);
	e = store_load(m->store, row, &a.msg, &ar, 0, 1000, &out, &et);
	arena_fini(&ar);
	a.model = sim_model_of(m, row->id);
	if (a.model == NULL)
		sim_fail("message %llu was never committed",
		    (unsigned long long)row->id);
	if (e == ERR_CORRUPT && a.model->hit) {
		e = store_set_aside(m->store, row, &et);
		sim_stats.set_aside++;
		if (e == OK)
			return;
	}
	if (e == ERR_IO && (m->store->segments.unreadable || a.model->hit))
		return; /* it may have been moved to where nothing reads */
	if (e == OK && end)
		end_message(m, &a);
	else if (e == OK)
		defer_message(m, &a);
	else if (e != ERR_AGAIN && e != ERR_NOTFOUND && e != ERR_NOSPACE)
		sim_fail("message %llu does not load: %s %s",
		    (unsigned long long)row->id, err_name(e), et.text);
}

/* The next page of the list.  False: it is empty. */
static bool
next_page(struct sim *m, uint64_t after)
{
	for (unsigned i = 0; i < SIM_TURNS_MAX; i++) {
		m->answered = false;
		if (store_list(m->store, after, 64, sim_on_rows, m) != OK ||
		    !sim_answer(m))
			sim_fail("no list");
		if (m->err == OK)
			return m->row_count > 0;
		sim_turn(m, 100);
	}
	sim_fail("no list: %s", err_name(m->err));
}

void
sim_deliver_some(struct sim *m, unsigned percent)
{
	uint64_t after = 0;

	sim_let_go(m);
	while (next_page(m, after)) {
		unsigned n = m->row_count;
		struct store_row rows[64];

		memcpy(rows, m->rows, n * sizeof(rows[0]));
		after = rows[n - 1].id;
		for (unsigned k = 0; k < n; k++)
			if (rows[k].stamp == m->store->index.flush_count)
				deliver_row(m, &rows[k],
				    chance(m, 100) < percent);
		sim_turn(m, 50);
	}
}

void
sim_drain(struct sim *m)
{
	for (unsigned i = 0; i < SIM_OPEN_MAX; i++) {
		struct active *a = &m->active[i];

		if (a->msg.store != NULL && a->msg.committed)
			end_message(m, a);
		else
			store_msg_close(m->store, &a->msg);
	}
	for (unsigned i = 0; i < SIM_TURNS_MAX; i++) {
		if (!next_page(m, 0))
			return;
		for (unsigned k = 0; k < m->row_count; k++) {
			struct store_row row = m->rows[k];

			deliver_row(m, &row, true);
		}
		sim_turn(m, 100);
	}
	sim_fail("messages do not come to an end");
}

void
sim_intake(struct sim *m)
{
	struct model *o;
	unsigned i;

	for (i = 0; i < SIM_TURNS_MAX && !sim_act_whole(m, 200); i++)
		sim_turn(m, 100);
	if (i == SIM_TURNS_MAX)
		sim_fail("no new message is taken");
	o = &m->models[m->model_count - 1];
	for (i = 0; i < SIM_TURNS_MAX && o->exists != ACKED; i++)
		sim_turn(m, 100);
	if (i == SIM_TURNS_MAX)
		sim_fail("a new message does not become durable");
}

void
sim_prelude(struct sim *m)
{
	for (uint64_t n = 10 + chance(m, 50); n > 0; n--) {
		(void)sim_act_whole(m, (uint32_t)chance(m, SIM_BODY_MAX));
		for (unsigned i = 0; i < SIM_OPEN_MAX; i++)
			if (m->active[i].msg.committed && chance(m, 4) > 0)
				end_message(m, &m->active[i]);
		sim_let_go(m);
		sim_turn(m, 20);
	}
}

/* Nothing lives: one segment is left, and the spares that are wanted. */
static void
shrink(struct sim *m)
{
	uint64_t most =
	    (uint64_t)(m->conf.spare_count + 6) * m->conf.segment_bytes;
	unsigned i;

	for (i = 0; i < SIM_TURNS_MAX; i++) {
		if (segments_live_count(m->store) == 1 &&
		    simdisk_used(&m->disk) <= most &&
		    store_message_count(m->store) == 0 &&
		    store_bytes(m->store) == 0)
			return;
		sim_turn(m, 100);
	}
	sim_fail("nothing lives, but %u segments, %llu bytes of files, %llu "
		 "messages of %llu bytes",
	    segments_live_count(m->store),
	    (unsigned long long)simdisk_used(&m->disk),
	    (unsigned long long)store_message_count(m->store),
	    (unsigned long long)store_bytes(m->store));
}

void
sim_live(struct sim *m)
{
	/* Together the limits of the model are kept. */
	sim_drain(m);
	shrink(m);
	sim_intake(m);
	sim_drain(m);
}
