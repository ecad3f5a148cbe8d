/* Lists of messages: all, and those whose recipients are of one domain; and all
 * of them due at once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "spool.h"
#include "store/index.h"
#include "store/store_int.h"

enum { MESSAGES = 12, A = 7, B = 9, SEVERAL = 0 };

/* Two of A, one of B, one of several, and again. */
static const uint64_t dests[4] = { A, B, A, SEVERAL };

static const struct {
	const char *why;
	uint64_t dest;
	unsigned bits; /* which of dests answer */
} rows[] = {
	{ "half of them", A, 1 | 4 | 8 },
	{ "a quarter", B, 2 | 8 },
	{ "none of its own", 11, 8 },
};

/* From the first to the last, in pages; all in order, none twice. */
static void
list_dest(struct spool *sp, const char *why, uint64_t dest, unsigned page,
    unsigned bits, const uint64_t ids[static MESSAGES])
{
	uint64_t after = 0;
	unsigned want = 0;

	do {
		assert_int_equal(store_list_dest(sp->store, after, dest, page,
				     spool_on_rows, sp),
		    OK);
		spool_answer(sp);
		assert_int_equal(sp->err, OK);
		for (unsigned i = 0; i < sp->row_count; i++) {
			while (want < MESSAGES && !(bits & 1u << want % 4))
				want++;
			if (want == MESSAGES || sp->rows[i].id != ids[want])
				fail_msg("%s, pages of %u: message %u", why,
				    page, i);
			after = sp->rows[i].id;
			want++;
		}
	} while (sp->row_count > 0);
	while (want < MESSAGES && !(bits & 1u << want % 4))
		want++;
	if (want != MESSAGES)
		fail_msg("%s, pages of %u: ends at %u", why, page, want);
}

static void
list_all(struct spool *sp, const uint64_t ids[static MESSAGES])
{
	static const unsigned pages[] = { 1, 2, MESSAGES / 2, STORE_ROWS_MAX };

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		for (size_t p = 0; p < ARRAY_LEN(pages); p++)
			list_dest(sp, rows[i].why, rows[i].dest, pages[p],
			    rows[i].bits, ids);
}

static void
test_list_dest(void **state)
{
	struct store_update u = { .due_ms = 9, .flags = STORE_TRIED };
	uint64_t ids[MESSAGES];
	struct store_msg m;
	struct spool sp;

	spool_init(&sp, *state != NULL);
	spool_open(&sp);
	for (unsigned i = 0; i < MESSAGES; i++) {
		sp.dest = dests[i % 4];
		(void)spool_add(&sp, &m, 1, 10, 5);
		ids[i] = m.id;
		store_msg_close(sp.store, &m);
		if (i != MESSAGES / 2)
			continue;
		/* The first half is in the index, the others are not. */
		spool_settle(&sp);
		assert_int_equal(index_flush_now(sp.store, true), OK);
	}
	list_all(&sp, ids);
	spool_settle(&sp);
	assert_int_equal(index_flush_now(sp.store, true), OK);
	list_all(&sp, ids);
	/* A result is no other destination. */
	for (unsigned i = 0; i < MESSAGES; i++) {
		struct arena ar;
		struct store_row row;
		struct store_message out;

		assert_true(spool_find(&sp, ids[i], &row));
		assert_int_equal(row.dest, dests[i % 4]);
		arena_init(&ar, &sp.acct, 4096, 1 << 16);
		m = (struct store_msg){ 0 };
		assert_int_equal(
		    store_load(sp.store, &row, &m, &ar, 0, 1, &out, NULL), OK);
		u.dest = m.row.dest;
		assert_int_equal(store_result_append(sp.store, &m, &u, NULL),
		    OK);
		store_msg_close(sp.store, &m);
		arena_fini(&ar);
	}
	list_all(&sp, ids);
	spool_settle(&sp);
	assert_int_equal(index_flush_now(sp.store, true), OK);
	list_all(&sp, ids);
	/* Also from the log alone. */
	spool_close(&sp);
	spool_remove_index(&sp);
	spool_open(&sp);
	list_all(&sp, ids);
	spool_fini(&sp);
}

