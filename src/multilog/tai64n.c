/*
 * tai64n: a timestamp in front of each line.
 */
#include "base/time.h"
#include "multilog/copy.h"
#include "multilog/tai.h"

static void
take(struct slice piece)
{
	static bool in_line;

	while (piece.len > 0) {
		size_t end = slice_find(piece, '\n');
		char stamp[TAI_STAMP_BYTES];

		if (!in_line) {
			tai_stamp(clock_wall_ns(), stamp);
			copy_put(slice_of(stamp, sizeof(stamp)));
		}
		in_line = end == piece.len;
		copy_put(slice_sub(piece, 0, end + 1));
		piece = slice_sub(piece, end + 1, piece.len);
	}
}

int
main(void)
{
	return copy_run(take);
}
