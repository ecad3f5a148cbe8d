/*
 * The disk's part of the trusted: however often unproven clients begin bodies
 * and leave them unfinished, others are still taken; and what is promised can
 * be written.
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

enum {
	SEGMENTS = 24, /* of the disk */
	BODY_BYTES = 300000,
	MANY = 1000, /* bodies: far more than the disk holds */
	SMALL_BYTES = 4000,
};

enum client { TRUSTED, EARNED, UNPROVEN };

static struct simdisk disk;
static struct spool sp;

static void
world_open(void)
{
	spool_init(&sp, false);
	simdisk_init(&disk, 1);
	sp.conf.disk = &disk.disk;
	sp.conf.index_dir = NULL;
	disk.capacity_bytes = SEGMENTS * sp.conf.segment_bytes;
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
begin(struct store_msg *m, enum client c)
{
	assert_int_equal(store_msg_open(sp.store, m), OK);
	m->unproven = c == UNPROVEN;
	m->earned = c == EARNED;
	sp.store->quota.known = false; /* the disk is asked anew */
}

/* All octets of a body, as fast as they are taken. */
static void
write_body(struct store_msg *m, size_t bytes)
{
	static char piece[4096];

	while (bytes > 0) {
		size_t n = bytes < sizeof(piece) ? bytes : sizeof(piece);
		enum err e = store_body_append(sp.store, m, slice_of(piece, n));

		if (e == ERR_AGAIN) {
			store_turn(sp.store, 0);
			while (store_poll(sp.store))
				continue;
			continue;
		}
		assert_int_equal(e, OK);
		bytes -= n;
	}
}

/* The most that can be reserved by one now. */
static uint64_t
most(enum client c)
{
	uint64_t low = 0, high = UINT32_MAX;
	struct store_msg m;

	while (low < high) {
		uint64_t mid = low + (high - low + 1) / 2;

		begin(&m, c);
		if (store_reserve(sp.store, &m, mid) == OK)
			low = mid;
		else
			high = mid - 1;
		store_msg_close(sp.store, &m);
	}
	return low;
}

/* A fifth of what the log can hold: its segments and those that the disk has
 * room for, without the reserve. */
static uint64_t
fifth(void)
{
	uint64_t holds = quota_segment_holds(sp.conf.segment_bytes);
	struct disk_space space;
	uint64_t free;

	assert_int_equal(disk.disk.ops->space(&disk.disk, &space), 0);
	free = space.free_bytes / sp.conf.segment_bytes +
	       segments_spare_free(sp.store) +
	       (sp.store->segments.next != NULL);
	return (quota_log_holds(sp.store) +
		   (free - sp.conf.spare_count - 1) * holds) /
	       100 * 20;
}

static void
test_limits(void **state)
{
	static const struct {
		const char *why;
		int64_t more;
		enum err want;
	} rows[] = {
		{ "one octet below the limit", -1, OK },
		{ "at the limit", 0, OK },
		{ "one octet above it", 1, ERR_NOSPACE },
	};
	uint64_t all, leave[UNPROVEN + 1] = { 0 };

	(void)state;
	world_open();
	all = most(TRUSTED);
	leave[EARNED] = fifth() / 2;
	leave[UNPROVEN] = fifth();
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		for (unsigned c = TRUSTED; c <= UNPROVEN; c++) {
			struct store_msg m;
			enum err e;

			begin(&m, (enum client)c);
			e = store_reserve(sp.store, &m,
			    all - leave[c] + (uint64_t)rows[i].more);
			store_msg_close(sp.store, &m);
			if (e != rows[i].want)
				fail_msg("client %u, %s: %s", c, rows[i].why,
				    err_name(e));
		}
	world_close();
}

/* Bodies that strangers leave, one after the other, until they are refused;
 * how many were taken. */
static unsigned
leave_bodies(enum client c)
{
	struct store_msg m;

	for (unsigned i = 0; i < MANY; i++) {
		enum err e;

		begin(&m, c);
		e = store_reserve(sp.store, &m, BODY_BYTES);
		if (e == OK)
			write_body(&m, BODY_BYTES);
		store_msg_close(sp.store, &m);
		if (e != OK)
			return i;
	}
	return MANY;
}

/* Nothing is given back meanwhile, which is the worst that can happen: then
 * the part of the others is whole, and half of it that of the trusted; and all
 * of that can be used. */
static void
test_abandoned(void **state)
{
	struct store_msg m;
	struct store_ticket t;
	uint64_t part;

	(void)state;
	world_open();
	sp.store->segments.unreadable = true; /* so nothing is retired */
	part = fifth();
	assert_in_range(leave_bodies(UNPROVEN), 1, MANY - 1);
	assert_int_equal(sp.store->quota.why, STORE_SHORT_SHARE);
	/* But for the heads of records, and what the last one was short of. */
	assert_in_range(most(TRUSTED), part - SMALL_BYTES,
	    part + BODY_BYTES + SMALL_BYTES);
	assert_in_range(leave_bodies(EARNED), 1, MANY - 1);
	part /= 2;
	assert_in_range(most(TRUSTED), part - SMALL_BYTES,
	    part + BODY_BYTES + SMALL_BYTES);
	for (uint64_t used = 0; used + 3 * SMALL_BYTES < part;
	     used += 2 * SMALL_BYTES) {
		sp.store->quota.known = false;
		t = spool_add(&sp, &m, 1, SMALL_BYTES, 5);
		spool_wait(&sp, t);
		store_msg_close(sp.store, &m);
		assert_int_equal(leave_bodies(UNPROVEN), 0);
		assert_int_equal(leave_bodies(EARNED), 0);
	}
	world_close();
}

/* What they left comes back by itself, and then they are taken again. */
static void
test_comes_back(void **state)
{
	(void)state;
	world_open();
	sp.store->segments.unreadable = true;
	assert_in_range(leave_bodies(UNPROVEN), 1, MANY - 1);
	sp.store->segments.unreadable = false;
	spool_settle(&sp);
	assert_in_range(leave_bodies(UNPROVEN), 1, MANY);
	/* While it is given back, there is no end to it. */
	for (unsigned i = 0; i < 4 * SEGMENTS; i++) {
		struct store_msg m;

		begin(&m, UNPROVEN);
		while (store_reserve(sp.store, &m, BODY_BYTES) != OK) {
			spool_settle(&sp);
			sp.store->quota.known = false;
		}
		write_body(&m, BODY_BYTES);
		store_msg_close(sp.store, &m);
		assert_in_range(most(TRUSTED), fifth() - sp.conf.segment_bytes,
		    UINT32_MAX);
	}
	world_close();
}

/* Who has reserved all that unproven clients may have, and writes it, takes
 * nothing more by writing. */
static void
test_written_once(void **state)
{
	struct store_msg m;
	uint64_t bytes, left;

	(void)state;
	world_open();
	sp.store->segments.unreadable = true;
	bytes = most(UNPROVEN);
	begin(&m, UNPROVEN);
	assert_int_equal(store_reserve(sp.store, &m, bytes), OK);
	left = most(TRUSTED);
	assert_in_range(left, fifth() - SMALL_BYTES, fifth());
	write_body(&m, bytes);
	assert_in_range(most(TRUSTED), left - SMALL_BYTES, left);
	/* Segments hold more than is counted on. */
	store_msg_close(sp.store, &m);
	assert_in_range(most(TRUSTED), left - SMALL_BYTES, UINT32_MAX);
	world_close();
}

/* A small queue_size_limit means what it says for one alone; together they
 * leave a fifth of what is left of it. */
static void
test_size_limit(void **state)
{
	struct store_msg a, b;

	(void)state;
	world_open();
	sp.conf.size_limit_bytes = 100000;
	store_reconf(sp.store, &sp.conf);
	begin(&a, UNPROVEN);
	assert_int_equal(store_reserve(sp.store, &a, 100001), ERR_NOSPACE);
	assert_int_equal(store_reserve(sp.store, &a, 100000), OK);
	store_msg_close(sp.store, &a);
	begin(&a, UNPROVEN);
	begin(&b, UNPROVEN);
	assert_int_equal(store_reserve(sp.store, &a, 40000), OK);
	assert_int_equal(store_reserve(sp.store, &b, 40001), ERR_NOSPACE);
	assert_int_equal(store_reserve(sp.store, &b, 40000), OK);
	store_msg_close(sp.store, &b);
	begin(&b, TRUSTED);
	assert_int_equal(store_reserve(sp.store, &b, 60000), OK);
	store_msg_close(sp.store, &b);
	store_msg_close(sp.store, &a);
	world_close();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_abandoned),
		cmocka_unit_test(test_comes_back),
		cmocka_unit_test(test_written_once),
		cmocka_unit_test(test_size_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