/* Only the envelope is asked for: nothing else is read or set. */
static void
test_peek_envelope(void **state)
{
	struct store_extent *extents;
	struct store_message out;
	struct store_msg m;
	struct store_row row;
	struct arena ar;
	struct spool sp;
	uint32_t count;

	(void)state;
	spool_init(&sp, false);
	spool_open(&sp);
	(void)spool_add(&sp, &m, 3, 10, 5);
	spool_settle(&sp);
	assert_true(spool_find(&sp, m.id, &row));
	store_msg_close(sp.store, &m);
	assert_true(spool_find(&sp, row.id, &row));
	arena_init(&ar, &sp.acct, 4096, 1 << 16);
	assert_int_equal(
	    store_peek(sp.store, &row, &ar, 0, 0, &out, &extents, &count, NULL),
	    OK);
	assert_int_equal(out.id, row.id);
	assert_true(out.envelope.len > 0);
	assert_int_equal(out.rcpt_total, 3);
	assert_int_equal(out.rcpt_count, 0);
	assert_int_equal(count, 1);
	arena_fini(&ar);
	spool_fini(&sp);
}

/* ---- all of them due at once ---- */

static unsigned made_count; /* indexes made anew */

static void
on_index_made(void *arg, const char *why, int64_t took_ms)
{
	(void)arg;
	assert_non_null(why);
	assert_true(took_ms >= 0);
	made_count++;
}

static void
add_to(struct spool *sp, unsigned *count, unsigned to)
{
	struct store_msg m;

	for (; *count < to; ++*count) {
		(void)spool_add(sp, &m, 1, 0, 9000);
		store_msg_close(sp->store, &m);
	}
	spool_settle(sp);
	assert_int_equal(index_flush_now(sp->store, true), OK);
}

/* Groups of neighbours, each at its own time. */
static void
test_due_part(void **state)
{
	int64_t sum = 0;

	(void)state;
	for (uint64_t id = 0; id < 100 * INDEX_DUE_GROUP; id++) {
		int64_t part = index_due_part(id, 60000);

		assert_in_range(part, 0, 59999);
		if (id % INDEX_DUE_GROUP > 0)
			assert_int_equal(part, index_due_part(id - 1, 60000));
		else if (id > 0)
			assert_int_not_equal(part,
			    index_due_part(id - 1, 60000));
		sum += part;
	}
	assert_in_range(sum / (100 * INDEX_DUE_GROUP), 25000, 35000);
}

/* Is done in pieces, and needs no more memory for many. */
static void
test_due_all(void **state)
{
	static const unsigned counts[] = { INDEX_PIECE_ROWS - 1,
		INDEX_PIECE_ROWS, INDEX_PIECE_ROWS + 1, 6 * INDEX_PIECE_ROWS };
	int64_t due_ms = 5000;
	unsigned count = 0;
	struct spool sp;

	spool_init(&sp, *state != NULL);
	sp.conf.index_heap_bytes = 320 << 10;
	sp.events.on_index_made = on_index_made;
	made_count = 0;
	spool_open(&sp);
	for (unsigned i = 0; i < ARRAY_LEN(counts); i++) {
		add_to(&sp, &count, counts[i]);
		assert_int_equal(
		    store_due_all(sp.store, (struct wall){ --due_ms }, 0), OK);
		spool_settle(&sp);
		assert_int_equal(store_count(sp.store, spool_on_counts, &sp),
		    OK);
		spool_answer(&sp);
		assert_int_equal(sp.counts.message_count, count);
		assert_int_equal(sp.counts.next_due_ms, due_ms);
		assert_int_equal(sp.counts.last_due_ms, due_ms);
	}
	assert_int_equal(made_count, 0);
	/* Whoever waits is told when it must be made anew. */
	index_break(&sp.store->index, "a test says so");
	spool_settle(&sp);
	assert_int_equal(made_count, 1);
	spool_fini(&sp);
}

int
main(void)
{
	static int threads;
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_list_dest),
		cmocka_unit_test_prestate(test_list_dest, &threads),
		cmocka_unit_test(test_peek_envelope),
		cmocka_unit_test(test_due_part),
		cmocka_unit_test(test_due_all),
		cmocka_unit_test_prestate(test_due_all, &threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
