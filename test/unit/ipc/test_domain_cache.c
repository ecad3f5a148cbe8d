/* What is kept for a domain, for how long, and what is never kept. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "ipc/domain_cache.h"
#include "ipc/frames.h"

static struct acct mem;
static struct domain_cache *cache;

static int
setup(void **state)
{
	(void)state;
	acct_init(&mem, NULL, "test", 1 << 20, false, "");
	return domain_cache_new(&mem, &cache) == OK ? 0 : -1;
}

static int
teardown(void **state)
{
	(void)state;
	domain_cache_free(cache);
	acct_fini(&mem);
	return 0;
}

static struct mono
at(int64_t ms)
{
	return (struct mono){ ms };
}

static struct fr_resolved
answer(const char *address)
{
	return (struct fr_resolved){
		.verdict = RESOLVE_REMOTE,
		.transport = SLICE_LIT("smtp"),
		.nexthop = SLICE_LIT("[192.0.2.1]:2525"),
		.address = slice_str(address),
		.domain_ms = 1000,
	};
}

static bool
finds(int64_t now_ms, const char *address)
{
	struct fr_resolved r;

	if (!domain_cache_find(cache, at(now_ms), slice_str(address), &r))
		return false;
	assert_int_equal(r.verdict, RESOLVE_REMOTE);
	assert_true(slice_eq(r.transport, SLICE_LIT("smtp")));
	assert_true(slice_eq(r.nexthop, SLICE_LIT("[192.0.2.1]:2525")));
	assert_true(slice_eq(r.address, slice_str(address)));
	assert_int_equal(r.mailbox.len, 0);
	return true;
}

static void
keep(int64_t now_ms, const char *address)
{
	struct fr_resolved r = answer(address);

	domain_cache_keep(cache, at(now_ms), slice_str(address), &r);
}

static void
test_found(void **state)
{
	(void)state;
	keep(5, "joe@example.org");
	assert_true(finds(5, "joe@example.org"));
	assert_true(finds(5, "ann@EXAMPLE.org"));
	assert_true(finds(1004, "\"a@b\"@example.org"));
	assert_false(finds(1005, "joe@example.org"));
	assert_false(finds(6, "joe@sub.example.org"));
	assert_false(finds(6, "joe@example.or"));
	assert_false(finds(6, "example.org"));
	assert_false(finds(6, "joe@"));
	assert_false(finds(6, ""));
	keep(2000, "ann@example.org");
	assert_true(finds(2500, "joe@example.org"));
	domain_cache_clear(cache);
	assert_false(finds(2500, "joe@example.org"));
}

static void
test_not_kept(void **state)
{
	static const struct {
		const char *why, *asked;
		struct fr_resolved change;
	} rows[] = {
		{ "for this address only", "a@b.org", { .text = { 0 } } },
		{ "refused", "a@b.org",
		    { .verdict = RESOLVE_REFUSE, .domain_ms = 1000 } },
		{ "with a mailbox", "a@b.org",
		    { .mailbox = { "x/", 2 }, .domain_ms = 1000 } },
		{ "with a code", "a@b.org",
		    { .code = 450, .domain_ms = 1000 } },
		{ "another address than was asked", "c@b.org",
		    { .domain_ms = 1000 } },
		{ "without a domain", "a", { .domain_ms = 1000 } },
		{ "a literal", "a@[192.0.2.1]", { .domain_ms = 1000 } },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const char *same[] = { "a@b.org", "a", "a@[192.0.2.1]" };
		struct fr_resolved r = answer("a@b.org"), out;

		for (size_t k = 0; k < ARRAY_LEN(same); k++)
			if (!strcmp(rows[i].asked, same[k]))
				r.address = slice_str(same[k]);
		r.domain_ms = rows[i].change.domain_ms;
		r.code = rows[i].change.code;
		r.mailbox = rows[i].change.mailbox;
		if (rows[i].change.verdict != 0)
			r.verdict = rows[i].change.verdict;
		domain_cache_keep(cache, at(1), slice_str(rows[i].asked), &r);
		if (domain_cache_find(cache, at(1), slice_str(rows[i].asked),
			&out))
			fail_msg("%s", rows[i].why);
	}
}

/* More domains than there are places: bounded, and never a wrong answer. */
static void
test_many(void **state)
{
	unsigned found = 0;

	(void)state;
	for (unsigned i = 0; i < 10 * DOMAIN_CACHE_COUNT; i++) {
		char address[32];

		snprintf(address, sizeof(address), "a@d%u.org", i);
		keep(1, address);
		assert_true(finds(1, address));
	}
	for (unsigned i = 0; i < 10 * DOMAIN_CACHE_COUNT; i++) {
		char address[32];

		snprintf(address, sizeof(address), "a@d%u.org", i);
		found += finds(1, address);
	}
	assert_in_range(found, 1, DOMAIN_CACHE_COUNT);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_found),
		T(test_not_kept),
		T(test_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
