/*
 * The store from outside, on a real directory: what goes in comes out, also
 * after a kill, and what ended is gone.
 */
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "proto/envelope.h"
#include "spool.h"
#include "store/index.h"
#include "store/segment.h"
#include "store/store_int.h"

/* Everything runs in both ways. */
static void
setup(struct spool *sp, void **state)
{
	spool_init(sp, *state != NULL);
	spool_open(sp);
}

static void
load_check(struct spool *sp, uint64_t id, unsigned rcpt_count, size_t body)
{
	struct store_message out;
	struct store_msg m = { 0 };
	struct store_row row;
	struct errtext et = { "" };
	struct arena ar;
	enum err e;

	arena_init(&ar, &sp->acct, 65536, 64 << 20);
	assert_true(spool_find(sp, id, &row));
	e = store_load(sp->store, &row, &m, &ar, 0, UINT32_MAX, &out, &et);
	if (e != OK)
		fail_msg("load %llu: %s %s", (unsigned long long)id,
		    err_name(e), et.text);
	assert_int_equal(out.rcpt_count, rcpt_count);
	spool_check_body(sp, id, m.extents, m.extent_count, body);
	store_msg_close(sp->store, &m);
	arena_fini(&ar);
}

static void
test_round_trip(void **state)
{
	struct spool sp;
	struct store_msg m;
	struct store_ticket t;
	uint64_t id;

	setup(&sp, state);
	t = spool_add(&sp, &m, 3, 10000, 5);
	assert_false(store_durable(sp.store, t));
	spool_wait(&sp, t);
	id = m.id;
	spool_check_body(&sp, id, m.extents, m.extent_count, 10000);
	assert_int_equal(m.extent_count, 1);
	store_msg_close(sp.store, &m);
	load_check(&sp, id, 3, 10000);
	spool_close(&sp);
	spool_open(&sp);
	assert_int_equal(sp.damage_count, 0);
	assert_int_equal(store_message_count(sp.store), 1);
	load_check(&sp, id, 3, 10000);
	spool_fini(&sp);
}

static void
test_kill(void **state)
{
	struct spool sp;
	struct store_msg m;
	uint64_t ids[20];

	setup(&sp, state);
	for (unsigned i = 0; i < 20; i++) {
		struct store_ticket t = spool_add(&sp, &m, 1 + i, 1000 * i, 5);

		ids[i] = m.id;
		spool_wait(&sp, t);
		store_msg_close(sp.store, &m);
	}
	for (unsigned round = 0; round < 3; round++) {
		spool_kill(&sp);
		spool_open(&sp);
		assert_int_equal(store_message_count(sp.store), 20);
		for (unsigned i = 0; i < 20; i++)
			load_check(&sp, ids[i], 1 + i, 1000 * i);
	}
	spool_fini(&sp);
}

static struct store_result
result(uint32_t index, uint8_t status, uint16_t attempts, const char *text)
{
	return (struct store_result){ .index = index,
		.status = status,
		.attempts = attempts,
		.dsn = SLICE_LIT("4.4.1"),
		.relay = SLICE_LIT("none"),
		.text = slice_str(text) };
}

static void
test_results(void **state)
{
	struct spool sp;
	struct store_msg m, again = { 0 };
	struct store_message out;
	struct store_row row;
	struct arena ar;
	struct store_result r1[] = { result(0, STORE_DONE, 1, ""),
		result(2, STORE_WAITING, 1, "first try") };
	struct store_result r2[] = { result(2, STORE_WAITING, 2, "second") };
	struct store_update u = { r1, 2, 77, STORE_TRIED, 9, false };
	struct store_ticket t;
	uint64_t id;

	setup(&sp, state);
	arena_init(&ar, &sp.acct, 4096, 1 << 20);
	(void)spool_add(&sp, &m, 3, 100, 5);
	id = m.id;
	assert_int_equal(store_result_append(sp.store, &m, &u, NULL), OK);
	u.results = r2;
	u.result_count = 1;
	u.due_ms = 88;
	assert_int_equal(store_result_append(sp.store, &m, &u, &t), OK);
	spool_wait(&sp, t);
	spool_kill(&sp);
	memset(&m, 0, sizeof(m));
	spool_open(&sp);
	assert_true(spool_find(&sp, id, &row));
	assert_int_equal(row.due_ms, 88);
	assert_int_equal(row.flags, STORE_TRIED);
	assert_int_equal(
	    store_load(sp.store, &row, &again, &ar, 0, 100, &out, NULL), OK);
	assert_int_equal(out.rcpt_count, 2);
	assert_int_equal(out.rcpts[0].index, 1);
	assert_int_equal(out.rcpts[0].attempts, 0);
	assert_int_equal(out.rcpts[1].index, 2);
	assert_int_equal(out.rcpts[1].attempts, 2);
	assert_true(slice_eq(out.rcpts[1].text, SLICE_LIT("second")));
	/* One more recipient at a time. */
	assert_int_equal(
	    store_load(sp.store, &row, &again, &ar, 0, 1, &out, NULL), OK);
	assert_int_equal(out.rcpt_count, 1);
	assert_int_equal(out.next_index, 1 + 1);
	u.over = true;
	u.result_count = 0;
	assert_int_equal(store_result_append(sp.store, &again, &u, &t), OK);
	spool_wait(&sp, t);
	store_msg_close(sp.store, &again);
	assert_false(spool_find(&sp, id, &row));
	spool_kill(&sp);
	spool_open(&sp);
	assert_false(spool_find(&sp, id, &row));
	assert_int_equal(store_message_count(sp.store), 0);
	arena_fini(&ar);
	spool_fini(&sp);
}

