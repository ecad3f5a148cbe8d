/*
 * Damage, faults and limits: a flipped bit costs the message it hits and no
 * other, is named and set aside; an index that is gone, foreign or broken is
 * rebuilt; a failed sync poisons; quotas refuse; no allocation that fails
 * does harm.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "simdisk.h"
#include "spool.h"
#include "store/inspect.h"
#include "store/store_int.h"

enum { MESSAGES = 400, BODY = 6000 };

/* A spool with several segments and every second message alive. */
static unsigned
fill(struct spool *sp, uint64_t *alive)
{
	struct store_update over = { .over = true };
	unsigned n = 0;

	for (unsigned i = 0; i < MESSAGES; i++) {
		struct store_msg m;
		struct store_ticket t = spool_add(sp, &m, 2, BODY, 5);

		spool_wait(sp, t);
		if (i % 2)
			alive[n++] = m.id;
		else
			assert_int_equal(
			    store_result_append(sp->store, &m, &over, &t), OK);
		store_msg_close(sp->store, &m);
	}
	spool_settle(sp);
	return n;
}

static void
flip(struct spool *sp, uint64_t segment, uint64_t offset)
{
	char path[128];
	unsigned char c;
	int fd;

	snprintf(path, sizeof(path), "%s/log/%010llu.seg", sp->dir,
	    (unsigned long long)segment);
	fd = open(path, O_RDWR);
	assert_true(fd >= 0);
	assert_int_equal(pread(fd, &c, 1, (off_t)offset), 1);
	c ^= 0x10;
	assert_int_equal(pwrite(fd, &c, 1, (off_t)offset), 1);
	close(fd);
}

static void
drop_index(struct spool *sp)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/index", sp->dir);
	assert_int_equal(unlink(path), 0);
	snprintf(path, sizeof(path), "%s/index-wal", sp->dir);
	(void)unlink(path);
}

/* Load each; how many load and have a whole body. */
static unsigned
count_whole(struct spool *sp, const uint64_t *ids, unsigned n,
    uint64_t *bad_out)
{
	unsigned whole = 0;

	for (unsigned i = 0; i < n; i++) {
		struct store_msg m = { 0 };
		struct store_message out;
		struct store_row row;
		struct arena ar;

		arena_init(&ar, &sp->acct, 4096, 1 << 20);
		if (spool_find(sp, ids[i], &row) &&
		    store_load(sp->store, &row, &m, &ar, 0, 9, &out, NULL) ==
			OK) {
			whole++;
			store_msg_close(sp->store, &m);
		} else {
			*bad_out = ids[i];
		}
		arena_fini(&ar);
	}
	return whole;
}

static unsigned
inspect(struct spool *sp, struct inspect_counts *c, bool expect_in_use)
{
	struct errtext et = { "" };
	struct store *s;
	bool in_use;

	sp->damage_count = 0;
	assert_int_equal(inspect_open(&sp->conf, &s, &in_use, &et), OK);
	assert_int_equal(in_use, expect_in_use);
	assert_int_equal(inspect_all(s, c, &et), OK);
	inspect_close(s);
	return (unsigned)c->damage_count;
}

static unsigned
fsck(struct spool *sp, struct inspect_counts *c)
{
	return inspect(sp, c, false);
}

static unsigned
fsck_in_use(struct spool *sp, struct inspect_counts *c)
{
	return inspect(sp, c, true);
}

