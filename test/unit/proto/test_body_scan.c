/*
 * The body scanner against a reference that reads one byte at a time from the
 * whole text, with every alphabet that matters, cut everywhere.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/hash.h"
#include "proto/body_scan.h"

enum { TEXT_MAX = 4096 };

struct result {
	char out[2 * TEXT_MAX + 16];
	size_t len;
	size_t used;
	unsigned flags;
	uint64_t longest;
	bool ended, lacks_eol;
};

/* What lines are, said plainly: the text is split at its line ends first. */
static void
reference(const char *in, size_t n, bool stuffed, bool normalise,
    struct result *r)
{
	bool after_crlf = true;
	size_t at = 0;

	memset(r, 0, sizeof(*r));
	for (;;) {
		size_t start = at, len, end_len = 0;
		bool crlf = false, first_after_crlf = after_crlf;

		while (at < n && in[at] != '\r' && in[at] != '\n')
			at++;
		len = at - start;
		if (at < n) {
			crlf =
			    in[at] == '\r' && at + 1 < n && in[at + 1] == '\n';
			end_len = crlf ? 2 : 1;
			if (!crlf)
				r->flags |= in[at] == '\r' ? BODY_BARE_CR
							   : BODY_BARE_LF;
		}
		if (stuffed && first_after_crlf && crlf && len == 1 &&
		    in[start] == '.') {
			r->used = at + 2;
			r->ended = true;
			return;
		}
		if (stuffed && len > 1 && in[start] == '.') {
			start++;
			len--;
		}
		if (len > 0 && in[start] == '.')
			r->flags |= BODY_DOT_LINE;
		if (len > r->longest)
			r->longest = len;
		memcpy(r->out + r->len, in + start, len);
		r->len += len;
		for (size_t i = 0; i < len; i++)
			if ((unsigned char)in[start + i] >= 0x80)
				r->flags |= BODY_8BIT;
		if (at == n) {
			r->used = n;
			r->lacks_eol = len > 0;
			return;
		}
		memcpy(r->out + r->len, "\r\n", 2);
		r->len += 2;
		at += end_len;
		after_crlf = crlf;
	}
	(void)normalise;
}

/* The scanner, fed pieces of the sizes that cut says. */
static void
scan(const char *in, size_t n, bool stuffed, bool normalise,
    size_t (*cut)(size_t at, void *), void *arg, struct result *r)
{
	struct body_scan b;
	char piece[2 * TEXT_MAX + BODY_SCAN_SLACK_BYTES], copy[TEXT_MAX];
	size_t at = 0, len;

	memset(r, 0, sizeof(*r));
	body_scan_init(&b, stuffed, normalise ? BODY_NORMALISE : BODY_REFUSE);
	while (at < n && !b.ended) {
		size_t take = cut(at, arg);

		if (take > n - at)
			take = n - at;
		memcpy(copy, in + at, take);
		at += body_scan(&b, copy, take, normalise ? piece : copy, &len);
		memcpy(r->out + r->len, normalise ? piece : copy, len);
		r->len += len;
	}
	if (!stuffed) {
		char tail[2];

		len = body_scan_finish(&b, tail);
		memcpy(r->out + r->len, tail, len);
		r->len += len;
	}
	assert_true(b.bytes == r->len);
	r->used = at;
	r->flags = b.flags;
	r->longest = b.longest_line_bytes;
	r->ended = b.ended;
	r->lacks_eol = body_scan_lacks_eol(&b);
}

static size_t
cut_whole(size_t at, void *arg)
{
	(void)at;
	(void)arg;
	return TEXT_MAX;
}

static size_t
cut_bytes(size_t at, void *arg)
{
	(void)at;
	(void)arg;
	return 1;
}

static size_t
cut_at(size_t at, void *arg)
{
	size_t where = *(size_t *)arg;

	return at < where ? where - at : TEXT_MAX;
}

static size_t
cut_random(size_t at, void *arg)
{
	(void)at;
	(void)arg;
	return 1 + random_u64() % 7;
}

static void
compare(const struct result *want, const struct result *got, bool normalise,
    bool stuffed)
{
	unsigned bare = BODY_BARE_CR | BODY_BARE_LF;

	/* Where the octets end DATA has not ended: a CR or a dot may still be
	 * held back. */
	if (stuffed && !want->ended)
		return;
	assert_int_equal(got->ended, want->ended);
	assert_int_equal(got->used, want->used);
	assert_int_equal(got->flags & bare, want->flags & bare);
	if (!normalise && (want->flags & bare))
		return; /* what came out is worthless */
	assert_int_equal(got->flags, want->flags);
	assert_int_equal(got->len, want->len);
	assert_memory_equal(got->out, want->out, want->len);
	assert_true(got->longest == want->longest);
	assert_int_equal(got->lacks_eol, want->lacks_eol);
}