static void
on_room(void *arg)
{
	((struct spool *)arg)->room_count++;
}

/* As many changes as the index may miss, none of them written: who waits for
 * room is called when there may be some, not in every turn. */
static void
test_room_for_changes(void **state)
{
	enum { COUNT = 8 };
	struct store_msg m[COUNT + 1];
	struct store_update u = { .due_ms = 9, .flags = STORE_TRIED };
	struct store_ticket t;
	struct spool sp;
	enum err e = OK;

	spool_init(&sp, *state != NULL);
	sp.conf.unindexed_max = COUNT;
	sp.events.on_room = on_room;
	spool_open(&sp);
	for (unsigned i = 0; i <= COUNT; i++) {
		t = spool_add(&sp, &m[i], 1, 10, 5);
		spool_wait(&sp, t);
		sp.store->index.want_flush = true;
		spool_settle(&sp);
	}
	assert_int_equal(sp.store->track.used, 0);
	sp.room_count = 0;
	for (unsigned i = 0; i <= COUNT && e == OK; i++)
		e = store_result_append(sp.store, &m[i], &u, &t);
	assert_int_equal(e, ERR_AGAIN);
	for (unsigned tries = 0; e == ERR_AGAIN;) {
		(void)store_turn(sp.store, 0);
		if (!store_poll(sp.store) && store_fd(sp.store) >= 0)
			poll(NULL, 0, 1);
		if (sp.room_count == tries)
			continue;
		/* Once for the log, once for the index. */
		assert_true(++tries <= 3);
		e = store_result_append(sp.store, &m[COUNT], &u, &t);
	}
	assert_int_equal(e, OK);
	spool_wait(&sp, t);
	for (unsigned i = 0; i <= COUNT; i++)
		store_msg_close(sp.store, &m[i]);
	spool_fini(&sp);
}

/* Many messages, most of which end: the log is reused, not grown. */
static void
test_churn(void **state)
{
	struct spool sp;
	struct store_msg m;
	struct store_update over = { .over = true };
	uint64_t keep[64];
	unsigned kept = 0;

	setup(&sp, state);
	for (unsigned i = 0; i < 2000; i++) {
		struct store_ticket t = spool_add(&sp, &m, 2, 5000, 5);
		enum err e;

		if (i % 50 == 0) {
			keep[kept++] = m.id;
		} else {
			while ((e = store_result_append(sp.store, &m, &over,
				    &t)) == ERR_AGAIN)
				store_poll(sp.store);
			assert_int_equal(e, OK);
		}
		store_msg_close(sp.store, &m);
		if (i % 10 == 0)
			spool_wait(&sp, t);
		if (i % 100 == 0)
			spool_settle(&sp);
	}
	spool_settle(&sp);
	assert_int_equal(store_message_count(sp.store), kept);
	for (unsigned i = 0; i < kept; i++)
		load_check(&sp, keep[i], 2, 5000);
	spool_kill(&sp);
	spool_open(&sp);
	assert_int_equal(store_message_count(sp.store), kept);
	assert_int_equal(spool_list(&sp), kept);
	for (unsigned i = 0; i < kept; i++)
		load_check(&sp, keep[i], 2, 5000);
	assert_int_equal(sp.damage_count, 0);
	spool_fini(&sp);
}

