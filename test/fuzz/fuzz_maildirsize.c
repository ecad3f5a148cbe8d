/*
 * The text of a maildirsize, which is a user's: a sum that is called sound is
 * in its bounds and the sum of its lines, wherever the text is cut, and one
 * line more adds to it.
 */
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "fuzz.h"
#include "local/quota_internal.h"

static void
check(const struct quota_book *b, struct slice text)
{
	ASSERT(b->line.len <= text.len);
	if (!b->sound)
		return;
	ASSERT(b->entry_count > 0);
	ASSERT(b->used.bytes >= 0 && b->used.count >= 0);
	/* No room for more than there is, whatever is asked. */
	if (b->bytes_max != 0)
		ASSERT(!quota_book_has_room(b, UINT64_MAX));
	if (b->bytes_max != 0 && (uint64_t)b->used.bytes > b->bytes_max)
		ASSERT(!quota_book_has_room(b, 0));
	if (b->count_max != 0 && (uint64_t)b->used.count >= b->count_max)
		ASSERT(!quota_book_has_room(b, 0));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char text[QUOTA_FILE_BYTES_MAX + 16];
	struct quota_book b, more;
	struct slice in = slice_of(data, size);
	size_t cut;

	if (size > QUOTA_FILE_BYTES_MAX)
		return 0;
	quota_book_parse(&b, in, true);
	check(&b, in);
	quota_book_parse(&more, in, false);
	ASSERT(!more.sound);
	for (cut = 0; cut < size; cut += 1 + size / 16) {
		quota_book_parse(&more, slice_sub(in, 0, cut), true);
		check(&more, slice_sub(in, 0, cut));
	}
	if (!b.sound || in.data[in.len - 1] != '\n')
		return 0;
	memcpy(text, data, size);
	memcpy(text + size, "7 1\n", 4);
	quota_book_parse(&more, slice_of(text, size + 4), true);
	if (b.used.bytes > INT64_MAX - 7 || b.used.count == INT64_MAX) {
		ASSERT(!more.sound);
		return 0;
	}
	ASSERT(more.sound && more.entry_count == b.entry_count + 1);
	ASSERT(more.used.bytes == b.used.bytes + 7);
	ASSERT(more.used.count == b.used.count + 1);
	return 0;
}