static void
check(const char *in, size_t n)
{
	static struct result want, got;

	for (int mode = 0; mode < 4; mode++) {
		bool stuffed = mode & 1, normalise = mode & 2;

		reference(in, n, stuffed, normalise, &want);
		scan(in, n, stuffed, normalise, cut_whole, NULL, &got);
		compare(&want, &got, normalise, stuffed);
		scan(in, n, stuffed, normalise, cut_bytes, NULL, &got);
		compare(&want, &got, normalise, stuffed);
		for (size_t at = 1; at < n && n < 40; at++) {
			scan(in, n, stuffed, normalise, cut_at, &at, &got);
			compare(&want, &got, normalise, stuffed);
		}
		scan(in, n, stuffed, normalise, cut_random, NULL, &got);
		compare(&want, &got, normalise, stuffed);
	}
}

static void
test_rows(void **state)
{
	static const char *const rows[] = {
		"",
		".\r\n",
		"a\r\n.\r\n",
		"a\r\n.\r\nQUIT\r\n",
		"..\r\n.\r\n",
		"a\r\n..b\r\n.\r\n",
		"a\r\n.b\r\n.\r\n",
		"a\n.\nb\r\n.\r\n",
		"a\n.\r\nb\r\n.\r\n",
		"a\r.\rb\r\n.\r\n",
		"a\r\n.\rb\r\n.\r\n",
		"a\r\n.\nb\r\n.\r\n",
		"a\r.\r\nb\r\n.\r\n",
		"a\r\r\n.\r\n",
		"a\r\n.\r\r\n.\r\n",
		"a\n\r\n.\r\n",
		"a\r\n\r\n.\r\n",
		"\r\n.\r\n",
		"\n.\r\n.\r\n",
		"a\n..\n...b\n.c\r\n.\r\n",
		"\xff\r\n.\r\n",
		"a\n\n.\n\r\n.\r\n",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		check(rows[i], strlen(rows[i]));
	check("a\0b\r\n.\r\n", 8);
}

/* Every text of up to eight characters of this alphabet. */
static void
test_all_short_texts(void **state)
{
	static const char alphabet[] = "\r\n.x";
	char text[16];

	(void)state;
	for (unsigned len = 1; len <= 7; len++)
		for (unsigned n = 0; n < 1u << (2 * len); n++) {
			for (unsigned i = 0; i < len; i++)
				text[i] = alphabet[n >> (2 * i) & 3];
			memcpy(text + len, "\r\n.\r\n", 5);
			check(text, len + 5);
		}
}

static void
test_random_texts(void **state)
{
	char text[TEXT_MAX];

	(void)state;
	random_seed(20261122);
	for (int round = 0; round < 400; round++) {
		size_t n = random_u64() % (TEXT_MAX - 8);
		unsigned rare = 2 + (unsigned)(random_u64() % 60);

		for (size_t i = 0; i < n; i++) {
			uint64_t r = random_u64();

			text[i] = "x.yz\x80"[r % 5 % (round % 2 ? 5 : 4)];
			if ((r >> 32) % rare == 0 && i + 2 < n) {
				text[i++] = '\r';
				text[i] = '\n';
			} else if ((r >> 40) % (rare * 50) == 0) {
				text[i] = "\r\n"[(r >> 20) & 1];
			}
		}
		memcpy(text + n, "\r\n.\r\n", 5);
		check(text, n + 5);
	}
}

/* A line without an end keeps its count, and costs linear time. */
static void
test_long_line(void **state)
{
	static char block[65536];
	struct body_scan b;
	size_t len;

	(void)state;
	memset(block, 'x', sizeof(block));
	body_scan_init(&b, true, BODY_REFUSE);
	for (int i = 0; i < 1000; i++) {
		assert_int_equal(
		    body_scan(&b, block, sizeof(block), block, &len),
		    sizeof(block));
		assert_int_equal(len, sizeof(block));
	}
	assert_true(b.longest_line_bytes == 65536000);
	/* Lone CRs without any LF: each is looked at once. */
	for (size_t i = 0; i < sizeof(block); i += 2)
		block[i] = '\r';
	for (int i = 0; i < 100; i++)
		body_scan(&b, block, sizeof(block), block, &len);
	assert_true(b.flags & BODY_BARE_CR);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_all_short_texts),
		cmocka_unit_test(test_random_texts),
		cmocka_unit_test(test_long_line),
	};

	return cmocka_run_group_tests_name("body_scan", tests, NULL, NULL);
}