struct log_files {
	unsigned in_use; /* .seg */
	unsigned spares; /* .spare: whole */
};

static bool
on_file(void *arg, const char *name)
{
	struct log_files *f = arg;

	f->in_use += strstr(name, ".seg") != NULL;
	f->spares += strstr(name, ".spare") != NULL;
	return true;
}

static struct log_files
log_files(struct spool *sp)
{
	struct disk *d = &sp->disk.disk;
	struct log_files f = { 0 };

	assert_int_equal(d->ops->list(d, "log", on_file, &f), 0);
	return f;
}

/* A segment with nothing alive is free for use while spares are being made:
 * else fast mail has its zeros written ahead of it all the time. */
static void
test_reuse(void **state)
{
	struct spool sp;
	struct store_msg m;
	struct store_update over = { .over = true };
	struct store_ticket t;
	struct log_files f;

	(void)state;
	spool_init(&sp, false);
	sp.conf.segment_bytes = 16 << 20;
	sp.conf.spare_count = 7;
	spool_open(&sp);
	/* More than the first segment, of 4 MiB, holds. */
	for (unsigned i = 0; i < 24; i++) {
		t = spool_add(&sp, &m, 1, 200 << 10, 5);
		spool_wait(&sp, t);
		assert_int_equal(store_result_append(sp.store, &m, &over, &t),
		    OK);
		store_msg_close(sp.store, &m);
		spool_wait(&sp, t);
	}
	for (f = log_files(&sp); f.in_use == 2; f = log_files(&sp)) {
		(void)store_turn(sp.store, 0);
		(void)store_poll(sp.store);
	}
	assert_int_equal(f.in_use, 1);
	/* Seven and one to come are made, slice by slice, and which lane runs
	 * is chosen at random; the one that is free now may be counted too. */
	assert_true(f.spares < 7);
	spool_fini(&sp);
}

static struct mono frozen;

static struct mono
frozen_mono(struct clock *c)
{
	(void)c;
	return frozen;
}

static struct wall
frozen_wall(struct clock *c)
{
	(void)c;
	return clock_system.wall(&clock_system);
}

/* A commit waits for company when there is enough of it on the way. */
static void
test_company(void **state)
{
	struct clock clock = { frozen_mono, frozen_wall };
	struct store_ticket t;
	struct spool sp;
	struct store_msg m;

	(void)state;
	spool_init(&sp, false);
	frozen = clock_system.mono(&clock_system);
	sp.conf.clock = &clock;
	spool_open(&sp);
	for (unsigned i = 0; i < 2; i++) {
		frozen.ms += 1000;
		t = spool_add(&sp, &m, 1, 10, 5);
		store_msg_close(sp.store, &m);
		assert_int_equal(store_turn(sp.store, STORE_COMPANY_MIN - i) ==
				     sp.conf.commit_delay_ms,
		    i == 0);
		assert_int_equal(sp.store->log.flight != NULL, i == 1);
		/* And no longer than that. */
		frozen.ms += sp.conf.commit_delay_ms;
		(void)store_turn(sp.store, STORE_COMPANY_MIN);
		assert_non_null(sp.store->log.flight);
		while (!store_durable(sp.store, t))
			(void)store_poll(sp.store);
	}
	spool_fini(&sp);
}

/* What a burst of changes took comes back when the index knows them. */
static void
test_trim(void **state)
{
	struct store_ticket t = { 0 };
	struct store_msg m;
	int64_t idle_bytes;
	struct spool sp;
	uint64_t id = 0;

	setup(&sp, state);
	spool_settle(&sp);
	(void)store_trim(sp.store);
	idle_bytes = sp.acct.used_bytes;
	for (unsigned i = 0; i < 500; i++) {
		t = spool_add(&sp, &m, 1, 10, 5);
		id = m.id;
		store_msg_close(sp.store, &m);
	}
	spool_wait(&sp, t);
	assert_int_equal(index_flush_now(sp.store, false), OK);
	assert_int_equal(sp.store->track.used, 0);
	assert_true(sp.acct.used_bytes > idle_bytes + 300 * 160);
	assert_true(store_trim(sp.store));
	assert_in_range(sp.acct.used_bytes, 0, idle_bytes + 200 * 160);
	assert_false(store_trim(sp.store));
	load_check(&sp, id, 1, 10);
	spool_fini(&sp);
}