/* A bit of an envelope, in a closed segment and in the last one. */
static void
test_flip(void **state)
{
	for (unsigned last = 0; last < 2; last++) {
		struct inspect_counts c;
		struct spool sp;
		uint64_t ids[MESSAGES], bad = 0;
		struct store_row row;
		unsigned n;

		(void)state;
		spool_init(&sp, false);
		spool_open(&sp);
		n = fill(&sp, ids);
		assert_true(spool_find(&sp, ids[last ? n - 1 : 1], &row));
		spool_close(&sp);
		assert_int_equal(fsck(&sp, &c), 0);
		assert_int_equal(c.message_count, n);
		flip(&sp, row.envelope.segment, row.envelope.offset + 30);
		assert_true(fsck(&sp, &c) > 0);
		/* With its index the store knows of the message: it does not
		 * load, and is set aside. */
		spool_open(&sp);
		assert_int_equal(count_whole(&sp, ids, n, &bad), n - 1);
		assert_int_equal(bad, row.id);
		assert_true(spool_find(&sp, bad, &row));
		assert_int_equal(store_set_aside(sp.store, &row, NULL), OK);
		assert_false(spool_find(&sp, bad, &row));
		spool_close(&sp);
		/* Without, it loses this one and finds all others. */
		drop_index(&sp);
		spool_open(&sp);
		assert_int_equal(count_whole(&sp, ids, n, &bad), n - 1);
		spool_fini(&sp);
	}
}

/* The file of a segment ends too early: what lay behind is lost, and named;
 * the rest lives, and the store works on. */
static void
test_row_53_cut_short(void **state)
{
	for (unsigned last = 0; last < 2; last++) {
		struct store_msg m;
		struct store_ticket t;
		struct spool sp;
		uint64_t ids[MESSAGES], bad = 0;
		struct store_row row;
		char path[128];
		unsigned n, whole;

		(void)state;
		spool_init(&sp, false);
		spool_open(&sp);
		n = fill(&sp, ids);
		assert_true(spool_find(&sp, ids[last ? n - 3 : 1], &row));
		spool_kill(&sp);
		snprintf(path, sizeof(path), "%s/log/%010llu.seg", sp.dir,
		    (unsigned long long)row.envelope.segment);
		assert_int_equal(truncate(path, row.envelope.offset + 10), 0);
		drop_index(&sp);
		spool_open(&sp);
		assert_true(sp.damage_count > 0);
		whole = count_whole(&sp, ids, n, &bad);
		assert_in_range(whole, 1, n - 1);
		assert_false(spool_find(&sp, row.id, &row));
		t = spool_add(&sp, &m, 1, BODY, 5);
		spool_wait(&sp, t);
		ids[0] = m.id;
		store_msg_close(sp.store, &m);
		spool_close(&sp);
		spool_open(&sp);
		assert_int_equal(count_whole(&sp, ids, 1, &bad), 1);
		spool_fini(&sp);
	}
}

/* A bit of a body: not delivered, but set aside with what is left. */
static void
test_body(void **state)
{
	struct store_msg m = { 0 }, next;
	struct store_message out;
	struct inspect_counts c;
	struct store_row row;
	struct store_ticket t;
	struct arena ar;
	struct spool sp;
	uint64_t id;

	(void)state;
	spool_init(&sp, false);
	spool_open(&sp);
	t = spool_add(&sp, &m, 1, BODY, 5);
	spool_wait(&sp, t);
	/* The next batch proves this one: what is bad in it is damage, and
	 * not a torn end. */
	t = spool_add(&sp, &next, 1, 10, 5);
	spool_wait(&sp, t);
	store_msg_close(sp.store, &next);
	id = m.id;
	flip(&sp, m.extents[0].segment, m.extents[0].offset + BODY / 2);
	store_msg_close(sp.store, &m);
	assert_true(fsck_in_use(&sp, &c) > 0);
	arena_init(&ar, &sp.acct, 4096, 1 << 20);
	assert_true(spool_find(&sp, id, &row));
	assert_int_equal(store_load(sp.store, &row, &m, &ar, 0, 9, &out, NULL),
	    ERR_CORRUPT);
	assert_null(m.store);
	assert_int_equal(store_set_aside(sp.store, &row, NULL), OK);
	assert_false(spool_find(&sp, id, &row));
	arena_fini(&ar);
	spool_fini(&sp);
}

