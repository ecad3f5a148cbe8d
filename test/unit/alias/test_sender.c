/*
 * Senders: VERP, owners, and SRS in the form of libsrs2.
 */
#include "../check.h"

#include <stdio.h>
#include <string.h>

#include "alias/sender.h"
#include "alias/srs.h"

static char buf[512];
static struct out o;

static struct out *
fresh(size_t size)
{
	out_init(&o, buf, size);
	return &o;
}

static void
expect(const char *want)
{
	if (!slice_eq(out_text(&o), slice_str(want)))
		fail_msg("%.*s is not %s", SLICE_ARGS(out_text(&o)), want);
}

static void
test_verp(void **state)
{
	static const struct {
		const char *why, *sender, *recipient, *want;
	} rows[] = {
		{ "expanded", "joe-owner-@h.example-@[]", "box@dom",
		    "joe-owner-box=dom@h.example" },
		{ "an at sign in the box", "o-@h-@[]", "\"a@b\"@dom",
		    "o-\"a@b\"=dom@h" },
		{ "a recipient without a domain", "o-@h-@[]", "box",
		    "o-@h-@[]" },
		{ "not one", "joe@h", "box@dom", "joe@h" },
		{ "the null sender", "", "box@dom", "" },
		{ "a double bounce's", "#@[]", "box@dom", "#@[]" },
		{ "the tail alone", "-@[]", "box@dom", "-@[]" },
		{ "nothing behind the at sign", "a@-@[]", "box@dom", "a@-@[]" },
		{ "nothing before it", "@h-@[]", "box@dom", "box=dom@h" },
		{ "no at sign", "ah-@[]", "box@dom", "ah-@[]" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		print_message("%s\n", rows[i].why);
		sender_verp(slice_str(rows[i].sender),
		    slice_str(rows[i].recipient), fresh(sizeof(buf)));
		expect(rows[i].want);
	}
	assert_true(slice_eq(sender_bounce_to(SLICE_LIT("o-@h-@[]")),
	    SLICE_LIT("o-@h")));
	assert_true(
	    slice_eq(sender_bounce_to(SLICE_LIT("o@h")), SLICE_LIT("o@h")));
	sender_verp_delimited(SLICE_LIT("owner@origin"),
	    SLICE_LIT("user@domain"), "+=", fresh(sizeof(buf)));
	expect("owner+user=domain@origin");
	sender_verp_delimited(SLICE_NONE, SLICE_LIT("user@domain"),
	    "+=", fresh(sizeof(buf)));
	expect("");
	sender_verp_delimited(SLICE_LIT("owner@o"), SLICE_LIT("user"),
	    "+=", fresh(sizeof(buf)));
	expect("owner@o");
}

static void
test_owner(void **state)
{
	static const struct {
		const char *why, *sender;
		bool owner, deflt;
		const char *want;
	} rows[] = {
		{ "no owner", "s@x", false, false, "s@x" },
		{ "no owner, whatever else there is", "s@x", false, true,
		    "s@x" },
		{ "an owner", "s@x", true, false, "joe-list-owner@h" },
		{ "one for each", "s@x", true, true, "joe-list-owner-@h-@[]" },
		{ "never for a bounce", "", true, true, "" },
		{ "nor for a double bounce", "#@[]", true, true, "#@[]" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		print_message("%s\n", rows[i].why);
		sender_owner(slice_str(rows[i].sender), SLICE_LIT("joe-list"),
		    SLICE_LIT("h"), rows[i].owner, rows[i].deflt,
		    fresh(sizeof(buf)));
		expect(rows[i].want);
	}
	sender_owner(SLICE_LIT("s@x"), SLICE_LIT("joe"), SLICE_LIT("h"), true,
	    false, fresh(10));
	assert_true(o.full);
}

static const struct srs conf = {
	.domain = SLICE_LIT("fwd.example"),
	.secrets = { SLICE_LIT("tops3cret") },
	.secret_count = 1,
	.hash_chars = 4,
	.days = 21,
};
enum { DAY = 20779 }; /* 20779 mod 1024 is JL in base32 */

#include "srs_vectors.h"

/* What libsrs2 makes is what we make, and the other way round. */
static void
test_srs_vectors(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(vectors); i++) {
		struct slice from = slice_str(vectors[i].from);
		struct slice to = slice_str(vectors[i].to);
		size_t at = slice_rfind(from, '@');

		print_message("%s\n", vectors[i].from);
		assert_int_equal(srs_forward(&conf, slice_sub(from, 0, at),
				     slice_sub(from, at + 1, from.len), DAY,
				     fresh(sizeof(buf))),
		    OK);
		expect(vectors[i].to);
		assert_int_equal(srs_reverse(&conf,
				     slice_sub(to, 0, slice_rfind(to, '@')),
				     DAY, fresh(sizeof(buf))),
		    OK);
		expect(vectors[i].back);
	}
}

static enum err
reverse(const struct srs *srs, const char *local, uint32_t day)
{
	return srs_reverse(srs, slice_str(local), day, fresh(sizeof(buf)));
}

static void
test_srs_refuses(void **state)
{
	struct srs other = conf;
	char good[128], bad[128];
	size_t len;

	(void)state;
	assert_int_equal(srs_forward(&conf, SLICE_LIT("joe"),
			     SLICE_LIT("a.example"), DAY, fresh(sizeof(buf))),
	    OK);
	len = slice_rfind(out_text(&o), '@');
	memcpy(good, buf, len);
	good[len] = '\0';
	assert_int_equal(reverse(&conf, good, DAY), OK);
	/* In any case, as servers on the way may make it. */
	for (size_t i = 0; i <= len; i++)
		bad[i] = good[i] >= 'A' && good[i] <= 'Z' ? (char)(good[i] + 32)
							  : good[i];
	assert_int_equal(reverse(&conf, bad, DAY), OK);
	/* Any other letter anywhere behind SRS0=. */
	for (size_t i = 5; i < len; i++) {
		enum err e;

		memcpy(bad, good, len + 1);
		bad[i] = bad[i] == 'x' ? 'y' : 'x';
		e = reverse(&conf, bad, DAY);
		assert_true(e == ERR_DENIED || e == ERR_SYNTAX);
	}
	/* Cut anywhere. */
	for (size_t i = 0; i < len; i++) {
		enum err e = srs_reverse(&conf, slice_of(good, i), DAY,
		    fresh(sizeof(buf)));

		assert_true(e == ERR_DENIED || e == ERR_SYNTAX);
	}
	/* The last day, and the one after it; and before it was made. */
	assert_int_equal(reverse(&conf, good, DAY + 20), OK);
	assert_int_equal(reverse(&conf, good, DAY + 21), OK);
	assert_int_equal(reverse(&conf, good, DAY + 22), ERR_TIMEOUT);
	assert_int_equal(reverse(&conf, good, DAY - 1), ERR_TIMEOUT);
	/* A new secret, the old one still valid, then not. */
	other.secrets[0] = SLICE_LIT("new");
	assert_int_equal(reverse(&other, good, DAY), ERR_DENIED);
	other.secrets[1] = SLICE_LIT("tops3cret");
	other.secret_count = 2;
	assert_int_equal(reverse(&other, good, DAY), OK);
	/* Less of the hash than is wanted. */
	other = conf;
	other.hash_chars = 5;
	assert_int_equal(reverse(&other, good, DAY), ERR_DENIED);
	other.secret_count = 0;
	assert_int_equal(reverse(&other, good, DAY), ERR_CONFIG);
	assert_int_equal(reverse(&conf, "joe", DAY), ERR_SYNTAX);
}

static void
test_srs_edges(void **state)
{
	struct srs srs = conf;

	(void)state;
	/* Our own senders stay. */
	assert_int_equal(srs_forward(&conf, SLICE_LIT("joe"),
			     SLICE_LIT("FWD.example"), DAY, fresh(sizeof(buf))),
	    OK);
	expect("joe@FWD.example");
	assert_int_equal(srs_forward(&conf, SLICE_NONE, SLICE_LIT("a"), DAY,
			     fresh(sizeof(buf))),
	    ERR_SYNTAX);
	/* An SRS0 of another host that is none: wrapped as any address. */
	assert_int_equal(srs_forward(&conf, SLICE_LIT("SRS1=x"),
			     SLICE_LIT("a.example"), DAY, fresh(sizeof(buf))),
	    OK);
	assert_int_equal(buf[3], '0');
	/* Every length of hash. */
	for (srs.hash_chars = SRS_HASH_CHARS_MIN;
	     srs.hash_chars <= SRS_HASH_CHARS_MAX; srs.hash_chars++) {
		char local[128];
		size_t n;

		assert_int_equal(srs_forward(&srs, SLICE_LIT("joe"),
				     SLICE_LIT("a.example"), DAY,
				     fresh(sizeof(buf))),
		    OK);
		n = slice_rfind(out_text(&o), '@');
		assert_int_equal(n, 22 + srs.hash_chars);
		memcpy(local, buf, n);
		local[n] = '\0';
		assert_int_equal(reverse(&srs, local, DAY), OK);
		/* Longer than we make: taken; shorter: not. */
		assert_int_equal(reverse(&conf, local, DAY), OK);
	}
	/* limit - 1, limit, limit + 1: SRS0=hash=JL=a.example=joe@fwd.example
	 */
	for (size_t size = 37; size <= 39; size++)
		assert_int_equal(srs_forward(&conf, SLICE_LIT("joe"),
				     SLICE_LIT("a.example"), DAY, fresh(size)),
		    size >= 38 ? OK : ERR_TOOBIG);
	assert_int_equal(srs_day(0), 0);
	assert_int_equal(srs_day(-1), 0);
	assert_int_equal(srs_day(86400000), 1);
	assert_int_equal(srs_day(86399999), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_verp),
		cmocka_unit_test(test_owner),
		cmocka_unit_test(test_srs_vectors),
		cmocka_unit_test(test_srs_refuses),
		cmocka_unit_test(test_srs_edges),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