/*
 * A message whose body lies in an older segment than its envelope, and whose
 * end is written but not synced: after a power cut it lives again, so the
 * older segment must stay.
 */
static void
test_end_not_durable(void **state)
{
	struct spool sp;
	struct store_msg m;
	struct store_update over = { .over = true };
	struct store_ticket t;

	(void)state;
	spool_init(&sp, false);
	spool_open(&sp);
	/* Longer than a segment.  The index has not heard of it yet. */
	t = spool_add(&sp, &m, 1, 1200 << 10, 5);
	spool_wait(&sp, t);
	assert_true(segment_oldest(sp.store) != sp.store->log.head);
	assert_int_equal(m.extents[0].segment,
	    segment_oldest(sp.store)->number);
	assert_int_equal(store_result_append(sp.store, &m, &over, &t), OK);
	store_msg_close(sp.store, &m);
	assert_false(store_durable(sp.store, t));
	assert_int_equal(index_flush_now(sp.store, false), OK);
	assert_true(
	    sp.store->index.reached.segment > segment_oldest(sp.store)->number);
	assert_false(mover_retire(sp.store));
	spool_wait(&sp, t);
	assert_int_equal(index_flush_now(sp.store, false), OK);
	while (segment_oldest(sp.store) != sp.store->log.head) {
		(void)store_turn(sp.store, 0);
		(void)store_poll(sp.store);
	}
	spool_fini(&sp);
}

/* Bytes of spares, whole and in the making. */
static uint64_t
spare_bytes(struct spool *sp)
{
	struct disk *d = &sp->disk.disk;
	uint64_t sum = 0, size;
	char path[DISK_NAME_BYTES];

	for (unsigned n = 0; n < 20; n++)
		for (unsigned k = 0; k < 2; k++) {
			int fd;

			segment_path(path, k == 0 ? SEGMENT_NEW : SEGMENT_SPARE,
			    n);
			fd = d->ops->open(d, path, DISK_READ);
			if (fd < 0)
				continue;
			assert_int_equal(d->ops->size(d, fd, &size), 0);
			sum += size;
			d->ops->close(d, fd);
		}
	return sum;
}

static void
turns(struct spool *sp)
{
	for (unsigned i = 0; i < 200; i++) {
		(void)store_turn(sp->store, 0);
		(void)store_poll(sp->store);
	}
}

/* Spares are made in small steps while mail comes, at once in quiet, and mail
 * never waits for them. */
static void
test_spares_wait(void **state)
{
	const uint64_t slice = SEGMENT_SLICE_BYTES;
	struct clock clock = { frozen_mono, frozen_wall };
	struct spool sp;
	struct store_msg m;
	uint64_t before;

	(void)state;
	frozen = clock_system.mono(&clock_system);
	spool_init(&sp, false);
	sp.conf.clock = &clock;
	sp.conf.segment_bytes = 64 << 20;
	spool_open(&sp);
	spool_wait(&sp, spool_add(&sp, &m, 1, 100, 5));
	store_msg_close(sp.store, &m);
	before = spare_bytes(&sp);
	turns(&sp);
	assert_true(spare_bytes(&sp) <= before + slice);

	/* Mail each 100 ms, a slice each 200. */
	before = spare_bytes(&sp);
	for (unsigned i = 1; i <= 6; i++) {
		frozen = mono_add(frozen, 100);
		spool_wait(&sp, spool_add(&sp, &m, 1, 100, 5));
		store_msg_close(sp.store, &m);
		turns(&sp);
		assert_int_equal(spare_bytes(&sp), before + i / 2 * slice);
	}

	/* More than the first segment holds. */
	for (unsigned i = 0; i < 40; i++) {
		spool_wait(&sp, spool_add(&sp, &m, 1, 200 << 10, 5));
		store_msg_close(sp.store, &m);
	}
	assert_int_equal(log_files(&sp).in_use, 2);

	for (unsigned i = 0; i < 200; i++) {
		frozen = mono_add(frozen, 200);
		for (unsigned k = 0; k < 5; k++) {
			(void)store_turn(sp.store, 0);
			(void)store_poll(sp.store);
		}
	}
	assert_true(log_files(&sp).spares > sp.conf.spare_count);
	spool_fini(&sp);
}

static int64_t ahead_ms;

static struct mono
later_mono(struct clock *c)
{
	(void)c;
	return mono_add(clock_system.mono(&clock_system), ahead_ms);
}

static struct wall
later_wall(struct clock *c)
{
	(void)c;
	return clock_system.wall(&clock_system);
}

