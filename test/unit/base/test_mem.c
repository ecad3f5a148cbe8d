#include "../check.h"

#include <string.h>

#include "base/limits.h"
#include "base/mem.h"

static void
test_tree(void **state)
{
	struct acct root, class, conn;

	(void)state;
	acct_init(&root, NULL, "root", 1000, false, "");
	acct_init(&class, &root, "class", 0, false, "");
	acct_init(&conn, &class, "conn", 100, false, "");

	assert_int_equal(acct_charge(&conn, 99), OK);
	assert_int_equal(acct_room(&conn), 1);
	assert_int_equal(acct_charge(&conn, 1), OK);
	assert_int_equal(acct_charge(&conn, 1), ERR_FULL);
	assert_int_equal(conn.refused_count, 1);
	assert_int_equal(root.refused_count, 0);
	assert_int_equal(root.used_bytes, 100);
	assert_int_equal(class.used_bytes, 100);

	/* The root refuses: nothing is charged below it. */
	assert_int_equal(acct_charge(&class, 900), OK);
	acct_release(&conn, 50);
	assert_int_equal(acct_charge(&conn, 50), OK);
	acct_release(&conn, 50);
	assert_int_equal(acct_charge(&class, 50), OK);
	assert_int_equal(acct_charge(&conn, 1), ERR_FULL);
	assert_int_equal(root.refused_count, 1);
	assert_int_equal(conn.used_bytes, 50);
	assert_int_equal(acct_room(&conn), 0);
	assert_int_equal(root.peak_bytes, 1000);

	acct_release(&class, 950);
	acct_release(&conn, 50);
	acct_fini(&conn);
	acct_fini(&class);
	acct_fini(&root);
}

static void
test_lower_limit(void **state)
{
	struct acct a;

	(void)state;
	acct_init(&a, NULL, "a", 100, false, "");
	assert_int_equal(acct_charge(&a, 80), OK);
	acct_set_max(&a, 50);
	assert_int_equal(acct_room(&a), 0);
	assert_int_equal(acct_charge(&a, 1), ERR_FULL);
	acct_release(&a, 31);
	assert_int_equal(acct_charge(&a, 1), OK);
	acct_release(&a, 50);
	acct_fini(&a);
}

static void
test_alloc(void **state)
{
	int64_t cost = (int64_t)mem_cost(100);
	struct acct a;
	char *p;

	(void)state;
	for (int64_t max = cost - 1; max <= cost + 1; max++) {
		acct_init(&a, NULL, "a", max, false, "");
		p = mem_alloc(&a, 100);
		if (max < cost) {
			assert_null(p);
			assert_int_equal(a.used_bytes, 0);
			continue;
		}
		assert_non_null(p);
		assert_int_equal(a.used_bytes, cost);
		assert_int_equal((uintptr_t)p % 16, 0);
		for (int i = 0; i < 100; i++)
			assert_int_equal(p[i], 0);
		mem_free(&a, p);
		acct_fini(&a);
	}
	acct_init(&a, NULL, "a", 0, false, "");
	mem_free(&a, NULL);
	assert_null(mem_alloc_array(&a, SIZE_MAX / 2, 4));
	assert_null(mem_alloc(&a, SIZE_MAX - 8));
	p = mem_alloc(&a, 0);
	assert_non_null(p);
	mem_free(&a, p);
	acct_fini(&a);
}

static void
test_fail_after(void **state)
{
	struct acct a;
	void *p;

	(void)state;
	acct_init(&a, NULL, "a", 0, false, "");
	mem_fail_after(2);
	p = mem_alloc(&a, 1);
	assert_non_null(p);
	assert_null(mem_alloc(&a, 1));
	mem_free(&a, p);
	p = mem_alloc(&a, 1); /* only the n-th */
	assert_non_null(p);
	mem_free(&a, p);
	acct_fini(&a);
}