/* A bit of a table: the segment is read whole, nothing is lost. */
static void
test_table(void **state)
{
	struct spool sp;
	uint64_t ids[MESSAGES], bad = 0, first;
	unsigned n;

	(void)state;
	spool_init(&sp, false);
	spool_open(&sp);
	n = fill(&sp, ids);
	first = segment_oldest(sp.store)->number;
	assert_true(segments_live_count(sp.store) > 1);
	spool_kill(&sp);
	drop_index(&sp);
	flip(&sp, first, sp.conf.segment_bytes - 20);
	spool_open(&sp);
	assert_int_equal(sp.damage_count, 1);
	assert_int_equal(sp.damage.kind, STORE_DAMAGE_TABLE);
	assert_int_equal(count_whole(&sp, ids, n, &bad), n);
	spool_fini(&sp);
}

/* A segment's header, and a segment that is gone. */
static void
test_segment(void **state)
{
	struct spool sp;
	uint64_t ids[MESSAGES], bad = 0, number;
	char path[128];
	unsigned n, whole;

	(void)state;
	spool_init(&sp, false);
	spool_open(&sp);
	n = fill(&sp, ids);
	number = sp.store->segments.list[1]->number;
	spool_close(&sp);
	flip(&sp, number, 40);
	spool_open(&sp);
	assert_int_equal(sp.damage.kind, STORE_DAMAGE_SEGMENT);
	assert_int_equal(count_whole(&sp, ids, n, &bad), n);
	spool_close(&sp);
	snprintf(path, sizeof(path), "%s/log/%010llu.seg", sp.dir,
	    (unsigned long long)number);
	assert_int_equal(unlink(path), 0);
	sp.damage_count = 0;
	spool_open(&sp);
	assert_true(sp.damage_count > 0);
	whole = count_whole(&sp, ids, n, &bad);
	assert_true(whole > 0 && whole < n);
	spool_fini(&sp);
}

/* Turn the store's idle time on until nothing would be freed any more. */
static void
idle(struct spool *sp)
{
	for (unsigned i = 0; i < 50; i++) {
		sp->store->index.want_flush = true;
		(void)mover_turn(sp->store);
		spool_settle(sp);
	}
}

/*
 * Pages of a segment that cannot be read while the log is replayed: the rest
 * is served, the segment stays in the log although all in it that is known
 * has ended, it is told of once, and at the next open, when it reads again,
 * nothing is missing.
 */
static void
check_unreadable(bool last, unsigned from, unsigned to)
{
	uint64_t ids[MESSAGES], bad = 0, number;
	char path[SEGMENT_PATH_BYTES];
	struct simdisk disk;
	struct segment *g;
	struct spool sp;
	struct store_ticket t;
	struct store_msg m;
	unsigned n, whole;

	spool_init(&sp, false);
	simdisk_init(&disk, 1);
	sp.conf.disk = &disk.disk;
	spool_open(&sp);
	n = fill(&sp, ids);
	g = last ? sp.store->log.head : segment_oldest(sp.store);
	number = g->number;
	segment_path(path, SEGMENT_LOG, number);
	spool_kill(&sp);
	drop_index(&sp);
	/* Whole messages, envelopes too. */
	for (unsigned i = from; i < to; i++)
		assert_true(simdisk_spoil(&disk, path, i * SIM_PAGE_BYTES));
	/* The table of a closed segment, too, which names what is in it. */
	if (!last)
		assert_true(simdisk_spoil(&disk, path,
		    sp.conf.segment_bytes - SIM_PAGE_BYTES));
	for (unsigned i = 0; i < 2; i++) {
		sp.damage_count = 0;
		spool_open(&sp);
		assert_int_equal(sp.damage_count, 1);
		assert_int_equal(sp.damage.kind, STORE_DAMAGE_UNREADABLE);
		assert_int_equal(sp.damage.segment, number);
		assert_true(sp.store->log.head->number > number || !last);
		whole = count_whole(&sp, ids, n, &bad);
		if (to > 1)
			assert_true(whole > 0 && whole < n);
		else
			assert_int_equal(whole, i == 0 ? n : n - 20);
		t = spool_add(&sp, &m, 1, BODY, 5);
		spool_wait(&sp, t);
		ids[n++] = m.id;
		store_msg_close(sp.store, &m);
		for (unsigned k = 0; k < 20; k++)
			if (spool_find(&sp, ids[k], &sp.rows[1]))
				assert_int_equal(
				    store_remove_append(sp.store, ids[k], NULL),
				    OK);
		idle(&sp);
		assert_non_null(segment_find(sp.store, number));
		assert_false(segment_find(sp.store, number)->retired);
		spool_close(&sp);
	}
	assert_true(simdisk_mend(&disk, path));
	spool_open(&sp);
	/* All but the 20 that were removed; of these, those that were on
	 * the pages are there again. */
	assert_int_equal(count_whole(&sp, ids + 20, n - 20, &bad), n - 20);
	idle(&sp);
	assert_false(sp.store->segments.unreadable);
	spool_close(&sp);
	simdisk_fini(&disk);
	spool_fini(&sp);
}