/* Memory refused for what the index is to be told: nothing is forgotten, also
 * when the log is cleaned afterwards. */
static void
test_no_memory(void **state)
{
	struct spool sp;
	struct store_msg m;
	struct store_ticket t;
	struct store_row row;
	struct clock later = { later_mono, later_wall };
	uint64_t ids[200];

	spool_init(&sp, *state != NULL);
	ahead_ms = 0;
	sp.conf.clock = &later;
	spool_open(&sp);
	for (unsigned i = 0; i < 200; i++) {
		if (i == 10)
			sp.acct.max_bytes = sp.acct.used_bytes + 100;
		t = spool_add(&sp, &m, 1, 0, 5);
		ids[i] = m.id;
		store_msg_close(sp.store, &m);
	}
	spool_wait(&sp, t);
	sp.acct.max_bytes = 0;
	ahead_ms = 60000; /* it may have tried in vain */
	spool_settle(&sp);
	for (unsigned i = 0; i < 200; i++)
		assert_true(spool_find(&sp, ids[i], &row));
	spool_close(&sp);
	spool_open(&sp);
	assert_int_equal(spool_list(&sp), 200);
	spool_fini(&sp);
}

static void
test_ids(void **state)
{
	struct spool sp;
	struct store_msg m;
	uint64_t last = 0;

	setup(&sp, state);
	for (unsigned round = 0; round < 5; round++) {
		for (unsigned i = 0; i < 3000; i++) {
			enum err e;

			while (
			    (e = store_msg_open(sp.store, &m)) == ERR_AGAIN) {
				store_turn(sp.store, 0);
				store_poll(sp.store);
			}
			assert_int_equal(e, OK);
			assert_true(m.id > last);
			last = m.id;
			store_msg_close(sp.store, &m);
		}
		if (round % 2)
			spool_kill(&sp);
		else
			spool_close(&sp);
		spool_open(&sp);
	}
	spool_fini(&sp);
}

static void
test_due(void **state)
{
	struct spool sp;
	struct store_msg m;
	uint64_t ids[10];
	char path[300];

	setup(&sp, state);
	for (unsigned i = 0; i < 10; i++) {
		(void)spool_add(&sp, &m, 1, 10, 1000 - i * 100);
		ids[i] = m.id;
		store_msg_close(sp.store, &m);
	}
	assert_int_equal(store_hold_append(sp.store, ids[9], true, NULL), OK);
	spool_settle(&sp);
	sp.conf.clock = &clock_system;
	spool_close(&sp);
	spool_open(&sp);
	assert_int_equal(store_due(sp.store, (struct wall){ 500 }, false, 3,
			     spool_on_rows, &sp),
	    OK);
	spool_answer(&sp);
	assert_int_equal(sp.row_count, 3);
	assert_int_equal(sp.rows[0].id, ids[8]);
	assert_int_equal(sp.rows[2].id, ids[6]);
	assert_int_equal(store_count(sp.store, spool_on_counts, &sp), OK);
	spool_answer(&sp);
	assert_int_equal(sp.counts.message_count, 10);
	assert_int_equal(sp.counts.hold_count, 1);
	assert_int_equal(sp.counts.waiting_count, 9);
	assert_int_equal(sp.counts.next_due_ms, 200);
	/* Nothing of the index is shared memory, however it was opened. */
	snprintf(path, sizeof(path), "%s/index-shm", sp.dir);
	assert_int_equal(access(path, F_OK), -1);
	spool_fini(&sp);
}

static int64_t now_ms;

static struct mono
clock_mono(struct clock *c)
{
	(void)c;
	return (struct mono){ now_ms };
}

static struct wall
clock_wall(struct clock *c)
{
	(void)c;
	return (struct wall){ now_ms };
}

/* Once all is durable, the index is written when a second is over. */
static void
count_later(struct spool *sp)
{
	spool_settle(sp);
	now_ms += 2 * INDEX_FLUSH_MS;
	spool_settle(sp);
	assert_int_equal(store_count(sp->store, spool_on_counts, sp), OK);
	spool_answer(sp);
}