static void
test_arena(void **state)
{
	struct acct a;
	struct arena ar;
	char *p, *q;

	(void)state;
	acct_init(&a, NULL, "a", 0, false, "");
	arena_init(&ar, &a, 64, 256);
	assert_int_equal(a.used_bytes, 0); /* nothing until it is needed */

	p = arena_alloc(&ar, 1);
	q = arena_alloc(&ar, 48);
	assert_ptr_equal(q, p + 16);
	assert_int_equal(ar.held_bytes, 64);
	memset(q, 'x', 48);
	assert_non_null(arena_alloc(&ar, 1)); /* a second chunk */
	assert_int_equal(ar.held_bytes, 128);
	assert_non_null(arena_alloc(&ar, 112)); /* one of its own */
	assert_int_equal(ar.held_bytes, 240);
	assert_non_null(arena_alloc(&ar, 16)); /* the last 16 */
	assert_null(arena_alloc(&ar, 1));

	arena_reset(&ar);
	assert_int_equal(ar.held_bytes, 64);
	p = arena_alloc(&ar, 64);
	for (int i = 0; i < 64; i++)
		assert_int_equal(p[i], 0); /* zeroed when used again */
	arena_reset(&ar);
	assert_null(arena_alloc(&ar, 257));
	p = arena_alloc(&ar, 256 - 64);
	assert_non_null(p);
	arena_fini(&ar);
	arena_fini(&ar);
	acct_fini(&a);
}

static void
test_arena_first_is_large(void **state)
{
	struct acct a;
	struct arena ar;

	(void)state;
	acct_init(&a, NULL, "a", 0, false, "");
	arena_init(&ar, &a, 64, 256);
	assert_non_null(arena_alloc(&ar, 200));
	arena_reset(&ar);
	assert_int_equal(ar.held_bytes, 0);
	arena_fini(&ar);
	acct_fini(&a);
}

static void
test_arena_refused(void **state)
{
	struct acct a;
	struct arena ar;
	char *s;

	(void)state;
	acct_init(&a, NULL, "a", (int64_t)mem_cost(64 + 32), false, "");
	arena_init(&ar, &a, 64, 1024);
	s = arena_copy(&ar, "hello", 5);
	assert_string_equal(s, "hello");
	assert_string_equal(arena_copy(&ar, NULL, 0), "");
	assert_null(arena_alloc(&ar, 64));
	assert_null(arena_copy(&ar, "x", SIZE_MAX));
	assert_string_equal(s, "hello");
	arena_fini(&ar);
	acct_fini(&a);
}

static void
test_pool(void **state)
{
	struct acct a;
	struct pool p;
	void *o[5];

	(void)state;
	acct_init(&a, NULL, "a", 0, false, "");
	pool_init(&p, &a, "things", "thing_limit", 100, 3);
	assert_int_equal(a.used_bytes, 0);
	for (int i = 0; i < 3; i++) {
		o[i] = pool_get(&p);
		assert_non_null(o[i]);
		memset(o[i], 'x', 100);
	}
	assert_null(pool_get(&p));
	assert_int_equal(p.row->refused, 1);
	assert_int_equal(p.row->in_use, 3);
	assert_int_equal(p.row->limit, 3);
	pool_put(&p, o[1]);
	assert_int_equal(p.row->in_use, 2);
	o[1] = pool_get(&p);
	assert_non_null(o[1]);
	for (int i = 0; i < 100; i++)
		assert_int_equal(((char *)o[1])[i], 0);
	assert_int_equal(a.used_bytes, pool_cost(100, 3));
	pool_set_max(&p, 4);
	o[3] = pool_get(&p);
	assert_non_null(o[3]);
	assert_null(pool_get(&p));
	pool_set_max(&p, 2);
	assert_int_equal(p.row->limit, 2);
	pool_put(&p, o[3]);
	assert_null(pool_get(&p));
	for (int i = 0; i < 3; i++)
		pool_put(&p, o[i]);
	assert_int_equal(p.row->high_water, 4);
	pool_fini(&p);
	acct_fini(&a);
}

