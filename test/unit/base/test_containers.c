/* list, heap and hash */
#include "../check.h"

#include <string.h>

#include "base/hash.h"
#include "base/heap.h"
#include "base/list.h"
#include "base/mem.h"

struct item {
	struct list_node node;
	struct heap_node heap;
	struct hash_node hash;
	int value;
};

static int
value_of(struct list_node *n)
{
	return CONTAINER(n, struct item, node)->value;
}

static void
test_list(void **state)
{
	struct item items[3] = { { .value = 0 }, { .value = 1 },
		{ .value = 2 } };
	struct list l;

	(void)state;
	list_init(&l);
	assert_true(list_empty(&l));
	assert_null(list_first(&l));
	assert_null(list_pop_front(&l));
	list_push_back(&l, &items[1].node);
	list_push_back(&l, &items[2].node);
	list_push_front(&l, &items[0].node);
	assert_int_equal(value_of(list_first(&l)), 0);
	assert_int_equal(value_of(list_next(&l, &items[0].node)), 1);
	assert_null(list_next(&l, &items[2].node));
	list_remove(&items[1].node);
	assert_false(list_linked(&items[1].node));
	list_remove(&items[1].node); /* no-op */
	assert_int_equal(value_of(list_pop_front(&l)), 0);
	assert_int_equal(value_of(list_pop_front(&l)), 2);
	assert_true(list_empty(&l));
}

enum { HEAP_MAX = 200 };

static void
heap_check(const struct heap *h)
{
	for (uint32_t i = 0; i < h->count; i++) {
		assert_int_equal(h->slots[i]->slot, i + 1);
		if (i > 0)
			assert_true(
			    h->slots[(i + 1) / 2 - 1]->key <= h->slots[i]->key);
	}
}

static void
test_heap_limit(void **state)
{
	struct heap_node *slots[2];
	struct heap_node n[3] = { { 0 } };
	struct heap h;

	(void)state;
	heap_init(&h, slots, 2);
	assert_null(heap_min(&h));
	assert_int_equal(heap_add(&h, &n[0], 5), OK);
	assert_int_equal(heap_add(&h, &n[1], -5), OK);
	assert_int_equal(heap_add(&h, &n[2], 0), ERR_FULL);
	assert_int_equal(n[2].slot, 0);
	assert_ptr_equal(heap_min(&h), &n[1]);
	heap_remove(&h, &n[2]); /* no-op */
	heap_remove(&h, &n[1]);
	assert_ptr_equal(heap_min(&h), &n[0]);
	heap_remove(&h, &n[0]);
	assert_null(heap_min(&h));
}

/* Random adds, changes and removals: always a heap, and it comes out
 * sorted. */
static void
test_heap_random(void **state)
{
	struct heap_node *slots[HEAP_MAX];
	struct heap_node n[HEAP_MAX] = { { 0 } };
	struct heap h;
	int64_t last = INT64_MIN;

	(void)state;
	random_seed(42);
	heap_init(&h, slots, HEAP_MAX);
	for (int i = 0; i < 20000; i++) {
		struct heap_node *at = &n[random_u64() % HEAP_MAX];
		int64_t key = (int64_t)(random_u64() % 1000) - 500;

		if (at->slot == 0)
			assert_int_equal(heap_add(&h, at, key), OK);
		else if (random_u64() % 2 == 0)
			heap_update(&h, at, key);
		else
			heap_remove(&h, at);
		if (i % 100 == 0)
			heap_check(&h);
	}
	heap_check(&h);
	while (heap_min(&h) != NULL) {
		assert_true(heap_min(&h)->key >= last);
		last = heap_min(&h)->key;
		heap_remove(&h, heap_min(&h));
	}
}

static void
test_hash_table(void **state)
{
	struct item items[64] = { { .value = 0 } };
	struct acct a;
	struct hash h;

	(void)state;
	acct_init(&a, NULL, "a", 0, false, "");
	mem_fail_after(1);
	assert_int_equal(hash_init(&h, &a, 5), ERR_FULL);
	assert_int_equal(hash_init(&h, &a, 5), OK);
	assert_int_equal(h.bucket_count, 8);
	assert_null(hash_first(&h, 1));
	for (int i = 0; i < 64; i++) {
		items[i].value = i;
		hash_add(&h, &items[i].hash, (uint64_t)i / 2);
	}
	assert_int_equal(h.count, 64);
	for (int i = 0; i < 64; i++) {
		struct hash_node *n = hash_first(&h, (uint64_t)i / 2);
		int found = 0;

		for (; n != NULL; n = hash_next(n)) {
			assert_int_equal(
			    CONTAINER(n, struct item, hash)->value / 2, i / 2);
			found++;
		}
		assert_int_equal(found, 2);
	}
	for (int i = 0; i < 64; i += 2)
		hash_remove(&h, &items[i].hash);
	for (int i = 0; i < 32; i++)
		assert_ptr_equal(hash_first(&h, (uint64_t)i),
		    &items[2 * i + 1].hash);
	hash_fini(&h);
	acct_fini(&a);
}

static void
test_siphash(void **state)
{
	/* From the paper, appendix A: key 00..0f, message 00..0e. */
	static const uint64_t key[2] = { 0x0706050403020100,
		0x0f0e0d0c0b0a0908 };
	unsigned char message[15];

	(void)state;
	for (size_t i = 0; i < sizeof(message); i++)
		message[i] = (unsigned char)i;
	assert_true(
	    hash_keyed(key, message, sizeof(message)) == 0xa129ca6149be45e5);
}

/* Every byte value at every place of words and of the rest. */
static void
test_nocase(void **state)
{
	char a[19], b[19];

	(void)state;
	for (size_t at = 0; at < sizeof(a); at++) {
		for (int c = 0; c < 256; c++) {
			bool letter =
			    (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');

			memset(a, 'Q', sizeof(a));
			memset(b, 'q', sizeof(b));
			a[at] = (char)c;
			b[at] = (char)(c ^ 0x20);
			assert_int_equal(hash_bytes_nocase(a, sizeof(a)) ==
					     hash_bytes_nocase(b, sizeof(b)),
			    letter);
		}
	}
	assert_true(hash_bytes_nocase("abc", 3) == hash_bytes("abc", 3));
	assert_true(hash_bytes("", 0) == hash_bytes(NULL, 0));
}

static void
test_random(void **state)
{
	uint64_t a, b;

	(void)state;
	random_seed(7);
	a = random_u64();
	b = random_u64();
	assert_true(a != b);
	random_seed(7);
	assert_true(random_u64() == a);
	assert_true(random_u64() == b);
	random_seed(8);
	assert_true(random_u64() != a);
	assert_true(hash_u64(1) != hash_u64(2));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_list),
		cmocka_unit_test(test_heap_limit),
		cmocka_unit_test(test_heap_random),
		cmocka_unit_test(test_hash_table),
		cmocka_unit_test(test_siphash),
		cmocka_unit_test(test_nocase),
		cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
