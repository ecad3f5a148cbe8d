/*
 * tai64nlocal: the timestamps of tai64n and multilog as local time.
 *
 * What begins with @ and is no label stays as it is.
 */
#include <stdio.h>
#include <time.h>

#include "multilog/copy.h"
#include "multilog/tai.h"

static struct {
	bool in_line; /* beyond the label */
	size_t len;
	char head[TAI_LABEL_BYTES + 1]; /* "@" and a label, as far as read */
} state;

static bool
is_digit(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

/* The head is complete, or something else follows: next (EOF: the end). */
static void
put_head(int next)
{
	char text[64];
	struct tm tm;
	int64_t seconds;
	uint32_t ns;
	time_t t;

	state.in_line = true;
	if (state.len < sizeof(state.head) ||
	    (next != EOF && is_digit((char)next)) ||
	    !tai_parse(state.head + 1, &seconds, &ns)) {
		copy_put(slice_of(state.head, state.len));
		return;
	}
	t = (time_t)seconds;
	if (localtime_r(&t, &tm) == NULL) {
		copy_put(slice_of(state.head, state.len));
		return;
	}
	copy_put(
	    slice_of(text, (size_t)snprintf(text, sizeof(text),
			       "%d-%02d-%02d %02d:%02d:%02d.%09u",
			       tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday,
			       tm.tm_hour, tm.tm_min, tm.tm_sec, ns)));
}

/* One byte of a head; false if it is none. */
static bool
take_head(char c)
{
	if (state.len < sizeof(state.head) &&
	    (state.len == 0 ? c == '@' : is_digit(c))) {
		state.head[state.len++] = c;
		return true;
	}
	put_head(c);
	return false;
}

static void
take(struct slice piece)
{
	if (piece.len == 0 && !state.in_line)
		put_head(EOF);
	while (piece.len > 0) {
		size_t end;

		if (!state.in_line && take_head(piece.data[0])) {
			piece = slice_sub(piece, 1, piece.len);
			continue;
		}
		end = slice_find(piece, '\n');
		copy_put(slice_sub(piece, 0, end + 1));
		if (end < piece.len) {
			state.in_line = false;
			state.len = 0;
		}
		piece = slice_sub(piece, end + 1, piece.len);
	}
}

int
main(void)
{
	tzset();
	return copy_run(take);
}
