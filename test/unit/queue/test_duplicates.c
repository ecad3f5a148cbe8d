/* Recipients that were given twice in one transaction. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "proto/envelope.h"
#include "queue/internal.h"

enum { LIMIT = 1000, BYTES_MAX = 1 << 22 };

static struct acct acct;
static struct buf rcpts;

static void
put(const struct envelope_rcpt *r)
{
	char bytes[ENVELOPE_RCPT_BYTES_MAX];
	struct wr w = wr_of(bytes, sizeof(bytes));

	envelope_rcpt_put(&w, r);
	assert_false(w.full);
	assert_int_equal(buf_put(&rcpts, wr_done(&w)), OK);
}

static void
put_address(const char *address)
{
	struct envelope_rcpt r = { .address = slice_str(address) };

	put(&r);
}

/* The addresses, each with a blank behind it. */
static const char *
kept(void)
{
	static char text[256];
	struct rd rd = rd_of(buf_data(&rcpts));
	size_t len = 0;

	text[0] = '\0';
	while (rd.left > 0) {
		struct envelope_rcpt r;

		assert_true(envelope_rcpt_get(&rd, &r));
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%.*s ",
		    SLICE_ARGS(r.address));
		assert_true(len < sizeof(text));
	}
	return text;
}

static int
begin(void **state)
{
	(void)state;
	acct_init(&acct, NULL, "test", 0, false, "");
	buf_init(&rcpts, &acct, 256, BYTES_MAX);
	return 0;
}

static int
end(void **state)
{
	(void)state;
	buf_fini(&rcpts);
	acct_fini(&acct);
	return 0;
}

static void
test_order(void **state)
{
	static const struct {
		const char *why, *in[6], *out;
		uint32_t limit, gone;
		bool full;
	} rows[] = {
		{ "one", { "a@x" }, "a@x ", LIMIT, 0, false },
		{ "nobody twice", { "a@x", "b@x", "a@y" }, "a@x b@x a@y ",
		    LIMIT, 0, false },
		{ "the first stays where it is",
		    { "a@x", "b@x", "a@x", "c@x", "b@x" }, "a@x b@x c@x ",
		    LIMIT, 2, false },
		{ "all alike", { "a@x", "a@x", "a@x" }, "a@x ", LIMIT, 2,
		    false },
		{ "case is none", { "a@x", "A@X" }, "a@x ", LIMIT, 1, false },
		{ "one is remembered", { "a@x", "b@x", "a@x", "b@x" },
		    "a@x b@x b@x ", 1, 1, true },
		{ "as many as are remembered", { "a@x", "b@x", "b@x", "a@x" },
		    "a@x b@x ", 2, 2, false },
		{ "nobody is remembered", { "a@x", "a@x" }, "a@x a@x ", 0, 0,
		    false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint32_t count = 0, gone;
		bool full = false;

		buf_take(&rcpts, buf_data(&rcpts).len);
		while (count < 6 && rows[i].in[count] != NULL)
			put_address(rows[i].in[count++]);
		gone = duplicates_drop(&rcpts, count, rows[i].limit, &full);
		if (gone != rows[i].gone || full != rows[i].full ||
		    strcmp(kept(), rows[i].out) != 0)
			fail_msg("%s: %u gone, %s", rows[i].why, gone, kept());
	}
}

/* What a report would tell differently is another recipient. */
static void
test_alike(void **state)
{
	const struct envelope_rcpt first = {
		.address = SLICE_LIT("a@x"),
		.orcpt = SLICE_LIT("rfc822;o@x"),
		.original = SLICE_LIT("list@x"),
		.notify = NOTIFY_SUCCESS,
	};
	struct envelope_rcpt r[4] = { first, first, first, first };
	bool full;

	(void)state;
	r[0].orcpt = SLICE_LIT("rfc822;O@x");
	r[1].original = SLICE_NONE;
	r[2].notify = NOTIFY_NEVER;
	put(&first);
	for (int i = 0; i < 4; i++)
		put(&r[i]);
	assert_int_equal(duplicates_drop(&rcpts, 5, LIMIT, &full), 1);
	assert_false(full);
	assert_string_equal(kept(), "a@x a@x a@x a@x ");
}

/* As many as there may be of one address: each is compared with few. */
static void
test_one_address(void **state)
{
	const struct envelope_rcpt r = { .address = SLICE_LIT("a@x") };
	struct envelope_rcpt other = r;
	char orcpt[32];
	bool full;

	(void)state;
	for (unsigned i = 0; i < 10000; i++) {
		snprintf(orcpt, sizeof(orcpt), "rfc822;o%u@x", i);
		other.orcpt = slice_str(orcpt);
		put(&other);
	}
	put(&r);
	put(&r);
	assert_int_equal(duplicates_drop(&rcpts, 10002, 10000, &full), 0);
	assert_true(full);
	put(&other);
	assert_int_equal(duplicates_drop(&rcpts, 10003, 10000, &full), 1);
}

/* At the limit, and at what the parameter may be: all twice. */
static void
test_limit(void **state)
{
	static const unsigned limits[] = { LIMIT, 10000 };

	(void)state;
	for (size_t l = 0; l < ARRAY_LEN(limits); l++)
		for (int by = -1; by <= 1; by++) {
			unsigned count = limits[l] + (unsigned)by;
			uint32_t gone;
			bool full;

			buf_take(&rcpts, buf_data(&rcpts).len);
			for (unsigned i = 0; i < 2 * count; i++) {
				char text[32];

				snprintf(text, sizeof(text), "u%u@x",
				    i % count);
				put_address(text);
			}
			gone = duplicates_drop(&rcpts, 2 * count, limits[l],
			    &full);
			assert_int_equal(gone, by > 0 ? limits[l] : count);
			assert_int_equal(full, by > 0);
		}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_order, begin, end),
		cmocka_unit_test_setup_teardown(test_alike, begin, end),
		cmocka_unit_test_setup_teardown(test_one_address, begin, end),
		cmocka_unit_test_setup_teardown(test_limit, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