/* Small and large objects; the cost told is the cost charged. */
static void
test_pool_cost(void **state)
{
	static const struct {
		size_t bytes;
		unsigned count;
	} rows[] = { { 1, 1 }, { 16, 1023 }, { 16, 1024 }, { 16, 5000 },
		{ 700, 100 }, { 20000, 3 } };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct acct a;
		struct pool p;

		acct_init(&a, NULL, "a", 0, false, "");
		pool_init(&p, &a, "p", "", rows[i].bytes, rows[i].count);
		assert_int_equal(pool_prealloc(&p), OK);
		assert_int_equal(a.used_bytes,
		    pool_cost(rows[i].bytes, rows[i].count));
		pool_fini(&p);
		acct_fini(&a);
	}
	assert_int_equal(pool_cost(100, 0), 0);
}

/* Whatever allocation fails: the pool refuses and stays sound. */
static void
test_pool_fail_nth(void **state)
{
	(void)state;
	for (unsigned n = 1; n < 6; n++) {
		struct acct a;
		struct pool p;
		void *o[4] = { NULL };
		enum err e;

		acct_init(&a, NULL, "a", 0, false, "");
		pool_init(&p, &a, "p", "", 10000, 4); /* a slab each */
		mem_fail_after(n);
		e = pool_prealloc(&p);
		assert_int_equal(e, n <= 4 ? ERR_FULL : OK);
		mem_fail_after(0);
		for (int i = 0; i < 4; i++)
			assert_non_null(o[i] = pool_get(&p));
		for (int i = 0; i < 4; i++)
			pool_put(&p, o[i]);
		pool_fini(&p);
		acct_fini(&a);
	}
}

/* After a flood: what is unused goes back, what is used stays as it is. */
static void
test_pool_trim(void **state)
{
	enum { COUNT = 976, SIZE = 500 };
	static unsigned char *o[COUNT];
	struct acct a;
	struct pool p;
	int64_t full, idle;

	(void)state;
	acct_init(&a, NULL, "a", 0, false, "");
	pool_init(&p, &a, "things", "", SIZE, COUNT);
	assert_false(pool_trim(&p));
	for (int i = 0; i < COUNT; i++) {
		o[i] = pool_get(&p);
		assert_non_null(o[i]);
		memset(o[i], i % 251, SIZE);
	}
	full = a.used_bytes;
	assert_false(pool_trim(&p));
	/* Every 25th stays: no slab is empty, nothing can go. */
	for (int i = 0; i < COUNT; i++)
		if (i % 25 != 0)
			pool_put(&p, o[i]);
	assert_false(pool_trim(&p));
	assert_int_equal(a.used_bytes, full);
	for (int i = 100; i < COUNT; i += 25)
		pool_put(&p, o[i]);
	/* No memory to look: not now. */
	mem_fail_after(1);
	assert_false(pool_trim(&p));
	mem_fail_after(0);
	assert_true(pool_trim(&p));
	idle = a.used_bytes;
	assert_true(idle < full / 3);
	assert_false(pool_trim(&p));
	for (int i = 0; i < 100; i += 25)
		for (int k = 0; k < SIZE; k++)
			assert_int_equal(o[i][k], i % 251);
	/* And it grows again. */
	for (int i = 100; i < COUNT; i++)
		assert_non_null(o[i] = pool_get(&p));
	for (int i = 0; i < COUNT; i++)
		if (i >= 100 || i % 25 == 0)
			pool_put(&p, o[i]);
	assert_true(pool_trim(&p));
	assert_int_equal(a.used_bytes, pool_cost(SIZE, p.slab_count));
	pool_fini(&p);
	acct_fini(&a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tree),
		cmocka_unit_test(test_lower_limit),
		cmocka_unit_test(test_alloc),
		cmocka_unit_test(test_fail_after),
		cmocka_unit_test(test_arena),
		cmocka_unit_test(test_arena_first_is_large),
		cmocka_unit_test(test_arena_refused),
		cmocka_unit_test(test_pool),
		cmocka_unit_test(test_pool_cost),
		cmocka_unit_test(test_pool_fail_nth),
		cmocka_unit_test(test_pool_trim),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