static void
test_unreadable_closed(void **state)
{
	(void)state;
	check_unreadable(false, 1, 9);
}

static void
test_unreadable_last(void **state)
{
	(void)state;
	check_unreadable(true, 1, 9);
	check_unreadable(true, 0, 1); /* its header */
}

/* A newer format is refused, and nothing is touched. */
static void
test_version(void **state)
{
	unsigned char buf[SEGMENT_HEADER_BYTES];
	struct segment_header h;
	struct errtext et;
	struct spool sp;
	char path[128];
	uint64_t number;
	int fd;

	(void)state;
	spool_init(&sp, false);
	spool_open(&sp);
	number = sp.store->log.head->number;
	spool_close(&sp);
	snprintf(path, sizeof(path), "%s/log/%010llu.seg", sp.dir,
	    (unsigned long long)number);
	fd = open(path, O_RDWR);
	assert_int_equal(pread(fd, buf, sizeof(buf), 0), sizeof(buf));
	assert_int_equal(segment_header_get(buf, &h), OK);
	h.version++;
	segment_header_put(&h, buf);
	assert_int_equal(pwrite(fd, buf, sizeof(buf), 0), sizeof(buf));
	close(fd);
	assert_int_equal(store_open(&sp.conf, &sp.store, &et), ERR_VERSION);
	assert_non_null(strstr(et.text, "newer"));
	sp.store = NULL;
	spool_fini(&sp);
}

/* Any garbage in place of the index. */
static void
test_index(void **state)
{
	static const char *const garbage[] = { "", "not a database",
		"SQLite format 3" };
	struct spool sp;
	uint64_t ids[MESSAGES], bad = 0;
	char path[128];
	unsigned n;

	(void)state;
	spool_init(&sp, false);
	spool_open(&sp);
	n = fill(&sp, ids);
	snprintf(path, sizeof(path), "%s/index", sp.dir);
	for (unsigned i = 0; i < ARRAY_LEN(garbage); i++) {
		FILE *f;

		spool_kill(&sp);
		drop_index(&sp);
		f = fopen(path, "w");
		assert_non_null(f);
		for (unsigned k = 0; k < 500; k++)
			fputs(garbage[i], f);
		fclose(f);
		spool_open(&sp);
		assert_int_equal(count_whole(&sp, ids, n, &bad), n);
		assert_int_equal(store_message_count(sp.store), n);
	}
	/* It breaks while it is used. */
	sp.store->index.broken = true;
	spool_settle(&sp);
	assert_false(sp.store->index.broken);
	assert_int_equal(count_whole(&sp, ids, n, &bad), n);
	assert_int_equal(store_message_count(sp.store), n);
	spool_fini(&sp);
}

static void
test_lock(void **state)
{
	struct errtext et;
	struct store *other;
	struct spool sp;

	(void)state;
	spool_init(&sp, false);
	spool_open(&sp);
	assert_int_equal(store_open(&sp.conf, &other, &et), ERR_BUSY);
	spool_fini(&sp);
}