/* Counts are remembered while nothing is written, and only then. */
static void
test_counts(void **state)
{
	struct spool sp;
	struct store_msg m, held;
	struct store_update u = { .due_ms = 5000, .flags = STORE_TRIED };
	struct clock clock = { clock_mono, clock_wall };
	uint64_t id, first;
	int64_t due_ms;

	now_ms = 1;
	spool_init(&sp, *state != NULL);
	sp.conf.clock = &clock;
	spool_open(&sp);
	(void)spool_add(&sp, &m, 1, 10, 9000);
	first = m.id;
	assert_int_equal(store_result_append(sp.store, &m, &u, NULL), OK);
	store_msg_close(sp.store, &m);
	(void)spool_add(&sp, &m, 1, 10, 7000);
	id = m.id;
	store_msg_close(sp.store, &m);
	(void)spool_add(&sp, &held, 1, 10, 100);
	for (unsigned again = 0; again < 2; again++) {
		count_later(&sp);
		assert_int_equal(sp.counts.message_count, 3);
		assert_int_equal(sp.counts.deferred_count, 1);
		assert_int_equal(sp.counts.waiting_count, 1);
		assert_int_equal(sp.counts.held_count, 1);
		assert_int_equal(sp.counts.next_due_ms, 5000);
		assert_int_equal(sp.counts.last_due_ms, 7000);
	}
	assert_int_equal(store_hold_append(sp.store, id, true, NULL), OK);
	u.over = true;
	assert_int_equal(store_result_append(sp.store, &held, &u, NULL), OK);
	store_msg_close(sp.store, &held);
	count_later(&sp);
	assert_int_equal(sp.counts.message_count, 2);
	assert_int_equal(sp.counts.deferred_count, 1);
	assert_int_equal(sp.counts.waiting_count, 0);
	assert_int_equal(sp.counts.hold_count, 1);
	assert_int_equal(sp.counts.held_count, 0);
	assert_int_equal(store_due_all(sp.store, (struct wall){ 3000 }, 0), OK);
	count_later(&sp);
	assert_int_equal(sp.counts.next_due_ms, 3000);
	/* Within a time after, never later than it was. */
	due_ms = 2500 + index_due_part(first, 500);
	assert_in_range(due_ms, 2500, 2999);
	assert_int_equal(store_due_all(sp.store, (struct wall){ 2500 }, 500),
	    OK);
	count_later(&sp);
	assert_int_equal(sp.counts.next_due_ms, due_ms);
	assert_int_equal(store_due_all(sp.store, (struct wall){ 2900 }, 500),
	    OK);
	count_later(&sp);
	assert_int_equal(sp.counts.next_due_ms, due_ms);
	/* What the index does not know yet is due all the same, and what is
	 * held, on hold or over is not. */
	u.over = false;
	u.due_ms = 2000;
	(void)spool_add(&sp, &m, 1, 10, 9000);
	assert_int_equal(store_result_append(sp.store, &m, &u, NULL), OK);
	id = m.id;
	store_msg_close(sp.store, &m);
	(void)spool_add(&sp, &held, 1, 10, 100);
	assert_int_equal(store_count(sp.store, spool_on_counts, &sp), OK);
	spool_answer(&sp);
	assert_int_equal(sp.counts.next_due_ms, 2000);
	assert_int_equal(store_hold_append(sp.store, id, true, NULL), OK);
	assert_int_equal(store_count(sp.store, spool_on_counts, &sp), OK);
	spool_answer(&sp);
	assert_int_equal(sp.counts.next_due_ms, due_ms);
	store_msg_close(sp.store, &held);
	spool_fini(&sp);
}

int
main(void)
{
	static int threads;
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test_prestate(test_round_trip, &threads),
		cmocka_unit_test(test_kill),
		cmocka_unit_test_prestate(test_kill, &threads),
		cmocka_unit_test(test_results),
		cmocka_unit_test_prestate(test_results, &threads),
		cmocka_unit_test(test_room_for_changes),
		cmocka_unit_test_prestate(test_room_for_changes, &threads),
		cmocka_unit_test(test_churn),
		cmocka_unit_test_prestate(test_churn, &threads),
		cmocka_unit_test(test_reuse),
		cmocka_unit_test(test_company),
		cmocka_unit_test(test_trim),
		cmocka_unit_test(test_end_not_durable),
		cmocka_unit_test(test_spares_wait),
		cmocka_unit_test(test_no_memory),
		cmocka_unit_test_prestate(test_no_memory, &threads),
		cmocka_unit_test(test_ids),
		cmocka_unit_test_prestate(test_ids, &threads),
		cmocka_unit_test(test_due),
		cmocka_unit_test_prestate(test_due, &threads),
		cmocka_unit_test(test_counts),
		cmocka_unit_test_prestate(test_counts, &threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
