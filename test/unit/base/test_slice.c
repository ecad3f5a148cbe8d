#include "../check.h"

#include "base/slice.h"

static void
test_compare(void **state)
{
	static const struct {
		const char *why, *a, *b;
		bool eq, starts, ends;
	} rows[] = {
		{ "equal", "abc", "abc", true, true, true },
		{ "case is ignored", "aBc", "AbC", true, true, true },
		{ "prefix", "abcd", "AB", false, true, false },
		{ "suffix", "abcd", "CD", false, false, true },
		{ "longer than the text", "ab", "abc", false, false, false },
		{ "both empty", "", "", true, true, true },
		{ "empty fits everywhere", "a", "", false, true, true },
		{ "only letters fold", "[", "{", false, false, false },
		{ "no folding above ASCII", "\xc4", "\xe4", false, false,
		    false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct slice a = slice_str(rows[i].a);
		struct slice b = slice_str(rows[i].b);

		print_message("%s\n", rows[i].why);
		assert_int_equal(slice_eq_nocase(a, b), rows[i].eq);
		assert_int_equal(slice_starts_nocase(a, b), rows[i].starts);
		assert_int_equal(slice_ends_nocase(a, b), rows[i].ends);
	}
	assert_true(slice_eq_nocase(SLICE_NONE, SLICE_LIT("")));
	assert_true(slice_eq(SLICE_NONE, SLICE_LIT("")));
	assert_false(slice_eq(SLICE_LIT("a"), SLICE_LIT("A")));
}

static void
test_find(void **state)
{
	struct slice s = SLICE_LIT("a@b@c");

	(void)state;
	assert_int_equal(slice_find(s, '@'), 1);
	assert_int_equal(slice_rfind(s, '@'), 3);
	assert_int_equal(slice_find(s, 'x'), 5);
	assert_int_equal(slice_rfind(s, 'x'), 5);
	assert_int_equal(slice_find(SLICE_NONE, 'x'), 0);
	assert_int_equal(slice_rfind(SLICE_NONE, 'x'), 0);
}

static void
test_cut(void **state)
{
	struct slice s = SLICE_LIT(" \tab c\t ");

	(void)state;
	assert_true(slice_eq(slice_trim(s), SLICE_LIT("ab c")));
	assert_int_equal(slice_trim(SLICE_LIT(" \t ")).len, 0);
	assert_int_equal(slice_trim(SLICE_NONE).len, 0);
	assert_true(slice_eq(slice_sub(s, 2, 4), SLICE_LIT("ab")));
	assert_int_equal(slice_sub(s, 4, 2).len, 0);
	assert_int_equal(slice_sub(s, 100, 200).len, 0);
	assert_int_equal(slice_sub(s, 0, 100).len, s.len);
	assert_null(slice_sub(SLICE_NONE, 0, 1).data);
}

static void
test_words(void **state)
{
	struct slice s = SLICE_LIT(", a,, bc\t,d ");
	struct slice w;

	(void)state;
	assert_true(slice_word(&s, ", \t", &w));
	assert_true(slice_eq(w, SLICE_LIT("a")));
	assert_true(slice_word(&s, ", \t", &w));
	assert_true(slice_eq(w, SLICE_LIT("bc")));
	assert_true(slice_word(&s, ", \t", &w));
	assert_true(slice_eq(w, SLICE_LIT("d")));
	assert_false(slice_word(&s, ", \t", &w));
	assert_int_equal(w.len, 0);

	/* A NUL is a byte of a word, not the end of the separators. */
	s = SLICE_LIT("a\0b");
	assert_true(slice_word(&s, ",", &w));
	assert_int_equal(w.len, 3);
}

static void
test_number(void **state)
{
	static const struct {
		const char *why, *text;
		uint64_t max;
		bool ok;
		uint64_t value;
	} rows[] = {
		{ "zero", "0", 10, true, 0 },
		{ "limit - 1", "9", 10, true, 9 },
		{ "limit", "10", 10, true, 10 },
		{ "limit + 1", "11", 10, false, 0 },
		{ "the largest", "18446744073709551615", UINT64_MAX, true,
		    UINT64_MAX },
		{ "one more", "18446744073709551616", UINT64_MAX, false, 0 },
		{ "ten times more", "99999999999999999999", UINT64_MAX, false,
		    0 },
		{ "leading zeros", "0007", 7, true, 7 },
		{ "empty", "", 10, false, 0 },
		{ "sign", "+1", 10, false, 0 },
		{ "minus", "-1", 10, false, 0 },
		{ "space", " 1", 10, false, 0 },
		{ "letters behind", "1k", 10, false, 0 },
		{ "high byte", "\xb1", 10, false, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint64_t v = 0;

		print_message("%s\n", rows[i].why);
		assert_int_equal(
		    slice_to_u64(slice_str(rows[i].text), rows[i].max, &v),
		    rows[i].ok);
		assert_true(v == rows[i].value);
	}
}

static void
test_copy(void **state)
{
	char buf[4];

	(void)state;
	assert_true(slice_copy(SLICE_LIT("ab"), buf, sizeof(buf)));
	assert_string_equal(buf, "ab");
	assert_true(slice_copy(SLICE_LIT("abc"), buf, sizeof(buf)));
	assert_string_equal(buf, "abc");
	assert_false(slice_copy(SLICE_LIT("abcd"), buf, sizeof(buf)));
	assert_string_equal(buf, "");
	assert_false(slice_copy(SLICE_LIT("a\0b"), buf, sizeof(buf)));
	assert_string_equal(buf, "");
	assert_true(slice_copy(SLICE_NONE, buf, sizeof(buf)));
	assert_false(slice_copy(SLICE_NONE, buf, 0));
}

static const struct {
	const char *why, *in, *text, *json;
} escapes[] = {
	{ "plain text", "a b~", "a b~", "a b~" },
	{ "controls", "\r\n\t\x01\x7f", "\\x0d\\x0a\\x09\\x01\\x7f",
	    "\\u000d\\u000a\\u0009\\u0001\\u007f" },
	{ "quote and backslash", "\"\\", "\"\\", "\\\"\\\\" },
	{ "two bytes of UTF-8", "\xc3\xa9", "\\xc3\\xa9", "\\u00e9" },
	{ "three", "\xe2\x82\xac", "\\xe2\\x82\\xac", "\\u20ac" },
	{ "four: a pair of surrogates", "\xf0\x9f\x93\xa7",
	    "\\xf0\\x9f\\x93\\xa7", "\\ud83d\\udce7" },
	{ "a lone continuation", "\x80", "\\x80", "\\\\x80" },
	{ "a cut sequence", "\xe2\x82", "\\xe2\\x82", "\\\\xe2\\\\x82" },
	{ "not the shortest form", "\xc0\xaf", "\\xc0\\xaf", "\\\\xc0\\\\xaf" },
	{ "not the shortest form of three", "\xe0\x80\xaf", "\\xe0\\x80\\xaf",
	    "\\\\xe0\\\\x80\\\\xaf" },
	{ "an encoded surrogate", "\xed\xa0\x80", "\\xed\\xa0\\x80",
	    "\\\\xed\\\\xa0\\\\x80" },
	{ "above U+10FFFF", "\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80",
	    "\\\\xf4\\\\x90\\\\x80\\\\x80" },
	{ "empty", "", "", "" },
};

static void
test_escape(void **state)
{
	char buf[128];

	(void)state;
	for (size_t i = 0; i < sizeof(escapes) / sizeof(escapes[0]); i++) {
		struct slice s = slice_str(escapes[i].in);
		size_t n = slice_escape(&s, buf, sizeof(buf));

		print_message("%s\n", escapes[i].why);
		assert_int_equal(s.len, 0);
		assert_int_equal(n, strlen(escapes[i].text));
		assert_memory_equal(buf, escapes[i].text, n);
		s = slice_str(escapes[i].in);
		n = slice_json(&s, buf, sizeof(buf));
		assert_int_equal(s.len, 0);
		assert_int_equal(n, strlen(escapes[i].json));
		assert_memory_equal(buf, escapes[i].json, n);
	}
}

/* In pieces of every size the output is the same as in one. */
static void
test_escape_pieces(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(escapes) / sizeof(escapes[0]); i++) {
		for (size_t piece = 12; piece < 20; piece++) {
			struct slice s = slice_str(escapes[i].in);
			char buf[128];
			size_t n = 0;

			while (s.len > 0)
				n += slice_json(&s, buf + n, piece);
			assert_int_equal(n, strlen(escapes[i].json));
			assert_memory_equal(buf, escapes[i].json, n);
		}
	}
	/* What does not fit is left, never cut in the middle. */
	for (size_t size = 0; size < 4; size++) {
		struct slice s = SLICE_LIT("\n");
		char buf[4];

		assert_int_equal(slice_escape(&s, buf, size), 0);
		assert_int_equal(s.len, 1);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_compare),
		cmocka_unit_test(test_find),
		cmocka_unit_test(test_cut),
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_number),
		cmocka_unit_test(test_copy),
		cmocka_unit_test(test_escape),
		cmocka_unit_test(test_escape_pieces),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