/* Quotas at their limit, one below and one above. */
static void
test_quota(void **state)
{
	struct spool sp;
	struct store_msg a, b, c;

	(void)state;
	spool_init(&sp, false);
	sp.conf.message_limit = 2;
	sp.conf.size_limit_bytes = 100000;
	spool_open(&sp);
	assert_int_equal(store_msg_open(sp.store, &a), OK);
	assert_int_equal(store_msg_open(sp.store, &b), OK);
	assert_int_equal(store_msg_open(sp.store, &c), ERR_NOSPACE);
	assert_int_equal(store_reserve(sp.store, &a, 60000), OK);
	assert_int_equal(store_reserve(sp.store, &b, 40001), ERR_NOSPACE);
	assert_int_equal(store_reserve(sp.store, &b, 40000), OK);
	/* Nothing has room where there may be no further message. */
	assert_int_equal(store_reserve(sp.store, NULL, 0), ERR_NOSPACE);
	store_msg_close(sp.store, &a);
	assert_int_equal(store_reserve(sp.store, &b, 100000), OK);
	store_msg_close(sp.store, &b);
	assert_int_equal(store_msg_open(sp.store, &c), OK);
	store_msg_close(sp.store, &c);
	sp.conf.minfree_bytes = INT64_MAX;
	store_reconf(sp.store, &sp.conf);
	assert_int_equal(store_reserve(sp.store, NULL, 0), ERR_NOSPACE);
	spool_fini(&sp);
}

/* After a failed sync nothing is acknowledged any more, and what was, is
 * there after recovery. */
static void
test_poison(void **state)
{
	struct simdisk disk;
	struct spool sp;
	struct store_ticket t;
	struct store_msg m, other;
	uint64_t id;

	(void)state;
	spool_init(&sp, false);
	simdisk_init(&disk, 1);
	sp.conf.disk = &disk.disk;
	sp.conf.index_dir = NULL;
	spool_open(&sp);
	t = spool_add(&sp, &m, 1, 1000, 5);
	id = m.id;
	spool_wait(&sp, t);
	store_msg_close(sp.store, &m);
	disk.sync_fail_one_in = 1;
	t = spool_add(&sp, &m, 1, 1000, 5);
	while (!sp.poisoned) {
		store_hurry(sp.store);
		store_turn(sp.store, 0);
		store_poll(sp.store);
	}
	assert_false(store_durable(sp.store, t));
	assert_int_equal(store_msg_open(sp.store, &other), ERR_IO);
	spool_kill(&sp);
	disk.sync_fail_one_in = 0;
	simdisk_crash(&disk);
	sp.poisoned = false;
	spool_open(&sp);
	assert_true(spool_find(&sp, id, &sp.rows[1]));
	spool_kill(&sp);
	simdisk_fini(&disk);
	spool_fini(&sp);
}

/* Each allocation fails once: an error, no harm, and it works after. */
static void
test_no_memory(void **state)
{
	struct errtext et;
	struct spool sp;
	bool opened = false;

	(void)state;
	spool_init(&sp, false);
	for (unsigned n = 1; !opened; n++) {
		enum err e;

		assert_true(n < 1000);
		mem_fail_after(n);
		e = store_open(&sp.conf, &sp.store, &et);
		mem_fail_after(0);
		if (e == OK) {
			opened = true;
			break;
		}
		assert_int_equal(err_class(e), ERR_CLASS_FULL);
		assert_int_equal(sp.acct.used_bytes, 0);
	}
	spool_fini(&sp);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_flip),
		cmocka_unit_test(test_row_53_cut_short),
		cmocka_unit_test(test_body),
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_segment),
		cmocka_unit_test(test_unreadable_closed),
		cmocka_unit_test(test_unreadable_last),
		cmocka_unit_test(test_version),
		cmocka_unit_test(test_index),
		cmocka_unit_test(test_lock),
		cmocka_unit_test(test_quota),
		cmocka_unit_test(test_poison),
		cmocka_unit_test(test_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
