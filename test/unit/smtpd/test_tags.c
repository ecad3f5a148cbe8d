/*
 * Tags: who asked is found, who is gone is not, and the table has an end.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "smtpd/tags.h"

static void
test_tags(void **state)
{
	struct acct a;
	struct tags t;
	uint32_t tag[4], old;
	uint16_t what;
	int x, y;

	(void)state;
	acct_init(&a, NULL, "test", 0, false, "");
	assert_int_equal(tags_init(&t, &a, 3), OK);
	tag[0] = tags_get(&t, &x, 7);
	tag[1] = tags_get(&t, &y, 8);
	tag[2] = tags_get(&t, &x, 9);
	assert_int_equal(tags_get(&t, &x, 0), TAG_NONE);
	assert_ptr_equal(tags_find(&t, tag[0], &what), &x);
	assert_int_equal(what, 7);
	assert_ptr_equal(tags_find(&t, tag[1], &what), &y);
	tags_put(&t, tag[1]);
	tags_put(&t, tag[1]); /* once is enough */
	assert_null(tags_find(&t, tag[1], &what));
	assert_int_equal(t.in_use, 2);
	/* The place is used again, the tag is another. */
	old = tag[1];
	tag[1] = tags_get(&t, &x, 1);
	assert_true(tag[1] != old && tag[1] != TAG_NONE);
	assert_null(tags_find(&t, old, &what));
	assert_null(tags_find(&t, TAG_NONE, &what));
	assert_null(tags_find(&t, 0xffffffff, &what));
	assert_null(tags_find(&t, 4, &what));
	tags_put(&t, TAG_NONE);
	tags_fini(&t);
	acct_fini(&a);
}

/* Generations go round without ever giving TAG_NONE. */
static void
test_generations(void **state)
{
	struct acct a;
	struct tags t;
	int x;

	(void)state;
	acct_init(&a, NULL, "test", 0, false, "");
	assert_int_equal(tags_init(&t, &a, 1), OK);
	for (int i = 0; i < 70000; i++) {
		uint32_t tag = tags_get(&t, &x, 0);

		assert_true(tag != TAG_NONE);
		tags_put(&t, tag);
	}
	tags_fini(&t);
	acct_fini(&a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tags),
		cmocka_unit_test(test_generations),
	};

	return cmocka_run_group_tests_name("tags", tests, NULL, NULL);
}
