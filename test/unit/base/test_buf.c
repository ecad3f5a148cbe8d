#include "../check.h"

#include "base/buf.h"
#include "base/mem.h"

static void
test_limits(void **state)
{
	struct acct a;
	struct buf b;
	size_t room;
	char *at;

	(void)state;
	acct_init(&a, NULL, "a", 0, false, "");
	buf_init(&b, &a, 4, 10);
	assert_int_equal(a.used_bytes, 0);
	assert_int_equal(buf_put(&b, SLICE_LIT("")), OK);
	assert_int_equal(a.used_bytes, 0);
	assert_int_equal(buf_put(&b, SLICE_LIT("abcd")), OK);
	assert_int_equal(b.size, 4);
	assert_int_equal(buf_put(&b, SLICE_LIT("e")), OK);
	assert_int_equal(b.size, 8);
	assert_int_equal(buf_room(&b, 5, &at, &room), OK);
	assert_int_equal(b.size, 10); /* not 16 */
	assert_int_equal(room, 5);
	assert_int_equal(buf_room(&b, 6, &at, &room), ERR_TOOBIG);
	assert_int_equal(buf_put(&b, SLICE_LIT("fghij")), OK);
	assert_int_equal(buf_put(&b, SLICE_LIT("k")), ERR_TOOBIG);
	assert_true(slice_eq(buf_data(&b), SLICE_LIT("abcdefghij")));

	/* Room in front is used again before anything grows. */
	buf_take(&b, 3);
	assert_int_equal(buf_put(&b, SLICE_LIT("klm")), OK);
	assert_true(slice_eq(buf_data(&b), SLICE_LIT("defghijklm")));
	buf_release(&b); /* not empty: stays */
	assert_non_null(b.data);
	buf_take(&b, 10);
	assert_int_equal(buf_data(&b).len, 0);
	buf_release(&b);
	assert_int_equal(a.used_bytes, 0);
	assert_int_equal(buf_put(&b, SLICE_LIT("x")), OK);
	buf_fini(&b);
	buf_fini(&b);
	acct_fini(&a);
}

static void
test_refused(void **state)
{
	struct acct a;
	struct buf b;

	(void)state;
	acct_init(&a, NULL, "a", 0, false, "");
	buf_init(&b, &a, 4, 64);
	mem_fail_after(1);
	assert_int_equal(buf_put(&b, SLICE_LIT("abc")), ERR_FULL);
	assert_int_equal(buf_put(&b, SLICE_LIT("abc")), OK);
	mem_fail_after(1);
	assert_int_equal(buf_put(&b, SLICE_LIT("defgh")), ERR_FULL);
	assert_true(slice_eq(buf_data(&b), SLICE_LIT("abc")));
	assert_int_equal(buf_put(&b, SLICE_LIT("defgh")), OK);
	assert_true(slice_eq(buf_data(&b), SLICE_LIT("abcdefgh")));
	buf_fini(&b);
	acct_fini(&a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
