/*
 * Freeing the oldest segment: what is moved is whole, and files are not made
 * to be thrown away.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "simdisk.h"
#include "spool.h"
#include "store/store_int.h"

static struct simdisk disk;
static struct spool sp;

static struct mono now;

static struct mono
clock_mono(struct clock *c)
{
	(void)c;
	now.ms++;
	return now;
}

static struct wall
clock_wall(struct clock *c)
{
	(void)c;
	return (struct wall){ 5 };
}

static struct clock ticking = { clock_mono, clock_wall };

static void
world_open(void)
{
	spool_init(&sp, false);
	sp.conf.clock = &ticking;
	simdisk_init(&disk, 1);
	sp.conf.disk = &disk.disk;
	sp.conf.index_dir = NULL;
	spool_open(&sp);
	spool_settle(&sp);
}

static void
world_close(void)
{
	spool_kill(&sp);
	simdisk_fini(&disk);
	spool_fini(&sp);
}

static void
end_message(struct store_msg *m)
{
	struct store_update u = { .over = true };
	struct store_ticket t;
	enum err e;

	while ((e = store_result_append(sp.store, m, &u, &t)) == ERR_AGAIN)
		spool_settle(&sp);
	assert_int_equal(e, OK);
	spool_wait(&sp, t);
	store_msg_close(sp.store, m);
}

/* Messages that come and go. */
static void
churn(unsigned count)
{
	struct store_msg m;

	while (count-- > 0) {
		spool_wait(&sp, spool_add(&sp, &m, 1, 300000, 5));
		end_message(&m);
		spool_settle(&sp);
	}
}

/* The state of very many recipients does not fit into one segment: each that
 * holds a part of it is kept as long as the message, though it has no body that
 * would lie before it. */
static void
test_state_over_segments(void **state)
{
	enum { RCPTS = 1800, RESULTS = 120 };
	static struct store_result r[RESULTS];
	static char text[STORE_TEXT_BYTES_MAX];
	struct errtext et = { "" };
	struct store_message out;
	struct store_ticket t;
	struct store_msg m;
	struct store_row row;
	struct arena ar;
	uint64_t id, first;
	enum err e;

	(void)state;
	world_open();
	memset(text, 'x', sizeof(text));
	spool_wait(&sp, spool_add(&sp, &m, RCPTS, 0, 5));
	id = m.id;
	for (uint32_t from = 0; from < RCPTS; from += RESULTS) {
		struct store_update u = { .results = r,
			.result_count = RESULTS,
			.due_ms = 5,
			.flags = STORE_TRIED };

		for (uint32_t i = 0; i < RESULTS; i++)
			r[i] = (struct store_result){ .index = from + i,
				.status = STORE_WAITING,
				.attempts = 1,
				.text = slice_of(text, sizeof(text)) };
		while ((e = store_result_append(sp.store, &m, &u, &t)) ==
		       ERR_AGAIN)
			spool_settle(&sp);
		assert_int_equal(e, OK);
	}
	spool_wait(&sp, t);
	store_msg_close(sp.store, &m);
	assert_true(spool_find(&sp, id, &row));
	first = row.first_segment;
	for (unsigned moves = 0; moves < 3; moves++) {
		while (row.first_segment == first) {
			churn(1);
			assert_true(spool_find(&sp, id, &row));
		}
		first = row.first_segment;
		/* Of all that lies before it nothing is needed. */
		while (segment_oldest(sp.store)->number < first)
			churn(1);
		assert_true(spool_find(&sp, id, &row));
		arena_init(&ar, &sp.acct, 65536, 16 << 20);
		memset(&m, 0, sizeof(m));
		e = store_load(sp.store, &row, &m, &ar, 0, RCPTS, &out, &et);
		if (e != OK)
			fail_msg("load: %s %s", err_name(e), et.text);
		arena_fini(&ar);
		store_msg_close(sp.store, &m);
	}
	world_close();
}

/* Segments that are free but still read by who holds their messages are not
 * spares too many: no file is made only to be removed again. */
static void
test_no_file_in_vain(void **state)
{
	enum { HELD = 8 };
	struct store_msg m[HELD];
	uint64_t made;

	(void)state;
	world_open();
	for (unsigned i = 0; i < HELD; i++)
		spool_wait(&sp, spool_add(&sp, &m[i], 1, 600000, 5));
	for (unsigned i = 0; i < HELD; i++) {
		struct store_ticket t;

		assert_int_equal(store_remove_append(sp.store, m[i].id, &t),
		    OK);
		spool_wait(&sp, t);
	}
	for (unsigned i = 0; i < 1000; i++) {
		sp.store->index.want_flush = true;
		store_turn(sp.store, 0);
		(void)store_poll(sp.store);
	}
	assert_in_range(sp.store->segments.spare_count, HELD / 2, 64);
	made = sp.store->segments.number_last;
	for (unsigned i = 0; i < 1000; i++) {
		store_turn(sp.store, 0);
		(void)store_poll(sp.store);
	}
	assert_int_equal(sp.store->segments.number_last, made);
	for (unsigned i = 0; i < HELD; i++)
		store_msg_close(sp.store, &m[i]);
	spool_settle(&sp);
	assert_in_range(sp.store->segments.spare_count, 1,
	    sp.conf.spare_count + 3);
	world_close();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_state_over_segments),
		cmocka_unit_test(test_no_file_in_vain),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
