/*
 * input: the lone dot at every split; line ends; the end of the input.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sendmail/input.h"

static const struct {
	const char *why;
	bool dot_ends;
	const char *in, *out;
} rows[] = {
	{ "lines", true, "a\nb\n", "a\r\nb\r\n" },
	{ "CRLF lines", true, "a\r\nb\r\n", "a\r\nb\r\n" },
	{ "the last line is ended", true, "a\nb", "a\r\nb\r\n" },
	{ "empty", true, "", "" },
	{ "a lone dot ends", true, "a\n.\nb\n", "a\r\n" },
	{ "a lone dot with CR ends", true, "a\r\n.\r\nb\r\n", "a\r\n" },
	{ "a lone dot at the very end", true, "a\n.", "a\r\n" },
	{ "and with a CR", true, "a\n.\r", "a\r\n" },
	{ "a dot first of all", true, ".\na\n", "" },
	{ "a dot with text is text", true, "a\n.b\n..\n. \nc\n",
	    "a\r\n.b\r\n..\r\n. \r\nc\r\n" },
	{ "a dot at the end of a line", true, "a.\nb\n", "a.\r\nb\r\n" },
	{ "-i: a dot is data", false, "a\n.\nb\n", "a\r\n.\r\nb\r\n" },
	{ "a lone CR becomes a line end", true, "a\rb\n", "a\r\nb\r\n" },
	{ "a CR at the very end", true, "a\r", "a\r\n" },
	{ "dot, CR, text", true, ".\rb\n", ".\r\nb\r\n" },
	{ "empty lines", true, "\n\n", "\r\n\r\n" },
};

static void
dot_every_split(void **state)
{
	struct dot_scan whole, d;
	char expected[256], out[256];
	size_t i, a, len, n, want;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		len = strlen(rows[i].in);
		dot_scan_init(&whole, rows[i].dot_ends);
		want = dot_scan_feed(&whole, rows[i].in, len, expected);
		for (a = 0; a <= len; a++) {
			dot_scan_init(&d, rows[i].dot_ends);
			n = dot_scan_feed(&d, rows[i].in, a, out);
			n +=
			    dot_scan_feed(&d, rows[i].in + a, len - a, out + n);
			if (n != want || memcmp(out, expected, n) != 0 ||
			    d.ended != whole.ended)
				fail_msg("%s: split %zu", rows[i].why, a);
		}
	}
}

/* Read all of text through a pipe, written in pieces of step bytes. */
static size_t
read_all(const char *text, size_t len, bool dot_ends, char *out)
{
	static char piece[INPUT_PIECE_BYTES];
	struct input in;
	size_t n = 0, got = 1;
	int fds[2];
	pid_t pid;

	assert_int_equal(pipe(fds), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		ssize_t put = 0;

		close(fds[0]);
		while (len > 0 && (put = write(fds[1], text, len)) > 0) {
			text += put;
			len -= (size_t)put;
		}
		_exit(0);
	}
	close(fds[1]);
	input_init(&in, fds[0], dot_ends);
	while (got > 0) {
		assert_int_equal(input_read(&in, piece, &got), OK);
		memcpy(out + n, piece, got);
		n += got;
	}
	close(fds[0]);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	return n;
}

static void
as_stored(void **state)
{
	char out[256];
	size_t i, n;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		n = read_all(rows[i].in, strlen(rows[i].in), rows[i].dot_ends,
		    out);
		out[n] = '\0';
		if (strcmp(out, rows[i].out) != 0)
			fail_msg("%s: \"%s\"", rows[i].why, out);
	}
}

static void
a_line_of_any_length(void **state)
{
	enum { BYTES = 1000000 };
	static char in[BYTES + 1], out[BYTES + 100];
	size_t n;

	(void)state;
	memset(in, 'x', BYTES);
	in[BYTES] = '\n';
	n = read_all(in, BYTES + 1, true, out);
	assert_int_equal(n, BYTES + 2);
	assert_memory_equal(out, in, BYTES);
	/* As many line ends as there can be. */
	memset(in, '\n', BYTES / 4);
	n = read_all(in, BYTES / 4, true, out);
	assert_int_equal(n, BYTES / 2);
}

static void
a_failed_read(void **state)
{
	static char piece[INPUT_PIECE_BYTES];
	struct input in;
	size_t got;

	(void)state;
	input_init(&in, -1, true);
	assert_int_equal(input_read(&in, piece, &got), ERR_IO);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(dot_every_split),
		cmocka_unit_test(as_stored),
		cmocka_unit_test(a_line_of_any_length),
		cmocka_unit_test(a_failed_read),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
