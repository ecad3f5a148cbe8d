/*
 * From_ lines in bodies, in pieces of every size; and that what was quoted is
 * the same again when it is unquoted.
 */
#include "../check.h"

#include <stdio.h>
#include <string.h>

#include "usercmd/int.h"

struct text {
	char data[512];
	size_t len;
	size_t room; /* how much of it may be used */
};

static bool
put(void *arg, struct slice s)
{
	struct text *t = arg;

	if (s.len > t->room - t->len)
		return false;
	memcpy(t->data + t->len, s.data, s.len);
	t->len += s.len;
	return true;
}

static void
run(enum mbox_way way, struct slice in, size_t first, size_t step,
    struct text *out)
{
	struct mbox_lines m;
	size_t n = first;

	out->len = 0;
	out->room = sizeof(out->data);
	mbox_lines_init(&m, way);
	do {
		assert_true(mbox_lines_feed(&m, slice_sub(in, 0, n), put, out));
		in = slice_sub(in, n, in.len);
		n = step;
	} while (in.len > 0);
	assert_true(mbox_lines_end(&m, put, out));
	if (out->len > 0)
		assert_int_equal(m.last, out->data[out->len - 1]);
}

static const struct {
	const char *why, *plain, *quoted;
} rows[] = {
	{ "nothing", "", "" },
	{ "no such line", "a\nb\n", "a\nb\n" },
	{ "at the beginning", "From a\n", ">From a\n" },
	{ "in the middle", "x\nFrom a\ny\n", "x\n>From a\ny\n" },
	{ "quoted once", ">From a\n", ">>From a\n" },
	{ "quoted three times", ">>>From a\n", ">>>>From a\n" },
	{ "not at the beginning of a line", "x From a\n", "x From a\n" },
	{ "another word", "Fromage\nFROM x\n", "Fromage\nFROM x\n" },
	{ "a mark alone", ">\n>", ">\n>" },
	{ "a mark and another word", ">Fro\n> From x\n", ">Fro\n> From x\n" },
	{ "cut within the word", "Fro", "Fro" },
	{ "cut within it, with a mark", ">From", ">From" },
	{ "cut behind it", "From ", ">From " },
	{ "marks in the middle of a line", "a>From b\n", "a>From b\n" },
	{ "behind an empty line", "\nFrom x\n", "\n>From x\n" },
	{ "forty marks", ">>>>>>>>>>>>>>>>>>>>>>>>>>>>>>>>>>>>>>>>From x",
	    ">>>>>>>>>>>>>>>>>>>>>>>>>>>>>>>>>>>>>>>>>From x" },
	{ "CRLF", "From x\r\n\r\nFrom y\r\n", ">From x\r\n\r\n>From y\r\n" },
};

static void
expect(const struct text *t, const char *want)
{
	if (!slice_eq(slice_of(t->data, t->len), slice_str(want)))
		fail_msg("%.*s is not %s", (int)t->len, t->data, want);
}

static void
test_at_every_split(void **state)
{
	struct text t;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct slice plain = slice_str(rows[i].plain);
		struct slice quoted = slice_str(rows[i].quoted);

		print_message("%s\n", rows[i].why);
		for (size_t first = 0; first <= quoted.len; first++) {
			run(MBOX_QUOTE, plain, first, 64, &t);
			expect(&t, rows[i].quoted);
			run(MBOX_UNQUOTE, quoted, first, 64, &t);
			expect(&t, rows[i].plain);
		}
		run(MBOX_QUOTE, plain, 1, 1, &t);
		expect(&t, rows[i].quoted);
		run(MBOX_UNQUOTE, quoted, 1, 1, &t);
		expect(&t, rows[i].plain);
	}
}

/* A line that nobody quoted loses nothing. */
static void
test_unquoted_stays(void **state)
{
	struct text t;

	(void)state;
	run(MBOX_UNQUOTE, SLICE_LIT("a\nFrom x\n>From y\n"), 3, 3, &t);
	expect(&t, "a\nFrom x\nFrom y\n");
}

/* A full disk at every byte: false, and no more is written. */
static void
test_failure(void **state)
{
	const struct slice in = SLICE_LIT("a\n>>>From x\nb");
	const size_t whole = in.len + 1;

	(void)state;
	for (size_t room = 0; room <= whole; room++) {
		struct text t = { .room = room };
		struct mbox_lines m;
		bool good = true;

		mbox_lines_init(&m, MBOX_QUOTE);
		for (size_t i = 0; i < in.len && good; i++)
			good = mbox_lines_feed(&m, slice_sub(in, i, i + 1), put,
			    &t);
		good = good && mbox_lines_end(&m, put, &t);
		assert_int_equal(good, room == whole);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_at_every_split),
		cmocka_unit_test(test_unquoted_stays),
		cmocka_unit_test(test_failure),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
